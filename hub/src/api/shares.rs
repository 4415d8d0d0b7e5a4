//! `/shares/{user}` and `/shares/{user}/{server}`: who may use somebody's servers.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::clock::isoformat;
use hub_store::{Server, Share, ShareQuery, ShareWith, SharedServer, Shares};
use serde_json::{Map, Value, json};

use super::listing::Window;
use super::{body, users};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{OnServer, OnUser, rights};
use crate::http::{Answer, Problem};
use crate::sharing::{self, Whom};

/// A server as those see it whom it is shared with.
pub fn server_model(app: &App, server: &SharedServer) -> Value {
    let places = users::places(app);
    let url = places.paths.server(&server.owner, &server.name);
    let full_url = places.full(&url);
    json!({
        "user": { "name": server.owner }, "name": server.name, "url": url, "full_url": full_url, "ready": server.ready,
    })
}

/// One share.
pub fn model(app: &App, share: &Share) -> Value {
    let named = || json!({ "name": share.with_name });
    let (kind, user, group) = match share.with {
        ShareWith::User(_) => ("user", named(), Value::Null),
        ShareWith::Group(_) => ("group", Value::Null, named()),
    };
    json!({
        "server": server_model(app, &share.server), "scopes": share.as_scopes().current(),
        "user": user, "group": group, "kind": kind, "created_at": isoformat(share.created_at),
    })
}

/// The answer to a list of shares: always in pages, whatever the request accepts.
pub async fn list(request: &HttpRequest, app: &App, of: Shares) -> Answer {
    let window = Window::of(request, app)?.always_enveloped();
    let query = ShareQuery { of, offset: window.offset, limit: Some(window.limit) };
    let page = app.store.list_shares(&query, app.now()).await?;
    let models: Vec<Value> = page.items.iter().map(|share| model(app, share)).collect();
    Ok(window.answer(request, app, &models, page.total))
}

/// The server that the path names; 404 when there is none.
pub fn named<R>(on: &OnServer<R>) -> Result<&Server, Problem> {
    on.server().ok_or_else(|| no_server(&on.user().name, &on.name))
}

fn no_server(user: &str, server: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("No such server: {user}/{server}"))
}

/// The scopes a body names; none for no list and for an empty one.
pub fn scopes_in(object: &Map<String, Value>) -> Result<Vec<String>, Problem> {
    Ok(body::texts(object, "Share", "scopes")?.unwrap_or_default())
}

/// Whom a body names: a user or a group, and not both.
fn whom_in(object: &Map<String, Value>) -> Result<Whom, Problem> {
    let text = |key| body::text(object, "Share", key).map(|text| text.filter(|text| !text.is_empty()));
    match (text("user")?, text("group")?) {
        (Some(user), None) => Ok(Whom::User(user)),
        (None, Some(group)) => Ok(Whom::Group(group)),
        _ => Err(Problem::bad("Specify exactly one of `user` or `group`")),
    }
}

/// `GET /shares/{user}`
pub async fn list_of_owner(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadShares>) -> Answer {
    list(&request, &app, Shares::OfOwner(on.user().id)).await
}

/// Everything but reading concerns one server.
pub async fn server_required(_: OnUser<rights::Shares>) -> Answer {
    Err(Problem::bare(StatusCode::METHOD_NOT_ALLOWED))
}

/// `GET /shares/{user}/{server}`
pub async fn list_of_server(request: HttpRequest, app: web::Data<App>, on: OnServer<rights::ReadShares>) -> Answer {
    list(&request, &app, Shares::OfServer(named(&on)?.id)).await
}

/// `POST /shares/{user}/{server}`: shares it, or extends what is shared already.
pub async fn grant(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::Shares>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["user", "group", "scopes"])?;
    let (whom, asked) = (whom_in(&object)?, scopes_in(&object)?);
    let owner = &on.user().name;
    let scopes = sharing::requested(&app, owner, &on.name, &asked)?;
    let server = named(&on)?;
    sharing::check_held(&app, &on.caller, (owner, &on.person.groups), &scopes)?;
    let with = sharing::find_to_grant(&app, &on.caller, &whom).await?;
    let share = sharing::grant(&app, &Actor::of(&request, &app), server, with, &scopes).await?;
    Ok(HttpResponse::Ok().json(model(&app, &share)))
}

/// `PATCH /shares/{user}/{server}`: takes scopes from one share. An empty object when nothing is left.
pub async fn revoke(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::Shares>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["user", "group", "scopes"])?;
    let (whom, asked) = (whom_in(&object)?, scopes_in(&object)?);
    let scopes = app.catalogue.parse_all(&asked).map_err(|error| Problem::bad(error.to_string()))?;
    let server = named(&on)?;
    let scopes = Some(scopes.as_slice()).filter(|scopes| !scopes.is_empty());
    let left = sharing::revoke(&app, &Actor::of(&request, &app), server, &whom, scopes).await?;
    Ok(HttpResponse::Ok().json(left.map_or_else(|| json!({}), |share| model(&app, &share))))
}

/// `DELETE /shares/{user}/{server}`: nobody may use it any more.
pub async fn revoke_all(request: HttpRequest, app: web::Data<App>, on: OnServer<rights::Shares>) -> Answer {
    sharing::revoke_all(&app, &Actor::of(&request, &app), named(&on)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

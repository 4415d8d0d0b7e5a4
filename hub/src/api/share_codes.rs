//! `/share-codes/{user}` and `/share-codes/{user}/{server}`: what may be exchanged for access to somebody's servers.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::clock::isoformat;
use hub_store::{ShareCode, ShareQuery, Shares};
use serde_json::{Map, Value, json};

use super::listing::Window;
use super::shares::{named, scopes_in, server_model};
use super::{body, users, view};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{OnServer, OnUser, rights};
use crate::http::url::{argument, encode_pairs};
use crate::http::{Answer, Problem};
use crate::sharing;

fn model(app: &App, code: &ShareCode) -> Value {
    json!({
        "server": server_model(app, &code.server), "scopes": code.as_scopes().current(), "id": sharing::code_id(code.id),
        "created_at": isoformat(code.created_at), "expires_at": view::time(code.expires_at),
        "exchange_count": code.exchange_count, "last_exchanged_at": view::time(code.last_exchanged_at),
    })
}

/// Where a code is accepted: the path, with the code in it.
pub fn accept_url(app: &App, code: &str) -> String {
    format!("{}?{}", app.paths.hub("accept-share"), encode_pairs([("code".to_owned(), code.to_owned())]))
}

/// Seconds, as a number or as digits.
fn expires_in(object: &Map<String, Value>) -> Result<i64, Problem> {
    let wrong = || Problem::bad("expires_in must be a whole number of seconds");
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e12).then_some(number as i64);
    match object.get("expires_in") {
        None => Ok(sharing::CODE_LIFE_DEFAULT),
        Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().and_then(whole)).ok_or_else(wrong),
        Some(Value::String(text)) => text.trim().parse().map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}

async fn list(request: &HttpRequest, app: &App, of: Shares) -> Answer {
    let window = Window::of(request, app)?.always_enveloped();
    let query = ShareQuery { of, offset: window.offset, limit: Some(window.limit) };
    let page = app.store.list_share_codes(&query, app.now()).await?;
    let models: Vec<Value> = page.items.iter().map(|code| model(app, code)).collect();
    Ok(window.answer(request, app, &models, page.total))
}

/// `GET /share-codes/{user}`
pub async fn list_of_owner(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadShares>) -> Answer {
    list(&request, &app, Shares::OfOwner(on.user().id)).await
}

/// Everything but reading concerns one server.
pub async fn server_required(_: OnUser<rights::Shares>) -> Answer {
    Err(Problem::bare(StatusCode::METHOD_NOT_ALLOWED))
}

/// `GET /share-codes/{user}/{server}`
pub async fn list_of_server(request: HttpRequest, app: web::Data<App>, on: OnServer<rights::ReadShares>) -> Answer {
    list(&request, &app, Shares::OfServer(named(&on)?.id)).await
}

/// `POST /share-codes/{user}/{server}`: the only answer that tells the code.
pub async fn create(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::Shares>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["scopes", "expires_in"])?;
    let (asked, seconds) = (scopes_in(&object)?, expires_in(&object)?);
    sharing::check_code_life(seconds)?;
    let owner = &on.user().name;
    let scopes = sharing::requested(&app, owner, &on.name, &asked)?;
    sharing::check_held(&app, &on.caller, (owner, &on.person.groups), &scopes)?;
    let (row, code) = sharing::make_code(&app, &Actor::of(&request, &app), named(&on)?, &scopes, seconds).await?;
    let accept_url = accept_url(&app, code.expose());
    let full = users::places(&app).public_origin.map(|origin| format!("{origin}{accept_url}"));
    let mut model = model(&app, &row);
    model["code"] = code.expose().into();
    model["accept_url"] = accept_url.into();
    model["full_accept_url"] = full.into();
    Ok(HttpResponse::Ok().json(model))
}

/// `DELETE /share-codes/{user}/{server}`: one by `?code=` or `?id=`, or all.
pub async fn delete(request: HttpRequest, app: web::Data<App>, on: OnServer<rights::Shares>) -> Answer {
    let given = |name| argument(&request, name).filter(|text| !text.is_empty());
    let (server, by) = (named(&on)?, Actor::of(&request, &app));
    let (id, missing) = match (given("code"), given("id")) {
        (Some(code), _) => {
            let found = sharing::find_code(&app, &code).await?.filter(|code| code.server.id == server.id);
            (found.map(|code| code.id), "No matching code found".to_owned())
        }
        (None, Some(id)) => (sharing::parse_code_id(&id), format!("No code found matching id={id}")),
        (None, None) => {
            sharing::delete_codes(&app, &by, server).await?;
            return Ok(HttpResponse::NoContent().finish());
        }
    };
    let deleted = match id {
        Some(id) => sharing::delete_code(&app, &by, server, id).await?,
        None => false,
    };
    if deleted { Ok(HttpResponse::NoContent().finish()) } else { Err(Problem::new(StatusCode::NOT_FOUND, missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_a_whole_number_in_any_form() {
        let read = |value: Value| expires_in(&Map::from_iter([("expires_in".to_owned(), value)])).ok();
        assert_eq!(expires_in(&Map::new()).ok(), Some(86_400));
        for (value, seconds) in [(json!(60), 60), (json!(60.0), 60), (json!("61"), 61), (json!(-1), -1)] {
            assert_eq!(read(value), Some(seconds));
        }
        for value in [json!(null), json!("soon"), json!(60.5), json!(true), json!([60]), json!(1e300)] {
            assert_eq!(read(value.clone()), None, "{value}");
        }
    }
}

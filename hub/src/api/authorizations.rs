//! What JupyterHub keeps from before OAuth, answered as its version 6 does: `/authorizations`, which services asked
//! before they asked `/user`, and `/users/{user}/admin-access`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::cookie;
use serde_json::Value;

use super::users;
use crate::app::App;
use crate::http::caller::{self, Caller, Owner};
use crate::http::guard::{Anyone, OnUser, rights};
use crate::http::{Answer, Problem, cookies, url};

/// Only tokens may ask, as these calls read what others hold.
fn by_token(who: Anyone) -> Result<Arc<Caller>, Problem> {
    Some(who.0).filter(|caller| caller.by_token()).ok_or_else(|| Problem::bare(actix_web::http::StatusCode::FORBIDDEN))
}

/// `GET /authorizations/token/{token}`: the owner of a token, as far as the asker and the owner itself may see.
pub async fn token(request: HttpRequest, app: web::Data<App>, who: Anyone) -> Answer {
    let asker = by_token(who)?;
    let holder = caller::by_token(&app, &url::piece(&request, "token")?).await?.ok_or_else(Problem::not_found)?;
    let mut rights = asker.rights.clone();
    rights.identify(holder.scope_owner());
    let model: Value = match &holder.owner {
        Owner::User(user) => users::model(&app, user, &rights, false).await?,
        Owner::Service(service) => users::service_itself(&app, service, &rights).await?,
    };
    Ok(HttpResponse::Ok().json(model))
}

/// `POST /authorizations/token`: made tokens once.
pub async fn make() -> Answer {
    let status = actix_web::http::StatusCode::NOT_FOUND;
    Err(Problem::new(status, "Deprecated: make tokens with POST /hub/api/users/:user/tokens"))
}

/// `GET /authorizations/cookie/{name}[/{value}]`: whose login a cookie is. The value may be the body as well.
///
/// It counts only while the login it was made in does: the session that began in the second of its signature.
pub async fn of_cookie(request: HttpRequest, app: web::Data<App>, who: Anyone, bytes: web::Bytes) -> Answer {
    let asker = by_token(who)?;
    let value = match url::piece(&request, "value")? {
        value if value.is_empty() => String::from_utf8(bytes.to_vec()).map_err(|_| Problem::not_found())?,
        value => value,
    };
    if url::piece(&request, "name")? != cookie::LOGIN {
        return Err(Problem::not_found());
    }
    let login = cookies::login_of(&app, value.trim()).ok_or_else(Problem::not_found)?;
    let user = app.store.user_by_cookie_id(&login.cookie_id).await?.ok_or_else(Problem::not_found)?;
    let sessions = app.store.sessions_of(user.id, app.now()).await?;
    let begun = |at: hub_core::clock::Time| at.timestamp() == login.signed_at.timestamp();
    if !sessions.iter().any(|session| begun(session.created_at)) && !caller::is_by_jupyterhub(&app, &login) {
        return Err(Problem::not_found());
    }
    Ok(HttpResponse::Ok().json(users::model(&app, &user, &asker.rights, false).await?))
}

/// `POST /users/{user}/admin-access`: from the time before OAuth, when a cookie opened somebody's server. JupyterHub
/// refuses it unless an option says otherwise that has no use any more.
pub async fn admin_access(_: OnUser<rights::Servers>) -> Answer {
    Err(Problem::forbidden("admin access to user servers disabled"))
}

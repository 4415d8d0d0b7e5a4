//! Logging out: this browser, the servers opened from it, and everywhere if wanted.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::secret::Secret;
use hub_store::User;
use pages::{Href, Logout};
use serde_json::Value;

use super::{Form, href, oauth_login, see_other, session, show, surround};
use crate::api::view;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::origin::Origin;
use crate::http::{Answer, Caller, Problem, cookies, xsrf};
use crate::intent;

/// `GET /logout`: ends this session, on the server and in the browser.
pub async fn logout(request: HttpRequest, app: web::Data<App>) -> Answer {
    let begun = std::time::Instant::now();
    let caller = xsrf::login(&request, &app, None).await?.map(|found| found.caller);
    let mut provider_url = None;
    if let Some(caller) = &caller {
        provider_url = logout_of_provider(&request, &app, caller).await?;
        end_session(&request, &app, caller).await?;
    }
    crate::metrics::logged_out(begun.elapsed());
    let (frame, _) = surround(&request, &app, None, "logout").parts();
    let servers_stopped = caller.is_some() && app.config.hub.shutdown_on_logout;
    let page = Logout { frame, servers_stopped, login_url: href(&app.paths.hub("login")), provider_url };
    let mut response = show(&page, StatusCode::OK, None)?;
    for cookie in cookies::forgotten(&app, &Origin::of(&request, &app)) {
        response.add_cookie(&cookie).map_err(|error| Problem::internal("cookie", error))?;
    }
    Ok(response)
}

/// `POST /logout-everywhere`: ends every session of the person, in every browser.
pub async fn everywhere(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    if let Ok(caller) = super::person(&request, &app, Some(&form)).await?
        && let Some(user) = caller.user()
    {
        session::end_all(&app, user).await?;
        let by = Actor::of(&request, &app);
        app.audited(&by, Act::LogoutEverywhere, Object::User(&user.name), Value::Null).await;
        stop_servers(&app, &by, user).await?;
    }
    Ok(see_other(&app.paths.hub("login")))
}

/// Where the session at the provider ends, for somebody who came from one.
async fn logout_of_provider(request: &HttpRequest, app: &App, caller: &Caller) -> Result<Option<Href>, Problem> {
    let Some(user) = caller.user() else { return Ok(None) };
    let Some(account) = app.store.identities_of(user.id).await?.into_iter().next() else { return Ok(None) };
    let Some(provider) = app.login.provider(Some(&account.provider)) else { return Ok(None) };
    let state = app.hooks.auth_states.read(&app.store, user.id, app.now()).await?;
    let id_token = state["id_token"].as_str().map(Secret::new);
    let back = format!("{}{}", oauth_login::here(request, app), app.paths.hub);
    Ok(provider.logout_url(id_token.as_ref(), &back).await.and_then(|url| Href::parse(&url).ok()))
}

async fn end_session(request: &HttpRequest, app: &App, caller: &Caller) -> Result<(), Problem> {
    let Some(user) = caller.user() else { return Ok(()) };
    session::end(app, user, caller.session_id()).await?;
    let by = Actor::of(request, app);
    app.audited(&by, Act::Logout, Object::User(&user.name), Value::Null).await;
    stop_servers(app, &by, user).await
}

async fn stop_servers(app: &App, by: &Actor, user: &User) -> Result<(), Problem> {
    if app.config.hub.shutdown_on_logout {
        for server in app.store.servers_of(&[user.id]).await?.iter().filter(|server| view::is_active(server)) {
            intent::want_stopped(app, by, server).await?;
        }
    }
    Ok(())
}

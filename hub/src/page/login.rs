//! Logging in: the page with the ways there are, the form for a name and a password, and what follows when it is right.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::secret::Secret;
use pages::Login;
use pages::login::{LoginService, PasswordForm};
use serde_json::{Value, json};

use super::{Form, default_page, found, href, next, oauth_login, see_other, session, show, surround, to_login};
use crate::admission;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::origin::Origin;
use crate::http::url::encode_pairs;
use crate::http::{Answer, xsrf};
use crate::login::oidc::Provider;
use crate::login::{Identity, Outcome};

/// So much of a name is shown again after a wrong password.
const ECHOED: usize = 32;

/// After so many seconds it is worth another try, when logging in does not work.
const COME_AGAIN: u16 = 10;

/// `GET /hub`
pub async fn with_slash(request: HttpRequest, app: web::Data<App>) -> Answer {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}{query}", app.paths.hub);
    Ok(HttpResponse::MovedPermanently().insert_header(("Location", location)).finish())
}

/// `GET /hub/`
pub async fn front(request: HttpRequest, app: web::Data<App>) -> Answer {
    match xsrf::page_caller(&request, &app, None).await? {
        // Where everybody is sent, known or not.
        None if app.config.hub.default_url.is_some() => Ok(found(&default_page(&request, &app))),
        Some(_) => Ok(found(&next(&request, &app).unwrap_or_else(|| default_page(&request, &app)))),
        None => Ok(to_login(&request, &app)),
    }
}

/// `GET /login`
pub async fn form(request: HttpRequest, app: web::Data<App>) -> Answer {
    match xsrf::login(&request, &app, None).await? {
        Some(known) => Ok(found(&onward(&request, &app, next(&request, &app), known.must_change_password))),
        None => match only_way(&app) {
            Some(provider) => Ok(found(&oauth_login::path(&app, provider, next(&request, &app)))),
            None => again(&request, &app, StatusCode::OK, "", None),
        },
    }
}

/// The provider that everybody is sent to, without being asked, while it is not known to be down.
fn only_way(app: &App) -> Option<&Provider> {
    let provider = app.login.provider(None).filter(|_| app.config.auth.auto_login)?;
    provider.failure().is_none().then_some(provider)
}

/// Where somebody goes who has logged in.
fn onward(request: &HttpRequest, app: &App, next: Option<String>, must_change_password: bool) -> String {
    if must_change_password {
        let query = next.map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
        return format!("{}{}", app.paths.hub("change-password"), query.unwrap_or_default());
    }
    next.unwrap_or_else(|| default_page(request, app))
}

/// The login page, with a name that was typed before and why that did not do.
pub fn again(request: &HttpRequest, app: &App, status: StatusCode, username: &str, error: Option<String>) -> Answer {
    let (frame, cookie) = surround(request, app, None, "login").parts();
    let query = next(request, app).map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
    let action = format!("{}{}", app.paths.hub("login"), query.unwrap_or_default());
    let echoed = if username.chars().count() > ECHOED { "" } else { username };
    let password = PasswordForm { action: href(&action), username: echoed.to_owned(), otp: None, terms: None };
    let service = |provider: &Provider| LoginService {
        name: provider.config().shown().to_owned(),
        url: href(&oauth_login::path(app, provider, next(request, app))),
        down: provider.failure().is_some(),
    };
    let page = Login {
        frame,
        services: app.login.providers().iter().map(service).collect(),
        password: app.login.takes_passwords().then_some(password),
        intro: app.config.pages.login_text.clone(),
        error,
        insecure: !Origin::of(request, app).is_secure_context(),
    };
    let mut response = show(&page, status, cookie)?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(COME_AGAIN));
    }
    Ok(response)
}

/// `POST /login`
pub async fn submit(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let name = form.get("username").unwrap_or_default().trim();
    let password = Secret::new(form.get("password").unwrap_or_default());
    if xsrf::check_page(&request, &app, None, form.get("_xsrf")).is_err() {
        let text = "The login form was too old. Try again.".to_owned();
        return again(&request, &app, StatusCode::FORBIDDEN, name, Some(text));
    }
    let (origin, begun) = (Origin::of(&request, &app), std::time::Instant::now());
    let outcome =
        app.login.authenticate(&app.store, app.clock.as_ref(), name, &password, origin.address.parse().ok()).await;
    crate::metrics::logged_in(matches!(outcome, Outcome::Welcome(_)), begun.elapsed());
    let (status, text) = match outcome {
        Outcome::Welcome(identity) => {
            let next = next(&request, &app);
            return welcome(&request, &app, identity, next).await;
        }
        Outcome::Refused(refusal) => {
            app.audited_failure(&request, name, &format!("{refusal:?}")).await;
            (StatusCode::FORBIDDEN, refusal.to_string())
        }
        Outcome::Throttled { retry_after } => {
            let text = format!("Too many wrong passwords. Try again in {} seconds.", retry_after.as_secs().max(1));
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
        Outcome::Unavailable => {
            let text = "Logging in does not work at the moment. Try again later.";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
    };
    again(&request, &app, status, name, Some(text))
}

/// Opens a session for somebody who is let in, and sends them on.
pub async fn welcome(request: &HttpRequest, app: &App, identity: Identity, next: Option<String>) -> Answer {
    let by = Actor::person(request, app, identity.name.as_str());
    let user = admission::remember(app, &by, &identity).await?;
    let detail = identity.account.as_ref().map_or(Value::Null, |account| json!({ "provider": account.provider }));
    app.audited(&by, Act::Login, Object::User(&user.name), detail).await;
    let destination = onward(request, app, next, identity.must_change_password);
    session::open(request, app, &user, see_other(&destination)).await
}

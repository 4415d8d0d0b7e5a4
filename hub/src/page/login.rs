//! Logging in with a name and a password: the form, and what follows when it is right.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{StoreError, User};
use pages::Login;
use pages::login::PasswordForm;
use serde_json::{Value, json};

use super::{Form, default_page, found, href, next, see_other, session, show, surround, to_login};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::origin::Origin;
use crate::http::url::encode_pairs;
use crate::http::{Answer, Problem, xsrf};
use crate::login::{Identity, Outcome};
use crate::roles::{self, Roles};

/// So much of a name is shown again after a wrong password.
const ECHOED: usize = 32;

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
        Some(known) => Ok(found(&onward(&request, &app, known.must_change_password))),
        None => again(&request, &app, StatusCode::OK, "", None),
    }
}

/// Where somebody goes who has logged in.
fn onward(request: &HttpRequest, app: &App, must_change_password: bool) -> String {
    let next = next(request, app);
    if must_change_password {
        let query = next.map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
        return format!("{}{}", app.paths.hub("change-password"), query.unwrap_or_default());
    }
    next.unwrap_or_else(|| default_page(request, app))
}

fn again(request: &HttpRequest, app: &App, status: StatusCode, username: &str, error: Option<String>) -> Answer {
    let (frame, cookie) = surround(request, app, None, "login").parts();
    let query = next(request, app).map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
    let action = format!("{}{}", app.paths.hub("login"), query.unwrap_or_default());
    let echoed = if username.chars().count() > ECHOED { "" } else { username };
    let password = PasswordForm { action: href(&action), username: echoed.to_owned(), otp: None, terms: None };
    let page = Login {
        frame,
        services: Vec::new(),
        password: Some(password),
        intro: app.config.pages.login_text.clone(),
        error,
        insecure: !Origin::of(request, app).is_secure_context(),
    };
    show(&page, status, cookie)
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
        Outcome::Welcome(identity) => return welcome(&request, &app, identity).await,
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

async fn welcome(request: &HttpRequest, app: &App, identity: Identity) -> Answer {
    let by = Actor::person(request, app, identity.name.as_str());
    let user = remember(app, &by, &identity).await?;
    app.audited(&by, Act::Login, Object::User(&user.name), Value::Null).await;
    let destination = onward(request, app, identity.must_change_password);
    session::open(request, app, &user, see_other(&destination)).await
}

/// Finds or makes the user of an identity, and brings admin right and groups to what the identity says.
pub async fn remember(app: &App, by: &Actor, identity: &Identity) -> Result<User, Problem> {
    let user = find_or_make(app, by, identity).await?;
    let admin = identity.admin.unwrap_or(user.admin);
    // Whoever logs in has the role `user`, and `admin` or not as the flag says.
    app.store.set_admin(user.id, admin).await?;
    if admin != user.admin {
        let act = if admin { Act::AdminGrant } else { Act::AdminRevoke };
        app.audited(by, act, Object::User(&user.name), Value::Null).await;
    }
    if let Some(groups) = &identity.groups {
        let before = app.store.groups_of(user.id).await?;
        app.store.set_groups(user.id, groups).await?;
        if !same(&before, groups) {
            app.audited(by, Act::UserGroups, Object::User(&user.name), json!({ "groups": groups })).await;
        }
    }
    if let Some(wanted) = identity.roles.as_ref().filter(|_| app.config.auth.manage_roles) {
        let house = Roles { store: &app.store, catalogue: &app.catalogue, config: &app.config.hub };
        let before = own_roles(app, &user).await?;
        let synced = roles::sync_person(&house, &user, wanted, identity.admin == Some(true)).await;
        synced.map_err(|error| Problem::conflict(format!("{error:#}")))?;
        let after = own_roles(app, &user).await?;
        if !same(&before, &after) {
            app.audited(by, Act::UserRoles, Object::User(&user.name), json!({ "roles": after })).await;
        }
    }
    if app.config.auth.enable_auth_state && (identity.auth_state.is_some() || app.login.tells_auth_state()) {
        let states = &app.hooks.auth_states;
        states.write(&app.store, user.id, identity.auth_state.as_ref(), app.now()).await?;
    }
    app.store.touch_user(user.id, app.now()).await?;
    Ok(user)
}

async fn own_roles(app: &App, user: &User) -> Result<Vec<String>, StoreError> {
    Ok(app.store.own_roles_of_users(&[user.id]).await?.remove(&user.id).unwrap_or_default())
}

/// Whether two lists name the same, in whatever order.
fn same(one: &[String], other: &[String]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

async fn find_or_make(app: &App, by: &Actor, identity: &Identity) -> Result<User, StoreError> {
    let name = identity.name.as_str();
    if let Some(user) = app.store.user(name).await? {
        return Ok(user);
    }
    let cookie_id = token::generate_id(&mut rand::rng());
    let admin = identity.admin.unwrap_or(false);
    match app.store.create_user(name, admin, &cookie_id, app.now()).await {
        // The same person logs in elsewhere at this moment, and was quicker.
        Err(StoreError::Conflict(context)) => app.store.user(name).await?.ok_or(StoreError::Conflict(context)),
        Ok(made) => {
            app.audited(by, Act::UserCreate, Object::User(name), json!({ "admin": admin })).await;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

//! Choosing a password: after a one-time password, or with an invitation.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::clock::Time;
use hub_core::secret::Secret;
use hub_store::User;
use pages::NewPassword;
use pages::new_password::Occasion;
use serde_json::{Value, json};

use super::{Form, default_page, href, next, see_other, session, show, surround, to_login};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::url::{argument, encode_pairs};
use crate::http::{Answer, Caller, Problem, xsrf};
use crate::login::password::SetError;

/// Somebody whose password was good for once, or the way to where everybody else belongs.
///
/// Others do not come through: whoever gets hold of a session for a moment must not get hold of the account.
async fn newcomer(
    request: &HttpRequest,
    app: &App,
    form: Option<&Form>,
) -> Result<Result<Caller, HttpResponse>, Problem> {
    let found = xsrf::login(request, app, form.and_then(|form| form.get("_xsrf"))).await?;
    Ok(match found {
        Some(found) if found.must_change_password => Ok(found.caller),
        Some(_) => Err(see_other(&next(request, app).unwrap_or_else(|| default_page(request, app)))),
        None => Err(to_login(request, app)),
    })
}

/// `GET /change-password`
pub async fn form(request: HttpRequest, app: web::Data<App>) -> Answer {
    match newcomer(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, Some(&caller), caller.name(), Occasion::OneTime, None),
        Err(elsewhere) => Ok(elsewhere),
    }
}

fn page(
    request: &HttpRequest,
    app: &App,
    caller: Option<&Caller>,
    username: &str,
    occasion: Occasion,
    error: Option<String>,
) -> Answer {
    let (frame, cookie) = surround(request, app, caller, "login").parts();
    let (path, mut pairs) = match &occasion {
        Occasion::OneTime => ("change-password", Vec::new()),
        Occasion::Invite { .. } => ("invite", Vec::new()),
    };
    pairs.extend(next(request, app).map(|next| ("next".to_owned(), next)));
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", encode_pairs(pairs)) };
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = NewPassword {
        frame,
        action: href(&format!("{}{query}", app.paths.hub(path))),
        username: username.to_owned(),
        occasion,
        least_length: u32::try_from(app.config.auth.password.minimum_length).unwrap_or(u32::MAX),
        error,
    };
    show(&page, status, cookie)
}

/// The new password of a form, if both fields agree.
fn chosen(form: &Form) -> Result<Secret, String> {
    let (password, again) =
        (form.get("password").unwrap_or_default(), form.get("password_confirm").unwrap_or_default());
    if password == again { Ok(Secret::new(password)) } else { Err("The two passwords differ.".to_owned()) }
}

/// `POST /change-password`
pub async fn change(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match newcomer(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let passwords = app.login.passwords().ok_or_else(Problem::not_found)?;
    let changed = match chosen(&form) {
        Ok(password) => said(passwords.change(&app.store, user.id, &password, app.now()).await)?,
        Err(text) => Err(text),
    };
    match changed {
        Ok(()) => {
            // Whoever else knew the one-time password may have logged in with it.
            let by = Actor::of(&request, &app);
            app.audited(&by, Act::PasswordChange, Object::User(&user.name), Value::Null).await;
            let user = session::end_all(&app, user).await?;
            let onward = next(&request, &app).unwrap_or_else(|| default_page(&request, &app));
            session::open(&request, &app, &user, see_other(&onward)).await
        }
        Err(text) => page(&request, &app, Some(&caller), &user.name, Occasion::OneTime, Some(text)),
    }
}

/// Sorts what the person can mend from what is ours.
fn said<T>(result: Result<T, SetError>) -> Result<Result<T, String>, Problem> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(SetError::Store(error)) => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn stale() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "This invitation is not valid any more.")
        .advise("Ask the people who run this hub for a new one.")
}

/// Whom an invitation is for.
async fn invited(app: &App, code: &Secret) -> Result<(User, Time), Problem> {
    let passwords = app.login.passwords().ok_or_else(stale)?;
    let (id, ends) = passwords.invited(&app.store, code, app.now()).await?.ok_or_else(stale)?;
    Ok((app.store.user_by_id(id).await?.ok_or_else(stale)?, ends))
}

/// `GET /invite?code=…`
pub async fn invitation(request: HttpRequest, app: web::Data<App>) -> Answer {
    let code = Secret::new(argument(&request, "code").unwrap_or_default());
    let (user, expires_at) = invited(&app, &code).await?;
    page(&request, &app, None, &user.name, Occasion::Invite { code, expires_at }, None)
}

/// `POST /invite`
pub async fn accept(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    xsrf::check_page(&request, &app, None, form.get("_xsrf"))?;
    let code = Secret::new(form.get("code").unwrap_or_default());
    let (user, expires_at) = invited(&app, &code).await?;
    let passwords = app.login.passwords().ok_or_else(stale)?;
    let accepted = match chosen(&form) {
        Ok(password) => said(passwords.accept(&app.store, &code, &password, app.now()).await)?,
        Err(text) => Err(text),
    };
    match accepted {
        Ok(_) => {
            let by = Actor::person(&request, &app, &user.name);
            app.audited(&by, Act::PasswordChange, Object::User(&user.name), json!({ "by": "invitation" })).await;
            let user = session::end_all(&app, &user).await?;
            session::open(&request, &app, &user, see_other(&app.paths.hub("home"))).await
        }
        Err(text) => page(&request, &app, None, &user.name, Occasion::Invite { code, expires_at }, Some(text)),
    }
}

//! Logins under way at a provider, each in a sealed cookie of its own in the browser that began it.

use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse};
use hub_core::secret::Secret;

use crate::app::App;
use crate::http::Problem;
use crate::http::origin::Origin;
use crate::login::oidc::Attempt;
use crate::login::oidc::attempt::{self, Seal};

/// Gives an attempt to the browser, and takes from it those that are too many.
pub fn keep(response: &mut HttpResponse, request: &HttpRequest, app: &App, attempt: &Attempt) -> Result<(), Problem> {
    let sealed = seal(app)?.close(attempt, app.now());
    let age = CookieDuration::seconds(attempt::LONGEST.num_seconds());
    let cookie = plain(request, app, attempt.cookie(), sealed).max_age(age).finish();
    response.add_cookie(&cookie).map_err(|error| Problem::internal("cookie", error))?;
    for name in too_many(request, app) {
        forget(response, request, app, &name)?;
    }
    Ok(())
}

/// The attempt that an answer is about: the one whose cookie carries the same state.
pub fn find(request: &HttpRequest, app: &App, state: &str) -> Option<Attempt> {
    let seal = seal(app).ok()?;
    let sealed = crate::http::cookies::all(request, &attempt::cookie_of(state));
    let attempts = sealed.iter().filter_map(|value| seal.open(value, app.now()));
    attempts.into_iter().find(|attempt| Secret::new(attempt.state.clone()).matches(state))
}

/// The cookies of attempts beyond those that may stand beside one more: what cannot be read, and then the oldest.
fn too_many(request: &HttpRequest, app: &App) -> Vec<String> {
    let Ok(seal) = seal(app) else { return Vec::new() };
    let now = app.now();
    let mut held: Vec<(i64, String)> = crate::http::cookies::everything(request)
        .filter(|(name, _)| attempt::is_cookie(name))
        .map(|(name, value)| (seal.open(&value, now).map_or(0, |attempt| attempt.begun), name))
        .collect();
    held.sort();
    let surplus = (held.len() + 1).saturating_sub(attempt::MOST);
    held.into_iter().take(surplus).map(|(_, name)| name).collect()
}

/// Ends an attempt.
pub fn forget(response: &mut HttpResponse, request: &HttpRequest, app: &App, name: &str) -> Result<(), Problem> {
    let mut cookie = plain(request, app, name.to_owned(), String::new()).finish();
    cookie.make_removal();
    response.add_cookie(&cookie).map_err(|error| Problem::internal("cookie", error))
}

/// `Lax`, because the provider's page sends the browser here.
fn plain<'c>(request: &HttpRequest, app: &App, name: String, value: String) -> actix_web::cookie::CookieBuilder<'c> {
    let secure = Origin::of(request, app).is_secure();
    Cookie::build(name, value).path(app.paths.hub.clone()).http_only(true).same_site(SameSite::Lax).secure(secure)
}

fn seal(app: &App) -> Result<Seal, Problem> {
    Seal::new(&app.cookie_secret).map_err(|error| Problem::internal("sealing a login", error))
}

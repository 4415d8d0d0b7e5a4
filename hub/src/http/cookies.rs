//! The cookies of the hub: JupyterHub's names, paths and formats.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, CookieBuilder, SameSite};
use chrono::Duration;
use hub_core::clock::Time;
use hub_core::cookie;

use super::origin::Origin;
use crate::app::App;

/// An anonymous visitor's `_xsrf` cookie lasts an hour.
const ANONYMOUS_XSRF: CookieDuration = CookieDuration::hours(1);

/// So many session cookies are looked at.
const MOST_SESSIONS: usize = 4;

/// A valid login cookie and the sessions beside it.
#[derive(Debug, Clone)]
pub struct LoginCookie {
    /// The value of `users.cookie_id`.
    pub cookie_id: String,
    /// The browser sessions it may be of. There are several when a page below a longer path, such as somebody's lab, set
    /// one: the browser sends that first, and it must not keep people out.
    pub session_ids: Vec<String>,
    /// When it was signed, to the second.
    pub signed_at: Time,
}

/// How long a login lasts.
pub fn login_age(app: &App) -> Duration {
    Duration::seconds((app.config.hub.cookie_max_age_days * 86_400.0) as i64)
}

/// All cookies of a name: a browser sends several when they were set for several paths.
pub fn all(request: &HttpRequest, name: &str) -> Vec<String> {
    let headers = request.headers().get_all("cookie").filter_map(|value| value.to_str().ok());
    cookie::values(headers, name).map(str::to_owned).collect()
}

/// Every cookie a browser sends, by name.
pub fn everything(request: &HttpRequest) -> impl Iterator<Item = (String, String)> {
    let headers = request.headers().get_all("cookie").filter_map(|value| value.to_str().ok());
    let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
}

/// The session ids a browser sends.
pub fn session_ids(request: &HttpRequest) -> Vec<String> {
    let plausible = |id: &String| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    all(request, cookie::SESSION).into_iter().filter(plausible).take(MOST_SESSIONS).collect()
}

/// The login of a request, if its cookie is signed by us and not too old.
pub fn login(request: &HttpRequest, app: &App) -> Option<LoginCookie> {
    let login = all(request, cookie::LOGIN).iter().find_map(|signed| login_of(app, signed))?;
    Some(LoginCookie { session_ids: session_ids(request), ..login })
}

/// The login that a value of the cookie is, if it is signed by us and not too old; nothing is known of its session.
pub fn login_of(app: &App, signed: &str) -> Option<LoginCookie> {
    let value = cookie::verify(&app.cookie_secret, cookie::LOGIN, signed, login_age(app), app.now())?;
    let cookie_id = String::from_utf8(value).ok()?;
    Some(LoginCookie { cookie_id, session_ids: Vec::new(), signed_at: signed_at(signed)? })
}

/// The timestamp of a value signed in Tornado's format 2: `2|1:0|10:1700000000|…`. Only for values already verified.
fn signed_at(signed: &str) -> Option<Time> {
    let field = signed.split('|').nth(2)?;
    let seconds = field.split_once(':')?.1.parse().ok()?;
    chrono::DateTime::from_timestamp(seconds, 0)
}

fn plain<'a>(origin: &Origin, name: &'a str, value: String, path: String) -> CookieBuilder<'a> {
    // What browsers take for granted if nothing is said, and not all of them do.
    let cookie = Cookie::build(name, value).path(path).same_site(SameSite::Lax);
    if origin.is_secure() { cookie.secure(true) } else { cookie }
}

/// The login cookie.
pub fn login_cookie(app: &App, origin: &Origin, cookie_id: &str) -> Cookie<'static> {
    let signed = cookie::sign(&app.cookie_secret, cookie::LOGIN, cookie_id.as_bytes(), app.now());
    plain(origin, cookie::LOGIN, signed, app.paths.hub.clone()).http_only(true).max_age(age(app)).finish()
}

/// The session cookie, which servers and services on this host read as well. It lasts as long as the login, which does
/// not count without it.
pub fn session_cookie(app: &App, origin: &Origin, session_id: &str) -> Cookie<'static> {
    let cookie = plain(origin, cookie::SESSION, session_id.to_owned(), app.paths.base.clone());
    shared(app, cookie).http_only(true).max_age(age(app)).finish()
}

/// A cookie that the hosts of users and services get as well.
fn shared<'a>(app: &App, cookie: CookieBuilder<'a>) -> CookieBuilder<'a> {
    match &app.paths.hosts {
        Some(hosts) => cookie.domain(hosts.domain().to_owned()),
        None => cookie,
    }
}

fn age(app: &App) -> CookieDuration {
    CookieDuration::seconds(login_age(app).num_seconds())
}

/// The `_xsrf` cookie; scripts of our pages read it.
pub fn xsrf_cookie(app: &App, origin: &Origin, token: String, anonymous: bool) -> Cookie<'static> {
    let cookie = plain(origin, cookie::XSRF, token, app.paths.hub.clone());
    if anonymous { cookie.max_age(ANONYMOUS_XSRF).finish() } else { cookie.finish() }
}

/// Cookies that make the browser forget its login.
pub fn forgotten(app: &App, origin: &Origin) -> Vec<Cookie<'static>> {
    let places = [
        (cookie::LOGIN, app.paths.hub.clone()),
        (cookie::SESSION, app.paths.base.clone()),
        (cookie::XSRF, app.paths.hub.clone()),
        (cookie::SERVICES, format!("{}services", app.paths.base)),
    ];
    let forget = |(name, path)| {
        let cookie = plain(origin, name, String::new(), path);
        let mut cookie = if name == cookie::SESSION { shared(app, cookie) } else { cookie }.finish();
        cookie.make_removal();
        cookie
    };
    places.into_iter().map(forget).collect()
}

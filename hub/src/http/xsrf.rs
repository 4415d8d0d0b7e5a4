//! The check against forged requests, applied to requests of REST and pages.

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use hub_core::cookie;
use hub_core::xsrf::{self, Circumstances, Surface, Visitor};

use super::caller::{self, Caller, LoggedIn};
use super::origin::Origin;
use super::{Problem, cookies, url};
use crate::app::App;

/// Checks a REST request.
pub fn check_api(request: &HttpRequest, app: &App, caller: Option<&Caller>) -> Result<(), Problem> {
    check(request, app, caller, Surface::Api, None)
}

/// Checks a request for a page. `field` is the form's own `_xsrf`.
pub fn check_page(
    request: &HttpRequest,
    app: &App,
    caller: Option<&Caller>,
    field: Option<&str>,
) -> Result<(), Problem> {
    check(request, app, caller, Surface::Page, field)
}

fn check(
    request: &HttpRequest,
    app: &App,
    caller: Option<&Caller>,
    surface: Surface,
    field: Option<&str>,
) -> Result<(), Problem> {
    let method = request.method().as_str();
    let circumstances = Circumstances {
        method,
        fetch_mode: header(request, "sec-fetch-mode"),
        fetch_site: header(request, "sec-fetch-site"),
        has_origin: request.headers().contains_key("origin"),
        by_token: caller.is_some_and(Caller::by_token),
        known: caller.is_some(),
    };
    if !xsrf::when_checked(surface, &circumstances) {
        return Ok(());
    }
    let shown = field.map(str::to_owned).or_else(|| shown(request));
    let sent = cookies::all(request, cookie::XSRF);
    let sent = sent.iter().map(String::as_str);
    with_visitor(request, app, caller, |visitor| {
        xsrf::check(&app.cookie_secret, visitor, method, sent, shown.as_deref(), app.now())
    })
    .map_err(|refusal| Problem::forbidden(refusal.to_string()))
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

fn shown(request: &HttpRequest) -> Option<String> {
    let in_header = ["x-xsrftoken", "x-csrftoken"].into_iter().find_map(|name| header(request, name));
    url::argument(request, cookie::XSRF).or_else(|| in_header.map(str::to_owned))
}

fn with_visitor<T>(request: &HttpRequest, app: &App, caller: Option<&Caller>, f: impl FnOnce(Visitor<'_>) -> T) -> T {
    match caller.and_then(|caller| Some((caller, caller.user()?))) {
        Some((caller, user)) => {
            f(Visitor::User { session: caller.session_id().unwrap_or_default(), login: &user.cookie_id })
        }
        None => {
            let session = cookies::session_ids(request).into_iter().next();
            let origin = Origin::of(request, app);
            let mark = xsrf::anonymous_mark(&origin.address, &[header(request, "user-agent").unwrap_or_default()]);
            f(Visitor::Anonymous { session: session.as_deref(), mark: &mark })
        }
    }
}

/// The token for a page's forms, and the cookie to set when the browser has none that is valid.
pub fn for_page(request: &HttpRequest, app: &App, caller: Option<&Caller>) -> (String, Option<Cookie<'static>>) {
    let now = app.now();
    let sent = cookies::all(request, cookie::XSRF);
    with_visitor(request, app, caller, |visitor| {
        if let Some(token) = xsrf::current(&app.cookie_secret, visitor, sent.iter().map(String::as_str), now) {
            return (token.to_owned(), None);
        }
        let token = xsrf::make(&app.cookie_secret, visitor, now);
        let may_set = xsrf::may_set_cookie(header(request, "sec-fetch-mode"));
        let cookie =
            may_set.then(|| cookies::xsrf_cookie(app, &Origin::of(request, app), token.clone(), caller.is_none()));
        (token, cookie)
    })
}

/// The `_xsrf` cookie of a person who has just logged in.
pub fn for_login(app: &App, origin: &Origin, session: &str, cookie_id: &str) -> Cookie<'static> {
    let token = xsrf::make(&app.cookie_secret, Visitor::User { session, login: cookie_id }, app.now());
    cookies::xsrf_cookie(app, origin, token, false)
}

/// Recognises the caller of a page and checks the request.
pub async fn page_caller(request: &HttpRequest, app: &App, field: Option<&str>) -> Result<Option<Caller>, Problem> {
    let found = login(request, app, field).await?;
    Ok(found.filter(|found| !found.must_change_password).map(|found| found.caller))
}

/// As `page_caller`, for what is open to somebody who has to choose a password first.
pub async fn login(request: &HttpRequest, app: &App, field: Option<&str>) -> Result<Option<LoggedIn>, Problem> {
    let found = caller::of_login(request, app).await?;
    check_page(request, app, found.as_ref().map(|found| &found.caller), field)?;
    if let Some(found) = &found {
        caller::remember(request, &found.caller);
    }
    Ok(found)
}

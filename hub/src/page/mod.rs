//! The pages, one file each. A handler gathers what the page shows; looks and words are in the package `pages`.

pub mod accept_share;
pub mod admin;
pub mod announcements;
pub mod error;
pub mod group;
pub mod groups;
pub mod home;
pub mod link;
pub mod login;
pub mod logout;
pub mod oauth;
mod oauth_attempt;
pub mod oauth_login;
pub mod password;
pub mod pending;
pub mod server;
pub mod session;
pub mod share;
pub mod shared;
pub mod spawn;
pub mod statics;
pub mod together;
pub mod token;
pub mod user;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use hub_core::next_url;
use hub_core::scope::{Reach, Scope, Target};
use hub_core::subdomain::Hosts;
use hub_store::{Server, User};
use pages::words::ENGLISH;
use pages::{Frame, Href, Nav, Page, Person, Theme};

use crate::app::App;
use crate::config::pages::Severity;
use crate::http::caller::Owner;
use crate::http::origin::Origin;
use crate::http::url::{argument, arguments, encode_pairs, form_pairs};
use crate::http::{Answer, Caller, Problem, guard, xsrf};
use crate::service::board::Shown;
use crate::upstream::Failure;

/// What surrounds a page, with the `_xsrf` cookie to set beside it.
pub struct Surround {
    /// For the page.
    pub frame: Frame,
    cookie: Option<actix_web::cookie::Cookie<'static>>,
}

/// Gathers what surrounds a page. `place` names it for announcements.
pub fn surround(request: &HttpRequest, app: &App, caller: Option<&Caller>, place: &str) -> Surround {
    let (xsrf, cookie) = xsrf::for_page(request, app, caller);
    let person = caller.and_then(|caller| match &caller.owner {
        Owner::User(user) => Some(Person {
            name: user.name.clone(),
            display: user.user_info.get("name").and_then(|name| name.as_str()).map(str::to_owned),
            admin: user.admin,
            groups: caller.groups.clone(),
        }),
        Owner::Service(_) => None,
    });
    let frame = Frame {
        site: app.site.clone(),
        person,
        nav: caller.map_or_else(Nav::default, |caller| nav(app, caller)),
        announcements: told(app, caller, place),
        maintenance: Vec::new(),
        xsrf,
        theme: Theme::System,
        words: &ENGLISH,
        now: app.now(),
    };
    Surround { frame, cookie }
}

/// As `surround`, with the maintenance of sites that the caller may use, or that these servers are at.
pub fn surround_servers(request: &HttpRequest, app: &App, caller: &Caller, place: &str, of: &[&Server]) -> Surround {
    let mut surround = surround(request, app, Some(caller), place);
    surround.frame.maintenance = crate::sites::maintenance(app, caller, of);
    surround
}

/// The services somebody may open, for the top bar.
fn services(app: &App, caller: &Caller) -> Vec<pages::Link> {
    let link = |shown: &Shown| pages::Link::new(shown.service.spec.name.clone(), href(&shown.path(&app.paths)));
    app.services.of(caller).iter().map(link).collect()
}

/// What the top bar offers.
fn nav(app: &App, caller: &Caller) -> Nav {
    Nav {
        services: services(app, caller),
        admin: crate::panel::may_open(caller),
        announcements: announcements::may(caller).is_ok(),
        sites: !app.config.sites.is_empty(),
        groups: !caller.groups.is_empty() || caller.rights.reach(Scope::ListGroups) != Reach::Nothing,
    }
}

/// The announcements of the configuration, and those that were written for this page and this person.
fn told(app: &App, caller: Option<&Caller>, place: &str) -> Vec<pages::Announcement> {
    let (all, now) = (app.announcements.all(), app.now());
    let groups = caller.map_or(&[][..], |caller| &caller.groups);
    let written = all.iter().map(|stored| &stored.announcement).filter(|one| one.is_shown(place, groups, now));
    let shown = |one: &hub_core::announcement::Announcement| pages::Announcement {
        severity: match one.severity {
            hub_core::announcement::Severity::Info => pages::Severity::Info,
            hub_core::announcement::Severity::Warning => pages::Severity::Warning,
            hub_core::announcement::Severity::Problem => pages::Severity::Critical,
        },
        text: one.text.clone(),
    };
    let upstream = caller.and_then(|caller| caller.upstream.as_ref()).map(of_provider);
    upstream.into_iter().chain(of_configuration(app, place)).chain(written.map(shown)).collect()
}

/// What somebody's identity provider wants of them.
fn of_provider(failure: &Failure) -> pages::Announcement {
    let link = failure.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
    pages::Announcement { severity: pages::Severity::Warning, text: format!("{}{link}", failure.sentence) }
}

fn of_configuration(app: &App, place: &str) -> Vec<pages::Announcement> {
    let shown =
        app.config.pages.announcements.iter().filter(|announcement| {
            announcement.pages.is_empty() || announcement.pages.iter().any(|page| page == place)
        });
    let announcement = |configured: &crate::config::pages::AnnouncementConfig| pages::Announcement {
        severity: match configured.severity {
            Severity::Info => pages::Severity::Info,
            Severity::Warning => pages::Severity::Warning,
            Severity::Failed => pages::Severity::Critical,
        },
        text: configured.text.clone(),
    };
    shown.map(announcement).collect()
}

/// Renders a page.
pub fn show<P: Page>(page: &P, status: StatusCode, cookie: Cookie) -> Answer {
    let html = page.render().map_err(|error| Problem::internal("page", error))?;
    let mut response = HttpResponse::build(status);
    if let Some(cookie) = cookie {
        response.cookie(cookie);
    }
    Ok(response.content_type("text/html; charset=UTF-8").insert_header(("Cache-Control", "no-store")).body(html))
}

/// A cookie to set, or none.
pub type Cookie = Option<actix_web::cookie::Cookie<'static>>;

impl Surround {
    /// Both parts.
    pub fn parts(self) -> (Frame, Cookie) {
        (self.frame, self.cookie)
    }
}

/// A redirect (302).
pub fn found(location: &str) -> HttpResponse {
    HttpResponse::Found().insert_header(("Location", location)).finish()
}

/// A redirect after a form was posted (303).
pub fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("Location", location)).finish()
}

/// Sends somebody who is not logged in to the login page, and back afterwards.
pub fn to_login(request: &HttpRequest, app: &App) -> HttpResponse {
    let here = request.uri().path_and_query().map_or("", |path| path.as_str());
    found(&format!("{}?{}", app.paths.hub("login"), encode_pairs([("next".to_owned(), here.to_owned())])))
}

/// A path of our own as a link. Paths are made of escaped pieces, so that the fallback is not met.
pub fn href(path: &str) -> Href {
    Href::parse(path).unwrap_or_else(|_| Href::root().join(path))
}

/// Where `next` leads, if it stays on this site.
pub fn next(request: &HttpRequest, app: &App) -> Option<String> {
    let next = arguments(request, "next").into_iter().next().filter(|next| !next.is_empty())?;
    let origin = Origin::of(request, app);
    let authority = app.paths.hosts.as_ref().map(Hosts::authority);
    let subdomains_of = authority.as_deref();
    next_url::validate(&next, &next_url::Site { scheme: &origin.scheme, host: &origin.host, subdomains_of })
}

/// Where a person goes who asked for nothing in particular.
pub fn default_page(request: &HttpRequest, app: &App) -> String {
    next_url::append_query(&bare_default_page(app), request.query_string(), &["next", "_xsrf"])
}

/// The same without what stands in the address: after an answer of an identity provider that is its code and state.
pub fn bare_default_page(app: &App) -> String {
    let config = &app.config.hub;
    match &config.default_url {
        Some(url) => url.clone(),
        None if config.redirect_to_server => app.paths.hub("spawn"),
        None => app.paths.hub("home"),
    }
}

/// The pairs of a posted form.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn read(bytes: &[u8]) -> Self {
        Self(form_pairs(&String::from_utf8_lossy(bytes)))
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All pairs but those named.
    pub fn without(&self, names: &[&str]) -> Vec<(String, String)> {
        self.0.iter().filter(|(key, _)| !names.contains(&key.as_str())).cloned().collect()
    }
}

/// The caller of a page, or the way to the login page.
pub async fn person(
    request: &HttpRequest,
    app: &App,
    form: Option<&Form>,
) -> Result<Result<Caller, HttpResponse>, Problem> {
    // A script of ours sends the token in the address, a form in its body.
    let field = form.and_then(|form| form.get("_xsrf").map(str::to_owned)).or_else(|| argument(request, "_xsrf"));
    let caller = xsrf::page_caller(request, app, field.as_deref()).await?;
    Ok(caller.ok_or_else(|| to_login(request, app)))
}

/// The user a page's path names, with groups, for a caller who holds the scope on the server; refused in JupyterHub's
/// way: 404 to who holds it for something else, 403 to who does not hold it at all, whether or not the user exists.
pub async fn on_server(
    app: &App,
    caller: &Caller,
    scope: Scope,
    user: &str,
    server: &str,
) -> Result<(User, Vec<String>), Problem> {
    let found = app.store.user(user).await?;
    let groups = match &found {
        Some(user) => app.store.groups_of(user.id).await?,
        None => Vec::new(),
    };
    let target = Target::Server { user, name: server, groups: &groups };
    guard::require(caller.rights.may_any(&[scope], &target), &[scope])?;
    Ok((found.ok_or_else(Problem::not_found)?, groups))
}

/// Whether the caller may do something with a server.
pub fn may(caller: &Caller, scope: Scope, user: &str, groups: &[String], server: &str) -> bool {
    caller.rights.reach(scope).covers(&Target::Server { user, name: server, groups })
}

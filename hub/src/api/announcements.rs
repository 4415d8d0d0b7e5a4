//! `/announcements`, which JupyterHub does not have, and `/services/announcement/`, the address and the JSON of its example
//! service, so that scripts and templates written for that one go on.
//!
//! Writing takes `admin-ui`. A scope of our own would be in the way of going back: JupyterHub refuses roles with scopes
//! it does not know.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::announcement::{Announcement, Severity};
use hub_core::clock::{self, Time};
use hub_store::StoredAnnouncement;
use serde_json::{Map, Value, json};

use super::audit::instant;
use super::body;
use crate::announcements::{self, Author};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{Anybody, May, rights};
use crate::http::{Answer, Caller, Problem, url};

/// The announcement that the example service's address reads and writes.
const OF_SERVICE: &str = "service";

fn model(stored: &StoredAnnouncement) -> Value {
    let announcement = &stored.announcement;
    json!({
        "id": stored.id,
        "text": announcement.text,
        "severity": announcement.severity.as_str(),
        "from": clock::isoformat(announcement.from),
        "until": announcement.until.map(clock::isoformat),
        "pages": announcement.pages,
        "groups": announcement.groups,
        "author": stored.author,
        "changed": clock::isoformat(stored.changed_at),
    })
}

/// What anybody may know of one that is shown: not who wrote it, nor who else sees it.
fn public(stored: &StoredAnnouncement) -> Value {
    let mut model = model(stored);
    if let Value::Object(fields) = &mut model {
        for private in ["author", "groups", "changed"] {
            fields.remove(private);
        }
    }
    model
}

fn author(request: &HttpRequest, app: &App, caller: &Caller) -> Author {
    Author::new(caller, Actor::of(request, app))
}

fn id(request: &HttpRequest) -> Result<i64, Problem> {
    let no_such = || Problem::new(StatusCode::NOT_FOUND, "No such announcement");
    url::piece(request, "announcement")?.parse().map_err(|_| no_such())
}

/// `GET /announcements`: those that are shown to who asks, now, on any page. Nobody in particular sees what is for
/// everybody and on the login page.
pub async fn shown(app: web::Data<App>, who: Anybody) -> Answer {
    let now = app.now();
    let all = app.announcements.all();
    let shown = all.iter().filter(|stored| match &who.0 {
        Some(caller) => stored.announcement.is_for(&caller.groups, now),
        None => stored.announcement.is_shown("login", &[], now),
    });
    Ok(HttpResponse::Ok().json(shown.map(public).collect::<Vec<_>>()))
}

/// `GET /announcements/all`: also those of other times and for others.
pub async fn all(app: web::Data<App>, _: May<rights::Announce>) -> Answer {
    let all = app.store.list_announcements().await?;
    Ok(HttpResponse::Ok().json(all.iter().map(model).collect::<Vec<_>>()))
}

/// `POST /announcements`
pub async fn create(
    request: HttpRequest,
    app: web::Data<App>,
    who: May<rights::Announce>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.ok_or_else(|| Problem::bad("An announcement needs a text"))?;
    let new = read(&object, &app, None)?;
    let made = announcements::add(&app, &author(&request, &app, &who.0), &new).await?;
    Ok(HttpResponse::Created().json(model(&made)))
}

/// `GET /announcements/{announcement}`
pub async fn get(request: HttpRequest, app: web::Data<App>, _: May<rights::Announce>) -> Answer {
    Ok(HttpResponse::Ok().json(model(&announcements::find(&app, id(&request)?).await?)))
}

/// `PATCH /announcements/{announcement}`: what is not named stays.
pub async fn change(
    request: HttpRequest,
    app: web::Data<App>,
    who: May<rights::Announce>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.ok_or_else(|| Problem::bad("Must specify what to change"))?;
    let id = id(&request)?;
    let before = announcements::find(&app, id).await?.announcement;
    let new = read(&object, &app, Some(before))?;
    let changed = announcements::change(&app, &author(&request, &app, &who.0), id, &new).await?;
    Ok(HttpResponse::Ok().json(model(&changed)))
}

/// `DELETE /announcements/{announcement}`
pub async fn delete(request: HttpRequest, app: web::Data<App>, who: May<rights::Announce>) -> Answer {
    announcements::delete(&app, &author(&request, &app, &who.0), id(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads a new announcement, or what changes of one.
fn read(object: &Map<String, Value>, app: &App, before: Option<Announcement>) -> Result<Announcement, Problem> {
    body::only(object, &["text", "severity", "from", "until", "pages", "groups"])?;
    let mut new = before.unwrap_or_else(|| plain(String::new(), app.now()));
    let text = |key: &str| body::text(object, "Announcement", key);
    if let Some(text) = text("text")? {
        new.text = text;
    }
    if let Some(name) = text("severity")? {
        new.severity = severity(&name)?;
    }
    if let Some(from) = text("from")? {
        new.from = instant("from", &from)?;
    }
    if object.contains_key("until") {
        new.until = text("until")?.map(|until| instant("until", &until)).transpose()?;
    }
    if let Some(pages) = body::texts(object, "Announcement", "pages")? {
        new.pages = pages;
    }
    if let Some(groups) = body::texts(object, "Announcement", "groups")? {
        new.groups = groups;
    }
    Ok(new)
}

/// One for everybody, everywhere, from now on.
pub fn plain(text: String, now: Time) -> Announcement {
    Announcement { text, severity: Severity::Info, from: now, until: None, pages: Vec::new(), groups: Vec::new() }
}

/// The severity of a name.
pub fn severity(name: &str) -> Result<Severity, Problem> {
    Severity::from_name(name).ok_or_else(|| Problem::bad("severity must be info, warning or problem"))
}

fn of_service(app: &App, who: Option<&Caller>) -> HttpResponse {
    let all = app.announcements.all();
    let told = all.iter().find(|stored| stored.name.as_deref() == Some(OF_SERVICE));
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(match told {
        Some(stored) => json!({
            "announcement": stored.announcement.text,
            "timestamp": clock::isoformat(stored.changed_at),
            // Who writes is not for everybody to know.
            "user": who.map_or("", |_| stored.author.as_str()),
        }),
        None => json!({ "announcement": "", "timestamp": "", "user": "" }),
    })
}

/// `GET /services/announcement/`: open to everybody, as there.
pub async fn service_get(app: web::Data<App>, who: Anybody) -> Answer {
    Ok(of_service(&app, who.0.as_deref()))
}

/// `POST /services/announcement/` with `{"announcement": TEXT}`; an empty text takes it away, as there.
pub async fn service_post(
    request: HttpRequest,
    app: web::Data<App>,
    who: May<rights::Announce>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    let text = body::text(&object, "Announcement", "announcement")?;
    let text = text.ok_or_else(|| Problem::bad("The body must have the key announcement"))?;
    let author = author(&request, &app, &who.0);
    if text.trim().is_empty() {
        announcements::delete_named(&app, &author, OF_SERVICE).await?;
    } else {
        announcements::put(&app, &author, OF_SERVICE, &plain(text, app.now())).await?;
    }
    Ok(of_service(&app, Some(&who.0)))
}

/// `DELETE /services/announcement/`
pub async fn service_delete(request: HttpRequest, app: web::Data<App>, who: May<rights::Announce>) -> Answer {
    announcements::delete_named(&app, &author(&request, &app, &who.0), OF_SERVICE).await?;
    Ok(of_service(&app, Some(&who.0)))
}

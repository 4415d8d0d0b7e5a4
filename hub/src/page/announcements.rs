//! `/announcements`: where operators write what people read on top of pages. The same road as REST.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::announcement::Announcement;
use hub_core::clock::Time;
use hub_core::scope::Target;
use hub_store::StoredAnnouncement;
use pages::Announcements;
use pages::announcements::{AnnouncementForm, Written};

use super::{Form, person, see_other, show, surround};
use crate::announcements::{self, Author};
use crate::api::announcements::severity;
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{self, Right, rights};
use crate::http::url::argument;
use crate::http::{Answer, Caller, Problem};

/// Whether the caller may write announcements.
pub fn may(caller: &Caller) -> Result<(), Problem> {
    let scopes = rights::Announce::ANY_OF;
    guard::require(caller.rights.may_any(scopes, &Target::Hub), scopes)
}

/// `GET /announcements`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    may(&caller)?;
    let form = match argument(&request, "edit").and_then(|id| id.parse().ok()) {
        Some(id) => filled(&announcements::find(&app, id).await?),
        None => AnnouncementForm::default(),
    };
    page(&request, &app, &caller, form, None).await
}

/// `POST /announcements`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    may(&caller)?;
    match act(&request, &app, &caller, &form).await {
        Ok(()) => Ok(see_other(&app.paths.hub("announcements"))),
        Err(problem) if problem.status().is_client_error() => {
            page(&request, &app, &caller, typed(&form), Some(problem)).await
        }
        Err(problem) => Err(problem),
    }
}

async fn act(request: &HttpRequest, app: &App, caller: &Caller, form: &Form) -> Result<(), Problem> {
    let author = Author::new(caller, Actor::of(request, app));
    let id = form.get("id").unwrap_or_default();
    let id = if id.is_empty() { None } else { Some(id.parse().map_err(|_| incomplete())?) };
    match (form.get("action"), id) {
        (Some("save"), None) => announcements::add(app, &author, &wanted(form, app.now())?).await.map(drop),
        (Some("save"), Some(id)) => {
            let before = announcements::find(app, id).await?.announcement;
            announcements::change(app, &author, id, &wanted(form, before.from)?).await.map(drop)
        }
        (Some("delete"), Some(id)) => announcements::delete(app, &author, id).await,
        _ => Err(incomplete()),
    }
}

fn incomplete() -> Problem {
    Problem::bad("This form is not complete")
}

/// What a form describes; without a beginning it begins at `otherwise`.
fn wanted(form: &Form, otherwise: Time) -> Result<Announcement, Problem> {
    let groups = form.get("groups").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(Announcement {
        // Browsers send lines as the form of the mail wants them.
        text: form.get("text").unwrap_or_default().replace("\r\n", "\n").trim().to_owned(),
        severity: severity(form.get("severity").unwrap_or_default())?,
        from: instant(form, "from")?.unwrap_or(otherwise),
        until: instant(form, "until")?,
        pages: form.all("pages").map(str::to_owned).collect(),
        groups: groups.map(str::to_owned).collect(),
    })
}

/// A field of a date and a time, in UTC, with or without seconds.
pub(super) fn instant(form: &Form, name: &str) -> Result<Option<Time>, Problem> {
    let text = form.get(name).unwrap_or_default().trim();
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];
    let read = |format: &&str| chrono::NaiveDateTime::parse_from_str(text, format).ok();
    match formats.iter().find_map(read) {
        Some(time) => Ok(Some(time.and_utc())),
        None if text.is_empty() => Ok(None),
        None => Err(Problem::bad(format!("{name} must be a day and a time, such as 2026-11-22 21:39"))),
    }
}

fn filled(stored: &StoredAnnouncement) -> AnnouncementForm {
    let announcement = &stored.announcement;
    AnnouncementForm {
        id: Some(stored.id),
        text: announcement.text.clone(),
        severity: announcement.severity,
        from: Announcements::typed(announcement.from),
        until: announcement.until.map(Announcements::typed).unwrap_or_default(),
        pages: announcement.pages.clone(),
        groups: announcement.groups.join(", "),
    }
}

fn typed(form: &Form) -> AnnouncementForm {
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    AnnouncementForm {
        id: form.get("id").and_then(|id| id.parse().ok()),
        text: text("text"),
        severity: severity(&text("severity")).unwrap_or_default(),
        from: text("from"),
        until: text("until"),
        pages: form.all("pages").map(str::to_owned).collect(),
        groups: text("groups"),
    }
}

async fn page(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    form: AnnouncementForm,
    error: Option<Problem>,
) -> Answer {
    let all = app.store.list_announcements().await?.into_iter().rev();
    let (frame, cookie) = surround(request, app, Some(caller), "announcements").parts();
    let status = error.as_ref().map_or(StatusCode::OK, Problem::status);
    let page = Announcements {
        frame,
        rows: all
            .map(|stored| Written { id: stored.id, announcement: stored.announcement, author: stored.author })
            .collect(),
        form,
        error: error.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    show(&page, status, cookie)
}

//! `GET /audit`: who did what to whom. Specola's own; JupyterHub has nothing like it.

use actix_web::{HttpRequest, web};
use hub_core::clock::{self, Time};
use hub_store::{AuditQuery, NewAudit};
use serde_json::{Value, json};

use super::listing::Window;
use crate::app::App;
use crate::audit::Act;
use crate::http::guard::{May, rights};
use crate::http::{Answer, Caller, Problem, url};

/// `GET /audit`, newest first: `actor`, `object`, `action` (a name, or its beginning with a dot at the end), `since`,
/// `until`, and the page.
///
/// It tells names, addresses and habits of everybody, so that the right to read about the hub is not enough: the owner of
/// the credentials has to be an administrator too.
pub async fn list(request: HttpRequest, app: web::Data<App>, who: May<rights::ReadHub>) -> Answer {
    may(&who.0)?;
    let window = Window::of(&request, &app)?;
    let named = |name: &str| url::argument(&request, name).filter(|text| !text.is_empty());
    let instant = |name: &str| named(name).map(|text| instant(name, &text)).transpose();
    let query = AuditQuery {
        actor: named("actor"),
        object: named("object"),
        actions: named("action").map(|text| actions(&text)).transpose()?,
        since: instant("since")?,
        until: instant("until")?,
        offset: window.offset,
        limit: window.limit,
    };
    let page = app.store.list_audit(&query).await?;
    let models: Vec<Value> = page.items.iter().map(|(id, act)| model(*id, act)).collect();
    Ok(window.answer(&request, &app, &models, page.total))
}

/// Whether somebody who holds the right to read about the hub may read the audit too.
pub fn may(caller: &Caller) -> Result<(), Problem> {
    if caller.is_admin() { Ok(()) } else { Err(Problem::forbidden("Only administrators may read the audit")) }
}

/// An act as JSON.
pub fn model(id: i64, act: &NewAudit) -> Value {
    json!({
        "id": id,
        "time": clock::isoformat(act.at),
        "actor": act.actor,
        "action": act.action,
        "object": act.object,
        "detail": act.detail.clone().unwrap_or_else(|| json!({})),
    })
}

/// The actions that a word means: one, or with a dot at its end all that begin so.
pub fn actions(text: &str) -> Result<Vec<String>, Problem> {
    let meant = |name: &str| if text.ends_with('.') { name.starts_with(text) } else { name == text };
    let names: Vec<String> =
        Act::ALL.iter().map(|act| act.name()).filter(|name| meant(name)).map(str::to_owned).collect();
    if names.is_empty() { Err(Problem::bad("There is no such action")) } else { Ok(names) }
}

/// An instant as RFC 3339 writes it, or a day, which begins at midnight UTC.
pub fn instant(name: &str, text: &str) -> Result<Time, Problem> {
    let day = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        .or_else(|| day().map(|time| time.and_utc()))
        .ok_or_else(|| Problem::bad(format!("{name} must be a day (2026-11-22) or a time (2026-11-22T21:39:04Z)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_named_alone_or_with_its_family() {
        assert_eq!(actions("login").unwrap(), ["login"]);
        assert_eq!(actions("server.").unwrap().len(), 7);
        assert!(actions("serv").is_err() && actions("%").is_err());
    }

    #[test]
    fn a_day_and_a_time_are_instants() {
        assert_eq!(instant("since", "2026-11-22").unwrap().timestamp(), 1_795_305_600);
        assert_eq!(instant("since", "2026-11-22T01:00:00+01:00").unwrap().timestamp(), 1_795_305_600);
        assert!(instant("since", "yesterday").unwrap_err().message().unwrap().starts_with("since "));
    }
}

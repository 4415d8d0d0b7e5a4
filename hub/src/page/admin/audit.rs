//! `/admin/audit`: who did what to whom, for those whom REST tells it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::scope::Target;
use hub_store::{AuditQuery, NewAudit, Page};
use pages::admin::audit::{Audit, AuditForm, Entry};
use pages::groups::Part;
use serde_json::Value;

use super::{opened, require};
use crate::api::audit;
use crate::app::App;
use crate::audit::Act;
use crate::http::guard::rights;
use crate::http::url::{argument, encode_pairs};
use crate::http::{Answer, Caller, Problem};
use crate::page::{groups, href, show, surround};
use crate::panel::PART;

/// Whether the caller may read the audit: by the rule of REST.
pub fn may(caller: &Caller) -> Result<(), Problem> {
    require::<rights::ReadHub>(caller, &Target::Hub)?;
    audit::may(caller)
}

/// `GET /admin/audit`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match opened(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    may(&caller)?;
    let text = |name: &str| argument(&request, name).unwrap_or_default().trim().replace('\0', "");
    let form = AuditForm {
        actor: text("actor"),
        object: text("object"),
        action: text("action"),
        since: text("since"),
        until: text("until"),
    };
    let offset = groups::offset(&request)?;
    let (found, error) = match query(&form, offset) {
        Ok(query) => (app.store.list_audit(&query).await?, None),
        Err(problem) => (Page { items: Vec::new(), total: 0 }, Some(problem)),
    };
    let (frame, cookie) = surround(&request, &app, Some(&caller), "admin").parts();
    let status = error.as_ref().map_or(StatusCode::OK, Problem::status);
    let page = Audit {
        frame,
        action: href(&app.paths.hub("admin/audit")),
        part: part(&app, &form, offset, found.items.len(), found.total),
        entries: found.items.iter().map(|(_, act)| entry(act)).collect(),
        form,
        actions: Act::ALL.iter().map(|act| act.name()).collect(),
        error: error.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    show(&page, status, cookie)
}

fn query(form: &AuditForm, offset: u32) -> Result<AuditQuery, Problem> {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let instant = |name: &str, text: &String| given(text).map(|text| audit::instant(name, &text)).transpose();
    Ok(AuditQuery {
        actor: given(&form.actor),
        object: given(&form.object),
        actions: given(&form.action).map(|text| audit::actions(&text)).transpose()?,
        since: instant("since", &form.since)?,
        until: instant("until", &form.until)?,
        offset,
        limit: PART,
    })
}

/// The part that is shown; the links keep what was asked for.
fn part(app: &App, form: &AuditForm, offset: u32, shown: usize, total: i64) -> Part {
    let AuditForm { actor, object, action, since, until } = form;
    let texts = [("actor", actor), ("object", object), ("action", action), ("since", since), ("until", until)];
    let kept: Vec<(String, String)> = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text.clone()))
        .collect();
    let at = |offset: u32| {
        let pairs = kept.iter().cloned().chain([("offset".to_owned(), offset.to_string())]);
        href(&format!("{}?{}", app.paths.hub("admin/audit"), encode_pairs(pairs)))
    };
    let last = i64::from(offset) + i64::try_from(shown).unwrap_or(i64::MAX);
    Part {
        first: if shown == 0 { 0 } else { i64::from(offset) + 1 },
        last: if shown == 0 { 0 } else { last },
        total,
        previous: (offset > 0).then(|| at(offset.saturating_sub(PART))),
        next: (last < total && shown > 0).then(|| at(offset.saturating_add(PART))),
    }
}

/// An act as the page shows it.
pub fn entry(act: &NewAudit) -> Entry {
    let told = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pairs = act.detail.as_ref().and_then(Value::as_object).into_iter().flatten();
    Entry {
        at: act.at,
        actor: act.actor.clone(),
        action: act.action.clone(),
        object: act.object.clone(),
        detail: pairs.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), told(value))).collect(),
    }
}

//! `/groups`: the groups somebody may know of, in parts; and making one.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::name::escape_path;
use hub_core::scope::{Reach, Scope, Target};
use hub_store::Group;
use pages::Groups;
use pages::groups::{GroupRow, Part};

use super::{Form, href, person, see_other, show, surround};
use crate::api::groups;
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{self, Right, rights};
use crate::http::url::argument;
use crate::http::{Answer, Caller, Problem};

/// So many groups, or members, are shown together.
pub const PART: u32 = 50;

/// `GET /groups`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    match person(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, &caller, String::new(), None).await,
        Err(login) => Ok(login),
    }
}

/// `POST /groups`: makes a group.
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    guard::require(may_create(&caller), rights::AdminGroups::ANY_OF)?;
    let name = form.get("name").unwrap_or_default().trim();
    let made = match form.get("action") {
        Some("create") => groups::make(&app, &Actor::of(&request, &app), name).await,
        _ => Err(Problem::bad("This form is not complete")),
    };
    match made {
        Ok(()) => Ok(see_other(&path(&app, name))),
        Err(problem) if problem.status().is_client_error() => {
            page(&request, &app, &caller, name.to_owned(), Some(problem)).await
        }
        Err(problem) => Err(problem),
    }
}

fn may_create(caller: &Caller) -> hub_core::scope::Verdict {
    caller.rights.may_any(rights::AdminGroups::ANY_OF, &Target::Hub)
}

/// The page of a group.
pub fn path(app: &App, name: &str) -> String {
    app.paths.hub(&format!("groups/{}", escape_path(name)))
}

/// The names of the groups somebody may know of; `None` for all.
fn known(caller: &Caller) -> Option<Vec<String>> {
    let mut names: BTreeSet<String> = caller.groups.iter().cloned().collect();
    match caller.rights.reach(Scope::ListGroups) {
        Reach::All => return None,
        Reach::Only(filters) => names.extend(filters.groups.iter().cloned()),
        Reach::Nothing => {}
    }
    Some(names.into_iter().collect())
}

async fn page(request: &HttpRequest, app: &App, caller: &Caller, typed: String, error: Option<Problem>) -> Answer {
    let offset = offset(request)?;
    let found = app.store.groups_by_name(known(caller).as_deref(), offset, PART).await?;
    let ids: Vec<_> = found.items.iter().map(|group| group.id).collect();
    let counts = app.store.count_members(&ids).await?;
    let row = |group: &Group| GroupRow {
        url: href(&path(app, &group.name)),
        members: (caller.rights.group_fields(&group.name).content)
            .then(|| counts.get(&group.id).copied().unwrap_or_default()),
        mine: caller.groups.contains(&group.name),
        name: group.name.clone(),
    };
    let (frame, cookie) = surround(request, app, Some(caller), "groups").parts();
    let status = error.as_ref().map_or(StatusCode::OK, Problem::status);
    let page = Groups {
        frame,
        groups: found.items.iter().map(row).collect(),
        part: part(&app.paths.hub("groups"), offset, found.items.len(), found.total),
        may_create: may_create(caller) == hub_core::scope::Verdict::Allowed,
        typed,
        error: error.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    show(&page, status, cookie)
}

/// Where the wanted part of a list begins.
pub fn offset(request: &HttpRequest) -> Result<u32, Problem> {
    let text = argument(request, "offset").unwrap_or_default();
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| Problem::bad("offset must be a number")) }
}

/// The part of a list that begins at `offset`, and the ways to those before and behind it.
pub fn part(path: &str, offset: u32, shown: usize, total: i64) -> Part {
    let last = i64::from(offset) + i64::try_from(shown).unwrap_or(i64::MAX);
    let at = |offset: u32| href(&format!("{path}?offset={offset}"));
    Part {
        first: if shown == 0 { 0 } else { i64::from(offset) + 1 },
        last: if shown == 0 { 0 } else { last },
        total,
        previous: (offset > 0).then(|| at(offset.saturating_sub(PART))),
        next: (last < total && shown > 0).then(|| at(offset.saturating_add(PART))),
    }
}

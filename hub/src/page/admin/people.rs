//! `/admin`: the people of the hub with their servers, fifty at a time.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::scope::{Reach, Scope};
use hub_store::SortKey;
use pages::admin::people::{AddForm, Column, May, Row, Search};
use pages::admin::{Chip, Hidden};
use pages::groups::Part;
use pages::words::{ENGLISH, fill};

use super::opened;
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::http::{Answer, Caller};
use crate::page::{href, show, surround};
use crate::panel::asked::Asked;
use crate::panel::{self, PART, rows};

/// `GET /admin`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    match opened(&request, &app, None).await? {
        Ok(caller) => {
            let asked = Asked::read(request.query_string());
            page(&request, &app, &caller, &asked, Told::default()).await
        }
        Err(login) => Ok(login),
    }
}

/// What an action leaves to show.
pub struct Told {
    /// The status of the answer.
    pub status: StatusCode,
    /// Why something did not work.
    pub errors: Vec<String>,
    /// What was typed into the form of new people.
    pub form: AddForm,
}

impl Default for Told {
    fn default() -> Self {
        Self { status: StatusCode::OK, errors: Vec::new(), form: AddForm::default() }
    }
}

/// The page's address with what is asked for.
pub fn path(app: &App, asked: &Asked) -> String {
    let query = asked.write();
    app.paths.hub(if query.is_empty() { "admin" } else { "admin?" }) + &query
}

/// Shows what is asked for.
pub async fn page(request: &HttpRequest, app: &App, caller: &Caller, asked: &Asked, told: Told) -> Answer {
    let found = panel::people(app, caller, asked).await?;
    let total = found.as_ref().map_or(0, |found| found.total);
    let shown: Option<Vec<Row>> =
        found.map(|found| found.items.iter().filter_map(|person| rows::row(app, caller, person)).collect());
    let link = |asked: &Asked| href(&path(app, asked));
    let column = |key| Column { url: link(&asked.ordered(key)), sorted: asked.order_of(key) };
    let holds = |scope| caller.rights.reach(scope) != Reach::Nothing;
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let page = pages::admin::people::People {
        frame,
        action: href(&app.paths.hub("admin")),
        back: asked.write(),
        part: part(app, asked, shown.as_ref().map_or(0, Vec::len), total),
        rows: shown,
        search: search(asked),
        chips: chips(app, asked),
        columns: [column(SortKey::Name), column(SortKey::LastActivity), column(SortKey::Created)],
        may: May {
            add: caller.rights.holds(Scope::AdminUsers),
            start: holds(Scope::StartServers),
            stop: holds(Scope::DeleteServers),
            delete: holds(Scope::DeleteUsers),
            shutdown: caller.rights.holds(Scope::Shutdown),
        },
        form: told.form,
        events: href(&app.paths.hub("api/admin/events")),
        errors: told.errors,
        version: format!("JupyterHub {JUPYTERHUB_VERSION}, Specola {}", env!("CARGO_PKG_VERSION")),
    };
    show(&page, told.status, cookie)
}

fn search(asked: &Asked) -> Search {
    let kept = asked.changed(|_| {}).pairs().into_iter().filter(|(name, _)| !["q", "group"].contains(name));
    Search {
        name: asked.name.clone(),
        group: asked.group.clone(),
        kept: kept.map(|(name, value)| Hidden::new(name, value)).collect(),
    }
}

fn chips(app: &App, asked: &Asked) -> Vec<Chip> {
    let chip = |label: &str, on: bool, flag: fn(&mut Asked) -> &mut bool| Chip {
        label: label.to_owned(),
        url: href(&path(app, &asked.changed(|asked| *flag(asked) = !on))),
        on,
        leaves: false,
    };
    let mut chips = vec![
        chip(ENGLISH.admin_running, asked.running, |asked| &mut asked.running),
        chip(ENGLISH.admin_admins, asked.admins, |asked| &mut asked.admins),
        chip(ENGLISH.admin_idle, asked.idle, |asked| &mut asked.idle),
        chip(ENGLISH.admin_failed, asked.failed, |asked| &mut asked.failed),
    ];
    if !asked.group.is_empty() {
        chips.push(Chip {
            label: fill(ENGLISH.admin_group_chip, &asked.group),
            url: href(&path(app, &asked.changed(|asked| asked.group.clear()))),
            on: true,
            leaves: true,
        });
    }
    chips
}

fn part(app: &App, asked: &Asked, shown: usize, total: i64) -> Part {
    let last = i64::from(asked.offset) + i64::try_from(shown).unwrap_or(i64::MAX);
    let at = |offset| href(&path(app, &asked.changed(|asked| asked.offset = offset)));
    Part {
        first: if shown == 0 { 0 } else { i64::from(asked.offset) + 1 },
        last: if shown == 0 { 0 } else { last },
        total,
        previous: (asked.offset > 0).then(|| at(asked.offset.saturating_sub(PART))),
        next: (last < total && shown > 0).then(|| at(asked.offset.saturating_add(PART))),
    }
}

//! People and servers as rows of the panel, each part shown by the right that REST asks for it.

use hub_core::scope::{Scope, Target};
use hub_store::Server;
use pages::Href;
use pages::admin::people::{Doing, Lab, Row};

use super::facts;
use crate::api::view;
use crate::app::App;
use crate::http::Caller;
use crate::http::url::encode_pairs;
use crate::page::{admin, href, server};
use crate::people::Person;

/// Somebody as a row; `None` if the caller may not know of this person.
pub fn row(app: &App, caller: &Caller, person: &Person) -> Option<Row> {
    let Person { user, groups, .. } = person;
    let fields = caller.rights.user_fields(&user.name, groups);
    if !fields.name {
        return None;
    }
    let labs: Vec<Lab> = labs(app, caller, person).into_iter().filter(|lab| lab.doing != Doing::Rests).collect();
    let default = Target::Server { user: &user.name, name: "", groups };
    let rests = labs.iter().all(|lab| !lab.name.is_empty());
    Some(Row {
        name: user.name.clone(),
        url: href(&admin::path(app, &user.name)),
        admin: fields.admin && user.admin,
        groups: if fields.groups { groups.clone() } else { Vec::new() },
        last_activity: user.last_activity.filter(|_| fields.last_activity),
        may_start: rests
            && caller.rights.covers(Scope::StartServers, &default)
            && !person.server("").is_some_and(view::is_active),
        choose: choose(app, caller, &default).filter(|_| rests && !person.server("").is_some_and(view::is_active)),
        servers: labs,
    })
}

/// The servers of somebody that the caller may know of, running or not.
pub fn labs(app: &App, caller: &Caller, person: &Person) -> Vec<Lab> {
    person.servers.iter().filter_map(|server| lab(app, caller, server, &person.groups)).collect()
}

fn lab(app: &App, caller: &Caller, of: &Server, groups: &[String]) -> Option<Lab> {
    let target = Target::Server { user: &of.user_name, name: &of.name, groups };
    let may = |scope| caller.rights.covers(scope, &target);
    if !may(Scope::ReadServers) {
        return None;
    }
    let doing = doing(of);
    let rests = matches!(doing, Doing::Rests | Doing::Failed);
    let failure = (doing == Doing::Failed).then(|| server::failure(of)).flatten();
    Some(Lab {
        name: of.name.clone(),
        display_name: server::own_name(of),
        doing,
        since: of.started.filter(|_| doing.up()).or(of.changed_at),
        facts: if rests { Vec::new() } else { facts::of(of) },
        // Where it answers is part of its state, which has a right of its own.
        address: of.url.clone().filter(|_| doing == Doing::Runs && may(Scope::AdminServerState)),
        cause: failure.map(|failure| failure.cause),
        open: (doing == Doing::Runs && may(Scope::AccessServers))
            .then(|| href(&app.paths.server(&of.user_name, &of.name))),
        may_start: rests && may(Scope::StartServers),
        choose: choose(app, caller, &target).filter(|_| rests),
        may_stop: doing.up() && may(Scope::DeleteServers),
        may_remove: rests && !of.name.is_empty() && may(Scope::DeleteServers),
    })
}

/// Where a server is started with what is chosen, for who may: there where something is to be chosen. The way leads back to
/// the person, since another's server need not be open to who starts it.
fn choose(app: &App, caller: &Caller, target: &Target<'_>) -> Option<Href> {
    let Target::Server { user, name, .. } = target else { return None };
    let may = [Scope::StartServers, Scope::Servers].into_iter().all(|scope| caller.rights.covers(scope, target));
    let back = encode_pairs([("next".to_owned(), admin::path(app, user))]);
    (app.rules.is_some() && may).then(|| href(&format!("{}?{back}", app.paths.server_page("spawn", user, name))))
}

fn doing(of: &Server) -> Doing {
    match view::pending(of) {
        Some("spawn") => Doing::Starts,
        Some(_) => Doing::Stops,
        None if view::is_ready(of) => Doing::Runs,
        None if server::failure(of).is_some() => Doing::Failed,
        None => Doing::Rests,
    }
}

/// The default server of somebody who never had one.
pub fn never_made(app: &App, caller: &Caller, person: &Person) -> Lab {
    let target = Target::Server { user: &person.user.name, name: "", groups: &person.groups };
    Lab {
        name: String::new(),
        display_name: None,
        doing: Doing::Rests,
        since: None,
        facts: Vec::new(),
        address: None,
        cause: None,
        open: None,
        may_start: caller.rights.covers(Scope::StartServers, &target),
        choose: choose(app, caller, &target),
        may_stop: false,
        may_remove: false,
    }
}

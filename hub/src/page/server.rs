//! A server's row as the pages show it.

use chrono::DateTime;
use hub_core::clock::Time;
use hub_core::life::Phase;
use hub_store::Server;
use pages::Href;
use pages::folder::{Folder, FolderState};
use pages::inside::{Inside, Lack, Thing};
use pages::server::{Ending, Failure, MemoryFull, Server as Shown, State};
use pages::words::ENGLISH;
use spawner_mounts::{Health, State as Mounted};

use super::href;
use crate::api::view;
use crate::app::App;
use crate::http::url::Paths;
use crate::intent;
use crate::labs::{Part, Status};
use crate::task::cull;

/// One server, running or not; `None` for a default server that was never made. `told` is what it tells of itself.
pub fn shown(app: &App, user: &str, name: &str, server: Option<&Server>, told: Option<&Status>) -> Shown {
    let at = Places { paths: &app.paths, user, name };
    let told = told.filter(|_| server.is_some_and(view::is_ready));
    Shown {
        name: name.to_owned(),
        display_name: server.and_then(own_name),
        state: server.map_or(State::Stopped, |server| state(server, app.now())),
        summary: server.and_then(at_site),
        folders: server.map(|server| folders(app, server, told)).unwrap_or_default(),
        inside: told.map(inside),
        last_activity: server.and_then(|server| server.last_activity),
        ends: None,
        memory_full: server.filter(|server| view::is_ready(server)).and_then(memory_full),
        open: at.open(),
        start: at.page("spawn"),
        pending: at.page("spawn-pending"),
        share: None,
    }
}

/// What people call the site that a server is, or was, at.
fn at_site(server: &Server) -> Option<String> {
    server.plan.as_ref()?.get("site_name")?.as_str().map(str::to_owned)
}

/// When the culler will stop a server of somebody in these groups.
pub fn ending(app: &App, server: &Server, groups: &[String]) -> Option<Ending> {
    let rules = app.config.culler.rules().filter(|_| view::is_ready(server))?;
    let end = rules.end_of(&cull::running(server), groups)?;
    // Offered in the second half of the time: before that it would be noise.
    let half = rules.timeout_for(groups).is_some_and(|timeout| end.at - app.now() < timeout / 2);
    Some(Ending { at: end.at, unless_used: end.by_idleness, soon: half })
}

fn memory_full(server: &Server) -> Option<MemoryFull> {
    server.memory_full.map(|full| MemoryFull { at: full.at, limit: full.limit })
}

/// The name that people see, where it says more than the name in the address.
pub fn own_name(server: &Server) -> Option<String> {
    server.display_name.clone().filter(|display| !display.is_empty() && *display != server.name)
}

/// What a server tells of itself.
fn inside(told: &Status) -> Inside {
    let lack = |what, part: &Part| Lack { what, why: part.message.clone().unwrap_or_default() };
    // A person whom no provider vouches for has no token, which is as it should be.
    let token = told.token.as_ref().filter(|token| !token.ok && token.status != Some(404));
    let keys = told.storage.iter().filter_map(|(name, part)| Some((name, part.as_ref().filter(|part| !part.ok)?)));
    let keys = keys.map(|(name, part)| lack(Thing::Keys(name.clone()), part));
    let lacks = token.map(|token| lack(Thing::Token, token)).into_iter().chain(keys).collect();
    Inside { ready: told.ready, lacks }
}

/// How the buckets that a server sees as folders are, beside it and by its own word.
fn folders(app: &App, server: &Server, told: Option<&Status>) -> Vec<Folder> {
    let health = app.mounts.as_ref().map(|mounts| mounts.driver.health(server.id)).unwrap_or_default();
    let unseen = |path: &str| {
        let part = told?.folders.get(path).filter(|part| !part.ok)?;
        Some(part.message.clone().unwrap_or_default())
    };
    let shown = |health: Health| Folder {
        // What is not there needs no second word.
        unseen: unseen(&health.path).filter(|_| !matches!(health.state, Mounted::Broken { .. })),
        path: health.path,
        state: match health.state {
            Mounted::Ready => FolderState::Ready,
            Mounted::Uploading { files } => FolderState::Uploading(files),
            Mounted::Behind { files } => FolderState::Behind(files),
            Mounted::Full { files } => FolderState::Full(files),
            Mounted::Broken { reason } => FolderState::Broken(reason),
            Mounted::Draining { files } => FolderState::Draining(files),
            Mounted::Kept { files, bytes } => FolderState::Kept(files, bytes),
        },
    };
    health.into_iter().map(shown).collect()
}

struct Places<'a> {
    paths: &'a Paths,
    user: &'a str,
    name: &'a str,
}

impl Places<'_> {
    fn open(&self) -> Href {
        href(&self.paths.server(self.user, self.name))
    }

    fn page(&self, page: &str) -> Href {
        href(&self.paths.server_page(page, self.user, self.name))
    }
}

fn state(server: &Server, now: Time) -> State {
    let since = server.started.or(server.changed_at).unwrap_or(now);
    match view::pending(server) {
        Some("spawn") => State::Starting { since, step: Some(ENGLISH.phase(server.phase).1.to_owned()) },
        Some(_) => State::Stopping { since: server.changed_at },
        None if view::is_ready(server) => State::Ready { since },
        None => failure(server).map_or(State::Stopped, State::Failed),
    }
}

/// Why a server does not run, if its last start or run ended with a failure.
pub fn failure(server: &Server) -> Option<Failure> {
    let failure = intent::failure(server)?;
    let at = DateTime::parse_from_rfc3339(&failure.at).map(|at| at.to_utc()).ok().or(server.changed_at)?;
    let step = (failure.phase != Phase::Ready).then(|| ENGLISH.phase(failure.phase).1.to_owned());
    Some(Failure {
        at,
        step,
        cause: failure.message,
        advice: failure.advice,
        log: failure.log.lines().map(str::to_owned).collect(),
        reference: Some(format!("{}-{}", server.id, server.generation)),
    })
}

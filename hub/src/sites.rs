//! Sites as operators steer them: what is said of each, the one road to change it, and what follows for starts and pages.
//!
//! The seam to whoever dispatches servers to sites: [`App::sites`] is behind an `Arc` and read from the database before
//! anything else starts (`opening.rs`). [`Sites::given_up`] tells which sites are given up, from memory, as it was at most
//! `PERIOD` ago on any hub; [`Sites::tell`] has somebody told at once and whenever it is read anew, in `start.rs`:
//! `sites.tell(move |lost, known| by_site.give_up_only(lost, known))`. What runs there counts as gone; nothing here ends it.
//! Where a server is, or is to start, is `site` in the plan of its row ([`of`]) and in `spawners::Plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::StatusCode;
use hub_core::clock::Time;
use hub_core::policy::{Person, Places, Standing};
use hub_core::site::{SiteState, Window};
use hub_store::{Server, Store, StoreError, StoredSite};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::view;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::{Config, SiteConfig};
use crate::http::{Caller, Problem};
use crate::keeper::state_of;

/// What another hub on the same database wrote counts here after so long at the latest.
const PERIOD: Duration = Duration::from_secs(3);
/// A change is tried so often when others change the same site.
const TRIES: usize = 8;

/// What is said of all sites, as it was last read.
#[derive(Default)]
pub struct Sites {
    said: RwLock<Arc<BTreeMap<String, StoredSite>>>,
    /// Taken for each reading, so that an older one is never kept over a newer one. Holds when the last one began.
    read: tokio::sync::Mutex<Option<Instant>>,
    listener: OnceLock<Listener>,
}

/// Is told the sites that are given up, and when that was so.
type Listener = Box<dyn Fn(BTreeSet<String>, Instant) + Send + Sync>;

impl Sites {
    /// Reads all of it anew.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let asked = Instant::now();
        let mut read = self.read.lock().await;
        if read.is_some_and(|begun| begun > asked) {
            // Others have, while this one waited.
            return Ok(());
        }
        let begun = Instant::now();
        let all = Arc::new(store.list_sites().await?);
        *self.said.write().unwrap_or_else(PoisonError::into_inner) = all;
        *read = Some(begun);
        if let Some(listener) = self.listener.get() {
            listener(self.given_up(), begun);
        }
        Ok(())
    }

    /// What is said of each site of which anything was ever said, by name.
    pub fn all(&self) -> Arc<BTreeMap<String, StoredSite>> {
        Arc::clone(&self.said.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has somebody told which sites are given up, and when that was read: now, and whenever it is read anew. There is one
    /// such listener.
    pub async fn tell(&self, listener: impl Fn(BTreeSet<String>, Instant) + Send + Sync + 'static) {
        let read = self.read.lock().await;
        if let Some(begun) = *read {
            listener(self.given_up(), begun);
        }
        let _ = self.listener.set(Box::new(listener));
    }

    /// The sites that are given up, by name. Cheap: it asks nobody.
    pub fn given_up(&self) -> BTreeSet<String> {
        self.all().iter().filter(|(_, site)| site.state.lost).map(|(name, _)| name.clone()).collect()
    }
}

/// Keeps what is known true until told to stop. Ends at once where there are no sites.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    while !app.config.sites.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        if let Err(error) = app.sites.refresh(&app.store).await {
            tracing::debug!("sites: {error}");
        }
    }
}

/// The first site: servers of before there were sites are there.
pub fn first(config: &Config) -> &str {
    config.sites.first().map_or("", |site| site.name.as_str())
}

/// The site that a server runs at, is to start at, or ran at last; nothing for one that never ran.
pub fn of<'s>(config: &'s Config, server: &'s Server) -> Option<&'s str> {
    let planned = server.plan.as_ref().and_then(|plan| plan.get("site")?.as_str());
    // One that was taken over from KubeSpawner has left its marks, and no generation.
    let kept = state_of(server).as_object().is_some_and(|state| !state.is_empty());
    let ran = server.generation.0 > 0 || view::is_active(server) || server.last_activity.is_some() || kept;
    planned.or_else(|| Some(first(config)).filter(|first| ran && !first.is_empty()))
}

/// What a judgement has to know: where the server ran last, and which sites take no starts, and why.
pub fn places(config: &Config, said: &BTreeMap<String, StoredSite>, server: Option<&Server>, now: Time) -> Places {
    let closed = |site: &SiteConfig| {
        let why = said.get(&site.name)?.state.closed(now)?;
        Some((site.name.clone(), why.sentence(site.shown())))
    };
    Places {
        last: server.and_then(|server| of(config, server)).map(str::to_owned),
        closed: config.sites.iter().filter_map(closed).collect(),
    }
}

/// The windows that somebody is told of, ahead and now: of sites that they may choose, and of those that these servers are
/// at.
pub fn maintenance(app: &App, caller: &Caller, servers: &[&Server]) -> Vec<pages::Maintenance> {
    let (said, now) = (app.sites.all(), app.now());
    let ahead = |site: &SiteConfig| said.get(&site.name).and_then(|said| said.state.window_ahead(now)).cloned();
    let mut windows = app.config.sites.iter().filter_map(|site| Some((site, ahead(site)?))).peekable();
    let (Some(rules), Some(_)) = (&app.rules, windows.peek()) else { return Vec::new() };
    let admin = caller.user().is_some_and(|user| user.admin);
    let person =
        Person { name: caller.name().to_owned(), admin, groups: caller.groups.clone(), places: Places::default() };
    let standing = Standing::of(rules, &person);
    let mut concerned: BTreeSet<&str> = standing.sites().map(|site| site.name.as_str()).collect();
    concerned.extend(servers.iter().filter_map(|server| of(&app.config, server)));
    let told = windows.filter(|(site, _)| concerned.contains(site.name.as_str()));
    told.map(|(site, window)| shown(site, window, now)).collect()
}

fn shown(site: &SiteConfig, window: Window, now: Time) -> pages::Maintenance {
    pages::Maintenance {
        site: site.shown().to_owned(),
        is_on: window.is_on(now),
        begins: window.begins,
        ends: window.ends,
        text: window.text,
        stops_servers: window.stops_servers,
    }
}

/// What is to change of a site; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether it takes no new servers.
    pub drained: Option<bool>,
    /// Whether it is given up.
    pub lost: Option<bool>,
    /// When it is maintained; `Some(None)` for not at all.
    pub window: Option<Option<Window>>,
}

impl Change {
    fn of(&self, before: &SiteState) -> SiteState {
        SiteState {
            drained: self.drained.unwrap_or(before.drained),
            lost: self.lost.unwrap_or(before.lost),
            window: self.window.clone().unwrap_or_else(|| before.window.clone()),
        }
    }

    /// For the audit.
    fn detail(&self, site: &str) -> Value {
        let mut detail = Map::from_iter([("site".to_owned(), json!(site))]);
        let flags = [("drained", self.drained), ("lost", self.lost)];
        detail.extend(flags.into_iter().filter_map(|(name, flag)| Some((name.to_owned(), json!(flag?)))));
        if let Some(window) = &self.window {
            detail.insert("maintenance".to_owned(), window.as_ref().map(window_view).into());
        }
        Value::Object(detail)
    }
}

/// A window for programs.
pub fn window_view(window: &Window) -> Value {
    json!({
        "begins": hub_core::clock::isoformat(window.begins),
        "ends": hub_core::clock::isoformat(window.ends),
        "text": window.text,
        "stops_servers": window.stops_servers,
    })
}

/// Sites that are not in the configuration, and that servers are at or of which something was said; with how many servers
/// run, start, stop, or are wanted there.
pub async fn removed(app: &App) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut all = app.store.servers_by_site("").await?;
    for name in app.store.list_sites().await?.into_keys() {
        all.entry(name).or_default();
    }
    all.retain(|name, _| !name.is_empty() && app.config.site_named(name).is_none());
    Ok(all)
}

/// Says which sites servers are at that the configuration does not have any more: nobody can tell what becomes of them.
pub async fn warn_of_removed(app: &App) {
    let or_lost = if app.config.sites.is_empty() { "" } else { " or given up (PATCH /hub/api/sites/NAME)" };
    match removed(app).await {
        Ok(removed) => {
            for (site, servers) in removed.into_iter().filter(|(_, servers)| *servers > 0) {
                tracing::warn!(
                    "{servers} servers are at the site {site}, which is not in [[sites]] any more: they are not judged, and \
                     do not stop, until it is there again{or_lost}"
                );
            }
        }
        Err(error) => tracing::warn!("servers at sites that are not there any more: {error}"),
    }
}

/// A site of the configuration; or, where there are others, one that is not in it any more, of which nothing but `lost` may
/// be changed.
pub async fn find_to_change(app: &App, name: &str, change: &Change) -> Result<SiteConfig, Problem> {
    let only_lost = *change == Change { lost: change.lost, ..Change::default() } && !app.config.sites.is_empty();
    match find(&app.config, name) {
        Ok(site) => Ok(site.clone()),
        Err(_) if only_lost && removed(app).await?.contains_key(name) => Ok(SiteConfig::named(name)),
        Err(problem) => Err(problem),
    }
}

/// A site of the configuration.
pub fn find<'c>(config: &'c Config, name: &str) -> Result<&'c SiteConfig, Problem> {
    config.site_named(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "No such site"))
}

/// Changes what is said of a site. Of two who change different things of one site at once, both get theirs.
pub async fn change(app: &App, by: &Actor, author: &Caller, name: &str, change: &Change) -> Result<(), Problem> {
    find_to_change(app, name, change).await?;
    for _ in 0..TRIES {
        let before = app.store.list_sites().await?.remove(name);
        let state = change.of(&before.as_ref().map(|site| site.state.clone()).unwrap_or_default());
        state.check().map_err(Problem::bad)?;
        let revision = before.map_or(0, |site| site.revision);
        if app.store.put_site(name, revision, &state, author.name(), app.now()).await? {
            app.audited(by, Act::SiteChange, Object::Hub, change.detail(name)).await;
            return Ok(app.sites.refresh(&app.store).await?);
        }
    }
    Err(Problem::conflict("Others change this site at the same time; try again"))
}

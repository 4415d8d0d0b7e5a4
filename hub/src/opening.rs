//! The database at the start: waited for, opened, and brought to what the configuration says.
//!
//! A server that is away, read-only or silent is waited for: hub and database are often started together, and a hub that
//! gave up would only be started again. What a wait cannot change, such as a wrong password, is told at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hub_core::clock::{Clock, Time};
use hub_store::{OpenError, OpenOptions, Store, StoreError};

use crate::announcements::Board;
use crate::config::Config;
use crate::http::url::Paths;
use crate::roles::Managed;
use crate::run::Signals;
use crate::sites::Sites;
use crate::task::replicas::{self, Place};

/// Between the first two tries; twice as long each time after, up to the other.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the log says that it is still waited for.
const REMIND: Duration = Duration::from_secs(30);

/// A database that a hub can work with.
pub(crate) struct Opened {
    pub store: Store,
    pub epoch: String,
    pub adopted_at: Time,
    pub announcements: Board,
    pub sites: Arc<Sites>,
    /// Those that were listened for meanwhile.
    pub signals: Option<Signals>,
}

/// Opens the database, however long it takes. `None` when the process was told to stop before.
pub(crate) async fn open(config: &Config, paths: &Paths, clock: &dyn Clock, place: &Place) -> Result<Option<Opened>> {
    let began = Instant::now();
    let mut failed = match attempt(config, paths, clock, place).await {
        Err(error) if may_pass(config, &error) => error,
        done => return done.map(Some),
    };
    // Only now: until here a signal ends the process as it ends any.
    let mut signals = Signals::listen()?;
    let (mut pause, mut told) = (PAUSE, None::<Instant>);
    loop {
        if told.is_none_or(|told| told.elapsed() >= REMIND) {
            tracing::warn!("the hub cannot start yet, and waits for the database: {failed:#}");
            told = Some(Instant::now());
        }
        let again = async {
            tokio::time::sleep(pause).await;
            attempt(config, paths, clock, place).await
        };
        failed = tokio::select! {
            _ = signals.next() => return Ok(None),
            done = again => match done {
                Err(error) if may_pass(config, &error) => error,
                Err(error) => return Err(error),
                Ok(opened) => {
                    tracing::info!("the database is there, after {} s", began.elapsed().as_secs());
                    return Ok(Some(Opened { signals: Some(signals), ..opened }));
                }
            },
        };
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether it is worth another try: only a server comes back by itself, a file does not.
fn may_pass(config: &Config, error: &anyhow::Error) -> bool {
    let of_store = error.chain().find_map(|cause| match cause.downcast_ref::<OpenError>() {
        Some(OpenError::Store(error)) => Some(error),
        Some(_) => None,
        None => cause.downcast_ref::<StoreError>(),
    });
    !config.hub.database_url().expose().starts_with("sqlite") && of_store.is_some_and(StoreError::may_pass)
}

async fn attempt(config: &Config, paths: &Paths, clock: &dyn Clock, place: &Place) -> Result<Opened> {
    let options = OpenOptions { connections: config.hub.db_connections, ..OpenOptions::new(clock.now()) };
    let store = Store::open(config.hub.database_url().expose(), options).await?;
    let prepared = prepare(&store, config, paths, clock, place).await;
    if prepared.is_err() {
        store.close().await;
    }
    let (epoch, adopted_at, announcements) = prepared?;
    let sites = Arc::new(Sites::default());
    if let Err(error) = sites.refresh(&store).await {
        store.close().await;
        return Err(error.into());
    }
    Ok(Opened { store, epoch, adopted_at, announcements, sites, signals: None })
}

/// May be done again from the beginning, wherever it ended.
async fn prepare(
    store: &Store,
    config: &Config,
    paths: &Paths,
    clock: &dyn Clock,
    place: &Place,
) -> Result<(String, Time, Board)> {
    let epoch = store.epoch().await?;
    let adopted_at = adopted_at(store, clock).await?;
    // Hubs that start at once would delete from each other what each finds that the other has just made.
    let alone = store.alone().await?;
    crate::internal_ssl::known::check(store, config, place.authorities()).await?;
    let is_first = place.join(store).await?;
    crate::internal_ssl::known::keep(store, place.authorities()).await?;
    crate::collaboration::ensure(store, config, clock.now()).await?;
    crate::login::listed::sync(store, &config.auth, clock.now()).await?;
    crate::service::sync::sync(store, config, paths, clock.now()).await?;
    let managed = Managed { roles: Vec::new(), reset: is_first && config.auth.reset_managed_roles_on_startup };
    crate::roles::sync(store, config, &managed, clock.now()).await?;
    crate::login::listed::block(store, &config.auth, clock.now()).await?;
    drop(alone);
    let announcements = Board::default();
    announcements.refresh(store).await?;
    if !is_first {
        replicas::tell_of_another_way(store, &paths.base, &config.hub.hub_url()).await?;
    }
    store.put_route(&paths.base, &config.hub.hub_url(), &serde_json::json!({ "hub": true })).await?;
    Ok((epoch, adopted_at, announcements))
}

/// When this database was first a hub's of this kind.
async fn adopted_at(store: &Store, clock: &dyn Clock) -> Result<Time> {
    let text = store.ensure_meta("adopted_at", &clock.now().to_rfc3339()).await?;
    Ok(chrono::DateTime::parse_from_rfc3339(&text).context("specola_meta.adopted_at")?.to_utc())
}

//! Brings servers to the state their rows ask for: claim, look, decide (`hub_core::life`), act, record.
//!
//! It is the only caller of a spawner. Everybody else writes an intent and nudges. Nothing here is needed to be
//! remembered: whatever happens to this process, another one goes on from the rows.

pub mod absence;
pub mod act;
pub mod attend;
pub mod breakpoint;
pub mod buckets;
pub mod devices;
pub mod environment;
pub mod failure;
pub mod folders;
mod hook;
mod in_force;
mod lay;
mod login;
pub mod prepare;
pub mod probe;
pub mod progress;
pub mod signals;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock::{Clock, Time};
use hub_core::id::{SpawnerId, UserId};
use hub_core::life::{self, Desired, Phase};
use hub_store::{Proxy, Server, Store, StoreError};
use spawners::{Identity, Sight, Spawner};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use act::Step;
use signals::Signals;

use crate::control::site::Ways;
use crate::hook::Hooks;
use crate::internal_ssl::InternalSsl;

/// A lease runs out this long after its last renewal; the next hub waits at most this long after a crash.
const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);
const LEASE_SECONDS: u64 = 15;
const LEASE_DELTA: TimeDelta = TimeDelta::seconds(LEASE_SECONDS as i64);
/// Deleting what is left of a server may take so long.
const REMOVAL: TimeDelta = TimeDelta::minutes(1);
/// How often it is tried again to have a server that somebody is about to let go.
const RELEASE: Duration = Duration::from_millis(50);
/// How often rows are searched for work that nobody told of.
const SCAN: Duration = Duration::from_secs(1);
/// A spawner that takes longer to look counts as one that cannot be asked. Shorter than the lease.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// So long servers on their way up wait for a spawner that cannot be asked, whatever their deadlines are.
const AWAY: TimeDelta = TimeDelta::minutes(10);
/// Before something is tried again that the database or the driver did not take.
const TROUBLE: Duration = Duration::from_secs(1);
/// So many servers are taken up by one search; the longest waiting come first.
const AT_ONCE: u32 = 256;

/// What a driver saved about a server; null when there is nothing.
pub fn state_of(server: &Server) -> &serde_json::Value {
    static NOTHING: serde_json::Value = serde_json::Value::Null;
    server.state.as_ref().unwrap_or(&NOTHING)
}

/// How a driver knows an account. A database may give the number of one that is gone to a new one, and never with the time
/// at which that one was made.
pub fn account(id: UserId, created: Option<Time>) -> String {
    match created {
        Some(created) => format!("{id}-{}", created.timestamp_micros()),
        None => id.to_string(),
    }
}

/// What the keeper is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the request to an address.
    pub start_timeout: Duration,
    /// From the address to the first answer; also from the answer to the route.
    pub http_timeout: Duration,
    /// A stop that takes longer is forced.
    pub stop_timeout: Duration,
    /// A proxy that was silent for longer does not delay anybody.
    pub proxy_silence: Duration,
    /// Who is asked before a start and told after a stop.
    pub hooks: Arc<Hooks>,
    /// Which folders servers get.
    pub layout: Arc<folders::Layout>,
    /// What is leased to one server at a time.
    pub devices: devices::DeviceSettings,
    /// Who signs certificates of servers, where those speak TLS.
    pub internal_ssl: Option<Arc<InternalSsl>>,
}

/// The keeper; cheap to clone.
#[derive(Clone)]
pub struct Keeper(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub driver: Arc<dyn Spawner>,
    pub prober: probe::Prober,
    pub settings: Settings,
    pub recipe: prepare::Recipe,
    /// Who holds the leases: one name a data directory, so that a restarted hub knows its own.
    pub holder: String,
    pub signals: Signals,
    pub in_force: in_force::InForce,
    pub tracker: TaskTracker,
    /// Where the work on servers runs.
    pub runtime: Handle,
    pub stop: CancellationToken,
}

impl Keeper {
    /// Makes a keeper for the runtime it is called in; it works once `run` is called.
    #[allow(clippy::too_many_arguments)] // Each is another part of the house; called once, by `start`.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        driver: Arc<dyn Spawner>,
        settings: Settings,
        recipe: prepare::Recipe,
        holder: String,
        signals: Signals,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let prober = match &settings.internal_ssl {
            Some(internal_ssl) => probe::Prober::showing(internal_ssl),
            None => probe::Prober::trusting(recipe.ways.ca_file.clone()),
        };
        let runtime = Handle::current();
        let in_force = in_force::InForce::default();
        Self(Arc::new(Inner {
            store,
            clock,
            driver,
            prober,
            settings,
            recipe,
            holder,
            signals,
            in_force,
            tracker,
            runtime,
            stop,
        }))
    }

    /// Where changes of servers and routes are told to those who wait in this process.
    pub fn signals(&self) -> &Signals {
        &self.0.signals
    }

    /// Is cancelled when the hub stops, so that what is answered for long can end.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Whether at least one proxy is connected, and all that are have this revision of the routes.
    pub async fn is_in_force(&self, revision: i64) -> Result<bool, hub_store::StoreError> {
        self.0.is_in_force(revision).await
    }

    /// What servers are started with.
    pub fn recipe(&self) -> &prepare::Recipe {
        &self.0.recipe
    }

    /// How servers of other sites are reached.
    pub fn ways(&self) -> &Ways {
        &self.0.recipe.ways
    }

    /// The devices there are.
    pub fn devices(&self) -> &devices::DeviceSettings {
        &self.0.settings.devices
    }

    async fn settle_all_devices(&self) -> anyhow::Result<()> {
        match self.devices().known.is_empty() {
            true => Ok(()),
            false => self.settle_devices(&self.0.store.active_servers().await?).await,
        }
    }

    /// Frees devices of servers that do not run, and notes those of servers that do. `rows` are those in use.
    pub async fn settle_devices(&self, rows: &[Server]) -> anyhow::Result<()> {
        self.0.settle_devices(rows).await
    }

    /// The proxies that are there. One that was silent for long counts as gone, unless nobody could be heard.
    pub async fn proxies(&self) -> Result<Vec<Proxy>, StoreError> {
        self.0.proxies().await
    }

    /// How a driver knows a server.
    pub fn identity(&self, server: &Server) -> Identity {
        self.0.identity(server)
    }

    /// Tells that a server's row was changed, or that it is worth a look.
    pub fn nudge(&self, server: SpawnerId) {
        self.0.signals.server_changed(server);
        let inner = self.0.clone();
        // Not where the caller runs: a worker of the web server ends with the requests it serves.
        self.0.tracker.spawn_on(async move { inner.take_up(server).await }, &self.0.runtime);
    }

    /// Takes a server that is stopped and not wanted, so that no hub starts it until it is deleted or [`Keeper::let_go`]. `None`
    /// when it is in use, or somebody works on it.
    pub async fn hold_at_rest(&self, id: SpawnerId) -> Result<Option<Server>, StoreError> {
        let inner = &self.0;
        let deadline = tokio::time::Instant::now() + LEASE;
        loop {
            match inner.store.claim(id, &inner.remover(), inner.now(), REMOVAL).await? {
                Some(server) if server.phase == Phase::Stopped && server.desired == Desired::Stopped => {
                    return Ok(Some(server));
                }
                Some(_) => return self.let_go(id).await.map(|()| None),
                None if tokio::time::Instant::now() > deadline => return Ok(None),
                // Whoever has just stopped it lets go in a moment.
                None if inner.store.server_by_id(id).await?.is_some() => tokio::time::sleep(RELEASE).await,
                None => return Ok(None),
            }
        }
    }

    /// Gives back what [`Keeper::hold_at_rest`] took.
    pub async fn let_go(&self, id: SpawnerId) -> Result<(), StoreError> {
        let inner = &self.0;
        inner.store.hand_over(id, &inner.remover(), inner.now()).await?;
        self.nudge(id);
        Ok(())
    }

    /// Reads the end of what a server wrote; empty when it cannot be had.
    pub async fn log_tail(&self, server: &Server) -> String {
        self.0.log_tail(server).await
    }

    /// Searches for due servers until told to stop.
    pub async fn run(self) {
        if let Err(error) = self.0.store.release_all(&self.0.holder, self.0.now()).await {
            tracing::warn!("leases of an earlier run could not be given back: {error}");
        }
        // Before anything is leased: what runs already may have devices that no lease tells of.
        if let Err(error) = self.settle_all_devices().await {
            tracing::warn!("devices of running servers are not known yet: {error:#}");
        }
        loop {
            self.0.clone().take_up_due().await;
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(SCAN) => {}
            }
        }
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Under another name than that by which servers are kept: whoever keeps them has to wait.
    fn remover(&self) -> String {
        format!("{}:removes", self.holder)
    }

    pub(crate) fn identity(&self, server: &Server) -> Identity {
        Identity {
            hub: self.recipe.hub.clone(),
            spawner: server.id,
            generation: server.generation,
            user: server.user_name.clone(),
            server: server.name.clone(),
            account: Some(account(server.user_id, server.user_created)),
        }
    }

    async fn take_up_due(self: Arc<Self>) {
        match self.store.claim_due(&self.holder, self.now(), LEASE_DELTA, AT_ONCE).await {
            Ok(servers) => {
                for server in servers {
                    let inner = self.clone();
                    self.tracker.spawn(async move { inner.keep(server).await });
                }
            }
            Err(error) => tracing::warn!("cannot look for work: {error}"),
        }
    }

    async fn take_up(self: Arc<Self>, id: SpawnerId) {
        // A server that is being worked on in this process has heard the signal.
        if self.signals.is_held(id) || self.stop.is_cancelled() {
            return;
        }
        match self.store.claim(id, &self.holder, self.now(), LEASE_DELTA).await {
            Ok(Some(server)) => self.keep(server).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(server = %id, "cannot take up: {error}"),
        }
    }

    /// Works on one claimed server until it rests.
    async fn keep(self: Arc<Self>, mut server: Server) {
        // A claim by the same holder succeeds again, so that this process alone keeps two runs apart.
        let Some(mut held) = self.signals.hold(server.id) else { return };
        let mut run = act::Run::default();
        loop {
            let pause = match self.step(&server, &mut run).await {
                Ok(Step::With(fresh)) if !self.stop.is_cancelled() => {
                    run.moved();
                    server = *fresh;
                    continue;
                }
                Ok(Step::Again | Step::With(_)) => {
                    run.moved();
                    Duration::ZERO
                }
                Ok(Step::Later(pause)) => pause,
                Ok(Step::Rest) => match self.rest(&server).await {
                    Ok(true) => match held.end() {
                        Some(called) => {
                            held = called;
                            Duration::ZERO
                        }
                        None => return,
                    },
                    Ok(false) => Duration::ZERO,
                    Err(error) => self.troubled(&server, &error.into(), &mut run),
                },
                Err(error) => self.troubled(&server, &error, &mut run),
            };
            server = match self.claim_after(pause, &server, &mut run).await {
                Some(fresh) => fresh,
                None => break,
            };
        }
        if self.stop.is_cancelled() {
            self.hand_over(&server).await;
        }
    }

    /// Says what went wrong; returns how long to wait before trying again.
    fn troubled(&self, server: &Server, error: &anyhow::Error, run: &mut act::Run) -> Duration {
        tracing::warn!(user = server.user_name, server = server.name, "{error:#}; trying again");
        run.attended &= !error.is::<StoreError>();
        TROUBLE
    }

    /// Waits, then reads the row anew and holds on to it. `None` when another hub has the server, or this one stops.
    ///
    /// While the database cannot be asked nothing is done to the server: what is known of it may be long past.
    async fn claim_after(&self, mut pause: Duration, server: &Server, run: &mut act::Run) -> Option<Server> {
        while self.pause(server, pause).await {
            // Not `renew`: an act may have raised the generation.
            match self.store.claim(server.id, &self.holder, self.now(), LEASE_DELTA).await {
                Ok(claimed) => return claimed,
                Err(error) => pause = self.troubled(server, &error.into(), run),
            }
        }
        None
    }

    /// Waits, unless the server's row changes first. Returns whether to go on.
    async fn pause(&self, server: &Server, pause: Duration) -> bool {
        if pause.is_zero() {
            return !self.stop.is_cancelled();
        }
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = self.signals.changed(server.id) => true,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Gives the lease back. Returns false when the intent changed at the last moment, so that there is more to do.
    async fn rest(&self, server: &Server) -> Result<bool, StoreError> {
        // Whoever changes the row from here on makes it due, and that outlives the release.
        if self.store.release_as_read(server, &self.holder).await? {
            return Ok(true);
        }
        let fresh = self.store.renew(server.id, &self.holder, server.generation, self.now(), LEASE_DELTA).await?;
        Ok(fresh.is_none())
    }

    /// Lets another hub, or the next life of this one, go on at once with what was begun.
    async fn hand_over(&self, server: &Server) {
        if let Err(error) = self.store.hand_over(server.id, &self.holder, self.now()).await {
            tracing::warn!(user = server.user_name, server = server.name, "left until the lease runs out: {error}");
        }
    }

    async fn step(&self, server: &Server, run: &mut act::Run) -> anyhow::Result<Step> {
        let sight = self.look(server).await;
        let seen = sight.as_ref().map_or(life::Seen::Unknown, Sight::seen);
        let mut overdue = self.is_overdue(server);
        let pardoned = self.is_pardoned(server, seen, run) | !std::mem::replace(&mut run.attended, true);
        if overdue && pardoned {
            self.allow_more_time(server).await?;
            overdue = false;
        }
        let act = life::next(server.phase, server.desired, seen, overdue);
        tracing::debug!(
            user = server.user_name, server = server.name, generation = %server.generation,
            phase = ?server.phase, ?seen, overdue, ?act, "server"
        );
        self.perform(act, server, sight, run).await
    }

    /// Looks at the server in the world; `None` when the spawner cannot be asked.
    async fn look(&self, server: &Server) -> Option<Sight> {
        if server.phase == Phase::Stopped {
            return Some(Sight::Absent);
        }
        if self.recipe.ways.is_beyond(server) {
            tracing::warn!(
                user = server.user_name,
                server = server.name,
                "it is at a site, and there are no [[sites]] here"
            );
            return None;
        }
        let (identity, begun) = (self.identity(server), std::time::Instant::now());
        match tokio::time::timeout(LOOK_PATIENCE, self.driver.look(&identity, state_of(server))).await {
            Ok(Ok(sight)) => {
                crate::metrics::polled(!matches!(sight, Sight::Absent | Sight::Exited { .. }), begun.elapsed());
                Some(sight)
            }
            Ok(Err(unreachable)) => {
                tracing::warn!(user = server.user_name, server = server.name, "{unreachable}");
                None
            }
            Err(_) => {
                tracing::warn!(user = server.user_name, server = server.name, "the spawner gives no answer");
                None
            }
        }
    }
}

//! Hubs without a web server: a keeper, its database and a small proxy, each in a runtime of its own, so that a hub can
//! be killed at any instant as a process can.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hub_core::clock::{Clock, Time};
use hub_core::id::{SpawnerId, UserId};
use hub_core::life::Phase;
use hub_store::{Event, Server, StartLimits, Store, TokenOwner, WantRunning, WantStopped};
use serde_json::Value;
use spawners::fake::World;
use spawners::{Site, Sites, Spawner};
use specola::control::site::Ways;
use specola::http::url::Paths;
use specola::keeper::devices::DeviceSettings;
use specola::keeper::failure::Failure;
use specola::keeper::folders::Layout;
use specola::keeper::prepare::Recipe;
use specola::keeper::signals::Signals;
use specola::keeper::{Keeper, Settings};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{Database, at};
use crate::driver::Driver;
use crate::lab::Lab;

/// How long a test waits for something that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Where the server's route is.
pub const PREFIX: &str = "/user/anna/";
/// The server's OAuth client.
pub const CLIENT: &str = "jupyterhub-user-anna";
pub const START_TIMEOUT: i64 = 60;
pub const HTTP_TIMEOUT: i64 = 30;
pub const STOP_TIMEOUT: i64 = 20;
/// After so many seconds a lease has run out.
pub const LEASE: i64 = 16;

/// Waits until the condition holds; panics when it does not in time.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A clock that stands until it is moved.
#[derive(Clone)]
pub struct Hands(Arc<Mutex<Time>>);

impl Clock for Hands {
    fn now(&self) -> Time {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    /// The present instant, without the trait.
    pub fn now_is(&self) -> Time {
        self.now()
    }

    pub fn move_on(&self, seconds: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += TimeDelta::seconds(seconds);
    }
}

/// One database with one server of one user, and the world it may run in.
pub struct House {
    pub database: Database,
    /// The test's own, apart from those of the hubs.
    pub store: Store,
    pub clock: Hands,
    pub world: World,
    pub lab: Lab,
    pub user: UserId,
    pub server: SpawnerId,
    /// What hubs that are started from now on lease.
    pub devices: DeviceSettings,
    /// Which folders and volumes hubs that are started from now on know of.
    pub layout: Arc<Layout>,
    /// How hubs that are started from now on reach servers of other sites.
    pub ways: Arc<Ways>,
    /// What is at the second site, `bari`, if hubs that are started from now on have two: the world is at the first, `cnaf`.
    pub bari: Option<World>,
}

impl House {
    pub async fn new(database: Database) -> Self {
        let (store, lab, world) = (database.open().await, Lab::new().await, World::new());
        let user = store.create_user("anna", false, "cookie-of-anna", at(0)).await.unwrap().id;
        let server = store.create_server(user, "", None, None, at(0)).await.unwrap().unwrap().id;
        let hub = serde_json::json!({ "hub": true });
        store.put_route("/", "http://127.0.0.1:8081", &hub).await.unwrap();
        let clock = Hands(Arc::new(Mutex::new(at(10))));
        Self {
            database,
            store,
            clock,
            world,
            lab,
            user,
            server,
            devices: DeviceSettings::default(),
            layout: Arc::default(),
            ways: Arc::default(),
            bari: None,
        }
    }

    /// Starts a hub. Two with one holder are two lives of the same.
    pub async fn hub(&self, holder: &str) -> Hub {
        Hub::new(self, holder).await
    }

    pub async fn row(&self) -> Server {
        loop {
            match self.store.server_by_id(self.server).await {
                Ok(row) => return row.unwrap(),
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Server) -> bool) -> Server {
        eventually(what, || async { condition(&self.row().await) }).await;
        self.row().await
    }

    pub async fn until_phase(&self, phase: Phase) -> Server {
        self.until(&format!("{phase:?}"), |row| row.phase == phase).await
    }

    /// Waits until the server is in a phase and no hub has anything more to do with it.
    pub async fn until_at_rest(&self, phase: Phase) -> Server {
        let at_rest = |row: &Server| row.phase == phase && row.held_by.is_none() && row.due_at.is_none();
        self.until(&format!("at rest, {phase:?}"), at_rest).await
    }

    pub async fn want_running(&self, hub: &Hub) {
        self.want_running_with(hub, &Value::Null).await;
    }

    pub async fn want_running_with(&self, hub: &Hub, plan: &Value) {
        let limits = StartLimits::default();
        let wanted = self.store.want_running(self.server, None, plan, limits, self.clock.now()).await;
        assert_eq!(wanted.unwrap(), WantRunning::Accepted);
        hub.keeper.nudge(self.server);
    }

    pub async fn want_stopped(&self, hub: &Hub) {
        let wanted = self.store.want_stopped(self.server, self.clock.now()).await.unwrap();
        assert_eq!(wanted, WantStopped::Accepted);
        hub.keeper.nudge(self.server);
    }

    /// Moves the clock and makes a hub notice.
    pub fn later(&self, seconds: i64, hub: &Hub) {
        self.clock.move_on(seconds);
        hub.keeper.nudge(self.server);
    }

    /// Where requests to the server go.
    pub async fn route(&self) -> Option<String> {
        let (_, routes) = self.store.routes_snapshot().await.unwrap();
        routes.into_iter().find(|route| route.prefix == PREFIX).map(|route| route.target)
    }

    pub async fn tokens(&self) -> usize {
        self.store.tokens_of(TokenOwner::User(self.user), self.clock.now()).await.unwrap().len()
    }

    pub async fn failure(&self) -> Option<Failure> {
        self.row().await.failure.map(|failure| serde_json::from_value(failure).unwrap())
    }

    pub async fn events(&self) -> Vec<Event> {
        let generation = self.row().await.generation;
        self.store.events_since(self.server, generation, 0).await.unwrap()
    }

    /// Whether a verb, such as `start`, was called since the world began.
    pub fn was_called(&self, verb: &str) -> bool {
        self.world.calls().iter().any(|call| call.split(' ').next() == Some(verb))
    }

    /// Waits for the end of a stop or a failed start, and checks that nothing is left of it.
    pub async fn expect_nothing_left(&self) {
        let row = self.until_at_rest(Phase::Stopped).await;
        assert_eq!((row.url, row.address, row.oauth_client_id, row.deadline_at), (None, None, None, None));
        assert_eq!(self.route().await, None, "its route is gone");
        assert_eq!(self.tokens().await, 0, "its token is gone");
        assert_eq!(self.store.oauth_client(CLIENT).await.unwrap().map(|_| ()), None, "its OAuth client is gone");
        assert!(self.world.is_empty(), "nothing runs");
    }

    /// Waits until the server can be used, and checks what belongs to that.
    pub async fn expect_ready(&self) -> Server {
        let row = self.until_at_rest(Phase::Ready).await;
        assert_eq!(self.route().await, Some(self.lab.origin()));
        assert_eq!(self.tokens().await, 1, "it has one token");
        assert!(self.store.oauth_client(CLIENT).await.unwrap().is_some(), "it has an OAuth client");
        assert_eq!((self.world.len(), row.deadline_at, &row.failure), (1, None, &None));
        row
    }
}

/// One life of one hub.
pub struct Hub {
    pub keeper: Keeper,
    pub store: Store,
    pub driver: Driver,
    /// Where there are two sites.
    pub sites: Option<Sites>,
    stop: CancellationToken,
    tracker: TaskTracker,
    /// Whether its proxy takes routes.
    proxy: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Hub {
    async fn new(house: &House, holder: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, tracker, signals) = (CancellationToken::new(), TaskTracker::new(), Signals::default());
        let (proxy, follow) = watch::channel(true);
        let (driver, clock) = (Driver::new(&house.world, &house.lab.url), house.clock.clone());
        let site = |name: &str, driver: &Driver| Site {
            name: name.to_owned(),
            shown: name.to_uppercase(),
            driver: Arc::new(driver.clone()),
        };
        let sites = house.bari.as_ref().and_then(|bari| {
            let there = Driver::new(bari, &house.lab.url);
            Sites::new(vec![site("cnaf", &driver), site("bari", &there)], None)
        });
        let spawner: Arc<dyn Spawner> = match &sites {
            Some(sites) => Arc::new(sites.clone()),
            None => Arc::new(driver.clone()),
        };
        let parts = (spawner, holder.to_owned(), tracker.clone(), stop.clone());
        // Connections belong to the runtime they are made in.
        let (database, devices, layout) = (house.database.clone(), house.devices.clone(), house.layout.clone());
        let recipe = Recipe { ways: house.ways.clone(), ..recipe() };
        let store = runtime.spawn(async move { database.open().await }).await.unwrap();
        let (there, proxy_id) = (store.clone(), format!("proxy of {holder}"));
        let keeper = runtime.spawn(async move {
            let (driver, holder, tracker, stop) = parts;
            let keeper = Keeper::new(
                there.clone(),
                Arc::new(clock.clone()),
                driver,
                Settings { devices, layout, ..settings() },
                recipe,
                holder,
                signals.clone(),
                tracker.clone(),
                stop,
            );
            tokio::spawn(take_routes(there, signals, clock, proxy_id, follow));
            tracker.spawn(keeper.clone().run());
            keeper
        });
        Self { keeper: keeper.await.unwrap(), store, driver, sites, stop, tracker, proxy, runtime: Some(runtime) }
    }

    /// Whether the proxy takes routes from now on.
    pub fn proxy_is_there(&self, there: bool) {
        self.proxy.send_replace(there);
    }

    /// Ends it at once, wherever it is, as `kill -9` does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Tells it to stop; returns when it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait()).await.expect("the hub stops");
    }

    /// Compares what runs with what should.
    pub async fn survey(&self) -> anyhow::Result<()> {
        specola::task::survey::once(&self.store, &self.driver, &self.keeper).await
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end();
    }
}

/// A proxy that does nothing but take routes and say so, while it is there.
async fn take_routes(store: Store, signals: Signals, clock: Hands, id: String, mut there: watch::Receiver<bool>) {
    let mut changes = signals.follow_routes();
    loop {
        if *there.borrow_and_update()
            && let Ok((revision, _)) = store.routes_snapshot().await
            && store.ack(&id, revision, clock.now()).await.is_ok()
        {
            signals.acknowledged();
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = there.changed() => if changed.is_err() { return },
            // As the heartbeat of a real one, and for a database that did not answer.
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}

pub fn settings() -> Settings {
    let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    Settings {
        internal_ssl: None,
        start_timeout: seconds(START_TIMEOUT),
        http_timeout: seconds(HTTP_TIMEOUT),
        stop_timeout: seconds(STOP_TIMEOUT),
        proxy_silence: Duration::from_secs(15),
        hooks: Arc::default(),
        layout: Arc::default(),
        devices: DeviceSettings::default(),
    }
}

pub fn recipe() -> Recipe {
    Recipe {
        hub: "h".to_owned(),
        paths: Paths::new("/"),
        api_url: "http://127.0.0.1:8081/hub/api".to_owned(),
        public_origin: String::new(),
        cmd: vec!["jupyterhub-singleuser".to_owned()],
        args: Vec::new(),
        environment: BTreeMap::new(),
        notebook_dir: String::new(),
        default_url: String::new(),
        token_scopes: Vec::new(),
        client_allowed_scopes: Vec::new(),
        ways: Arc::default(),
        mem_limit: None,
        mem_guarantee: None,
        cpu_limit: None,
        cpu_guarantee: None,
        debug: false,
        disable_user_config: false,
        local_ip: "127.0.0.1".to_owned(),
        oidc_environment: std::collections::BTreeSet::new(),
        tokens_in_shared_servers: false,
        provider: None,
        storage: Vec::new(),
        collaboration: Vec::new(),
        chosen: hub_core::policy::Resolved::default(),
    }
}

//! The life of a proxy: bind, serve, drain.

use std::{
    convert::Infallible,
    ffi::OsString,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access_log::AccessLog,
    activity::{self, Ledger, lock},
    admin::{self, Admin},
    chp::{self, Chp, Door, Doors},
    doubt::{self, Doubted},
    hand_over::{Predecessor, Sockets},
    link::{self, Control},
    listener,
    metrics::{self, Meter},
    notify,
    options::{HubLink, Limits, Options},
    reload::Reload,
    room::Room,
    route::Route,
    secure::Secure,
    sibling::Silent,
    snapshot::Store,
    state::{Counts, Routes, Shared},
    stop::Stop,
    tls::Trust,
    wire,
    workers::Workers,
};

/// How long tasks may take to notice that everything ends.
const LAST: Duration = Duration::from_secs(1);

/// A proxy whose listeners are bound and whose stored routes are loaded.
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    workers: usize,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    redirect: Option<(TcpListener, u16)>,
    doors: Vec<Door>,
    chp: Option<Doors>,
    admin: Option<Admin>,
    control: Control,
    store: Option<Store>,
    metrics: Option<Door>,
    doubted: Option<Doubted>,
    limits: Option<watch::Receiver<Limits>>,
    reload: Reload,
    predecessor: Option<Predecessor>,
    notify: Option<OsString>,
    program: Option<String>,
}

impl Proxy {
    /// Binds the listeners and the admin socket, and loads the snapshot. Must be called in a runtime.
    ///
    /// Errors: an address or the admin socket is taken, the default target or the hub's address does
    /// not parse. A snapshot that cannot be read is logged and left.
    pub async fn bind(options: Options) -> anyhow::Result<Self> {
        let trust = Trust::new(options.client_ca.clone()).showing(options.client_certificate.clone(), options.insecure);
        let trust_of_hub = options.hub_ca.clone().map_or_else(
            || trust.clone(),
            |file| Trust::alone(file).showing(options.client_certificate.clone(), options.insecure),
        );
        let control = Control::new(&options.hub, &options.token, &options.limits, &trust)?;
        let ledger = Arc::new(Ledger::new(options.chp.is_some(), options.limits.pool_all));
        // For configurable-http-proxy the default target is a route, which its API can replace.
        let fallback = options.default_target.as_deref().filter(|_| options.chp.is_none());
        let fallback = fallback.map(|target| default_route(target, &ledger, &options)).transpose()?;
        let reload = options.reload;
        let secure = options.tls.map(|tls| Secure::new(tls, reload.follow())).transpose().context("TLS")?;
        if let Some(secure) = &secure {
            secure.look_among_others().await;
        }
        let room = Arc::new(Room::new(options.limits.max_connections));
        let access_log = options.access_log.map(AccessLog::open).transpose().context("the access log")?;
        // Only a hub can say whether a server is still the right one.
        let (doubts, doubted) = match options.hub {
            HubLink::None => (None, None),
            _ => Some(tokio::sync::mpsc::unbounded_channel()).unzip(),
        };
        let proof = match options.hub {
            HubLink::None => None,
            _ => Some(wire::proof(&options.token).parse().context("the proof of a proxy")?),
        };
        let chp = options.chp.clone().map(|chp| Chp::new(chp, &ledger, options.limits.pool_size)).transpose()?;
        let shared = Arc::new(Shared {
            identity: options.identity,
            site: options.site,
            proof,
            trusted: options.trusted_proxies,
            proxy_protocol_from: options.proxy_protocol_from,
            trust,
            trust_of_hub,
            secure,
            mark: options.mark,
            chp,
            routes: ArcSwap::from_pointee(Routes::default()),
            fallback: fallback.map(Arc::new),
            ledger,
            tasks: TaskTracker::new(),
            leaving: Arc::new(Stop::default()),
            listeners: Mutex::default(),
            drain: Arc::new(Stop::default()),
            halt: Arc::new(Stop::default()),
            counts: Counts::default(),
            limits: ArcSwap::from_pointee(options.limits),
            meter: Meter::default(),
            room,
            crowd: Arc::default(),
            access_log,
            cookie_firewall: options.cookie_firewall,
            silent: Silent::default(),
            doubts,
        });
        let store = options.snapshot.map(Store::new);
        if let Some(store) = &store {
            load(&shared, store);
        }
        let (sockets, admin) = (options.sockets, options.admin_socket);
        let predecessor = match &admin {
            Some(admin) if options.take_over => find_predecessor(admin.clone(), sockets.clone()).await?,
            _ => None,
        };
        let both = options.chp.is_some();
        let bind = |address| listener::bind(address, &sockets, both);
        let listeners: Vec<_> = options.listen.into_iter().map(bind).collect::<Result<_, _>>()?;
        let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let port = addresses.first().map_or(443, SocketAddr::port);
        let redirect = shared.secure.as_ref().map(|secure| secure.bind_redirect(port, &sockets, both));
        let redirect = redirect.transpose()?.flatten();
        let doors = options.doors.iter().map(|door| Door::bind_from(door, &sockets)).collect::<Result<_, _>>()?;
        let chp = options.chp.map(|chp| Doors::bind(&chp, &reload)).transpose()?;
        let metrics = options.metrics.as_ref().map(|listen| Door::bind_from(listen, &sockets)).transpose()?;
        let admin = admin.map(|path| Admin::bind(path, predecessor.is_some())).transpose()?;
        // Its log says that there is a route: whoever waits for that may connect then.
        if shared.chp.is_some() {
            chp::begin(&shared, options.default_target.as_deref())?;
        }
        Ok(Self {
            shared,
            workers: options.workers,
            listeners,
            addresses,
            redirect,
            doors,
            chp,
            admin,
            control,
            store,
            metrics,
            doubted,
            limits: options.new_limits,
            reload,
            predecessor,
            notify: options.notify,
            program: options.program,
        })
    }

    /// The addresses that the public listeners are bound to.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that the redirect to https is bound to.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// The addresses of configurable-http-proxy's API, and that of its metrics.
    pub fn chp_addresses(&self) -> (Vec<SocketAddr>, Option<SocketAddr>) {
        self.chp.as_ref().map_or_else(Default::default, |doors| (doors.api_addresses(), doors.metrics_address()))
    }

    /// Serves until the stop, then drains; see [`crate::run`].
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let shared = self.shared;
        // The admin socket stops this proxy, not whoever else listens to the caller's token.
        let stop = stop.child_token();
        let room = Arc::clone(&shared.room);
        let opened = self.listeners.iter().chain(self.redirect.as_ref().map(|(listener, _)| listener)).map(AsFd::as_fd);
        let opened = opened.chain(self.doors.iter().chain(&self.metrics).map(Door::descriptor));
        *lock(&shared.listeners) = opened.map(|listener| listener.try_clone_to_owned()).collect::<Result<_, _>>()?;
        let workers = Workers::start(self.workers).context("threads to serve with")?;
        let loads = workers.loads();
        for door in self.listeners.into_iter().map(Door::Tcp).chain(self.doors) {
            listener::open(&shared, &workers, &loads, door)?;
        }
        if let Some(door) = self.metrics {
            shared.tasks.spawn(metrics::serve(Arc::clone(&shared), door));
        }
        if let Some(doubted) = self.doubted {
            shared.tasks.spawn(doubt::settle(Arc::clone(&shared), self.control.clone(), doubted));
        }
        if let Some(doors) = self.chp {
            doors.start(&shared);
        }
        if let Some(secure) = &shared.secure {
            secure.start(&shared, self.redirect);
        }
        shared.trust.follow(&shared, &self.reload);
        if !shared.trust_of_hub.is(&shared.trust) {
            shared.trust_of_hub.follow(&shared, &self.reload);
        }
        if let Some(limits) = self.limits {
            shared.tasks.spawn(follow_limits(Arc::clone(&shared), Arc::clone(&room), limits));
        }
        // Routes are followed after the other one does not acknowledge them any more.
        let takes_over = self.predecessor.is_some();
        let mut predecessor = match self.predecessor {
            Some(before) => relieve(before).await,
            None => None,
        };
        let mut admin = self.admin;
        if let Some(admin) = admin.as_mut().filter(|_| takes_over)
            && let Err(problem) = admin.take_place()
        {
            // The one before has left: nobody else serves.
            tracing::error!(%problem, "the admin socket cannot take the place of the one before");
        }
        link::start(&shared, self.control.clone(), self.store);
        let report = activity::report(
            Arc::clone(&shared.ledger),
            self.control,
            shared.identity.clone(),
            (**shared.limits()).clone(),
            Arc::clone(&shared.drain),
        );
        shared.tasks.spawn(report);
        let sweeper = Arc::clone(&shared);
        shared.tasks.spawn(async move { sweeper.ledger.sweep(|| sweeper.limits().pool_idle, &sweeper.drain).await });
        let _admin = admin.map(|admin| {
            let view = admin::View { addresses: self.addresses, program: self.program };
            admin.start(&shared, view, stop.clone())
        });
        if let Some(Err(problem)) = self.notify.map(|socket| notify::serving(&socket)) {
            tracing::warn!(%problem, "the service manager could not be told");
        }
        tokio::select! {
            () = stop.cancelled() => {
                if let Some(predecessor) = &mut predecessor {
                    predecessor.stop();
                }
            }
            () = leave(&shared, &room) => {}
        }
        drain(&shared).await;
        workers.end().await;
        if let Some(log) = &shared.access_log {
            log.finish().await;
        }
        Ok(())
    }
}

async fn find_predecessor(admin: PathBuf, sockets: Sockets) -> anyhow::Result<Option<Predecessor>> {
    let finding = tokio::task::spawn_blocking(move || Predecessor::find(&admin, &sockets));
    finding.await?.context("the running proxy does not hand over its listeners")
}

/// Tells the proxy before this one that it may go. One that does not hear it goes on beside this one until it is stopped.
async fn relieve(mut before: Predecessor) -> Option<Predecessor> {
    let telling = tokio::task::spawn_blocking(move || before.relieve().map(|()| before)).await;
    match telling.map_err(io::Error::other).flatten() {
        Ok(before) => {
            tracing::info!("took over from the proxy before");
            Some(before)
        }
        Err(problem) => {
            tracing::warn!(%problem, "the proxy before this one was not relieved");
            None
        }
    }
}

/// Waits until another proxy has taken over and nothing is open here any more.
async fn leave(shared: &Shared, room: &Room) {
    shared.leaving.given().await;
    tracing::info!("another proxy has taken over; what is open here goes on");
    close_doors(shared);
    let patience = shared.limits().leave;
    // Whatever is left then is cut as by a stop.
    let _ = tokio::time::timeout(patience, room.emptied()).await;
}

fn close_doors(shared: &Shared) {
    lock(&shared.listeners).clear();
}

/// Lets what is open finish within the bound, then cuts it.
async fn drain(shared: &Arc<Shared>) {
    tracing::info!("draining");
    shared.drain.cancel();
    close_doors(shared);
    let routes = shared.routes.load_full();
    let of_errors = shared.chp.as_ref().and_then(|chp| chp.errors.as_ref());
    let all = || routes.table.iter().chain(shared.fallback.as_ref()).chain(of_errors);
    // Idle connections would keep their drivers alive.
    all().for_each(|route| route.retire());
    shared.tasks.close();
    let patience = shared.limits().drain;
    if tokio::time::timeout(patience, shared.tasks.wait()).await.is_ok() {
        return;
    }
    tracing::info!(tasks = shared.tasks.len(), "cutting what is still open");
    shared.halt.cancel();
    all().for_each(|route| route.gone.cancel());
    if tokio::time::timeout(LAST, shared.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = shared.tasks.len(), "some tasks did not end");
    }
}

/// Takes over limits that were read again. What is open keeps those it began with.
async fn follow_limits(shared: Arc<Shared>, room: Arc<Room>, mut limits: watch::Receiver<Limits>) {
    let following = async {
        let mut changed = limits.changed().await;
        while changed.is_ok() {
            let next = limits.borrow_and_update().clone();
            let size = next.max_connections;
            shared.limits.store(Arc::new(next));
            tracing::info!("the limits were read again");
            // Nobody has to leave a room that has become too small: that may take days, and others may be set meanwhile.
            let shrinking = async {
                room.resize(size).await;
                std::future::pending::<Infallible>().await
            };
            changed = tokio::select! {
                changed = limits.changed() => changed,
                never = shrinking => match never {},
            };
        }
    };
    shared.drain.until(following).await;
}

fn default_route(target: &str, ledger: &Arc<Ledger>, options: &Options) -> anyhow::Result<Route> {
    let data = Map::from_iter([("hub".to_owned(), Value::Bool(true))]);
    let wire = wire::Route { prefix: "/".to_owned(), target: target.to_owned(), data };
    Route::new(wire, Arc::clone(ledger), options.limits.pool_size).context("the default target")
}

fn load(shared: &Arc<Shared>, store: &Store) {
    match store.load() {
        Ok(lines) => {
            for line in &lines {
                shared.apply(line);
            }
            let routes = shared.routes.load();
            tracing::info!(routes = routes.table.len(), revision = routes.revision, "routes loaded from disk");
        }
        Err(problem) => tracing::warn!(%problem, "stored routes cannot be read"),
    }
}

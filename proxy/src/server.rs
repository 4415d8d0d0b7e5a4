//! The life of a proxy: bind, serve, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    activity::{self, Ledger},
    admin::{self, Admin},
    chp::{self, Chp, Door, Doors},
    link::{self, Control},
    listener,
    options::Options,
    route::Route,
    secure::Secure,
    snapshot::Store,
    state::{Counts, Routes, Shared},
    stop::Stop,
    tls::Trust,
    wire,
};

/// How long tasks may take to notice that everything ends.
const LAST: Duration = Duration::from_secs(1);

/// A proxy whose listeners are bound and whose stored routes are loaded.
pub struct Proxy {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    redirect: Option<(TcpListener, u16)>,
    doors: Vec<Door>,
    chp: Option<Doors>,
    admin: Option<Admin>,
    control: Control,
    store: Option<Store>,
    max_connections: usize,
}

impl Proxy {
    /// Binds the listeners and the admin socket, and loads the snapshot. Must be called in a runtime.
    ///
    /// Errors: an address or the admin socket is taken, the default target or the hub's address does
    /// not parse. A snapshot that cannot be read is logged and left.
    pub async fn bind(options: Options) -> anyhow::Result<Self> {
        let trust = Trust::new(options.client_ca.clone()).showing(options.client_certificate.clone(), options.insecure);
        let control = Control::new(&options.hub, &options.token, &options.limits, &trust)?;
        let ledger = Arc::new(Ledger::default());
        // For configurable-http-proxy the default target is a route, which its API can replace.
        let fallback = options.default_target.as_deref().filter(|_| options.chp.is_none());
        let fallback = fallback.map(|target| default_route(target, &ledger, &options)).transpose()?;
        let reload = options.reload;
        let secure = options.tls.map(|tls| Secure::new(tls, &options.limits, reload)).transpose().context("TLS")?;
        let shared = Arc::new(Shared {
            identity: options.identity,
            trusted: options.trusted_proxies,
            proxy_protocol_from: options.proxy_protocol_from,
            trust,
            secure,
            mark: options.mark,
            chp: options.chp.clone().map(Chp::new),
            routes: ArcSwap::from_pointee(Routes::default()),
            fallback: fallback.map(Arc::new),
            ledger,
            tasks: TaskTracker::new(),
            drain: Arc::new(Stop::default()),
            halt: Arc::new(Stop::default()),
            counts: Counts::default(),
            limits: options.limits,
        });
        if shared.chp.is_some() {
            chp::begin(&shared, options.default_target.as_deref())?;
        }
        let store = options.snapshot.map(Store::new);
        if let Some(store) = &store {
            load(&shared, store);
        }
        let listeners: Vec<_> = options.listen.into_iter().map(listener::bind).collect::<Result<_, _>>()?;
        let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let port = addresses.first().map_or(443, SocketAddr::port);
        let redirect = shared.secure.as_ref().map(|secure| secure.bind_redirect(port)).transpose()?.flatten();
        let doors = options.doors.iter().map(Door::bind).collect::<Result<_, _>>()?;
        let chp = options.chp.map(|chp| Doors::bind(&chp, &shared.limits)).transpose()?;
        let admin = options.admin_socket.map(Admin::bind).transpose()?;
        let max_connections = shared.limits.max_connections;
        Ok(Self { shared, listeners, addresses, redirect, doors, chp, admin, control, store, max_connections })
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
        let room = Arc::new(Semaphore::new(self.max_connections));
        for door in self.listeners.into_iter().map(Door::Tcp).chain(self.doors) {
            shared.tasks.spawn(listener::accept(Arc::clone(&shared), door, Arc::clone(&room)));
        }
        if let Some(doors) = self.chp {
            doors.start(&shared);
        }
        if let Some(secure) = &shared.secure {
            secure.start(&shared, self.redirect);
        }
        link::start(&shared, self.control.clone(), self.store);
        let report = activity::report(
            Arc::clone(&shared.ledger),
            self.control,
            shared.identity.clone(),
            shared.limits.clone(),
            Arc::clone(&shared.drain),
        );
        shared.tasks.spawn(report);
        let sweeper = Arc::clone(&shared);
        shared.tasks.spawn(async move { sweeper.ledger.sweep(&sweeper.limits, &sweeper.drain).await });
        let _admin = self.admin.map(|admin| {
            let view = admin::View { addresses: self.addresses, room, max_connections: self.max_connections };
            admin.start(&shared, view, stop.clone())
        });
        stop.cancelled().await;
        drain(&shared).await;
        Ok(())
    }
}

/// Lets what is open finish within the bound, then cuts it.
async fn drain(shared: &Arc<Shared>) {
    tracing::info!("draining");
    shared.drain.cancel();
    let routes = shared.routes.load_full();
    let all = || routes.table.iter().chain(shared.fallback.as_ref());
    // Idle connections would keep their drivers alive.
    all().for_each(|route| route.retire());
    shared.tasks.close();
    if tokio::time::timeout(shared.limits.drain, shared.tasks.wait()).await.is_ok() {
        return;
    }
    tracing::info!(tasks = shared.tasks.len(), "cutting what is still open");
    shared.halt.cancel();
    all().for_each(|route| route.gone.cancel());
    if tokio::time::timeout(LAST, shared.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = shared.tasks.len(), "some tasks did not end");
    }
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

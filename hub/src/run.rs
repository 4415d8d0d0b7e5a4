//! The hub at work: the one list of what runs beside requests, and the stop.

use std::time::Duration;

use anyhow::{Context, Result};
use hub_store::GroupQuery;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::start::{Parts, STOP_GRACE};
use crate::{control, task};

/// Requests in flight have this long to end when the hub stops.
const DRAIN_SECONDS: u64 = 5;

/// What is still said to the database when the hub stops; a silent one must not keep it.
const LAST_WORD: Duration = Duration::from_secs(3);

/// What is to end with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// The proxy too, so that nothing answers any more.
    pub proxy: bool,
    /// People's servers too.
    pub servers: bool,
}

impl Parts {
    /// Serves until a signal or `POST /shutdown`. `announce` is called once everything answers.
    pub async fn run(self, announce: impl FnOnce(&App)) -> Result<()> {
        let Parts { begun, app, proxy, instance, place, control_token, tracker, stop, mut shutdown, signals } = self;
        let mut signals = match signals {
            Some(listening) => listening,
            None => Signals::listen()?,
        };
        let control =
            control::serve(app.clone(), control_token, &proxy.control_socket(), control_address(&app)?).await?;
        let (control_handle, control_task) = (control.handle(), tokio::spawn(control));
        let hub = crate::http::server::serve(app.clone(), DRAIN_SECONDS)?;
        let (hub_handle, mut hub_task) = (hub.handle(), tokio::spawn(hub));
        tracker.spawn(app.keeper.clone().run());
        let period = app.config.spawner.poll_interval.duration();
        tracker.spawn(task::survey::run(app.clone(), period.max(Duration::from_secs(1)), stop.clone()));
        tracker.spawn(task::seen::run(app.clone(), stop.clone()));
        tracker.spawn(task::measure::users(app.clone(), stop.clone()));
        tracker.spawn(task::measure::loop_interval(app.clone(), "the hub", stop.clone()));
        tracker.spawn(task::cleanup::run(app.clone(), stop.clone()));
        tracker.spawn(task::cull::run(app.clone(), stop.clone()));
        tracker.spawn(task::removal::run(app.clone(), stop.clone()));
        tracker.spawn(task::front::run(app.clone(), stop.clone()));
        tracker.spawn(task::upstream::run(app.clone(), stop.clone()));
        tracker.spawn(place.hold(app.store.clone(), app.keeper.signals().clone(), stop.clone()));
        tracker.spawn(task::usage::run(app.clone(), stop.clone()));
        tracker.spawn(task::images::run(app.clone(), stop.clone()));
        tracker.spawn(crate::internal_ssl::share::run(app.clone(), stop.clone()));
        tracker.spawn(crate::announcements::run(app.clone(), stop.clone()));
        crate::sites::warn_of_removed(&app).await;
        tracker.spawn(crate::sites::run(app.clone(), stop.clone()));
        tracker.spawn(task::sites::run(app.clone(), stop.clone()));
        tracker.spawn(task::providers::run(app.clone(), stop.clone()));
        tracker.spawn(task::after_stop::run(app.clone(), stop.clone()));
        tracker.spawn(crate::service::run::run(app.clone(), stop.clone()));
        tracker.spawn(crate::service::health::run(app.clone(), stop.clone()));
        if app.config.proxy.should_start {
            let status = proxy.ensure().await?;
            tracing::debug!(pid = status.pid, "proxy");
            let (proxy, stop) = (proxy.clone(), stop.clone());
            tracker.spawn(async move { proxy.watch(stop).await });
        }
        began(&app).await;
        crate::metrics::started(begun.elapsed());
        announce(&app);
        let (how, asked) = tokio::select! {
            how = signals.next() => (how, None),
            how = shutdown.wait_for(Option::is_some) => {
                let (how, by) = how.ok().and_then(|how| how.clone()).unwrap_or_else(|| (Shutdown::default(), Actor::hub()));
                (how, Some(by))
            }
            ended = &mut hub_task => {
                ended.context("the hub's server")?.context("the hub's server")?;
                (Shutdown::default(), None)
            }
        };
        leave(&app, &mut signals).await;
        tracing::info!(proxy = how.proxy, servers = how.servers, "stopping the hub");
        let detail = serde_json::json!({ "proxy": how.proxy, "servers": how.servers });
        if !how.servers {
            stop.cancel();
        }
        let by = asked.unwrap_or_else(Actor::hub);
        if timeout(LAST_WORD, app.audited(&by, Act::HubStop, Object::Hub, detail)).await.is_err() {
            tracing::warn!("the database is silent: that the hub stops is not in the audit");
        }
        if how.servers {
            if timeout(patience(&app) + STOP_GRACE, stop_servers(&app)).await.is_err() {
                tracing::error!("servers are left running: the database does not answer");
            }
            stop.cancel();
        }
        tracker.close();
        hub_handle.stop(true).await;
        control_handle.stop(false).await;
        let _ = timeout(STOP_GRACE, tracker.wait()).await;
        let _ = control_task.await;
        if how.proxy && app.config.proxy.should_start {
            proxy.stop().await;
        }
        let _ = timeout(LAST_WORD, tell_what_goes_on(&app)).await;
        crate::events::end().await;
        app.store.close().await;
        // Last: whoever waits for the data folder finds it left.
        drop(instance);
        Ok(())
    }
}

/// Goes on serving until those who lead people here have had time to hear that they should not. A second signal ends that.
async fn leave(app: &App, signals: &mut Signals) {
    let delay = app.config.hub.stop_delay.duration();
    if delay.is_zero() {
        return;
    }
    app.leaving.store(true, std::sync::atomic::Ordering::Relaxed);
    tracing::info!(seconds = delay.as_secs(), "about to stop: /hub/health says so from now on");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        _ = signals.next() => {}
    }
}

/// Where proxies on other machines find the hub.
fn control_address(app: &App) -> Result<Option<std::net::SocketAddr>> {
    let address = app.config.proxy.control_address.as_deref();
    address.map(str::parse).transpose().context("proxy.control_address")
}

/// Records that the hub began, and with what of its configuration changed.
async fn began(app: &App) {
    let detail = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") });
    app.audited(&Actor::hub(), Act::HubStart, Object::Hub, detail).await;
    match crate::changes::since_last_start(app).await {
        Ok(Some(changed)) => {
            let detail = serde_json::json!({ "options": changed });
            app.audited(&Actor::hub(), Act::ConfigChange, Object::Hub, detail).await;
        }
        Ok(None) => {}
        Err(error) => tracing::warn!("whether the configuration has changed is not known: {error}"),
    }
    tell_strange_groups(app).await;
    let hub = &app.config.hub;
    if !hub.load_roles.is_empty() || !hub.load_groups.is_empty() {
        let roles: Vec<&str> = hub.load_roles.iter().map(|role| role.name.as_str()).collect();
        let groups: Vec<&String> = hub.load_groups.keys().collect();
        let detail = serde_json::json!({ "roles": roles, "groups": groups });
        app.audited(&Actor::hub(), Act::RolesApply, Object::Hub, detail).await;
    }
}

/// Says which policies are about groups that there never were.
async fn tell_strange_groups(app: &App) {
    let Some(rules) = &app.rules else { return };
    match app.store.list_groups(&GroupQuery::default()).await {
        Ok(groups) => {
            let names: Vec<String> = groups.items.into_iter().map(|group| group.name).collect();
            for said in crate::config::rules::strange_groups(rules, &names) {
                tracing::warn!("{said}");
            }
        }
        Err(error) => tracing::warn!("whether policies name groups that there are is not known: {error}"),
    }
}

/// Says what outlives the hub, so that nobody wonders at processes that are left.
async fn tell_what_goes_on(app: &App) {
    let servers = app.store.active_servers().await.map_or(0, |servers| servers.len());
    if servers > 0 {
        tracing::info!("people's servers go on running: {servers}. The next start finds them");
    }
}

/// SIGTERM and SIGHUP stop the hub alone: open notebooks go on, and a new hub takes over. A second one within
/// half a second, or SIGINT from a terminal, takes the proxy with it.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// One has come that stops the hub, and whether a second one follows is not known yet.
    is_told: bool,
}

impl Signals {
    /// Listens from now on: what comes is kept until it is asked for.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            is_told: false,
        })
    }

    /// Waits for one that stops the hub. Nothing is lost when this is dropped before.
    pub(crate) async fn next(&mut self) -> Shutdown {
        if !self.is_told {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => {}
                _ = self.interrupt.recv() => return Shutdown { proxy: true, servers: false },
            }
            self.is_told = true;
        }
        // A second signal close behind the first.
        let again = timeout(Duration::from_millis(500), self.terminate.recv()).await.is_ok();
        self.is_told = false;
        Shutdown { proxy: again, servers: false }
    }
}

/// How long all servers together have to stop.
fn patience(app: &App) -> Duration {
    let local = &app.config.spawner.local;
    local.interrupt_timeout.duration() + local.term_timeout.duration() + STOP_GRACE
}

async fn stop_servers(app: &App) {
    let servers = match app.store.active_servers().await {
        Ok(servers) => servers,
        Err(error) => {
            tracing::error!("servers are left running: {error}");
            return;
        }
    };
    for server in &servers {
        if let Err(problem) = crate::intent::want_stopped(app, &Actor::hub(), server).await {
            tracing::error!(user = server.user_name, server = server.name, "left running: {problem}");
        }
    }
    // One deadline for all: they stop side by side.
    let deadline = tokio::time::Instant::now() + patience(app);
    for server in &servers {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match crate::intent::wait_at_most(app, server.id, crate::intent::Until::Stopped, left).await {
            Ok(true) => {}
            Ok(false) => tracing::error!(user = server.user_name, server = server.name, "did not stop in time"),
            Err(problem) => tracing::error!(user = server.user_name, server = server.name, "{problem}"),
        }
    }
}

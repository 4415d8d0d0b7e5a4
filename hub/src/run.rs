//! The hub at work: the one list of what runs beside requests, and the stop.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::start::{Parts, STOP_GRACE};
use crate::{control, task};

/// Requests in flight have this long to end when the hub stops.
const DRAIN_SECONDS: u64 = 5;

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
        let Parts { begun, app, proxy, instance, control_token, tracker, stop, mut shutdown } = self;
        let control = control::serve(app.clone(), control_token, &proxy.control_socket()).await?;
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
        tracker.spawn(task::front::run(app.clone(), stop.clone()));
        tracker.spawn(task::upstream::run(app.clone(), stop.clone()));
        tracker.spawn(task::usage::run(app.clone(), stop.clone()));
        tracker.spawn(crate::announcements::run(app.clone(), stop.clone()));
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
            how = signal() => (how?, None),
            how = shutdown.wait_for(Option::is_some) => {
                let (how, by) = how.ok().and_then(|how| how.clone()).unwrap_or_else(|| (Shutdown::default(), Actor::hub()));
                (how, Some(by))
            }
            ended = &mut hub_task => {
                ended.context("the hub's server")?.context("the hub's server")?;
                (Shutdown::default(), None)
            }
        };
        tracing::info!(proxy = how.proxy, servers = how.servers, "stopping the hub");
        let detail = serde_json::json!({ "proxy": how.proxy, "servers": how.servers });
        app.audited(&asked.unwrap_or_else(Actor::hub), Act::HubStop, Object::Hub, detail).await;
        if how.servers {
            stop_servers(&app).await;
        }
        stop.cancel();
        tracker.close();
        hub_handle.stop(true).await;
        control_handle.stop(false).await;
        let _ = tokio::time::timeout(STOP_GRACE, tracker.wait()).await;
        let _ = control_task.await;
        if how.proxy && app.config.proxy.should_start {
            proxy.stop().await;
        }
        tell_what_goes_on(&app).await;
        crate::events::end().await;
        app.store.close().await;
        // Last: whoever waits for the data folder finds it left.
        drop(instance);
        Ok(())
    }
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
    let hub = &app.config.hub;
    if !hub.load_roles.is_empty() || !hub.load_groups.is_empty() {
        let roles: Vec<&str> = hub.load_roles.iter().map(|role| role.name.as_str()).collect();
        let groups: Vec<&String> = hub.load_groups.keys().collect();
        let detail = serde_json::json!({ "roles": roles, "groups": groups });
        app.audited(&Actor::hub(), Act::RolesApply, Object::Hub, detail).await;
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
async fn signal() -> Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => return Ok(Shutdown { proxy: true, servers: false }),
    }
    // A second signal close behind the first.
    let again = tokio::time::timeout(Duration::from_millis(500), terminate.recv()).await.is_ok();
    Ok(Shutdown { proxy: again, servers: false })
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
    let local = &app.config.spawner.local;
    let patience = local.interrupt_timeout.duration() + local.term_timeout.duration() + STOP_GRACE;
    let deadline = tokio::time::Instant::now() + patience;
    for server in &servers {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match crate::intent::wait_at_most(app, server.id, crate::intent::Until::Stopped, left).await {
            Ok(true) => {}
            Ok(false) => tracing::error!(user = server.user_name, server = server.name, "did not stop in time"),
            Err(problem) => tracing::error!(user = server.user_name, server = server.name, "{problem}"),
        }
    }
}

//! The hub's end of the protocol with the proxies: the route stream, acknowledgements, activity.
//!
//! Served on a unix socket in the data directory, and where `proxy.control_address` says. Every request carries the token that hub and proxies share.

pub mod site;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server as ActixServer;
use actix_web::{App as Actix, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use futures_util::stream;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use hub_store::{Route, Running, Server};
use serde::Deserialize;
use spawners::Sight;
use specola_proxy::wire::{self, Ack, Activity, Line};

use self::site::View;
use crate::app::App;
use crate::http::{Answer, Problem};
use crate::keeper::state_of;

/// A silent stream says this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Another hub may have changed routes: the rows are read this often.
const LOOK: Duration = Duration::from_secs(1);
/// The largest body a proxy sends.
const BODY: usize = 8 * 1024 * 1024;

struct Control {
    app: Arc<App>,
    token: Secret,
    /// The mark of the database.
    epoch: String,
}

/// Serves the proxies on a unix socket, and at an address for those on other machines. A socket left by an earlier hub is
/// replaced.
pub async fn serve(
    app: Arc<App>,
    token: Secret,
    socket: &Path,
    address: Option<SocketAddr>,
) -> anyhow::Result<ActixServer> {
    let epoch = app.keeper.recipe().hub.clone();
    let control = web::Data::new(Control { app, token, epoch });
    let _ = std::fs::remove_file(socket);
    let server = HttpServer::new(move || {
        Actix::new()
            .app_data(control.clone())
            .app_data(web::Data::from(Arc::clone(&control.app)))
            // For those who have no certificate where the hub's own port hears nobody without one.
            .route("/health", web::get().to(async || HttpResponse::Ok()))
            .route("/health/ready", web::get().to(crate::api::health::ready))
            .app_data(web::JsonConfig::default().limit(BODY))
            .route(wire::STREAM_PATH, web::get().to(routes))
            .route(wire::ACK_PATH, web::post().to(acknowledge))
            .route(wire::ACTIVITY_PATH, web::post().to(activity))
            .route(wire::DOUBT_PATH, web::post().to(doubt))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .bind_uds(socket)
        .with_context(|| format!("cannot listen on {}", socket.display()))?;
    restrict(socket)?;
    let server = match address {
        Some(address) => server.bind(address).with_context(|| format!("cannot listen on {address} for proxies"))?,
        None => server,
    };
    Ok(server.run())
}

fn restrict(socket: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict {}", socket.display()))
}

fn admit(request: &HttpRequest, control: &Control) -> Result<(), Problem> {
    match crate::http::caller::bearer(request) {
        Some(token) if control.token.matches(token) => Ok(()),
        _ => Err(Problem::forbidden("The token is missing or wrong")),
    }
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    proxy: String,
    site: Option<String>,
    #[serde(default)]
    epoch: String,
    since: Option<u64>,
}

async fn routes(request: HttpRequest, control: web::Data<Control>, wanted: web::Query<Wanted>) -> Answer {
    admit(&request, &control)?;
    let view = control.app.keeper.ways().seen_from(wanted.site.as_deref(), &control.epoch);
    let known =
        if wanted.epoch == view.epoch { wanted.since.and_then(|since| i64::try_from(since).ok()) } else { None };
    let changes = control.app.keeper.signals().follow_routes();
    let silent = Some(wanted.into_inner().proxy).filter(|_| !request.headers().contains_key(wire::ACKNOWLEDGES_HEADER));
    let follower = Follower { changes, control, view, silent, known, started: false };
    let lines = stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        let mut text = serde_json::to_vec(&line).ok()?;
        text.push(b'\n');
        Some((Ok::<Bytes, actix_web::Error>(text.into()), follower))
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(Box::pin(lines)))
}

/// One proxy's place in the numbering of routes.
struct Follower {
    control: web::Data<Control>,
    view: View,
    /// The name of a proxy of before, which does not acknowledge heartbeats: that it is connected has to do.
    silent: Option<String>,
    changes: tokio::sync::watch::Receiver<u64>,
    /// The revision the proxy has; `None` when it needs a snapshot.
    known: Option<i64>,
    started: bool,
}

impl Follower {
    /// The next line; `None` ends the stream, and the proxy comes again.
    async fn next(&mut self) -> Option<Line> {
        let deadline = tokio::time::Instant::now() + HEARTBEAT;
        loop {
            self.changes.mark_unchanged();
            match self.read().await {
                Ok(Some(line)) => return Some(line),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("routes cannot be read for a proxy: {error}");
                    return None;
                }
            }
            // The first heartbeat comes at once: it tells the proxy that it is up to date.
            let revision = as_revision(self.known.unwrap_or_default());
            if !std::mem::replace(&mut self.started, true) {
                return Some(Line::Heartbeat { epoch: self.view.epoch.clone(), revision });
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK) => {}
                // The proxy acknowledges it, and is known by that to be there: one whose machine has died holds up no server.
                () = tokio::time::sleep_until(deadline) => {
                    if let Some(proxy) = &self.silent
                        && let Err(error) = self.control.app.store.saw_proxy(proxy, self.control.app.now()).await
                    {
                        tracing::warn!("a connected proxy could not be recorded: {error}");
                    }
                    return Some(Line::Heartbeat { epoch: self.view.epoch.clone(), revision });
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Line>, hub_store::StoreError> {
        let (store, epoch) = (&self.control.app.store, self.view.epoch.clone());
        if let Some(known) = self.known {
            match store.routes_since(known).await? {
                Some(changes) if changes.revision == known => return Ok(None),
                Some(changes) => {
                    self.known = Some(changes.revision);
                    let put = changes.changed.into_iter().map(|route| self.view.tell(route)).collect();
                    let (revision, delete) = (as_revision(changes.revision), changes.deleted);
                    return Ok(Some(Line::Change { epoch, revision, put, delete }));
                }
                None => {}
            }
        }
        let (revision, routes) = store.routes_snapshot().await?;
        (self.known, self.started) = (Some(revision), true);
        let routes = routes.into_iter().map(|route| self.view.tell(route)).collect();
        Ok(Some(Line::Snapshot { epoch, revision: as_revision(revision), routes }))
    }
}

/// Revisions count up from nought.
fn as_revision(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}

async fn acknowledge(request: HttpRequest, control: web::Data<Control>, ack: web::Json<Ack>) -> Answer {
    admit(&request, &control)?;
    if !site::is_of(&ack.epoch, &control.epoch) {
        return Err(Problem::conflict("These routes are of another database"));
    }
    let revision = i64::try_from(ack.revision).map_err(|_| Problem::bad("There is no such revision"))?;
    if !control.app.store.ack(&ack.proxy, revision, control.app.now()).await? {
        return Err(Problem::conflict("This database has not given out that revision"));
    }
    control.app.keeper.signals().acknowledged();
    Ok(HttpResponse::NoContent().finish())
}

async fn doubt(request: HttpRequest, control: web::Data<Control>, doubt: web::Json<wire::Doubt>) -> Answer {
    admit(&request, &control)?;
    let confirmed = is_there(&control.app, &doubt).await?;
    Ok(HttpResponse::Ok().json(wire::Verdict { confirmed }))
}

/// Looks at the server of a route that could not be connected to. One that has ended is the keeper's; one that cannot be
/// asked about is not confirmed, for its port may be another person's by now.
async fn is_there(app: &App, doubt: &wire::Doubt) -> Result<bool, Problem> {
    let Some(server) = server_at(app, &doubt.prefix).await? else { return Ok(false) };
    let server = &server;
    if crate::task::routes::route_of(server, app.keeper.recipe()).target != doubt.target {
        return Ok(false);
    }
    match app.driver.look(&app.keeper.identity(server), state_of(server)).await {
        Ok(Sight::Up { .. }) => Ok(true),
        Ok(_) => {
            app.keeper.nudge(server.id);
            Ok(false)
        }
        Err(error) => {
            tracing::warn!(
                user = server.user_name,
                server = server.name,
                "it refused the proxy, its state is unknown: {error}"
            );
            Ok(false)
        }
    }
}

/// The server that a route leads to, by the names in the route's data.
async fn server_at(app: &App, prefix: &str) -> Result<Option<Server>, Problem> {
    let routes = app.store.routes_at(&[prefix.to_owned()]).await?;
    let Some((user, name)) = routes.first().and_then(names) else { return Ok(None) };
    let Some(user) = app.store.user(user).await? else { return Ok(None) };
    let server = app.store.server(user.id, name).await?;
    Ok(server.filter(|server| app.paths.server_route(&server.user_name, &server.name) == prefix))
}

/// Whose server a route leads to: user and server.
fn names(route: &Route) -> Option<(&str, &str)> {
    Some((route.data.get("user")?.as_str()?, route.data.get("server_name")?.as_str()?))
}

async fn activity(request: HttpRequest, control: web::Data<Control>, batch: web::Json<Activity>) -> Answer {
    admit(&request, &control)?;
    let app = &control.app;
    let latest = app.now();
    let moved: HashMap<String, Time> = batch
        .into_inner()
        .routes
        .into_iter()
        .filter_map(|(prefix, activity)| {
            let at = DateTime::parse_from_rfc3339(&activity.last_activity).ok()?.to_utc();
            Some((prefix, at.min(latest)))
        })
        .collect();
    record(app, moved).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Writes what the proxies saw to the servers and their users, unless about the same is known: proxies tell of everybody who
/// is active every few seconds.
async fn record(app: &App, moved: HashMap<String, Time>) -> Result<(), Problem> {
    if moved.is_empty() {
        return Ok(());
    }
    let (prefixes, times): (Vec<String>, Vec<Time>) = moved.into_iter().unzip();
    let moved: HashMap<&String, Time> = prefixes.iter().zip(times).collect();
    let routes = app.store.routes_at(&prefixes).await?;
    let led: HashMap<(&str, &str), Time> =
        routes.iter().filter_map(|route| Some((names(route)?, *moved.get(&route.prefix)?))).collect();
    let users: Vec<String> = led.keys().map(|(user, _)| (*user).to_owned()).collect();
    let resolution = app.config.culler.resolution(app.config.hub.activity_resolution.duration());
    let resolution = TimeDelta::from_std(resolution).unwrap_or(TimeDelta::MAX);
    let seen = |server: &Running| {
        let at = *led.get(&(server.user_name.as_str(), server.name.as_str()))?;
        server.last_activity.is_none_or(|last| at - last >= resolution).then_some((server.id, at))
    };
    let servers: Vec<_> = app.store.running_servers(&users).await?.iter().filter_map(seen).collect();
    Ok(app.store.touch_servers(&servers).await?)
}

#[cfg(test)]
mod tests;

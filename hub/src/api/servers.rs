//! `/users/{user}/server` and `/users/{user}/servers/{server}`: intents, and waiting a little for their effect.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use hub_core::id::SpawnerId;
use hub_core::life::Phase;
use hub_core::name::{DisplayName, ServerName};
use hub_store::{Server, StartLimits, User, WantRunning};
use serde_json::{Map, Value, json};

use super::view::ServerModel;
use super::{body, users, view};
use crate::app::App;
use crate::http::guard::{OnServer, rights};
use crate::http::{Answer, Problem};
use crate::keeper::failure::Failure;
use crate::keeper::{breakpoint, state_of};

/// Another hub may bring the server on: its row is read this often while somebody waits.
const LOOK: Duration = Duration::from_millis(500);

/// A server that is to be deleted is waited for so long.
const SLOWEST_STOP: Duration = Duration::from_secs(600);

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It can be used, or will not be.
    Started,
    /// Nothing of it is left.
    Stopped,
}

/// Waits as long as JupyterHub's `slow_spawn_timeout` or `slow_stop_timeout`. Returns whether it came to an end.
pub async fn wait_for(app: &App, id: SpawnerId, until: Until) -> Result<bool, Problem> {
    let config = &app.config.hub;
    let patience = match until {
        Until::Started => config.slow_spawn_timeout,
        Until::Stopped => config.slow_stop_timeout,
    };
    wait_at_most(app, id, until, patience.duration()).await
}

/// Waits for a server, at most so long.
pub async fn wait_at_most(app: &App, id: SpawnerId, until: Until, patience: Duration) -> Result<bool, Problem> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut changes = app.keeper.signals().follow_servers();
    loop {
        changes.mark_unchanged();
        let Some(server) = app.store.server_by_id(id).await? else { return Ok(true) };
        let over = match until {
            Until::Started => view::pending(&server).is_none(),
            Until::Stopped => !view::is_active(&server),
        };
        if over {
            return Ok(true);
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = tokio::time::sleep_until(deadline) => return Ok(false),
        }
    }
}

/// Writes the intent to start, and tells the keeper. The one road for REST and pages.
pub async fn want_running(app: &App, user: &User, name: &str, options: Option<Value>) -> Result<Server, Problem> {
    let server = match app.store.server(user.id, name).await? {
        Some(server) => server,
        None => create(app, user, name, None, None).await?,
    };
    let limits = StartLimits {
        concurrent: Some(app.config.hub.concurrent_spawn_limit).filter(|limit| *limit > 0),
        active: Some(app.config.hub.active_server_limit).filter(|limit| *limit > 0),
    };
    breakpoint::pass("intent.start.before");
    let wanted = app.store.want_running(server.id, options.as_ref(), &Value::Null, limits, app.now()).await?;
    breakpoint::pass("intent.start.after");
    let full_name = || if name.is_empty() { user.name.clone() } else { format!("{}:{name}", user.name) };
    match wanted {
        WantRunning::Accepted | WantRunning::AlreadyStarting => {
            app.keeper.nudge(server.id);
            Ok(app.store.server_by_id(server.id).await?.unwrap_or(server))
        }
        WantRunning::Gone => Err(Problem::not_found()),
        WantRunning::AlreadyReady => Err(Problem::bad(format!("{} is already running", full_name()))),
        WantRunning::Stopping => Err(Problem::bad(format!("{} is pending stop", full_name()))),
        WantRunning::TooManyStarting => {
            let [low, high] = app.config.hub.spawn_throttle_retry_range;
            let seconds = rand::random_range(low.min(high)..=high.max(low));
            let message = "Too many servers are starting right now.";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message)
                .advise(format!("Try again in {seconds} seconds."))
                .retry_after(seconds.into()))
        }
        WantRunning::TooManyActive => {
            let message = "As many servers are running as this hub allows.";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message)
                .advise("Try again in a few minutes.")
                .retry_after(120))
        }
    }
}

/// Makes the row of a server, after the rules for names and numbers.
pub async fn create(
    app: &App,
    user: &User,
    name: &str,
    display_name: Option<&str>,
    options: Option<&Value>,
) -> Result<Server, Problem> {
    if !name.is_empty() {
        check_new_name(app, user, name).await?;
    }
    let display_name = display_name.unwrap_or(name);
    let created = app.store.create_server(user.id, name, Some(display_name), options, app.now()).await?;
    let full_name = || format!("{}/{name}", user.name);
    created.ok_or_else(|| Problem::conflict(format!("Server {} already exists", full_name())))
}

async fn check_new_name(app: &App, user: &User, name: &str) -> Result<(), Problem> {
    let config = &app.config.hub;
    if !config.allow_named_servers {
        return Err(Problem::bad("Named servers are not enabled."));
    }
    ServerName::parse(name).map_err(|error| Problem::bad(format!("Invalid server name: {error}")))?;
    let limit = config.named_server_limit_per_user as usize;
    let servers = app.store.servers_of(&[user.id]).await?;
    if limit > 0 && servers.iter().filter(|server| !server.name.is_empty()).count() >= limit {
        let name = &user.name;
        return Err(Problem::bad(format!(
            "User {name} already has the maximum of {limit} named servers.  One must be deleted before a new server can be created"
        )));
    }
    Ok(())
}

/// Writes the intent to stop, and tells the keeper.
pub async fn want_stopped(app: &App, server: &Server) -> Result<(), Problem> {
    breakpoint::pass("intent.stop.before");
    app.store.want_stopped(server.id, app.now()).await?;
    breakpoint::pass("intent.stop.after");
    app.keeper.nudge(server.id);
    Ok(())
}

/// The stored failure of a server, if its last start or run ended with one.
pub fn failure(server: &Server) -> Option<Failure> {
    server.failure.as_ref().and_then(|failure| serde_json::from_value(failure.clone()).ok())
}

/// Options of a start. A body with neither `display_name` nor `user_options` is, as of old, the options themselves.
fn start_body(bytes: &[u8]) -> Result<(Option<String>, Option<Value>), Problem> {
    let Some(object) = body::object(bytes)?.filter(|object| !object.is_empty()) else { return Ok((None, None)) };
    if !object.contains_key("display_name") && !object.contains_key("user_options") {
        return Ok((None, Some(Value::Object(object))));
    }
    settings(&object)
}

fn settings(object: &Map<String, Value>) -> Result<(Option<String>, Option<Value>), Problem> {
    let display_name = match body::text(object, "Server", "display_name")? {
        Some(text) => {
            let parsed =
                DisplayName::parse(&text).map_err(|error| Problem::bad(format!("Invalid display name: {error}")))?;
            Some(parsed.as_str().to_owned())
        }
        None => None,
    };
    match object.get("user_options") {
        None | Some(Value::Null) => Ok((display_name, None)),
        Some(options @ Value::Object(_)) => Ok((display_name, Some(options.clone()))),
        Some(_) => Err(Problem::bad("Server.user_options must be an object")),
    }
}

/// `POST …/server[s/{server}]`
pub async fn start(app: web::Data<App>, on: OnServer<rights::StartServers>, bytes: web::Bytes) -> Answer {
    let (display_name, options) = start_body(&bytes)?;
    let server = want_running(&app, on.user(), &on.name, options).await?;
    if let Some(display_name) = display_name {
        app.store.set_server_display_name(server.id, Some(&display_name)).await?;
    }
    if !wait_for(&app, server.id, Until::Started).await? {
        return Ok(HttpResponse::Accepted().content_type("text/plain").finish());
    }
    let Some(server) = app.store.server_by_id(server.id).await? else { return Err(Problem::not_found()) };
    if view::is_ready(&server) {
        return Ok(HttpResponse::Created().content_type("text/plain").finish());
    }
    match failure(&server) {
        Some(failure) => Err(failed(&failure)),
        None => Err(Problem::bad("The start was cancelled")),
    }
}

/// A refusal is the caller's matter; a failure is the hub's.
pub fn failed(failure: &Failure) -> Problem {
    let status = if failure.refused { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
    Problem::new(status, failure.message.clone()).advise(failure.advice.clone())
}

/// `DELETE …/server[s/{server}]`, with `{"remove": true}` to delete the named server for good.
pub async fn stop(app: web::Data<App>, on: OnServer<rights::DeleteServers>, bytes: web::Bytes) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    let remove = body::flag(&object, "Server", "remove")?.unwrap_or(false);
    if !on.name.is_empty() && !app.config.hub.allow_named_servers {
        return Err(Problem::bad("Named servers are not enabled."));
    }
    if remove && on.name.is_empty() {
        return Err(Problem::bad("Cannot delete the default server"));
    }
    let Some(server) = on.server() else {
        let missing =
            || Problem::new(StatusCode::NOT_FOUND, format!("{} has no server named '{}'", on.user().name, on.name));
        return if on.name.is_empty() { Ok(HttpResponse::NoContent().finish()) } else { Err(missing()) };
    };
    want_stopped(&app, server).await?;
    if !wait_for(&app, server.id, Until::Stopped).await? {
        if remove {
            remove_later(app, server.id);
        }
        return Ok(HttpResponse::Accepted().content_type("text/plain").finish());
    }
    if remove {
        self::remove(&app, server.id).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes a server for good once it has stopped, after the answer that it has not yet. A start that somebody asks for
/// meanwhile wins.
pub fn remove_later(app: web::Data<App>, id: SpawnerId) {
    actix_web::rt::spawn(async move {
        let removed = match wait_at_most(&app, id, Until::Stopped, SLOWEST_STOP).await {
            Ok(true) => remove(&app, id).await,
            Ok(false) => Err(Problem::bad("it does not stop")),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = removed {
            tracing::warn!(server = %id, "a server is not deleted: {problem}");
        }
    });
}

/// Deletes a stopped server for good.
pub async fn remove(app: &App, id: SpawnerId) -> Result<(), Problem> {
    if let Some(server) = app.store.server_by_id(id).await? {
        let identity = app.keeper.identity(&server);
        if let Err(error) = app.driver.forget(&identity, state_of(&server)).await {
            tracing::warn!(user = server.user_name, server = server.name, "remains are left: {error}");
        }
        app.store.delete_server(id).await?;
    }
    Ok(())
}

/// `GET …/server[s/{server}]`
pub async fn get(app: web::Data<App>, on: OnServer<rights::ReadServers>) -> Answer {
    let places = users::places(&app);
    if on.server().is_none() && on.name.is_empty() {
        let model = view::never_made(&on.user().name, &on.caller.rights, &on.person.groups, &places);
        return Ok(HttpResponse::Ok().json(model));
    }
    let server = on.server().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(ServerModel::new(server, &on.caller.rights, &on.person.groups, &places)))
}

/// `PUT …/servers/{server}`: makes a server without starting it.
pub async fn put(app: web::Data<App>, on: OnServer<rights::StartServers>, bytes: web::Bytes) -> Answer {
    if on.server().is_some() || on.name.is_empty() {
        return Err(Problem::conflict(format!("Server {}/{} already exists", on.user().name, on.name)));
    }
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["display_name", "user_options"])?;
    let (display_name, options) = settings(&object)?;
    let server = match create(&app, on.user(), &on.name, display_name.as_deref(), options.as_ref()).await {
        Ok(server) => server,
        Err(problem) => return Err(problem),
    };
    let places = users::places(&app);
    Ok(HttpResponse::Created().json(ServerModel::new(&server, &on.caller.rights, &on.person.groups, &places)))
}

/// `PATCH …/server[s/{server}]`: name, display name and options of a stopped server.
pub async fn change(app: web::Data<App>, on: OnServer<rights::StartServers>, bytes: web::Bytes) -> Answer {
    let server = on.server().ok_or_else(Problem::not_found)?;
    let empty = || Problem::bad("Must specify what to change");
    let object = body::object(&bytes)?.filter(|object| !object.is_empty()).ok_or_else(empty)?;
    body::only(&object, &["name", "display_name", "user_options"])?;
    if server.phase != Phase::Stopped || view::is_active(server) {
        return Err(Problem::bad("The server must be stopped before it is changed"));
    }
    let (display_name, options) = settings(&object)?;
    if let Some(name) = body::text(&object, "Server", "name")?.filter(|name| *name != server.name) {
        rename(&app, on.user(), server, &name).await?;
    }
    if let Some(display_name) = display_name {
        app.store.set_server_display_name(server.id, Some(&display_name)).await?;
    }
    if let Some(options) = options {
        app.store.set_server_options(server.id, Some(&options)).await?;
    }
    let server = app.store.server_by_id(server.id).await?.ok_or_else(Problem::not_found)?;
    let places = users::places(&app);
    Ok(HttpResponse::Ok().json(ServerModel::new(&server, &on.caller.rights, &on.person.groups, &places)))
}

async fn rename(app: &App, user: &User, server: &Server, name: &str) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::bad("A server cannot be renamed to the default server"));
    }
    check_new_name(app, user, name).await?;
    if app.store.rename_server(server.id, name).await? {
        return Ok(());
    }
    Err(Problem::conflict(format!("Server {}/{name} already exists", user.name)))
}

/// For messages about a server that is not there.
pub fn stopped_message(paths: &crate::http::url::Paths, origin: &str, user: &str, name: &str, path: &str) -> Value {
    let restart = format!("{origin}{}", paths.server_page("spawn", user, name));
    json!({ "message": format!("JupyterHub server no longer running at {path}. Restart the server at {restart}") })
}

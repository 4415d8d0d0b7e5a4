//! What people want of servers: intents written to rows, the keeper told, and waiting a little for their effect. The one
//! road for REST, pages and the hub's own stop.

use std::time::Duration;

use actix_web::http::StatusCode;
use hub_core::id::SpawnerId;
use hub_core::name::ServerName;
use hub_store::{Judged, Server, StartLimits, Store, StoreError, User, WantRunning, WantStopped};
use serde_json::Value;

use crate::api::view;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::Problem;
use crate::keeper::failure::Failure;
use crate::keeper::{Keeper, breakpoint, state_of};
use crate::options;
use crate::upstream::{Code, Refused};

/// Another hub may bring the server on: its row is read this often while somebody waits.
const LOOK: Duration = Duration::from_millis(500);

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
    let changes = app.keeper.signals().follow([id].into());
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
            () = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = tokio::time::sleep_until(deadline) => return Ok(false),
        }
    }
}

/// Writes the intent to start, and tells the keeper. The one road for REST and pages.
pub async fn want_running(
    app: &App,
    by: &Actor,
    user: &User,
    name: &str,
    options: Option<Value>,
) -> Result<Server, Problem> {
    // First: it may change the groups that the policies look at.
    check_person(app, user).await?;
    let known = app.store.server(user.id, name).await?;
    if known.is_some() {
        check_start(app, name)?;
    }
    let options = options::for_account(app, user, options)?;
    let decision = options::decide(app, by, user, name, options.as_ref(), known.as_ref()).await?;
    let (server, made) = match known {
        Some(server) => (server, false),
        None => create(app, by, user, name, None, None).await?,
    };
    let begun = std::time::Instant::now();
    let limits = StartLimits {
        concurrent: Some(app.config.hub.concurrent_spawn_limit).filter(|limit| *limit > 0),
        active: Some(app.config.hub.active_server_limit).filter(|limit| *limit > 0),
        reservation: decision.as_ref().map(options::reservation),
        devices: decision.as_ref().map(|decision| options::devices(app, decision)).unwrap_or_default(),
    };
    let (plan, options) = match decision {
        Some(decision) => (options::plan(&decision.plan)?, Some(Value::Object(decision.options))),
        None => (Value::Null, options),
    };
    breakpoint::pass("intent.start.before");
    let wanted = app.store.want_running(server.id, options.as_ref(), &plan, limits, app.now()).await?;
    breakpoint::pass("intent.start.after");
    let full_name = || if name.is_empty() { user.name.clone() } else { format!("{}:{name}", user.name) };
    if wanted == WantRunning::Accepted {
        app.audited(by, Act::ServerStart, Object::Server(&user.name, name), Value::Null).await;
    }
    if let Some(reason) = refusal(&wanted) {
        crate::metrics::spawned("failure", reason, begun.elapsed());
    }
    match wanted {
        WantRunning::Accepted | WantRunning::AlreadyStarting => {
            app.keeper.nudge(server.id);
            Ok(app.store.server_by_id(server.id).await?.unwrap_or(server))
        }
        WantRunning::Gone => Err(Problem::not_found()),
        WantRunning::AlreadyReady => Err(Problem::bad(format!("{} is already running", full_name()))),
        WantRunning::Stopping => Err(Problem::bad(format!("{} is pending stop", full_name()))),
        WantRunning::OverQuota(over) => {
            // A refusal leaves nothing behind.
            if made {
                app.store.delete_server(server.id).await?;
            }
            Err(options::over_quota(app, by, (&user.name, name), &over).await)
        }
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

/// Asks the identity provider of somebody whether they are still let in, unless it was asked lately. One that does not
/// answer, or wants something of the person that has to do with tokens only, keeps no server from starting.
async fn check_person(app: &App, user: &User) -> Result<(), Problem> {
    if !app.config.auth.refresh_pre_spawn.unwrap_or(true) || app.login.providers().is_empty() {
        return Ok(());
    }
    let age = chrono::TimeDelta::from_std(app.config.auth.refresh_age()).unwrap_or(chrono::TimeDelta::MAX);
    match app.upstream.check(user.id, age).await {
        Err(Refused::Failed(failure)) if failure.code == Code::Suspended => Err(Problem::forbidden(failure.sentence)),
        Ok(()) | Err(Refused::NotKept | Refused::Failed(_) | Refused::Target(_)) => Ok(()),
        Err(Refused::NotAdmitted) => Err(Problem::forbidden(format!("{} may not use this hub any more", user.name))),
        Err(Refused::Problem(problem)) => Err(problem),
    }
}

/// JupyterHub's word for a start that is refused, in its metrics.
fn refusal(wanted: &WantRunning) -> Option<&'static str> {
    match wanted {
        WantRunning::TooManyStarting => Some("throttled"),
        WantRunning::TooManyActive => Some("too-many-users"),
        WantRunning::Stopping => Some("already-pending"),
        WantRunning::OverQuota(_) => Some("over-quota"),
        WantRunning::Accepted | WantRunning::AlreadyStarting | WantRunning::AlreadyReady | WantRunning::Gone => None,
    }
}

/// Makes the row of a server, after the rules for names and numbers. Tells whether it did: somebody else may have made
/// the same at this moment.
pub async fn create(
    app: &App,
    by: &Actor,
    user: &User,
    name: &str,
    display_name: Option<&str>,
    options: Option<&Value>,
) -> Result<(Server, bool), Problem> {
    if !name.is_empty() {
        check_new_name(app, user, name).await?;
    }
    let display_name = display_name.unwrap_or(name);
    let created = app.store.find_or_create_server(user.id, name, Some(display_name), options, app.now()).await?;
    let full_name = || format!("{}/{name}", user.name);
    let created = created.ok_or_else(|| Problem::conflict(format!("Server {} already exists", full_name())))?;
    if created.1 {
        app.audited(by, Act::ServerCreate, Object::Server(&user.name, name), Value::Null).await;
    }
    Ok(created)
}

/// Checks the name and the number of a named server that is to be.
pub async fn check_new_name(app: &App, user: &User, name: &str) -> Result<(), Problem> {
    check_name(app, name)?;
    let config = &app.config.hub;
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

/// Servers of before there was a rule for names may be started, where the configuration lets them.
fn check_start(app: &App, name: &str) -> Result<(), Problem> {
    if name.is_empty() || app.config.hub.allow_invalid_named_server_start || ServerName::parse(name).is_ok() {
        return Ok(());
    }
    let text = format!("Starting invalid server_name {name:?} is disabled, contact your administrator");
    Err(Problem::bad(text.replace('"', "'")))
}

/// Checks the name of a named server that is to be.
pub fn check_name(app: &App, name: &str) -> Result<(), Problem> {
    if !app.config.hub.allow_named_servers {
        return Err(Problem::bad("Named servers are not enabled."));
    }
    ServerName::parse(name).map_err(|_| Problem::bad(format!("Invalid server_name: '{name}'")))?;
    Ok(())
}

/// Writes the intent to stop, and tells the keeper.
pub async fn want_stopped(app: &App, by: &Actor, server: &Server) -> Result<(), Problem> {
    breakpoint::pass("intent.stop.before");
    let wanted = app.store.want_stopped(server.id, app.now()).await?;
    breakpoint::pass("intent.stop.after");
    note_stop(app, by, server, wanted).await;
    Ok(())
}

/// Stops a server and deletes it for good, now or, if that takes long, once it has stopped (`task::removal`): the wish is
/// written down, so that it needs nobody who waits. A start that somebody asks for meanwhile wins. Returns whether it is
/// gone.
pub async fn stop_and_remove(app: &App, by: &Actor, server: &Server) -> Result<bool, Problem> {
    breakpoint::pass("intent.stop.before");
    let mark = serde_json::to_value(by).map_err(|error| Problem::internal("who wants it deleted", error))?;
    let wanted = app.store.want_removed(server.id, &mark, app.now()).await?;
    breakpoint::pass("intent.stop.after");
    note_stop(app, by, server, wanted).await;
    Ok(wait_for(app, server.id, Until::Stopped).await? && remove(app, by, server.id).await?)
}

async fn note_stop(app: &App, by: &Actor, server: &Server, wanted: WantStopped) {
    app.keeper.nudge(server.id);
    if wanted == WantStopped::Accepted {
        app.audited(by, Act::ServerStop, Object::Server(&server.user_name, &server.name), Value::Null).await;
    }
}

/// Writes the intent to stop a server that was judged idle, if it still is, and tells the keeper. Returns whether it
/// did.
pub async fn want_idle_stopped(
    store: &Store,
    keeper: &Keeper,
    judged: &Judged,
    remove: bool,
) -> Result<bool, StoreError> {
    let wanted = store.want_idle_stopped(judged, remove, keeper.0.now()).await?;
    if wanted {
        keeper.nudge(judged.id);
    }
    Ok(wanted)
}

/// Deletes a stopped server for good. `false` where its driver cannot be asked: without the row nobody would ever clear away
/// what is left of it.
pub async fn remove(app: &App, by: &Actor, id: SpawnerId) -> Result<bool, Problem> {
    let Some(server) = app.keeper.hold_at_rest(id).await? else { return Ok(true) };
    let identity = app.keeper.identity(&server);
    if let Err(error) = app.driver.forget(&identity, state_of(&server)).await {
        tracing::warn!(
            user = server.user_name,
            server = server.name,
            "not deleted yet, what is left of it cannot be: {error}"
        );
        app.keeper.let_go(id).await?;
        return Ok(false);
    }
    if app.store.delete_server(id).await? {
        app.audited(by, Act::ServerDelete, Object::Server(&server.user_name, &server.name), Value::Null).await;
    } else {
        // Somebody asked for it meanwhile: the start that has waited finds what is left.
        app.keeper.let_go(id).await?;
    }
    Ok(true)
}

/// The stored failure of a server, if its last start or run ended with one.
pub fn failure(server: &Server) -> Option<Failure> {
    server.failure.as_ref().and_then(|failure| serde_json::from_value(failure.clone()).ok())
}

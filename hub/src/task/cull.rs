//! The culler: stops servers that nobody uses, and where the operator wants it deletes named servers and users. When
//! somebody has to go is decided in `hub_core::cull`; stopping is an intent as any other, which the keeper carries out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::cull::{Away, End, Reason, Rules, Running};
use hub_core::id::{SpawnerId, UserId};
use hub_store::{Judged, Server, Store, StoreError, User};
use serde_json::json;
use spawners::{Sight, Spawner};
use tokio_util::sync::CancellationToken;

use crate::api::users;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::intent::{self, Until};
use crate::keeper::{Keeper, state_of};
use crate::task::removal;

/// So many servers or users are looked at together.
const PART: u32 = 200;
/// The longest that a new hub waits before its first look.
const SETTLE: Duration = Duration::from_secs(600);
/// Named servers that are to be deleted are waited for so long; those that take longer go when they have stopped.
const STOPPING: Duration = Duration::from_secs(60);
/// The turn of the look among several hubs.
const TURN: &str = "cull";

/// Runs until told to stop. Ends at once where no culler is wanted.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(rules) = app.config.culler.rules() else { return };
    let period = app.config.culler.period();
    // While no hub ran, nobody could report activity: what is used has to be heard of first.
    let mut wait = app.config.culler.timeout.duration().min(SETTLE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = period;
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = in_turn(&app, &rules, period) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!("culler: {error}");
        }
    }
}

/// Looks once, unless another hub on this database has just done it.
async fn in_turn(app: &App, rules: &Rules, period: Duration) -> anyhow::Result<()> {
    let now = app.now();
    // A tenth less than the period: the next look must not come a moment before its turn.
    let until = now + TimeDelta::from_std(period * 9 / 10)?;
    if app.store.take_turn(TURN, now, until).await? {
        once(app, rules).await?;
    }
    Ok(())
}

/// One look at everybody who may have been away for too long.
pub async fn once(app: &App, rules: &Rules) -> anyhow::Result<()> {
    let remove = app.config.culler.remove_named_servers;
    let stopped = servers(&app.store, app.driver.as_ref(), &app.keeper, rules, remove).await?;
    for Culled { server, reason } in &stopped {
        let (object, why) = (Object::Server(&server.user_name, &server.name), json!({ "why": reason.to_string() }));
        app.audited(&actor(), Act::ServerStop, object, why).await;
    }
    if remove && !stopped.is_empty() {
        let deadline = tokio::time::Instant::now() + STOPPING;
        for Culled { server, .. } in stopped {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if let Err(problem) = intent::wait_at_most(app, server.id, Until::Stopped, left).await {
                tracing::warn!(user = server.user_name, server = server.name, "culler: {problem}");
            }
        }
        removal::once(app).await?;
    }
    if app.config.culler.cull_users {
        users(app, rules).await?;
    }
    Ok(())
}

/// The instants before which activity and start are worth a closer look.
fn horizon(rules: &Rules, now: Time) -> (Time, Option<Time>) {
    (now - rules.shortest_timeout(), rules.max_age.map(|age| now - age))
}

/// A server that is to stop, and why.
pub struct Culled {
    /// The server as it was judged.
    pub server: Server,
    /// Why it has to go.
    pub reason: Reason,
}

/// Who culls, for the audit.
pub fn actor() -> Actor {
    Actor::part("culler")
}

/// Stops idle servers; returns those whose stop was recorded. With `remove`, named ones are marked to be deleted.
pub async fn servers(
    store: &Store,
    driver: &dyn Spawner,
    keeper: &Keeper,
    rules: &Rules,
    remove: bool,
) -> Result<Vec<Culled>, StoreError> {
    let (mut after, mut stopped) = (SpawnerId(0), Vec::new());
    loop {
        let now = keeper.0.now();
        let (active_before, started_before) = horizon(rules, now);
        let part = store.idle_servers(active_before, started_before, after, PART).await?;
        let Some(last) = part.last() else { return Ok(stopped) };
        after = last.id;
        let owners: Vec<UserId> = part.iter().map(|server| server.user_id).collect();
        let groups = groups_of(store, rules, &owners).await?;
        for server in part {
            let groups = groups.get(&server.user_id).map_or(&[][..], Vec::as_slice);
            let Some(reason) = rules.judge_server(&running(&server), groups, now) else { continue };
            if !is_up(driver, keeper, &server).await {
                continue;
            }
            let judged = Judged { id: server.id, generation: server.generation, last_activity: server.last_activity };
            if intent::want_idle_stopped(store, keeper, &judged, remove && !server.name.is_empty()).await? {
                tracing::info!(user = server.user_name, server = server.name, %reason, "culled a server");
                stopped.push(Culled { server, reason });
            }
        }
    }
}

/// What the rules want to know of a running server.
pub fn running(server: &Server) -> Running {
    Running { named: !server.name.is_empty(), started: server.started, last_activity: server.last_activity }
}

/// When a person who is there now will be deleted, if they do nothing from now on; nothing where people are not.
pub fn end_of(app: &App, user: &User, groups: &[String]) -> Option<End> {
    let rules = app.config.culler.rules().filter(|_| app.config.culler.cull_users)?;
    let last_activity = Some(user.last_activity.map_or(app.now(), |active| active.max(app.now())));
    rules.end_of_user(&Away { admin: user.admin, created: user.created, last_activity }, groups)
}

/// The groups of users, where any rule asks for them.
async fn groups_of(store: &Store, rules: &Rules, users: &[UserId]) -> Result<HashMap<UserId, Vec<String>>, StoreError> {
    if rules.group_timeouts.is_empty() {
        return Ok(HashMap::new());
    }
    store.groups_of_users(users).await
}

/// Whether a server is known to run. One that cannot be asked about may be in use: it stays.
async fn is_up(driver: &dyn Spawner, keeper: &Keeper, server: &Server) -> bool {
    match driver.look(&keeper.identity(server), state_of(server)).await {
        Ok(Sight::Up { .. }) => true,
        Ok(_) => {
            // It ended by itself: the keeper finds out how, and tells.
            keeper.nudge(server.id);
            false
        }
        Err(error) => {
            tracing::warn!(user = server.user_name, server = server.name, "not culled, its state is unknown: {error}");
            false
        }
    }
}

/// Deletes users who are away and have no server in use.
async fn users(app: &App, rules: &Rules) -> Result<(), StoreError> {
    let mut after = UserId(0);
    loop {
        let now = app.now();
        let (active_before, created_before) = horizon(rules, now);
        let part = app.store.idle_users(active_before, created_before, after, PART).await?;
        let Some(last) = part.last() else { return Ok(()) };
        after = last.id;
        let ids: Vec<UserId> = part.iter().map(|user| user.id).collect();
        let groups = groups_of(&app.store, rules, &ids).await?;
        for user in &part {
            let groups = groups.get(&user.id).map_or(&[][..], Vec::as_slice);
            delete_user(app, rules, user, groups).await?;
        }
    }
}

async fn delete_user(app: &App, rules: &Rules, user: &User, groups: &[String]) -> Result<(), StoreError> {
    // Not somebody who could be away.
    if app.config.collaboration_of(&user.name).is_some() {
        return Ok(());
    }
    // Read again: somebody may have come back while others were deleted.
    let Some(user) = app.store.user_by_id(user.id).await? else { return Ok(()) };
    let away = Away { admin: user.admin, created: user.created, last_activity: user.last_activity };
    let Some(reason) = rules.judge_user(&away, groups, app.now()) else { return Ok(()) };
    match users::remove(app, &actor(), &user).await {
        Ok(()) => tracing::info!(user = user.name, %reason, "culled a user"),
        Err(problem) => tracing::warn!(user = user.name, "not culled: {problem}"),
    }
    Ok(())
}

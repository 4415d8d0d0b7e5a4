//! Once a period, and when a driver says so, compares what runs with what should.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hub_core::id::SpawnerId;
use hub_core::life::Phase;
use hub_store::Server;
use spawners::{Owned, Sight, Spawner, Stop};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::keeper::state_of;

/// Nudges of a driver that wait to be heard.
const NUDGES: usize = 1024;

/// Runs until told to stop.
pub async fn run(app: Arc<App>, period: Duration, stop: CancellationToken) {
    let (sender, mut nudges) = mpsc::channel::<SpawnerId>(NUDGES);
    let watching = {
        let (driver, stop) = (app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.watch(sender, stop).await })
    };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut listening = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            nudge = nudges.recv(), if listening => match nudge {
                Some(server) => app.keeper.nudge(server),
                None => listening = false,
            },
            _ = ticks.tick() => {
                if let Err(error) = once(&app).await {
                    tracing::warn!("survey: {error:#}");
                }
            }
        }
    }
    let _ = watching.await;
}

/// Nudges every ready server that is gone, clears away what belongs to no row, and puts routes right.
pub async fn once(app: &App) -> anyhow::Result<()> {
    let rows = app.store.active_servers().await?;
    for server in rows.iter().filter(|server| server.phase == Phase::Ready) {
        if !is_up(app, server).await {
            app.keeper.nudge(server.id);
        }
    }
    let rows: HashMap<SpawnerId, &Server> = rows.iter().map(|server| (server.id, server)).collect();
    for owned in app.driver.list_owned().await? {
        if is_stray(&owned, rows.get(&owned.identity.spawner).copied()) {
            clear_away(app.driver.as_ref(), &owned).await;
        }
    }
    let recipe = app.keeper.recipe();
    crate::task::routes::reconcile(&app.store, recipe, app.keeper.signals()).await?;
    Ok(())
}

async fn is_up(app: &App, server: &Server) -> bool {
    let identity = app.keeper.identity(server);
    // Unreachable is not absent: the keeper will find the same, and rest.
    !matches!(app.driver.look(&identity, state_of(server)).await, Ok(Sight::Absent | Sight::Exited { .. }))
}

/// Whether something in the world belongs to a start that is over. What is newer than the row as it was read is left
/// alone: the row was read first.
fn is_stray(owned: &Owned, row: Option<&Server>) -> bool {
    row.is_some_and(|row| owned.identity.generation < row.generation)
}

async fn clear_away(driver: &dyn Spawner, owned: &Owned) {
    let identity = &owned.identity;
    tracing::warn!(server = %identity.spawner, generation = %identity.generation, "stopping what an earlier start left");
    if let Err(error) = driver.stop(identity, &owned.state, Stop { force: true }).await {
        tracing::warn!("{error}");
    }
}

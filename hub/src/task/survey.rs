//! Once a period, and when a driver says so, compares what runs with what should.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::{Desired, Phase};
use hub_store::{Server, Store, StoreError};
use spawners::{MemoryFull, News, Owned, Sight, Sites, Spawner, Stop};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::keeper::{Keeper, state_of};

/// News of a driver that wait to be heard.
const NEWS: usize = 1024;

/// So many servers are looked at at the same time: a spawner that asks another program takes a while for each.
const LOOKS: usize = 16;

/// So long one that is worth a look may take to be looked at.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until told to stop.
pub async fn run(app: Arc<App>, period: Duration, stop: CancellationToken) {
    let (sender, mut news) = mpsc::channel::<News>(NEWS);
    let watching = {
        let (driver, stop) = (app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.watch(sender, stop).await })
    };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut listening = true;
    let mut first = Some(std::time::Instant::now());
    let mut looking = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            heard = news.recv(), if listening && looking.len() < LOOKS => match heard {
                Some(News::Look(server)) => {
                    let app = Arc::clone(&app);
                    looking.spawn(async move {
                        if is_worth_it(&app.store, app.driver.as_ref(), &app.keeper, server).await {
                            app.keeper.nudge(server);
                        }
                    });
                }
                Some(News::Missed) => ticks.reset_immediately(),
                Some(News::MemoryFull(full)) => {
                    if let Err(error) = note(&app.store, &full).await {
                        tracing::warn!(user = full.server.user, "a full memory is not told: {error}");
                    }
                }
                None => listening = false,
            },
            Some(_) = looking.join_next() => {}
            _ = ticks.tick() => {
                if let Err(error) = once(&app.store, app.driver.as_ref(), &app.keeper).await {
                    tracing::warn!("survey: {error:#}");
                }
                if let Some(begun) = first.take() {
                    crate::metrics::servers_found(begun.elapsed());
                }
            }
        }
    }
    let _ = watching.await;
}

/// Notes that the memory of a server was full, if it was in its present run. Tells whether that was new.
pub async fn note(store: &Store, full: &MemoryFull) -> Result<bool, StoreError> {
    let Some(row) = store.server_by_id(full.server.spawner).await? else { return Ok(false) };
    // What is kept from start to start has the generation of its first.
    let of_this_run = match full.kept {
        true => row.started.is_some_and(|started| started <= full.at),
        false => full.server.generation == row.generation,
    };
    let found = hub_store::MemoryFull { at: full.at, limit: full.limit };
    Ok(of_this_run && store.note_memory_full(row.id, row.generation, &found).await?)
}

/// Puts routes right, nudges every ready server that is gone, and clears away what belongs to no row.
pub async fn once(store: &Store, driver: &dyn Spawner, keeper: &Keeper) -> anyhow::Result<()> {
    // First: a spawner that cannot be asked keeps no route from being put right.
    let rows = crate::task::routes::reconcile(store, keeper.recipe(), keeper.signals()).await?;
    let ready = rows.iter().filter(|server| server.phase == Phase::Ready);
    let looks = futures_util::stream::iter(ready).for_each_concurrent(LOOKS, async |server| {
        if !is_up(driver, keeper, server).await {
            keeper.nudge(server.id);
        }
    });
    looks.await;
    let cleared = clear_strays(store, driver, keeper, &rows).await;
    let settled = keeper.settle_devices(&rows).await;
    cleared.and(settled)
}

/// Whether there is something to do about a server, so that it is taken up, which is three writes. What has no row is left
/// to the survey.
pub async fn is_worth_it(store: &Store, driver: &dyn Spawner, keeper: &Keeper, server: SpawnerId) -> bool {
    match store.server_by_id(server).await {
        Ok(Some(row)) if row.phase == Phase::Ready && row.desired == Desired::Running => {
            matches!(tokio::time::timeout(PATIENCE, is_up(driver, keeper, &row)).await, Ok(false))
        }
        Ok(Some(row)) => row.phase != Phase::Stopped || row.desired != Desired::Stopped,
        Ok(None) => false,
        Err(_) => true,
    }
}

async fn is_up(driver: &dyn Spawner, keeper: &Keeper, server: &Server) -> bool {
    let (identity, begun) = (keeper.identity(server), std::time::Instant::now());
    // Unreachable is not absent: the keeper will find the same, and rest.
    let up = keeper.ways().is_beyond(server)
        || !matches!(driver.look(&identity, state_of(server)).await, Ok(Sight::Absent | Sight::Exited { .. }));
    crate::metrics::polled(up, begun.elapsed());
    up
}

/// Stops what no row knows: left by an earlier start, made by a hub that was late while another had finished, or somebody
/// else's whose numbers were given out again.
async fn clear_strays(store: &Store, driver: &dyn Spawner, keeper: &Keeper, rows: &[Server]) -> anyhow::Result<()> {
    let ways = keeper.ways();
    let rows: HashMap<SpawnerId, &Server> = rows.iter().map(|server| (server.id, server)).collect();
    for owned in driver.list_owned().await? {
        let id = owned.identity.spawner;
        let is_stray = |row: Option<&Server>| {
            is_stray(owned.identity.generation, row)
                || row.is_some_and(|row| owned.identity.is_anothers(&keeper.identity(row)))
        };
        let is_elsewhere = |row: &Server| Sites::site_of(&owned.state).is_some_and(|site| !ways.may_be_at(row, site));
        let stray = match rows.get(&id) {
            Some(row) if row.phase != Phase::Stopped && !is_elsewhere(row) => is_stray(Some(row)),
            // Read after the listing: what is stopped now, or is at another site, was not on its way up when it was listed.
            _ => {
                let row = store.server_by_id(id).await?;
                is_stray(row.as_ref()) || row.as_ref().is_some_and(is_elsewhere)
            }
        };
        if stray {
            clear_away(driver, &owned).await;
        }
    }
    Ok(())
}

/// Whether something in the world belongs to a start that is over. What is newer than the row as it was read is left
/// alone, as the row may have been read first; one of a stopped server was read after it.
fn is_stray(generation: Generation, row: Option<&Server>) -> bool {
    row.is_none_or(|row| generation < row.generation || row.phase == Phase::Stopped)
}

async fn clear_away(driver: &dyn Spawner, owned: &Owned) {
    let identity = &owned.identity;
    tracing::warn!(server = %identity.spawner, generation = %identity.generation, "stopping what an earlier start left");
    if let Err(error) = driver.stop(identity, &owned.state, Stop { force: true }).await {
        tracing::warn!("{error}");
    }
}

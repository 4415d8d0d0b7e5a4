//! Looks every few minutes how much runs, by group, for the usage over time of the admin panel. Of several hubs on one
//! database one looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::id::UserId;
use hub_store::{Server, StoreError, Usage, UsageOf};
use tokio_util::sync::CancellationToken;

use crate::api::view;
use crate::app::App;
use crate::panel::facts::{self, Standard};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(300);
/// The turn of the look among several hubs.
const TURN: &str = "usage";
/// How long looks are kept.
const KEPT: TimeDelta = TimeDelta::days(31);
/// So many groups are told apart in one look; a month of looks has a bounded number of rows.
const GROUPS: usize = 24;

/// Runs until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = in_turn(&app).await {
            tracing::warn!("usage is not recorded: {error}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Looks once, unless another hub, or this one before it was started again, has just done it. Tells whether it did.
pub async fn in_turn(app: &App) -> Result<bool, StoreError> {
    let now = app.now();
    // A tenth less than the period: the next look must not come a moment before its turn.
    let until = now + TimeDelta::from_std(PERIOD * 9 / 10).unwrap_or_default();
    let mine = app.store.take_turn(TURN, now, until).await?;
    if mine {
        once(app).await?;
    }
    Ok(mine)
}

/// One look.
pub async fn once(app: &App) -> Result<(), StoreError> {
    let now = app.now();
    let running: Vec<Server> = app.store.active_servers().await?.into_iter().filter(view::is_ready).collect();
    let mut owners: Vec<UserId> = running.iter().map(|server| server.user_id).collect();
    owners.sort_unstable_by_key(|id| id.0);
    owners.dedup();
    let groups = app.store.groups_of_users(&owners).await?;
    let spawner = &app.config.spawner;
    let standard = Standard { cores: spawner.cpu_limit, memory: spawner.mem_limit.map(|size| size.0) };
    app.store.record_usage(now, &gather(&running, &groups, standard)).await?;
    app.store.purge_usage(now - KEPT).await.map(drop)
}

/// What runs, by group; the smallest groups together.
fn gather(running: &[Server], groups: &HashMap<UserId, Vec<String>>, standard: Standard) -> Vec<(UsageOf, Usage)> {
    let mut sums: HashMap<UsageOf, Usage> = HashMap::new();
    for server in running {
        let names = groups.get(&server.user_id).map_or(&[][..], Vec::as_slice);
        let of = facts::counted_for(names).map_or(UsageOf::Nobody, |name| UsageOf::Group(name.to_owned()));
        add(sums.entry(of).or_default(), facts::usage(server, standard));
    }
    let mut found: Vec<(UsageOf, Usage)> = sums.into_iter().collect();
    // Nobody's first, then the largest.
    found.sort_by(|a, b| {
        let named = |of: &UsageOf| *of != UsageOf::Nobody;
        named(&a.0).cmp(&named(&b.0)).then(b.1.servers.cmp(&a.1.servers)).then_with(|| a.0.cmp(&b.0))
    });
    let rest = found.split_off(found.len().min(GROUPS));
    if !rest.is_empty() {
        let mut others = Usage::default();
        rest.into_iter().for_each(|(_, usage)| add(&mut others, usage));
        found.push((UsageOf::Others, others));
    }
    found
}

fn add(sum: &mut Usage, more: Usage) {
    let Usage { servers, millicores, memory, gpus } = more;
    sum.servers = sum.servers.saturating_add(servers);
    sum.millicores = sum.millicores.saturating_add(millicores);
    sum.memory = sum.memory.saturating_add(memory);
    sum.gpus = sum.gpus.saturating_add(gpus);
}

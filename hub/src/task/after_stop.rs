//! Tells the hook `post_stop` of servers that have stopped: from rows, at least once, and not without end.

use std::sync::Arc;
use std::time::Duration;

use callout::Callout;
use hub_store::{AfterStop, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Between two looks for work.
const PERIOD: Duration = Duration::from_secs(1);
/// Whoever tells one has this much longer than the hook's own time limit before another hub tells it.
const MARGIN: Duration = Duration::from_secs(30);
/// So many are taken up at once.
const AT_ONCE: u32 = 64;
/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Runs until told to stop; ends at once when there is no such hook.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    if app.hooks.post_stop.is_none() {
        return;
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // Dropped in the middle, its rows are told by the next hub.
            () = once(&app) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn once(app: &Arc<App>) {
    let Some(callout) = &app.hooks.post_stop else { return };
    let until = app.now() + callout.bounds().limit + MARGIN;
    let claimed = match app.store.claim_after_stop(app.now(), until, AT_ONCE).await {
        Ok(claimed) => claimed,
        Err(error) => return tracing::warn!("hooks.post_stop: {error}"),
    };
    let mut told = JoinSet::new();
    for row in claimed {
        let app = app.clone();
        told.spawn(async move {
            if let Err(error) = tell(&app, &row).await {
                tracing::warn!("hooks.post_stop: {error}");
            }
        });
    }
    while told.join_next().await.is_some() {}
}

async fn tell(app: &App, row: &AfterStop) -> Result<(), StoreError> {
    let Some(callout) = &app.hooks.post_stop else { return Ok(()) };
    let retries = app.hooks.post_stop_retries;
    match attempt(callout, row).await {
        Ok(()) => tracing::debug!(server = %row.spawner_id, "hooks.post_stop was told"),
        Err(what) if row.attempts <= retries => {
            tracing::warn!(server = %row.spawner_id, attempt = row.attempts, "hooks.post_stop: {what}; trying again");
            app.store.put_off_after_stop(row.id, app.now() + pause(row.attempts)).await?;
            return Ok(());
        }
        Err(what) => {
            tracing::error!(server = %row.spawner_id, attempt = row.attempts, "hooks.post_stop: {what}; given up");
        }
    }
    app.store.forget_after_stop(row.id).await.map(drop)
}

/// What is answered does not matter; that it is an answer does.
async fn attempt(callout: &Callout, row: &AfterStop) -> Result<(), String> {
    callout.ask(&row.question).await.map(drop).map_err(|trouble| trouble.to_string())
}

/// How long to wait after so many attempts: 2 s, 4 s, 8 s …
fn pause(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_up_to_a_bound() {
        let table = [(1, 2), (2, 4), (5, 32), (9, 512), (10, 600), (u32::MAX, 600)];
        for (attempts, seconds) in table {
            assert_eq!(pause(attempts), Duration::from_secs(seconds), "{attempts}");
        }
    }
}

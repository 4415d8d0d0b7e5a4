//! Deletes what has expired: tokens, codes, sessions, old progress, tombstones of routes.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Between two clean-ups.
const PERIOD: Duration = Duration::from_secs(3600);
/// How long progress events are kept.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// Runs until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = once(&app).await {
            tracing::warn!("clean-up: {error}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn once(app: &App) -> Result<(), hub_store::StoreError> {
    let now = app.now();
    app.store.purge_expired(now).await?;
    app.store.purge_events(now - KEPT).await?;
    Ok(())
}

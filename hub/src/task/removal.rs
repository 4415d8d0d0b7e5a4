//! Deletes servers that were to go once they have stopped: marks in the database, so that neither who asked nor the hub that
//! was asked need be there any more. Several hubs may do so at the same time; the second finds nothing.

use std::sync::Arc;
use std::time::Duration;

use hub_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::cull;
use crate::app::App;
use crate::audit::Actor;
use crate::intent;

/// Between two looks, beside those when a server of this hub's has got on: another hub's may have stopped.
const PERIOD: Duration = Duration::from_secs(15);
/// Servers get on often where there are many.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut changes = app.keeper.signals().follow_all();
    loop {
        changes.mark_unchanged();
        if let Err(error) = once(&app).await {
            tracing::warn!("servers that have stopped are not deleted at present: {error}");
        }
        let changed = async {
            tokio::time::sleep(PAUSE).await;
            // Without a sender there is no hub any more.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Deletes those that have stopped by now.
pub async fn once(app: &App) -> Result<(), StoreError> {
    for (server, by) in app.store.marked_servers().await? {
        let by = by.and_then(|by| serde_json::from_value::<Actor>(by).ok()).unwrap_or_else(cull::actor);
        if let Err(problem) = intent::remove(app, &by, server.id).await {
            tracing::warn!(user = server.user_name, server = server.name, "not deleted: {problem}");
        }
    }
    Ok(())
}

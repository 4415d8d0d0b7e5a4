//! Deletes what has expired: tokens, codes, sessions, old progress, acts of the audit, folders in the trash, deleted routes, proxies that are gone.

use std::sync::Arc;
use std::time::Duration;

use hub_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Between two clean-ups.
const PERIOD: Duration = Duration::from_secs(3600);
/// How long progress events, failures to log in and proxies that are away are remembered.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// How long announcements are kept that are over.
const ANNOUNCED: chrono::TimeDelta = chrono::TimeDelta::days(90);

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

async fn once(app: &App) -> Result<(), StoreError> {
    crate::folders::people::empty_trash(app).await;
    let (store, now) = (&app.store, app.now());
    store.purge_expired(now).await?;
    store.purge_upstream_others(now).await?;
    store.purge_events(now - KEPT).await?;
    store.purge_announcements(now - ANNOUNCED).await?;
    if let days @ 1.. = app.config.audit.keep_days {
        store.purge_audit(now - chrono::TimeDelta::days(days.into())).await?;
    }
    store.purge_login_failures(now - KEPT, now).await?;
    // A deleted route is remembered until every proxy has heard of it; one that stays away gets a snapshot.
    let mut heard = Vec::new();
    for proxy in store.list_proxies().await? {
        if proxy.seen_at < now - KEPT {
            store.delete_proxy(&proxy.id).await?;
        } else {
            heard.push(proxy.revision);
        }
    }
    if let Some(lowest) = heard.into_iter().min() {
        store.purge_routes(lowest).await?;
    }
    Ok(())
}

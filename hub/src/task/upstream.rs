//! Renews people's tokens before they end, and asks identity providers who is still let in, of those who are about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::upstream::Refused;

/// How often it is looked who is due.
const PERIOD: Duration = Duration::from_millis(500);
/// How often it is looked whether the database still has what it took.
const LOOK: Duration = Duration::from_secs(3);
/// Whoever used a token within this time is about.
pub const ABOUT: TimeDelta = TimeDelta::hours(1);
/// So many are renewed at once, and taken up at one look.
const AT_ONCE: usize = 8;
const MOST: u32 = 64;

/// Runs until told to stop. Without providers there is nothing to do.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    if app.login.providers().is_empty() {
        return;
    }
    let mut looked = Instant::now();
    loop {
        if let Err(error) = once(&app).await {
            tracing::warn!("tokens of people are not renewed at present: {error}");
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Err(error) = app.upstream.keep_again().await {
                tracing::warn!("whether the database has lost tokens of people is not known at present: {error}");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn once(app: &App) -> Result<(), hub_store::StoreError> {
    let now = app.now();
    let due = app.store.due_upstreams(now, now - ABOUT, MOST).await?;
    let looks = due.into_iter().map(|user| async move {
        match app.upstream.check_due(user).await {
            // What cannot be mended is told by the row, and to the log when it was found.
            Ok(()) | Err(Refused::Failed(_) | Refused::NotAdmitted | Refused::Target(_)) => {}
            Err(Refused::NotKept) => {
                // Nothing to look after any more: until the next login.
                if let Err(error) = app.store.upstream_good(user, now, None).await {
                    tracing::warn!(%user, "{error}");
                }
            }
            Err(Refused::Problem(problem)) => tracing::warn!(%user, "tokens are not renewed: {problem}"),
        }
    });
    stream::iter(looks).buffer_unordered(AT_ONCE).collect::<()>().await;
    Ok(())
}

//! Looks whether identity providers answer, so that the login page can say so before somebody tries, and the first
//! login of the day need not wait.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often a provider that does not answer is asked again.
const DOWN: Duration = Duration::from_secs(15);

/// Runs until the hub stops.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let looks = app.login.providers().iter().map(|provider| async {
        let mut told = false;
        loop {
            match provider.look().await {
                Ok(()) if told => tracing::info!(provider = provider.name(), "the identity provider answers again"),
                Ok(()) => {}
                Err(trouble) if !told => {
                    tracing::warn!(provider = provider.name(), "nobody can log in at the identity provider: {trouble}");
                }
                Err(_) => {}
            }
            // One that has answered once is asked by the logins themselves.
            told = provider.failure().is_some();
            if !told {
                return;
            }
            tokio::time::sleep(DOWN).await;
        }
    });
    tokio::select! {
        _ = futures_util::future::join_all(looks) => {}
        () = stop.cancelled() => {}
    }
}

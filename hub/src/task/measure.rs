//! What is measured once in a while: how many users there are and were active, and how late a task wakes up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hub_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::metrics;

/// Users are counted anew so often: another hub on the same database, or an operator's hand, may have changed them.
const USERS: Duration = Duration::from_secs(300);
/// The shortest of sleeps that are measured, and of pauses between counts.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts users until told to stop.
pub async fn users(app: Arc<App>, stop: CancellationToken) {
    let config = &app.config.metrics;
    let period = config.active_users_update_interval.duration().max(SHORTEST_PAUSE);
    let mut counted: Option<Instant> = None;
    loop {
        let due = config.active_users_enabled && counted.is_none_or(|counted| counted.elapsed() >= period);
        match count(&app, due).await {
            Ok(()) if due => counted = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => tracing::warn!("users are not counted: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(USERS.min(period)) => {}
        }
    }
}

async fn count(app: &App, active_too: bool) -> Result<(), StoreError> {
    metrics::users_counted(app.store.count_users().await?);
    if active_too {
        let since = metrics::PERIODS.map(|(_, days)| app.now() - TimeDelta::days(days));
        metrics::active_users_counted(app.store.count_active_users(since).await?);
    }
    Ok(())
}

/// Sleeps and looks how late it wakes up, until told to stop. `place` is told in the log: every thread that answers
/// requests has such a task, and so has the keeper's runtime.
pub async fn loop_interval(app: Arc<App>, place: &'static str, stop: CancellationToken) {
    let config = &app.config.metrics;
    if !config.event_loop_interval_enabled {
        return;
    }
    let sleep = config.event_loop_interval_resolution.duration().max(SHORTEST_SLEEP);
    let slow = config.event_loop_interval_log_threshold.duration();
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(sleep) => {}
        }
        let took = last.elapsed();
        last = Instant::now();
        let delay = delay(took, sleep);
        if delay >= slow && delay > sleep {
            tracing::warn!("{place} was held up for at least {:.2} s", delay.as_secs_f64());
        }
        metrics::loop_interval(delay);
    }
}

/// As JupyterHub counts it: less than twice the sleep is no delay, which counts as the sleep itself.
fn delay(took: Duration, sleep: Duration) -> Duration {
    if took < sleep * 2 { sleep } else { took - sleep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_what_goes_beyond_the_sleep() {
        let of = |took| delay(Duration::from_millis(took), Duration::from_millis(50)).as_millis();
        assert_eq!([of(50), of(99), of(100), of(250)], [50, 50, 50, 200]);
    }
}

//! Keeps watches going, whatever ends them.

use std::time::Duration;

use tokio::task::JoinSet;

/// The pause before one is begun again.
pub(crate) const AGAIN: Duration = Duration::from_secs(10);

/// Does something that has no end, and begins it again if it ends all the same, or panics.
pub(crate) async fn kept_going<F>(what: &str, pause: Duration, mut work: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut working = JoinSet::new();
        working.spawn(work());
        match working.join_next().await {
            Some(Err(error)) => tracing::error!("{what} died, and is begun again: {error}"),
            _ => tracing::error!("{what} has ended, and is begun again"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Whole seconds, of which there is at least one.
pub(crate) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_watch_that_ends_or_panics_is_begun_again() {
        let (begun, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let working = {
            let (begun, stop) = (Arc::clone(&begun), stop.clone());
            move || {
                let (begun, stop) = (Arc::clone(&begun), stop.clone());
                async move {
                    match begun.fetch_add(1, Ordering::Relaxed) {
                        0 => {}
                        1 => panic!("as told"),
                        _ => {
                            stop.cancel();
                            std::future::pending().await
                        }
                    }
                }
            }
        };
        stop.run_until_cancelled(kept_going("a watch", Duration::ZERO, working)).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}

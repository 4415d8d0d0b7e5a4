//! Waiting on a condition with a deadline. Tests never wait for a time to pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(20);

/// Tries until the attempt gives a value, and fails with the last error once the deadline is over.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        let last = match attempt().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if began.elapsed() > deadline {
            match last {
                Some(error) => bail!("no {what} within {deadline:?}: {error:#}"),
                None => bail!("no {what} within {deadline:?}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for callers that cannot await. Returns whether the condition came true in time.
pub fn came_true(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

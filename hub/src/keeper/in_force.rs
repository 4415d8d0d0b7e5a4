//! How far the connected proxies have come: read once for all who wait for it, however many start at once.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Inner;

/// A reading is of use for so long: another hub may hear an acknowledgement, and a proxy may fall silent.
const FRESH: Duration = Duration::from_millis(200);

/// What was read last.
#[derive(Default)]
pub(crate) struct InForce(Mutex<Option<Reading>>);

struct Reading {
    /// How many acknowledgements had been heard before it.
    heard: u64,
    at: Instant,
    /// The revision that all connected proxies have; `None` without any, or where it could not be read.
    lowest: Option<i64>,
}

impl InForce {
    async fn lowest<E>(
        &self,
        heard: impl Fn() -> u64,
        now: impl Fn() -> Instant,
        read: impl AsyncFnOnce() -> Result<Option<i64>, E>,
    ) -> Result<Option<i64>, E> {
        let mut last = self.0.lock().await;
        // Before the rows are read: what is acknowledged meanwhile is not missed.
        let heard = heard();
        if let Some(last) = last.as_ref().filter(|last| last.heard == heard && now() < last.at + FRESH) {
            return Ok(last.lowest);
        }
        let asked = read().await;
        // Whoever waited for a database that does not answer, does not all ask it again one after another.
        let lowest = asked.as_ref().ok().copied().flatten();
        *last = Some(Reading { heard, at: now(), lowest });
        asked
    }
}

impl Inner {
    /// Whether at least one proxy is connected, and all that are have this revision.
    pub(super) async fn is_in_force(&self, revision: i64) -> Result<bool, hub_store::StoreError> {
        let read = async || Ok(self.proxies().await?.iter().map(|proxy| proxy.revision).min());
        let lowest = self.in_force.lowest(|| self.signals.acknowledgements(), Instant::now, read).await?;
        Ok(lowest.is_some_and(|lowest| lowest >= revision))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn an_acknowledgement_is_read_once_for_all_who_wait_for_it() {
        let (in_force, heard, reads, now) = (InForce::default(), Cell::new(1), Cell::new(0), Cell::new(Instant::now()));
        let all = async |answer: Result<Option<i64>, ()>| {
            let read = async || {
                reads.set(reads.get() + 1);
                tokio::task::yield_now().await;
                answer
            };
            join_all((0..100).map(|_| in_force.lowest(|| heard.get(), || now.get(), read))).await
        };
        assert_eq!(all(Ok(Some(7))).await, vec![Ok(Some(7)); 100]);
        assert_eq!(reads.get(), 1);
        heard.set(2);
        assert_eq!(all(Ok(Some(8))).await, vec![Ok(Some(8)); 100]);
        assert_eq!(reads.get(), 2);
        now.set(now.get() + FRESH);
        let away = all(Err(())).await;
        assert_eq!((reads.get(), away.iter().filter(|answer| answer.is_err()).count()), (3, 1));
        assert_eq!(away.last(), Some(&Ok(None)), "who waited for it asks again later");
    }
}

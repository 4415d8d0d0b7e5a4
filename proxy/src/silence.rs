//! How long nothing may come: from a client in the middle of an upload, from a server before or in its answer.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// When something of an exchange was last seen, whichever way it went.
pub(crate) struct Pulse {
    begin: Instant,
    /// Milliseconds after the begin.
    last: AtomicU64,
}

impl Pulse {
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self { begin: Instant::now(), last: AtomicU64::new(0) })
    }

    fn beat(&self) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.begin + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// Runs out when nothing has come for a time. With a pulse, what goes the other way counts too.
pub(crate) struct Silence {
    bound: Duration,
    /// Armed only while nothing comes.
    alarm: Option<Pin<Box<Sleep>>>,
    pulse: Option<Arc<Pulse>>,
}

impl Silence {
    pub(crate) fn new(bound: Duration, pulse: Option<Arc<Pulse>>) -> Self {
        Self { bound, alarm: None, pulse }
    }

    /// Something came.
    pub(crate) fn broken(&mut self) {
        self.alarm = None;
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }

    /// Asked while nothing comes. Ready when that was too long.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let bound = self.bound;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        loop {
            ready!(alarm.as_mut().poll(context));
            let end = self.pulse.as_ref().map(|pulse| pulse.last() + bound);
            match end.filter(|end| *end > Instant::now()) {
                Some(end) => alarm.as_mut().reset(end),
                None => return Poll::Ready(()),
            }
        }
    }

    /// The output of the future, or None when the silence was too long before.
    pub(crate) async fn until<F: Future>(mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(context).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silence_lasts_from_what_was_last_seen_either_way() {
        let (bound, pulse) = (Duration::from_millis(200), Pulse::start());
        let begin = Instant::now();
        let mut other = Silence::new(bound, Some(Arc::clone(&pulse)));
        let waiting = Silence::new(bound, Some(pulse)).until(std::future::pending::<()>());
        let busy = async {
            tokio::time::sleep(bound / 2).await;
            other.broken();
        };
        let (silent, ()) = tokio::join!(waiting, busy);
        assert_eq!(silent, None);
        assert!(begin.elapsed() >= bound + bound / 2 - Duration::from_millis(2), "{:?}", begin.elapsed());
        assert_eq!(Silence::new(bound, None).until(async { 5 }).await, Some(5));
    }
}

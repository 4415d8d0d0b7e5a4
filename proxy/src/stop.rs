//! A stop signal that costs one relaxed load per poll of what it may stop.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use tokio_util::sync::CancellationToken;

/// A signal that is given once. The token alone would take a lock at every poll of every connection,
/// hence the flag beside it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    flag: AtomicBool,
    token: CancellationToken,
}

impl Stop {
    pub(crate) fn cancel(&self) {
        // The flag first: whoever the token wakes must see it.
        self.flag.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Waits for the signal.
    pub(crate) async fn given(&self) {
        self.token.cancelled().await;
    }

    /// The output of the future, or None when the signal comes first. Must be awaited by one task.
    pub(crate) async fn until<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut cancelled = pin!(self.token.cancelled());
        let mut armed = false;
        poll_fn(|context| {
            if !armed {
                armed = true;
                // Only to leave the waker: a task keeps its waker for life.
                let _ = cancelled.as_mut().poll(context);
            }
            if self.is_set() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

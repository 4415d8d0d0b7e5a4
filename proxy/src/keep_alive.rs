//! How long a client of HTTP/1.1 may keep a connection between requests, where that is less than it has for a head.
//!
//! Hyper has one bound for both, which runs from the last answer to the end of the next head.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use crate::body::{Download, DownloadError};

/// Whether a connection has a request.
pub(crate) struct Between {
    bound: Duration,
    open: AtomicBool,
    changed: Notify,
}

impl Between {
    pub(crate) fn new(bound: Duration) -> Arc<Self> {
        Arc::new(Self { bound, open: AtomicBool::new(false), changed: Notify::new() })
    }

    /// A request has come.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        self.open.store(true, Ordering::Release);
        self.changed.notify_one();
        Open(Arc::clone(self))
    }

    /// The output of the future, or None when the wait for the next request was too long. The first one has the bound
    /// on heads alone.
    pub(crate) async fn or_too_long<F: Future>(&self, future: F) -> Option<F::Output> {
        let waiting = async {
            self.changed.notified().await;
            loop {
                if self.open.load(Ordering::Acquire) {
                    self.changed.notified().await;
                } else if tokio::time::timeout(self.bound, self.changed.notified()).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            output = future => Some(output),
            () = waiting => None,
        }
    }
}

/// A request until its answer has ended.
pub(crate) struct Open(Arc<Between>);

/// The same answer, whose end is that of the request.
pub(crate) fn held(open: Option<Open>, answer: Response<Download>) -> Response<Download> {
    match open {
        None => answer,
        Some(open) => answer.map(|body| Download::Kept(Box::new(Kept { body, _open: open }))),
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
        self.0.changed.notify_one();
    }
}

/// The body of an answer, which hyper drops at its end.
pub(crate) struct Kept {
    pub(crate) body: Download,
    _open: Open,
}

impl Body for Kept {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

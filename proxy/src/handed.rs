//! What a client of HTTP/2 has to take before more of its stream is wanted.
//!
//! Such a client may take nothing and still answer pings, so that no kernel notices. hyper then asks nobody for more
//! and waits with what it has, which is seen here: the answers' bodies and the websockets note what they hand over, and
//! whoever runs the stream drops it, and with it the way upstream, when nothing of that is taken for too long.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, SizeHint},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    body::{Download, DownloadError},
    room::{Further, Room},
};

/// What all parts of a stream share.
#[derive(Default)]
pub(crate) struct Handed {
    /// Odd while something waits for the client. Written by one task at a time.
    count: AtomicUsize,
    /// Of a stream that is not alone in its connection, until all of it has ended.
    place: OnceLock<Further>,
}

tokio::task_local! {
    /// Of the stream that the task runs.
    static OF_STREAM: Arc<Handed>;
}

impl Handed {
    /// That of the stream which asks. Outside of a stream nobody looks at it.
    pub(crate) fn of_stream() -> Arc<Self> {
        OF_STREAM.try_with(Arc::clone).unwrap_or_default()
    }

    /// Takes a place for the stream; false when there is none.
    pub(crate) fn enter(&self, room: &Arc<Room>) -> bool {
        room.enter_further().is_some_and(|place| self.place.set(place).is_ok())
    }

    /// The client has to take something now, or still.
    fn wait(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
    }

    /// All was taken.
    fn taken(&self) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(count & 1), Ordering::Relaxed);
    }

    /// Ends when the same has waited for so long, or up to twice as long.
    async fn stalled(&self, patience: Duration) {
        loop {
            let before = self.count.load(Ordering::Relaxed);
            tokio::time::sleep(patience).await;
            if before % 2 == 1 && self.count.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// Runs a stream to its end, or until its client takes nothing of it. What a stream starts for itself is the same stream.
pub(crate) fn run(stream: impl Future<Output = ()>, patience: Duration) -> impl Future<Output = ()> {
    // Not in the task to be, which is not that of the stream yet.
    let handed = Handed::of_stream();
    async move {
        let mut stream = pin!(OF_STREAM.scope(Arc::clone(&handed), stream));
        tokio::select! {
            biased;
            () = stream.as_mut() => {}
            () = handed.stalled(patience) => tracing::debug!("a client takes nothing of a stream"),
        }
    }
}

/// The body of an answer.
pub(crate) struct SharedBody {
    body: Download,
    handed: Arc<Handed>,
}

impl SharedBody {
    /// Must be called by the task of the stream.
    pub(crate) fn new(body: Download) -> Self {
        Self { body, handed: Handed::of_stream() }
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let this = self.get_mut();
        // Whoever asks for more has sent what it had.
        this.handed.taken();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = &polled {
            this.handed.wait();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A websocket. It ends with its stream; a stream whose websocket has ended may only send what it holds.
pub(crate) struct SharedStream {
    stream: TokioIo<Upgraded>,
    handed: Arc<Handed>,
}

impl SharedStream {
    pub(crate) fn new(upgraded: Upgraded, handed: Arc<Handed>) -> Self {
        Self { stream: TokioIo::new(upgraded), handed }
    }

    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        match polled {
            Poll::Ready(_) => self.handed.taken(),
            Poll::Pending => self.handed.wait(),
        }
        polled
    }
}

impl Drop for SharedStream {
    fn drop(&mut self) {
        self.handed.wait();
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, buffer);
        this.noted(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.noted(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(context);
        this.noted(ended)
    }
}

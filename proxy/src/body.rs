//! Bodies on their way through: never collected, only counted, stamped and let pass.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderName;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::Sleep};

use crate::{
    access_log::Logged,
    budget::Turn,
    keep_alive::Kept,
    pool::Lease,
    route::Route,
    silence::Silence,
    splice::{self, Ends, Lost, Passage},
};

/// Why an upload ended early. The client never sees the text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client went silent in the middle of an upload")]
    Silent,
    #[error("the client's upload broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why an answer ended early. The client sees its connection cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error("the server went silent in the middle of an answer")]
    Silent,
    #[error("the server's answer broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error(transparent)]
    Lost(#[from] Lost),
}

type Polled = Poll<Option<Result<Frame<Bytes>, DownloadError>>>;

/// A request body.
pub(crate) enum Upload {
    Empty,
    Streamed(Box<Uploading>),
}

pub(crate) struct Uploading {
    incoming: Incoming,
    route: Arc<Route>,
    silence: Silence,
    gate: Option<Gate>,
    ended: Arc<AtomicBool>,
    /// Between what a pipe is put with the first byte that is wanted.
    from: Option<Arc<Ends>>,
    to: Option<Arc<Ends>>,
    passage: Option<Passage>,
}

/// Holds a body back whose client sent `Expect: 100-continue`, until the upstream wants it.
pub(crate) enum Gate {
    /// Opens with the upstream's `100`, or when patience ends: some servers never send one.
    Waiting(oneshot::Receiver<()>, Pin<Box<Sleep>>),
    /// The upstream has answered without the body; its connection is about to be cut.
    Shut,
}

impl Gate {
    pub(crate) fn new(wanted: oneshot::Receiver<()>, patience: Duration) -> Self {
        Self::Waiting(wanted, Box::pin(tokio::time::sleep(patience)))
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Waiting(wanted, patience) = self else { return Poll::Pending };
        match Pin::new(wanted).poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(_)) => {
                *self = Self::Shut;
                Poll::Pending
            }
            Poll::Pending => patience.as_mut().poll(context),
        }
    }
}

impl Upload {
    /// Wraps a client's body; the flag tells when it has been passed on to its end.
    pub(crate) fn new(
        incoming: Incoming,
        route: &Arc<Route>,
        silence: Silence,
        gate: Option<Gate>,
        from: Option<&Arc<Ends>>,
    ) -> (Self, Option<Arc<AtomicBool>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let route = Arc::clone(route);
        let from = from.cloned();
        let uploading = Uploading { incoming, route, silence, gate, ended, from, to: None, passage: None };
        (Self::Streamed(Box::new(uploading)), Some(flag))
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Says over what it goes, before it does.
    pub(crate) fn leads_to(&mut self, to: Option<&Arc<Ends>>) {
        if let Self::Streamed(uploading) = self {
            uploading.to = to.cloned();
        }
    }
}

/// Puts a pipe between two sockets for the rest of a body, if it is worth it.
fn passage(from: Option<&Arc<Ends>>, to: Option<&Arc<Ends>>, body: &Incoming) -> Option<Passage> {
    Passage::begin(from?, to?, body.size_hint().exact()?)
}

/// What comes next of a body that may go through a pipe.
fn poll_passing<E: From<hyper::Error> + From<Lost>>(
    body: &mut Incoming,
    passage: &mut Option<Passage>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, E>>> {
    if let Some(next) = passage.as_mut().and_then(Passage::next) {
        return Poll::Ready(Some(Ok(Frame::data(next))));
    }
    let frame = ready!(Pin::new(body).poll_frame(context));
    Poll::Ready(frame.map(|frame| {
        let frame = frame?;
        match (passage, frame.into_data()) {
            (Some(passage), Ok(data)) => Ok(Frame::data(passage.hand(data)?)),
            (_, Ok(data)) => Ok(Frame::data(data)),
            (_, Err(other)) => Ok(other),
        }
    }))
}

/// Asked while nothing comes. Ready when that was too long, and it was not the receiver that was waited for.
fn poll_silence(silence: &mut Silence, passage: &Option<Passage>, context: &mut Context<'_>) -> Poll<()> {
    loop {
        ready!(silence.poll(context));
        if !passage.as_ref().is_some_and(Passage::is_full) {
            return Poll::Ready(());
        }
        silence.broken();
    }
}

fn count_piped(route: &Route, frame: &Frame<Bytes>) {
    if let Some(data) = frame.data_ref().filter(|data| splice::is_placeholder(data)) {
        route.count_piped(data.len());
    }
}

/// Whether nothing comes any more.
fn is_over(body: &Incoming, passage: &Option<Passage>) -> bool {
    body.is_end_stream() && !passage.as_ref().is_some_and(Passage::has_next)
}

impl Uploading {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(context));
            self.gate = None;
        }
        if let (Some(from), Some(to)) = (self.from.take(), self.to.take()) {
            self.passage = passage(Some(&from), Some(&to), &self.incoming);
        }
        match poll_passing(&mut self.incoming, &mut self.passage, context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.broken();
                self.route.touch();
                self.route.count_up(frame.data_ref().map_or(0, Bytes::len));
                count_piped(&self.route, &frame);
                if is_over(&self.incoming, &self.passage) {
                    self.ended.store(true, Ordering::Release);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(problem))) => Poll::Ready(Some(Err(problem))),
            Poll::Ready(None) => {
                self.ended.store(true, Ordering::Release);
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(poll_silence(&mut self.silence, &self.passage, context));
                Poll::Ready(Some(Err(UploadError::Silent)))
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(uploading) => uploading.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(uploading) => is_over(&uploading.incoming, &uploading.passage),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(uploading) => uploading.incoming.size_hint(),
        }
    }
}

/// A response body.
pub(crate) enum Download {
    /// Our own words; None once sent.
    Own(Option<Bytes>),
    Streamed(Downloading),
    /// Either of them, with a line in the access log at its end.
    Logged(Box<Logged>),
    /// Any of them, whose end begins the wait for the next request.
    Kept(Box<Kept>),
}

/// An upstream's body, with the connection it comes over.
pub(crate) struct Downloading {
    incoming: Incoming,
    passage: Option<Passage>,
    exchange: Exchange,
    /// Those that the head has named and the client takes.
    trailers: Vec<HeaderName>,
}

/// One request and its answer on one upstream connection. Dropping it in the middle cuts the connection.
pub(crate) struct Exchange {
    pub(crate) route: Arc<Route>,
    pub(crate) lease: Option<Lease>,
    /// Set once the upload has ended; None when there was none.
    pub(crate) uploaded: Option<Arc<AtomicBool>>,
    /// Whether the end of the answer is activity.
    pub(crate) counts: bool,
    /// The bound on silence within the answer, where there is one.
    pub(crate) silence: Option<Box<Silence>>,
    /// Held against the bound on requests of the route.
    pub(crate) _turn: Option<Turn>,
}

impl Exchange {
    pub(crate) fn finish(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if self.counts {
            self.route.touch();
        }
        let uploaded = self.uploaded.as_ref().is_none_or(|ended| ended.load(Ordering::Acquire));
        if uploaded {
            self.route.keep_idle(lease);
        } else {
            lease.driver.abort();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.driver.abort();
        }
    }
}

impl Downloading {
    /// `to` is where a pipe may be put before the client's connection.
    pub(crate) fn new(
        incoming: Incoming,
        exchange: Exchange,
        trailers: Vec<HeaderName>,
        to: Option<&Arc<Ends>>,
    ) -> Self {
        let from = exchange.lease.as_ref().and_then(|lease| lease.ends.as_ref());
        let passage = passage(from, to, &incoming);
        Self { incoming, passage, exchange, trailers }
    }

    /// Takes from trailers what was not announced; HTTP/2 would send them all. None when nothing is left.
    fn announced(&self, frame: Result<Frame<Bytes>, DownloadError>) -> Option<Result<Frame<Bytes>, DownloadError>> {
        let mut frame = match frame {
            Ok(frame) if frame.is_trailers() => frame,
            other => return Some(other),
        };
        let trailers = frame.trailers_mut()?;
        let unasked: Vec<_> = trailers.keys().filter(|name| !self.trailers.contains(name)).cloned().collect();
        for name in unasked {
            trailers.remove(name);
        }
        (!trailers.is_empty()).then_some(Ok(frame))
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Logged(logged) => Pin::new(logged.as_mut()).poll_frame(context),
            Self::Kept(kept) => Pin::new(kept.as_mut()).poll_frame(context),
            Self::Streamed(streamed) => {
                let silence = streamed.exchange.silence.as_mut();
                let frame = poll_passing(&mut streamed.incoming, &mut streamed.passage, context);
                let frame: Option<Result<_, DownloadError>> = match (frame, silence) {
                    (Poll::Ready(frame), silence) => {
                        silence.into_iter().for_each(|silence| silence.broken());
                        frame
                    }
                    (Poll::Pending, None) => return Poll::Pending,
                    (Poll::Pending, Some(silence)) => {
                        ready!(poll_silence(silence, &streamed.passage, context));
                        return Poll::Ready(Some(Err(DownloadError::Silent)));
                    }
                };
                if let Some(Ok(frame)) = &frame {
                    streamed.exchange.route.count_down(frame.data_ref().map_or(0, Bytes::len));
                    count_piped(&streamed.exchange.route, frame);
                }
                if frame.is_none() || is_over(&streamed.incoming, &streamed.passage) {
                    streamed.passage = None;
                    streamed.exchange.finish();
                }
                Poll::Ready(frame.and_then(|frame| streamed.announced(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Logged(logged) => logged.is_end_stream(),
            Self::Kept(kept) => kept.is_end_stream(),
            Self::Streamed(streamed) => is_over(&streamed.incoming, &streamed.passage),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Logged(logged) => logged.size_hint(),
            Self::Kept(kept) => kept.size_hint(),
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl Download {
    /// Whether it is our own words, and no server's.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Own(words) => words.is_some(),
            Self::Streamed(_) => false,
            Self::Logged(logged) => logged.body.is_own(),
            Self::Kept(kept) => kept.body.is_own(),
        }
    }

    pub(crate) fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Own((!bytes.is_empty()).then_some(bytes))
    }
}

/// A service error that cannot be: every failure is an answer.
pub(crate) type Never = Infallible;

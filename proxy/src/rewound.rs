//! A connection that hyper takes over in the middle, as if it had been there from the beginning.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{splice::Ends, stream::Stream};

/// A stream of which something was read, or over which the head of a request was sent.
pub(crate) struct Rewound {
    stream: Stream,
    /// Read already, and read again first.
    read: Bytes,
    sent: Option<Sent>,
    /// Whether what was read is to be looked at before more is written: the server may have closed the connection behind it,
    /// and a write that fails would be all that hyper sees.
    listens: bool,
    writer: Option<Waker>,
}

/// A head that was sent before, and that hyper writes: nothing of it is sent again. Nothing is read before it is written,
/// for hyper would take that for the answer to nothing.
struct Sent {
    /// Bytes of its end that were just written.
    seen: usize,
    reader: Option<Waker>,
}

/// What a head ends with.
const END: &[u8] = b"\r\n\r\n";

impl Rewound {
    /// A stream with what was read of it.
    pub(crate) fn new(stream: Stream, read: Bytes) -> Self {
        Self { stream, read, sent: None, listens: false, writer: None }
    }

    /// A stream over which the head of a request was sent, and what was read of the answer.
    pub(crate) fn asked(stream: Stream, read: Bytes) -> Self {
        let (sent, listens) = (Some(Sent { seen: 0, reader: None }), !read.is_empty());
        Self { sent, listens, ..Self::new(stream, read) }
    }

    /// Where a pipe may be put before it.
    pub(crate) fn ends(&self) -> Option<Arc<Ends>> {
        self.stream.ends()
    }

    /// The stream, and what is left of what was read before.
    pub(crate) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.read)
    }

    /// How many of these bytes were sent before.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        let Some(sent) = &mut self.sent else { return 0 };
        for (at, byte) in bytes.iter().enumerate() {
            sent.seen = match END.get(sent.seen) {
                Some(next) if next == byte => sent.seen + 1,
                _ => usize::from(*byte == b'\r'),
            };
            if sent.seen == END.len() {
                if let Some(reader) = sent.reader.take() {
                    reader.wake();
                }
                self.sent = None;
                return at + 1;
            }
        }
        bytes.len()
    }

    /// Waits until something of what was read is read again.
    fn poll_heard<T>(&mut self, context: &mut Context<'_>) -> Poll<T> {
        self.writer = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(sent) = &mut this.sent {
            sent.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = this.read.len().min(buffer.remaining());
        buffer.put_slice(this.read.get(..count).unwrap_or_default());
        this.read.advance(count);
        this.listens = false;
        this.writer.take().into_iter().for_each(Waker::wake);
        if this.read.is_empty() {
            this.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.swallow(buffer) {
            0 if this.listens => this.poll_heard(context),
            0 => Pin::new(&mut this.stream).poll_write(context, buffer),
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match buffers.iter().map(|buffer| this.swallow(buffer)).sum() {
            0 if this.listens => this.poll_heard(context),
            0 => Pin::new(&mut this.stream).poll_write_vectored(context, buffers),
            count => Poll::Ready(Ok(count)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

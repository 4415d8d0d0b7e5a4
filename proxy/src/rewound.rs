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

/// A stream of which something was read, or of which a request was sent.
pub(crate) struct Rewound {
    stream: Stream,
    /// Read already, and read again first.
    read: Bytes,
    sent: Sent,
}

/// What becomes of the request that hyper writes.
enum Sent {
    /// It is sent.
    No,
    /// It was sent before: what is written is not sent again. Nothing is read before it is written, for hyper would take
    /// that for the answer to nothing.
    Before(Option<Waker>),
    /// It was written, and is answered next. That ends with the first byte of the answer.
    Written,
}

impl Rewound {
    /// A stream with what was read of it.
    pub(crate) fn new(stream: Stream, read: Bytes) -> Self {
        Self { stream, read, sent: Sent::No }
    }

    /// A stream over which a request without a body was sent, with what was read of the answer.
    pub(crate) fn asked(stream: Stream, read: Bytes) -> Self {
        Self { sent: Sent::Before(None), ..Self::new(stream, read) }
    }

    /// Where a pipe may be put before it.
    pub(crate) fn ends(&self) -> Option<Arc<Ends>> {
        self.stream.ends()
    }

    /// The stream, and what is left of what was read before.
    pub(crate) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.read)
    }

    /// Whether what is written was sent before.
    fn swallows(&mut self) -> bool {
        match &mut self.sent {
            Sent::No => return false,
            Sent::Before(reader) => {
                if let Some(reader) = reader.take() {
                    reader.wake();
                }
                self.sent = Sent::Written;
            }
            Sent::Written => {}
        }
        true
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Sent::Before(reader) = &mut this.sent {
            *reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let polled = if this.read.is_empty() {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        } else {
            let count = this.read.len().min(buffer.remaining());
            buffer.put_slice(this.read.get(..count).unwrap_or_default());
            this.read.advance(count);
            if this.read.is_empty() {
                this.read = Bytes::new();
            }
            Poll::Ready(Ok(()))
        };
        if polled.is_ready() {
            this.sent = Sent::No;
        }
        polled
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallows() {
            return Poll::Ready(Ok(buffer.len()));
        }
        Pin::new(&mut this.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallows() {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(context, buffers)
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

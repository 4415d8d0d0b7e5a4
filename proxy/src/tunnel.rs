//! Bytes both ways between two sockets, with nothing held while they are silent.
//!
//! `copy_bidirectional` holds two buffers for the life of a tunnel, and a lab's tunnels are nearly
//! always silent. Here a read goes into a buffer of the thread, and only what the other side does
//! not take at once is kept.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::{scratch, stream::Stream};

/// Reads in a row before other tasks get their turn.
const TURNS: usize = 16;

/// One side of a tunnel.
pub(crate) struct End {
    pub(crate) stream: Stream,
    /// What was read from it together with the handshake.
    pub(crate) read: Bytes,
}

/// One direction.
struct Flow {
    /// Read, but not yet taken by the other side.
    held: Bytes,
    /// The source has ended.
    ended: bool,
    /// The end was passed on.
    done: bool,
    /// The other side has taken something since it was last told to send.
    unsent: bool,
}

impl Flow {
    fn new(held: Bytes) -> Self {
        Self { held, ended: false, done: false, unsent: false }
    }

    /// Moves what can be moved. Ready when the end was passed on.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        seen: &mut impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            ready!(self.poll_held(context, to))?;
            if self.ended {
                ready!(Pin::new(to).poll_shutdown(context))?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            let moved = scratch::lend(|buffer| self.step(context, from, to, buffer, seen))?;
            if moved.is_pending() {
                // What TLS has sealed but not sent would wait for the next byte.
                if self.unsent {
                    ready!(Pin::new(to).poll_flush(context))?;
                    self.unsent = false;
                }
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_held(&mut self, context: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(context, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.held.advance(count),
            }
            self.unsent = true;
        }
        self.held = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// One read, and the write of what it gave. Pending when there is nothing to read.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffer: &mut [u8],
        seen: &mut impl FnMut(usize),
    ) -> io::Result<Poll<()>> {
        let mut read = ReadBuf::new(buffer);
        if Pin::new(from).poll_read(context, &mut read)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let mut rest = read.filled();
        if rest.is_empty() {
            self.ended = true;
            return Ok(Poll::Ready(()));
        }
        seen(rest.len());
        while !rest.is_empty() {
            match Pin::new(&mut *to).poll_write(context, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => rest.advance(count),
                Poll::Pending => break,
            }
            self.unsent = true;
        }
        if !rest.is_empty() {
            self.held = Bytes::copy_from_slice(rest);
        }
        Ok(Poll::Ready(()))
    }
}

/// Runs until both directions have ended, one breaks, or the second does not end within `half_close`
/// after the first. `sent` is called with the number of bytes from the browser, `received` with that of those to it.
pub(crate) async fn join(
    browser: End,
    upstream: End,
    half_close: Duration,
    mut sent: impl FnMut(usize),
    mut received: impl FnMut(usize),
) -> io::Result<()> {
    let mut up = Flow::new(browser.read);
    let mut down = Flow::new(upstream.read);
    let (mut browser, mut upstream) = (browser.stream, upstream.stream);
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        let upward = up.poll(context, &mut browser, &mut upstream, &mut sent)?;
        let downward = down.poll(context, &mut upstream, &mut browser, &mut received)?;
        match (upward, downward) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => {
                let patience = patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(half_close)));
                patience.as_mut().poll(context).map(|()| Ok(()))
            }
        }
    })
    .await
}

//! Bytes both ways between two sockets, with nothing held while they are silent.
//!
//! `copy_bidirectional` holds two buffers for the life of a tunnel, and a lab's tunnels are nearly
//! always silent. Here a read goes into a buffer of the thread, and only what the other side does
//! not take at once is kept.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::time::Sleep;

use crate::stream::Stream;

/// Bytes read at once.
const SCRATCH: usize = 64 * 1024;
/// Reads in a row before other tasks get their turn.
const TURNS: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

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
}

impl Flow {
    fn new(held: Bytes) -> Self {
        Self { held, ended: false, done: false }
    }

    /// Moves what can be moved. Ready when the end was passed on.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
        seen: &mut impl FnMut(),
    ) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            ready!(self.poll_held(context, to))?;
            if self.ended {
                self.done = true;
                return Poll::Ready(to.shut_write());
            }
            ready!(from.poll_read_ready(context))?;
            BUFFER.with_borrow_mut(|buffer| self.step(from, to, buffer, seen))?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_held(&mut self, context: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            ready!(to.poll_write_ready(context))?;
            match to.try_write(&self.held) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.held.advance(count),
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
                Err(problem) => return Poll::Ready(Err(problem)),
            }
        }
        self.held = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// One read, and the write of what it gave.
    fn step(&mut self, from: &Stream, to: &Stream, buffer: &mut [u8], seen: &mut impl FnMut()) -> io::Result<()> {
        let count = match from.try_read(buffer) {
            Ok(0) => {
                self.ended = true;
                return Ok(());
            }
            Ok(count) => count,
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(problem) => return Err(problem),
        };
        seen();
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            match to.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest.advance(count),
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => break,
                Err(problem) => return Err(problem),
            }
        }
        if !rest.is_empty() {
            self.held = Bytes::copy_from_slice(rest);
        }
        Ok(())
    }
}

/// Runs until both directions have ended, one breaks, or the second does not end within `half_close`
/// after the first. `seen` is called for bytes from the browser.
pub(crate) async fn join(browser: End, upstream: End, half_close: Duration, mut seen: impl FnMut()) -> io::Result<()> {
    let mut up = Flow::new(browser.read);
    let mut down = Flow::new(upstream.read);
    let (browser, upstream) = (browser.stream, upstream.stream);
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        let upward = up.poll(context, &browser, &upstream, &mut seen)?;
        let downward = down.poll(context, &upstream, &browser, &mut || {})?;
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

//! Bodies between two TCP sockets through a pipe of the kernel, where nobody copies them; see [`crate::splice`].

use std::{
    cell::Cell,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::{net::SendFlags, pipe::splice};
use tokio::{io::Interest, net::TcpStream};

use crate::{
    pipe::{self, Place},
    stream::Stream,
};

/// Bytes of a body that is worth a pipe.
const WORTH: u64 = 64 * 1024;

thread_local! {
    static SPARE: Cell<Option<Conduit>> = const { Cell::new(None) };
}

/// A pipe, and what is in it.
pub(super) struct Conduit {
    sink: OwnedFd,
    source: OwnedFd,
    room: usize,
    inside: usize,
    _place: Place,
}

impl Conduit {
    /// Whether a pipe is worth it for so many bytes between these.
    pub(super) fn is_worth(from: &Stream, to: &Stream, bytes: u64) -> bool {
        bytes >= WORTH && matches!((from, to), (Stream::Piped(_), Stream::Piped(_)))
    }

    /// A pipe for so many bytes between these. None where it is not worth it, or where there is none to be had.
    pub(super) fn between(from: &Stream, to: &Stream, bytes: u64) -> Option<Self> {
        if !Self::is_worth(from, to, bytes) {
            return None;
        }
        SPARE.take().or_else(|| {
            let (place, sink, source, room) = pipe::open_wide()?;
            Some(Self { sink, source, room, inside: 0, _place: place })
        })
    }

    /// Leaves an empty one to the next body of this thread.
    pub(super) fn leave(self) {
        if self.inside == 0 {
            SPARE.set(Some(self));
        }
    }

    /// Moves up to `most` bytes into the empty pipe, and gives how many; nothing is the end of `from`.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>, from: &Stream, most: u64) -> Poll<io::Result<usize>> {
        let from = socket(from)?;
        let most = usize::try_from(most).unwrap_or(self.room).min(self.room);
        self.inside = ready!(poll_io(context, from, Interest::READABLE, || {
            splice(from, None, &self.sink, None, most, pipe::flags())
        }))?;
        Poll::Ready(Ok(self.inside))
    }

    /// Takes out what is in the pipe. None when that cannot be had.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let mut taken = vec![0; self.inside];
        if !taken.is_empty() {
            // A pipe at which nobody else is gives all that it has.
            self.inside -= rustix::io::read(&self.source, &mut taken).unwrap_or(0);
        }
        (self.inside == 0).then_some(taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside == 0
    }

    /// Sends what comes before the pipe, and may wait in the kernel for what is sent out of it.
    pub(super) fn poll_before(context: &mut Context<'_>, to: &Stream, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let to = socket(to)?;
        let sent = ready!(poll_io(context, to, Interest::WRITABLE, || {
            rustix::net::send(to, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)
        }))?;
        Poll::Ready(if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent) })
    }

    /// Sends all that is in the pipe.
    pub(super) fn poll_drain(&mut self, context: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        let to = socket(to)?;
        while self.inside > 0 {
            let count = ready!(poll_io(context, to, Interest::WRITABLE, || {
                splice(&self.source, None, to, None, self.inside, pipe::flags())
            }))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.inside -= count;
        }
        Poll::Ready(Ok(()))
    }
}

fn socket(stream: &Stream) -> io::Result<&TcpStream> {
    match stream {
        Stream::Piped(socket) => Ok(&socket.socket),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Tries until the socket would block.
fn poll_io(
    context: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    mut act: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(match interest {
            Interest::READABLE => socket.poll_read_ready(context),
            _ => socket.poll_write_ready(context),
        })?;
        match socket.try_io(interest, || act().map_err(io::Error::from)) {
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

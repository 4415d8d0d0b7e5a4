//! Large bodies between two TCP sockets go through a pipe of the kernel, where nobody copies them.
//!
//! hyper reads heads and counts the bytes of a body, but does not look at them. So while a body of a known length goes
//! on, the socket it comes from moves it into a pipe and gives hyper as many zeros in its place. The exchange finds them
//! among what hyper hands it, by where they lie, and hands on placeholders; the socket these go to knows them by where
//! they lie, too, and sends what is in the pipe. Everything else, heads, bounds, counts and errors, is as without.

use std::{
    io::{self, IoSlice},
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rustix::pipe::splice;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{
    activity::lock,
    pipe::{self, Place, ROOM, flags},
};

/// Reads of hyper that may lie between a socket and an exchange when a pipe is put before them.
const UNDERWAY: usize = 4;

/// Bytes of a message that is copied together before it is sent.
const SMALL: usize = 1024;

/// What is handed on in place of bytes in a pipe. Of the heap, for nothing else can lie there.
static PLACEHOLDER: LazyLock<&'static [u8]> = LazyLock::new(|| Box::leak(vec![0; ROOM].into_boxed_slice()));

/// Whether these stand for bytes in a pipe.
pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    !bytes.is_empty() && PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

/// The placeholders were not found: hyper has copied what it read, or read what nobody knows of.
#[derive(Debug, thiserror::Error)]
#[error("the bytes in a pipe were lost sight of")]
pub(crate) struct Lost;

/// The pipes that a socket is read into and written from. At most one exchange at a time has one.
pub(crate) struct Ends {
    /// Bytes that hyper reads at most at once.
    buffer: usize,
    reading: ArcSwapOption<Pipe>,
    writing: ArcSwapOption<Pipe>,
}

/// Takes a pipe away, unless there is another by now.
fn detach(end: &ArcSwapOption<Pipe>, pipe: &Arc<Pipe>) {
    end.compare_and_swap(pipe, None);
}

struct Pipe {
    sink: OwnedFd,
    source: OwnedFd,
    state: Mutex<State>,
    _place: Place,
}

struct State {
    /// Bytes in the pipe.
    inside: usize,
    /// Bytes that have gone into it.
    moved: u64,
    /// Bytes that may.
    most: u64,
    /// Whether that is all there are, or only so many as surely belong to the body.
    exact: bool,
    /// Where the first zeros were written that stand for them.
    first: Option<usize>,
    /// No exchange will hand on what is inside.
    ended: bool,
    reader: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Pipe {
    fn open(most: u64) -> Option<Self> {
        let (place, sink, source) = pipe::open(ROOM)?;
        let state = State { inside: 0, moved: 0, most, exact: false, first: None, ended: false, reader: None };
        Some(Self { sink, source, state: Mutex::new(state), _place: place })
    }

    /// Moves what has come into the pipe. None when that is over, and the socket is to be read as usual.
    fn poll_fill(
        &self,
        context: &mut Context<'_>,
        socket: &TcpStream,
        buffer: &mut ReadBuf<'_>,
    ) -> Option<Poll<io::Result<()>>> {
        let mut state = lock(&self.state);
        let left = usize::try_from(state.most - state.moved).unwrap_or(usize::MAX);
        if state.ended || (state.exact && left == 0) {
            return None;
        }
        // Into an empty pipe alone: else nobody could tell a full pipe from a silent socket.
        if state.inside > 0 || left == 0 {
            state.reader = Some(context.waker().clone());
            return Some(Poll::Pending);
        }
        let most = left.min(buffer.remaining()).min(ROOM);
        Some(loop {
            match socket.poll_read_ready(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(problem)) => break Poll::Ready(Err(problem)),
                Poll::Ready(Ok(())) => {}
            }
            match socket.try_io(Interest::READABLE, || moved(splice(socket, None, &self.sink, None, most, flags()))) {
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
                Err(problem) => break Poll::Ready(Err(problem)),
                Ok(count) => {
                    let zeros = buffer.initialize_unfilled_to(count).as_ptr().addr();
                    if count > 0 {
                        state.first.get_or_insert(zeros);
                    }
                    buffer.advance(count);
                    state.inside = count;
                    state.moved += count as u64;
                    break Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Sends what is in the pipe, at most so much. True with it when no more will come.
    fn poll_drain(
        &self,
        context: &mut Context<'_>,
        socket: &TcpStream,
        most: usize,
    ) -> Poll<io::Result<(usize, bool)>> {
        let mut state = lock(&self.state);
        let most = most.min(state.inside);
        if most == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            match socket.poll_write_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
                Poll::Ready(Ok(())) => {}
            }
            match socket.try_io(Interest::WRITABLE, || moved(splice(&self.source, None, socket, None, most, flags()))) {
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
                Err(problem) => return Poll::Ready(Err(problem)),
                Ok(count) => {
                    state.inside = state.inside.saturating_sub(count);
                    if state.inside == 0 {
                        state.wake();
                    }
                    return Poll::Ready(Ok((count, state.inside == 0 && state.ended)));
                }
            }
        }
    }
}

fn moved(result: rustix::io::Result<usize>) -> io::Result<usize> {
    result.map_err(Into::into)
}

/// A body on its way through a pipe. Dropping it closes the pipe once what was handed on of it is sent.
pub(crate) struct Passage {
    pipe: Arc<Pipe>,
    from: Arc<Ends>,
    to: Arc<Ends>,
    /// Bytes of the body when it began.
    size: u64,
    /// Bytes of them that hyper had read before.
    before: usize,
    /// The most that these can be.
    underway: usize,
    /// Whether all that comes is placeholders.
    found: bool,
    /// Placeholders still to be handed on.
    rest: usize,
}

impl Passage {
    /// Puts a pipe between two sockets for the rest of a body of so many bytes. None where it is not worth it, or where
    /// there is no pipe to be had.
    pub(crate) fn begin(from: &Arc<Ends>, to: &Arc<Ends>, size: u64) -> Option<Self> {
        let underway = UNDERWAY * from.buffer;
        // So many belong to the body, however much of it hyper holds already.
        let sure = size.checked_sub(underway as u64).filter(|sure| *sure > 0)?;
        // What was sent before to the same client may still be on its way.
        if from.reading.load().is_some() || to.writing.load().is_some() {
            return None;
        }
        let pipe = Arc::new(Pipe::open(sure)?);
        to.writing.store(Some(Arc::clone(&pipe)));
        from.reading.store(Some(Arc::clone(&pipe)));
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        Some(Self { pipe, from, to, size, before: 0, underway, found: false, rest: 0 })
    }

    /// What is handed on next without hyper being asked.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let count = self.rest.min(ROOM);
        self.rest -= count;
        PLACEHOLDER.get(..count).filter(|bytes| !bytes.is_empty()).map(Bytes::from_static)
    }

    /// Whether there is something of that.
    pub(crate) fn has_next(&self) -> bool {
        self.rest > 0
    }

    /// Whether nothing comes because what came before is not sent yet.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.pipe.state).inside > 0
    }

    /// What is handed on of what hyper has read; [`Self::next`] has the rest. Errors: it is not known what it is.
    pub(crate) fn hand(&mut self, mut data: Bytes) -> Result<Bytes, Lost> {
        if !self.found {
            let mut state = lock(&self.pipe.state);
            let begin = data.as_ptr().addr();
            let at = state.first.and_then(|first| first.checked_sub(begin)).filter(|at| *at < data.len());
            self.before += at.unwrap_or(data.len());
            if self.before > self.underway {
                return Err(Lost);
            }
            let Some(at) = at else { return Ok(data) };
            self.found = true;
            state.most = self.size - self.before as u64;
            state.exact = true;
            state.wake();
            if at > 0 {
                self.rest = data.len() - at;
                data.truncate(at);
                return Ok(data);
            }
        }
        self.rest = data.len();
        Ok(self.next().unwrap_or_default())
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        detach(&self.from.reading, &self.pipe);
        let mut state = lock(&self.pipe.state);
        state.ended = true;
        state.wake();
        if state.inside == 0 {
            detach(&self.to.writing, &self.pipe);
        }
    }
}

/// A small message, head and body, in one piece and its length: to send one piece costs the kernel less.
fn gathered(buffers: &[IoSlice<'_>]) -> Option<([u8; SMALL], usize)> {
    let (mut gathered, mut count) = ([0; SMALL], 0);
    for buffer in buffers {
        if is_placeholder(buffer) {
            return None;
        }
        gathered.get_mut(count..)?.get_mut(..buffer.len())?.copy_from_slice(buffer);
        count += buffer.len();
    }
    Some((gathered, count))
}

/// A socket of TCP between which and another there may be a pipe.
pub(crate) struct PipedSocket {
    pub(crate) socket: TcpStream,
    pub(crate) ends: Arc<Ends>,
}

impl PipedSocket {
    /// `buffer` is how many bytes hyper reads at most at once.
    pub(crate) fn new(socket: TcpStream, buffer: usize) -> Self {
        let ends = Ends { buffer, reading: ArcSwapOption::empty(), writing: ArcSwapOption::empty() };
        Self { socket, ends: Arc::new(ends) }
    }

    fn drain(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let writing = self.ends.writing.load_full();
        // Zeros in the place of what was lost would be worse than an end.
        let Some(pipe) = writing else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let drained = pipe.poll_drain(context, &self.socket, most);
        if let Poll::Ready(Ok((_, true))) = drained {
            detach(&self.ends.writing, &pipe);
        }
        drained.map_ok(|(count, _)| count)
    }
}

impl AsyncRead for PipedSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(pipe) = &*this.ends.reading.load()
            && let Some(filled) = pipe.poll_fill(context, &this.socket, buffer)
        {
            return filled;
        }
        Pin::new(&mut this.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for PipedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match is_placeholder(buffer) {
            true => this.drain(context, buffer.len()),
            false => Pin::new(&mut this.socket).poll_write(context, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some((gathered, count)) = gathered(buffers) {
            return Pin::new(&mut this.socket).poll_write(context, gathered.get(..count).unwrap_or_default());
        }
        let plain = buffers.iter().position(|buffer| is_placeholder(buffer)).unwrap_or(buffers.len());
        match buffers.split_at_checked(plain) {
            Some((before, [placeholder, ..])) if before.iter().all(|buffer| buffer.is_empty()) => {
                this.drain(context, placeholder.len())
            }
            Some((before, _)) => Pin::new(&mut this.socket).poll_write_vectored(context, before),
            None => Pin::new(&mut this.socket).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

//! Pipes of the kernel that large bodies are moved through: how large, and how many.

use std::{
    io::{self, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
    process::{Resource, getrlimit},
};

/// Bytes that a pipe has room for: what unprivileged processes may have some hundred times.
pub(crate) const ROOM: usize = 256 * 1024;
/// Bytes that the first few have room for, where more is moved at once: the most that unprivileged processes may ask for,
/// and of all that they may have a quarter (`fs.pipe-max-size` and `fs.pipe-user-pages-soft`).
const MUCH: usize = 1024 * 1024;
const FEW: usize = 16;

/// Of the descriptors that there may be, pipes take a part at most; a pipe has two.
const PART: u64 = 8;

/// Whether this kernel lets anything through a pipe: a sandbox may forbid the call.
static WORKS: LazyLock<bool> = LazyLock::new(|| match tried() {
    Ok(()) => true,
    Err(problem) => {
        tracing::info!(%problem, "large bodies are copied: this system moves none through pipes");
        false
    }
});

/// Moves one byte from a socket into a pipe.
fn tried() -> io::Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    near.write_all(&[0])?;
    let (_source, sink) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    match splice(&far, None, &sink, None, 1, flags())? {
        1 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// So many pipes there are, and so many there may be.
static OPEN: AtomicUsize = AtomicUsize::new(0);
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / PART / 2).unwrap_or(usize::MAX)
});

/// The room for one pipe, free again when it is dropped.
pub(crate) struct Place;

impl Place {
    fn take(most: usize) -> Option<Self> {
        let take = |open: usize| (open < most).then_some(open + 1);
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok().then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pipe for large bodies, and how many bytes it has room for.
pub(crate) fn open_wide() -> Option<(Place, OwnedFd, OwnedFd, usize)> {
    let wide = (OPEN.load(Ordering::Relaxed) < FEW).then(|| open(MUCH)).flatten();
    let with_room = |room| move |(place, sink, source)| (place, sink, source, room);
    wide.map(with_room(MUCH)).or_else(|| open(ROOM).map(with_room(ROOM)))
}

/// The ends of a pipe with so much room, where there may be one more: into it and out of it.
pub(crate) fn open(room: usize) -> Option<(Place, OwnedFd, OwnedFd)> {
    if !*WORKS {
        return None;
    }
    let place = Place::take(*MOST)?;
    let opened = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    match opened.and_then(|(source, sink)| fcntl_setpipe_size(&sink, room).map(|_| (place, sink, source))) {
        Ok(pipe) => Some(pipe),
        Err(problem) => {
            tracing::debug!(%problem, room, "no pipe for a body");
            None
        }
    }
}

pub(crate) fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_moves_bytes_through_pipes() {
        assert!(*WORKS);
    }

    #[test]
    fn a_pipe_has_the_room_that_it_is_said_to_have() {
        let (_place, sink, _source, room) = open_wide().unwrap();
        assert!(rustix::pipe::fcntl_getpipe_size(&sink).unwrap() >= room && room >= ROOM);
    }

    #[test]
    fn there_are_no_more_pipes_than_there_may_be() {
        let first = Place::take(2).unwrap();
        let second = Place::take(2).unwrap();
        assert!(Place::take(2).is_none());
        drop(first);
        assert!(Place::take(2).is_some());
        drop(second);
    }
}

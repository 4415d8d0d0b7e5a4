//! A buffer of each thread, for bytes that are passed on in the same breath: nothing is held for those who are silent.

use std::{
    cell::RefCell,
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Lends the buffer. Must not be called by what it is lent to.
pub(crate) fn lend<T>(to: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| to(buffer))
}

/// One read of at most `most` bytes, and what is to be done with it. Nothing read is the end.
pub(crate) fn poll_read<T>(
    context: &mut Context<'_>,
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
    to: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
) -> Poll<io::Result<T>> {
    lend(|buffer| {
        let count = ready!(poll_fill(context, from, buffer, 0..most.min(SIZE)))?;
        Poll::Ready(Ok(to(context, buffer.get(..count).unwrap_or_default())))
    })
}

/// One read into a part of a buffer.
pub(crate) fn poll_fill(
    context: &mut Context<'_>,
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    part: Range<usize>,
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer.get_mut(part).unwrap_or_default());
    ready!(Pin::new(from).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

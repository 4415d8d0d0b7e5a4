//! The buffers of a request, which the next one of the same thread uses again.

use std::cell::Cell;

/// What was read, and what is to be written.
type Pair = (Vec<u8>, Vec<u8>);

/// Bytes of a buffer that is kept.
const KEPT: usize = 64 * 1024;
/// Bytes of a usual head.
const USUAL: usize = 1024;

thread_local! {
    static SPARE: Cell<Pair> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// Two empty buffers.
pub(super) fn take() -> Pair {
    let (mut read, mut out) = SPARE.take();
    read.reserve(USUAL);
    out.reserve(USUAL);
    (read, out)
}

pub(super) fn put(mut read: Vec<u8>, mut out: Vec<u8>) {
    if read.capacity() > 0 && read.capacity().max(out.capacity()) <= KEPT {
        read.clear();
        out.clear();
        SPARE.set((read, out));
    }
}

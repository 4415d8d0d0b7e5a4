//! Idle upstream connections of one route. They die with the route, so that no tenant meets a
//! connection of another even when a port is used again.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use crate::{
    activity::{Ledger, lock},
    body::Upload,
    splice::Ends,
    stream::Stream,
    workers,
};

/// One upstream connection, held by one exchange at a time. Dropping it closes the connection once
/// hyper is done with it; aborting closes it now.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Upload>,
    pub(crate) driver: AbortHandle,
    /// The worker on which it lives.
    pub(crate) home: usize,
    /// Where a pipe may be put before it.
    pub(crate) ends: Option<Arc<Ends>>,
}

/// An upstream connection that nobody drives: one for requests that go the short way. Dropping it closes it.
pub(crate) struct Line {
    pub(crate) stream: Stream,
    /// The worker on which it lives.
    pub(crate) home: usize,
}

impl Line {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, home: workers::here() }
    }
}

struct Idle<T> {
    connection: T,
    since: Instant,
}

impl<T> Idle<T> {
    fn new(connection: T) -> Self {
        Self { connection, since: Instant::now() }
    }
}

#[derive(Default)]
struct Inside {
    idle: Vec<Idle<Lease>>,
    lines: Vec<Idle<Line>>,
    closed: bool,
    /// Connections that this pool may keep by the bound of all pools; never less than it has.
    granted: usize,
    /// Whether the sweeper knows of this pool.
    listed: bool,
}

impl Inside {
    /// Gives back what was granted and is not needed.
    fn give_back(&mut self, ledger: &Ledger) {
        ledger.return_idle(self.granted - self.count());
        self.granted = self.count();
    }

    fn count(&self) -> usize {
        self.idle.len() + self.lines.len()
    }

    /// Makes room for one more; false when there is none.
    fn admit(&mut self, size: usize, ledger: &Ledger) -> bool {
        if self.closed || self.count() >= size {
            return false;
        }
        // Seldom: what was granted stays granted until the sweeper comes.
        if self.count() >= self.granted {
            if !ledger.grant_idle() {
                return false;
            }
            self.granted += 1;
        }
        true
    }

    /// Has the sweeper told of this pool; false when it knows.
    fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }
}

/// Last in, first out: the youngest connection is the least likely to be closing.
pub(crate) struct Pool {
    inside: Mutex<Inside>,
    size: usize,
}

impl Pool {
    pub(crate) fn new(size: usize) -> Self {
        Self { inside: Mutex::default(), size }
    }

    /// The youngest connection that is ready for a request, of this worker if there is one.
    pub(crate) fn take(&self) -> Option<Lease> {
        let mut inside = lock(&self.inside);
        let here = workers::here();
        let is_ready = |idle: &Idle<Lease>| idle.connection.sender.is_ready();
        let of_here = inside.idle.iter().rposition(|idle| idle.connection.home == here && is_ready(idle));
        let at = of_here.or_else(|| inside.idle.iter().rposition(is_ready));
        if at.is_none() {
            inside.idle.retain(|idle| !idle.connection.sender.is_closed());
        }
        at.map(|at| inside.idle.remove(at).connection)
    }

    /// The youngest line, of this worker if there is one.
    pub(crate) fn take_line(&self) -> Option<Line> {
        let mut inside = lock(&self.inside);
        let here = workers::here();
        loop {
            let of_here = inside.lines.iter().rposition(|idle| idle.connection.home == here);
            let at = of_here.or_else(|| inside.lines.len().checked_sub(1))?;
            let line = inside.lines.remove(at).connection;
            if line.stream.is_silent() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection; true when the sweeper must be told of this pool.
    pub(crate) fn keep(&self, lease: Lease, ledger: &Ledger) -> bool {
        let mut inside = lock(&self.inside);
        if lease.sender.is_closed() || !inside.admit(self.size, ledger) {
            return false;
        }
        inside.idle.push(Idle::new(lease));
        inside.list()
    }

    /// The same for a line.
    pub(crate) fn keep_line(&self, line: Line, ledger: &Ledger) -> bool {
        let mut inside = lock(&self.inside);
        if !inside.admit(self.size, ledger) {
            return false;
        }
        inside.lines.push(Idle::new(line));
        inside.list()
    }

    /// Drops connections older than the bound; false when none are left.
    pub(crate) fn sweep(&self, oldest: Duration, ledger: &Ledger) -> bool {
        let mut inside = lock(&self.inside);
        inside.idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < oldest);
        inside.lines.retain(|idle| idle.since.elapsed() < oldest && idle.connection.stream.is_silent());
        inside.give_back(ledger);
        inside.listed = inside.count() > 0;
        inside.listed
    }

    pub(crate) fn idle(&self) -> usize {
        lock(&self.inside).count()
    }

    pub(crate) fn close(&self, ledger: &Ledger) {
        let mut inside = lock(&self.inside);
        inside.closed = true;
        inside.idle.clear();
        inside.lines.clear();
        inside.give_back(ledger);
    }
}

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

struct Idle {
    lease: Lease,
    since: Instant,
}

#[derive(Default)]
struct Inside {
    idle: Vec<Idle>,
    closed: bool,
    /// Connections that this pool may keep by the bound of all pools; never less than it has.
    granted: usize,
    /// Whether the sweeper knows of this pool.
    listed: bool,
}

impl Inside {
    /// Gives back what was granted and is not needed.
    fn give_back(&mut self, ledger: &Ledger) {
        ledger.return_idle(self.granted - self.idle.len());
        self.granted = self.idle.len();
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
        let (here, mut abroad) = (workers::here(), None);
        let mut at = inside.idle.len();
        while at > 0 {
            at -= 1;
            let idle = inside.idle.get(at)?;
            if idle.lease.sender.is_closed() {
                inside.idle.remove(at);
                abroad = abroad.map(|abroad: usize| abroad - 1);
            } else if idle.lease.sender.is_ready() {
                if idle.lease.home == here {
                    return Some(inside.idle.remove(at).lease);
                }
                abroad = abroad.or(Some(at));
            }
        }
        abroad.map(|at| inside.idle.remove(at).lease)
    }

    /// Keeps a connection; true when the sweeper must be told of this pool.
    pub(crate) fn keep(&self, lease: Lease, ledger: &Ledger) -> bool {
        let mut inside = lock(&self.inside);
        if inside.closed || lease.sender.is_closed() || inside.idle.len() >= self.size {
            return false;
        }
        // Seldom: what was granted stays granted until the sweeper comes.
        if inside.idle.len() >= inside.granted {
            if !ledger.grant_idle() {
                return false;
            }
            inside.granted += 1;
        }
        inside.idle.push(Idle { lease, since: Instant::now() });
        !std::mem::replace(&mut inside.listed, true)
    }

    /// Drops connections older than the bound; false when none are left.
    pub(crate) fn sweep(&self, oldest: Duration, ledger: &Ledger) -> bool {
        let mut inside = lock(&self.inside);
        inside.idle.retain(|idle| !idle.lease.sender.is_closed() && idle.since.elapsed() < oldest);
        inside.give_back(ledger);
        inside.listed = !inside.idle.is_empty();
        inside.listed
    }

    pub(crate) fn idle(&self) -> usize {
        lock(&self.inside).idle.len()
    }

    pub(crate) fn close(&self, ledger: &Ledger) {
        let mut inside = lock(&self.inside);
        inside.closed = true;
        inside.idle.clear();
        inside.give_back(ledger);
    }
}

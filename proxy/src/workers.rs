//! Threads that serve connections, each with a runtime of its own: what belongs to one connection stays on one
//! processor, where tasks that wake one another need no lock and no other thread.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// Which worker this thread is; 0 is none.
pub(crate) fn here() -> usize {
    HERE.get()
}

/// How many connections each worker serves. Those that come at once mostly find the same one awake.
#[derive(Default)]
pub(crate) struct Loads(Vec<(Handle, AtomicUsize)>);

/// One connection of a worker, until it is dropped.
pub(crate) struct Load {
    loads: Arc<Loads>,
    at: usize,
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some((_, count)) = self.loads.0.get(self.at) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Loads {
    /// So many more connections than another worker's are not worth that one is moved, and this part of them.
    const SLACK: (usize, usize) = (4, 8);

    /// Counts one more for this worker, or, if it may be moved, for the one that has least when that is much less; then
    /// also where that runs.
    pub(crate) fn add(self: &Arc<Self>, may_move: bool) -> (Option<Load>, Option<&Handle>) {
        let count = |at: usize| self.0.get(at).map(|(_, count)| count.load(Ordering::Relaxed));
        let Some((here, mine)) = here().checked_sub(1).and_then(|here| Some((here, count(here)?))) else {
            return (None, None);
        };
        let least = (0..self.0.len()).filter_map(|at| Some((count(at)?, at))).min().unwrap_or((mine, here));
        let (few, part) = Self::SLACK;
        let at = if may_move && mine > least.0 + least.0 / part + few { least.1 } else { here };
        let Some((handle, count)) = self.0.get(at) else { return (None, None) };
        count.fetch_add(1, Ordering::Relaxed);
        (Some(Load { loads: Arc::clone(self), at }), (at != here).then_some(handle))
    }
}

/// Lives until it is dropped; tasks that have not ended by then are dropped with it.
pub(crate) struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    end: CancellationToken,
}

impl Workers {
    /// Starts so many. Errors: the system has no room for them.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self { handles: Vec::new(), threads: Vec::new(), end: CancellationToken::new() };
        for number in 1..=count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let end = workers.end.clone();
            let run = move || {
                HERE.set(number);
                runtime.block_on(end.cancelled());
                runtime.shutdown_background();
            };
            workers.threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(run)?);
        }
        Ok(workers)
    }

    /// The runtimes that serve; the caller's own where there are no workers.
    pub(crate) fn runtimes(&self) -> Vec<Handle> {
        if self.handles.is_empty() { vec![Handle::current()] } else { self.handles.clone() }
    }

    /// Nothing yet, of all of them.
    pub(crate) fn loads(&self) -> Arc<Loads> {
        Arc::new(Loads(self.handles.iter().map(|handle| (handle.clone(), AtomicUsize::new(0))).collect()))
    }

    /// Ends them, and waits until they have.
    pub(crate) async fn end(mut self) {
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        // A worker that panicked has ended too.
        let joined = tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_much_more_than_another_gives_to_that_one() {
        let workers = Workers::start(2).unwrap();
        let loads = workers.loads();
        let first = workers.runtimes().remove(0);
        let add = async |loads: Arc<Loads>| first.spawn(async move { loads.add(true).0.unwrap() }).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(add(Arc::clone(&loads)).await);
        }
        let of = |held: &[Load], at| held.iter().filter(|load| load.at == at).count();
        assert_eq!(of(&held, 0) + of(&held, 1), 100);
        assert!((45..=55).contains(&of(&held, 1)), "{}", of(&held, 1));
        held.retain(|load| load.at == 1);
        for _ in 0..10 {
            held.push(add(Arc::clone(&loads)).await);
        }
        assert_eq!(of(&held, 0), 10, "those that are left count, and no others");
        // Nobody else accepts.
        assert!(loads.add(true).0.is_none());
        workers.end().await;
    }

    #[tokio::test]
    async fn each_worker_is_a_thread_of_its_own_and_ends() {
        assert_eq!(Workers::start(0).unwrap().runtimes().len(), 1);
        let workers = Workers::start(3).unwrap();
        let mut found = Vec::new();
        for runtime in workers.runtimes() {
            found.push(runtime.spawn(async { here() }).await.unwrap());
        }
        assert_eq!((found, here()), (vec![1, 2, 3], 0));
        let runtime = workers.runtimes().remove(0);
        let left = runtime.spawn(std::future::pending::<()>());
        workers.end().await;
        assert!(left.await.unwrap_err().is_cancelled());
    }
}

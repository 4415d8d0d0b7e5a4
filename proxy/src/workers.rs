//! Threads that serve connections, each with a runtime of its own: what belongs to one connection stays on one
//! processor, where tasks that wake one another need no lock and no other thread.

use std::{
    cell::Cell,
    io,
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

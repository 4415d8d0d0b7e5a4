//! One login at a time for each name, in this process. Between processes the database counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

/// How long a login waits for others of the same name.
const PATIENCE: Duration = Duration::from_secs(10);

type Locks = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

/// Who is logging in at present.
#[derive(Debug, Default)]
pub struct Turns {
    locks: Locks,
}

/// A turn; dropping it ends it.
#[derive(Debug)]
pub struct Turn {
    name: String,
    locks: Locks,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for a turn; `None` when it takes too long.
    pub async fn wait(&self, name: String) -> Option<Turn> {
        // Made before it is waited for, so that a wait that is given up is cleaned up as well.
        let mut turn = Turn { name, locks: self.locks.clone(), guard: None };
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(turn.name.clone()).or_default().clone()
        };
        turn.guard = Some(tokio::time::timeout(PATIENCE, lock.lock_owned()).await.ok()?);
        Some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who wait hold the lock too; the last one to leave takes the entry away.
        if locks.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn turns_of_one_name_never_overlap_and_leave_nothing() {
        let turns = Arc::new(Turns::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (turns, inside) = (turns.clone(), inside.clone());
                tokio::spawn(async move {
                    let turn = turns.wait("ada".into()).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(turns.locks.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn turns_of_two_names_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let _ada = turns.wait("ada".into()).await.unwrap();
        let _grace = turns.wait("grace".into()).await.unwrap();
        assert_eq!(turns.locks.lock().unwrap().len(), 2);
    }
}

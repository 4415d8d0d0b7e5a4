//! Answers of the database kept for as long as it does not change.
//!
//! An entry counts only under the version it was read at, so nothing is ever served across a change of our own. A
//! write of another process to the same SQLite file raises the version a moment before it can be read, so that what is
//! read in that moment is stale under the new version: entries are asked for anew once a second. A database whose
//! version cannot be told cheaply (PostgreSQL, where other hubs write) is asked every time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hub_store::{Store, Version};

/// An entry is not trusted for longer, whatever the version says.
const TRUSTED: Duration = Duration::from_secs(1);

struct Entry<V> {
    version: Version,
    asked: Instant,
    value: Arc<V>,
}

type Entries<K, V> = HashMap<K, Entry<V>>;

/// Kept answers of one kind of question.
pub struct Memory<K, V> {
    entries: RwLock<Entries<K, V>>,
    most: usize,
}

impl<K: Eq + Hash, V> Memory<K, V> {
    /// Keeps at most so many answers; then it forgets all of them and begins anew.
    pub fn new(most: usize) -> Self {
        Self { entries: RwLock::default(), most }
    }

    /// Returns what is kept, or asks and keeps the answer. "Nothing" is not kept.
    pub async fn get<E>(
        &self,
        store: &Store,
        key: K,
        ask: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<Arc<V>>, E> {
        // Before asking: an answer that a change overtook must not pass for one of after the change.
        let (version, asked) = (store.version(), Instant::now());
        if let Some(version) = version
            && let Some(kept) = self.kept(&key, version, asked)
        {
            return Ok(Some(kept));
        }
        let Some(value) = ask.await? else { return Ok(None) };
        let value = Arc::new(value);
        if let Some(version) = version {
            self.keep(key, Entry { version, asked, value: value.clone() });
        }
        Ok(Some(value))
    }

    fn kept(&self, key: &K, version: Version, now: Instant) -> Option<Arc<V>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let good = |entry: &&Entry<V>| entry.version == version && now.duration_since(entry.asked) < TRUSTED;
        entries.get(key).filter(good).map(|entry| entry.value.clone())
    }

    fn keep(&self, key: K, entry: Entry<V>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.most {
            entries.clear();
        }
        entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use hub_core::clock::Time;
    use hub_store::OpenOptions;

    use super::*;

    async fn store(folder: &std::path::Path) -> Store {
        let url = format!("sqlite:///{}", folder.join("hub.sqlite").display());
        Store::open(&url, OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_forgotten_at_a_write_and_after_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let memory = Memory::new(2);
        let (before, now) = (store.version().unwrap(), Instant::now());
        memory.keep("alice", Entry { version: before, asked: now, value: Arc::new(1) });
        assert_eq!(memory.kept(&"alice", before, now).as_deref(), Some(&1));
        assert_eq!(memory.kept(&"alice", before, now + TRUSTED), None);
        store.set_meta("anything", "new").await.unwrap();
        assert_eq!(memory.kept(&"alice", store.version().unwrap(), now), None);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let version = store(folder.path()).await.version().unwrap();
        let memory = Memory::new(2);
        for key in 0..5 {
            memory.keep(key, Entry { version, asked: Instant::now(), value: Arc::new(key) });
            assert!(memory.entries.read().unwrap().len() <= 2);
        }
    }
}

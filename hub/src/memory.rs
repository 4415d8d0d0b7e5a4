//! Answers of the database kept for as long as it does not change.
//!
//! An entry counts only under the version it was read at, so nothing is ever served across a change: own writes raise
//! the version, and on SQLite so does a write of any other process. A database whose version cannot be told cheaply
//! (PostgreSQL, where other hubs write) is asked every time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use hub_store::{Store, Version};

type Entries<K, V> = HashMap<K, (Version, Arc<V>)>;

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
        let version = store.version();
        if let Some(version) = version
            && let Some(kept) = self.kept(&key, version)
        {
            return Ok(Some(kept));
        }
        let Some(value) = ask.await? else { return Ok(None) };
        let value = Arc::new(value);
        if let Some(version) = version {
            self.keep(key, version, value.clone());
        }
        Ok(Some(value))
    }

    fn kept(&self, key: &K, version: Version) -> Option<Arc<V>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(at, _)| *at == version).map(|(_, value)| value.clone())
    }

    fn keep(&self, key: K, version: Version, value: Arc<V>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.most {
            entries.clear();
        }
        entries.insert(key, (version, value));
    }
}

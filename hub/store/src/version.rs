//! Whether a database changed, told without asking it: for those who keep answers only as long as nothing changes.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Store;

/// Writes of this process, on any database: one more than necessary forgotten is better than one too few.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Called after every write, successful or not, before its caller hears of it.
pub(crate) fn written() {
    WRITES.fetch_add(1, Ordering::SeqCst);
}

/// A state of a database. Two equal ones mean that nothing was written between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    writes: u64,
    /// Inode, size and time of change of the write-ahead log: every writer's commit goes through it.
    log: Option<(u64, u64, i64, i64)>,
}

impl Store {
    /// Whether other hubs may use the same database at the same time.
    pub fn is_shared(&self) -> bool {
        self.log.is_none()
    }

    /// Tells the present state; `None` for PostgreSQL, where others write unseen.
    ///
    /// Own writes are always seen. A write of another process to the same SQLite file is seen by the write-ahead log's
    /// size and time, whose grain is that of the file system, some milliseconds.
    pub fn version(&self) -> Option<Version> {
        let log = self.log.as_ref()?;
        let writes = WRITES.load(Ordering::SeqCst);
        let found = std::fs::metadata(log.as_path()).ok();
        let log = found.map(|found| (found.ino(), found.size(), found.mtime(), found.mtime_nsec()));
        Some(Version { writes, log })
    }
}

//! What an operator may decide about buckets as folders.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the mounts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The hub's own mark, as in [`spawners::Identity::hub`].
    pub hub: String,
    /// Where folders are mounted on this machine. May be on a disk that a restart of the machine empties.
    pub dir: PathBuf,
    /// Where is kept what was not uploaded yet. Must outlive a restart of the machine.
    pub cache_dir: PathBuf,
    /// Where servers see the folders.
    pub target: PathBuf,
    /// How large the cache of one folder may grow, in bytes; what waits to be uploaded may exceed it.
    pub cache_bytes: u64,
    /// How long after the end of a server its uploads may go on.
    pub drain_timeout: Duration,
    /// How long a start waits for one folder.
    pub mount_timeout: Duration,
    /// The program.
    pub rclone: PathBuf,
    /// Further arguments of `rclone mount`.
    pub args: Vec<String>,
    /// Whose the files are, where a plan does not tell: user and group.
    pub owner: (u32, u32),
}

impl Config {
    /// The defaults, for a hub with this mark.
    pub fn new(hub: impl Into<String>, dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            hub: hub.into(),
            dir: dir.into(),
            cache_dir: cache_dir.into(),
            target: "/s3".into(),
            cache_bytes: 10 << 30,
            drain_timeout: Duration::from_secs(600),
            mount_timeout: Duration::from_secs(15),
            rclone: "rclone".into(),
            args: Vec::new(),
            owner: (1000, 100),
        }
    }
}

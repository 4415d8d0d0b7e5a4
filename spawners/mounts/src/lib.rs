//! Buckets as folders of servers: a spawner around another one, which mounts with rclone beside the server.
//!
//! A helper, one rclone process for each bucket, runs outside the server and as root; the server sees the folder that
//! the helper mounts below, and needs no rights for that. Helpers live on when the hub ends. What a server wrote waits
//! in a cache on this machine until it is in the store. So that no file is lost:
//!
//! - a helper that died is replaced by one with the same cache, which goes on with what was waiting;
//! - after the end of a server its helpers stay until everything is in the store, for a bounded time;
//! - past that time the cache is kept for the next start, and [`Mounted::health`] tells so.

mod cache;
mod config;
mod credentials;
mod health;
mod helper;
mod mounted;
mod mountinfo;
mod note;
mod place;
mod rc;
mod tend;
mod work;

pub use config::Config;
pub use credentials::{Credentials, Keys, NoKeys};
pub use health::{Health, State};
pub use mounted::Mounted;

/// The environment variable by which a helper is found: `hub:spawner/folder`.
pub const MARKER: &str = "SPECOLA_MOUNT";

//! Servers as processes of this machine: one per user and server, living on when the hub ends.
//!
//! As root, each runs under the system user of the same name; otherwise all run under the hub's own user, each with
//! a home folder of its own. What is told of a server is never a bare pid: pid, start time and boot id together, or
//! the mark in its environment. It isolates no further than the system does between users.

mod account;
mod bind;
mod config;
mod driver;
mod ending;
mod launch;
mod limit;
mod listener;
mod log;
mod name;
mod papers;
mod port;
pub mod process;
mod run;
mod search;
mod shared;
mod stop;
mod watch;

pub use config::{Config, Mode};
pub use driver::Local;
pub use launch::{default_signals, forget_descriptors};
pub use papers::Written;

/// The environment variable by which a server's processes are found: `hub:spawner:generation`.
pub const MARKER: &str = "SPECOLA_SERVER";

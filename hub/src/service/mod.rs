//! Services: programs beside people's servers that ask the hub, are opened in a browser, or both.
//!
//! What a service is stands in the database, whether the configuration or the API made it. `sync` brings the
//! configuration there at start; `run` keeps those with a command alive (only the configuration has such); `health`
//! asks those with a url. Their routes are put right by `task/routes.rs`.

pub mod board;
mod environment;
pub mod health;
mod launch;
mod process;
pub mod run;
pub mod spec;
pub mod sync;
pub mod tokens;

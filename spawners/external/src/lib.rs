//! Servers that a program or an address of the operator's starts, looks at and stops.
//!
//! The protocol is in `docs/hooks.md`. Whoever answers finds a server by its identity; what it calls `state` is kept
//! for it in the server's row. No answer, a late one or one that is not understood says nothing of a server.

mod answer;
mod driver;
mod question;

pub use driver::{ABILITIES, External};

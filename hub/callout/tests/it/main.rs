//! Programs and addresses at the other end that misbehave in every way.

#![allow(clippy::unwrap_used)]

mod hostile;
mod server;

//! The driver against a real engine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod container;
mod contract;
mod ending;
mod ground;
mod refusal;
mod registry;
mod watch;

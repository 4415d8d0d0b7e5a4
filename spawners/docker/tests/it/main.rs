//! The driver against a real engine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod container;
mod contract;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/registry.rs"]
mod debian_registry;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/dockerd.rs"]
mod dockerd;
mod ending;
mod ground;
mod kept;
mod options;
mod part;
mod refusal;
mod registry;
mod restart;
mod sites;
mod watch;

//! The driver against a fake API server, and against a real cluster where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod contract;
mod ending;
mod executors;
mod fault;
mod golden;
mod ground;
mod hook;
mod names;
mod papers;
mod progress;
mod refusal;
mod service;
mod sites;
mod space;
mod storage;
mod watch;

//! The agent as a process, beside a hub that does what a test says.

#![allow(clippy::unwrap_used)]

mod agent;
mod beside;
mod hub;
mod keys;
mod process;
mod report;

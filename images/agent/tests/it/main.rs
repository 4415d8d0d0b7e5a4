//! The agent as a process, beside a hub that does what a test says.

mod agent;
mod hub;
mod keys;
mod process;

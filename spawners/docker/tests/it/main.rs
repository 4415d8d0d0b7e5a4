//! The driver against a real engine.

mod adoption;
mod container;
mod contract;
mod ending;
mod ground;
mod refusal;
mod registry;
mod watch;

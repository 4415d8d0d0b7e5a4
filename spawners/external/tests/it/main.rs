//! The driver with a real program that keeps real processes.

#![allow(clippy::unwrap_used)]

mod contract;
mod hostile;

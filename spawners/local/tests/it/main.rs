//! The local driver with real processes: as the user who runs the tests, as `nobody` and under a system user when
//! that is root.

#![allow(clippy::unwrap_used)]

mod adoption;
mod binds;
mod contract;
mod ending;
mod ground;
mod identity;
mod limits;

//! spawners

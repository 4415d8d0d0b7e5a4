//! spawner-local

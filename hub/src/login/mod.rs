//! Logging in: a name and a password become an identity, or a refusal.

pub mod name;

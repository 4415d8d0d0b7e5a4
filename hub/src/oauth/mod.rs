//! The OAuth 2 provider: single-user servers and services find out through it who a browser belongs to.

pub mod authorize;
pub mod client;
pub mod consent;
pub mod token;

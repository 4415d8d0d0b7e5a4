//! What Specola decides, without doing anything: names, scopes, tokens, cookies, the life of a server.
//!
//! Nothing in here does I/O or reads the clock; time and randomness are arguments.

pub mod clock;
pub mod id;
pub mod life;
pub mod scope;
pub mod secret;

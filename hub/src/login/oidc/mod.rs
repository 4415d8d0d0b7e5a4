//! Logging in at an identity provider: OpenID Connect, and GitHub's own way.
//!
//! [`Provider`] is one of them; everything here is about what it says and whether that can be believed. Who of its people
//! may enter is decided in `login::allow`, and what the browser is shown in `page::oauth_login`.

pub mod attempt;
pub mod claim;
pub mod claims;
mod discovery;
#[cfg(test)]
mod exchange;
mod github;
mod globus;
mod google;
pub mod group;
pub mod http;
#[cfg(test)]
pub mod listener;
pub mod preset;
mod provider;
pub mod registration;
mod scopes;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod trouble;
mod verify;
mod way;

pub use attempt::Attempt;
pub use claims::{Before, Claims};
pub use discovery::is_same_issuer;
pub use provider::{Ask, Known, Provider};
pub use tokens::{Tokens, excerpt};
pub use trouble::{RefreshError, Trouble};
pub use verify::payload;

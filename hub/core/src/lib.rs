//! What Specola decides, without doing anything: names, scopes, tokens, cookies, the life of a server.
//!
//! Nothing in here does I/O or reads the clock; time and randomness are arguments.

pub mod announcement;
pub mod clock;
pub mod cookie;
pub mod cull;
pub mod device;
pub mod fernet;
pub mod id;
pub mod life;
pub mod name;
pub mod next_url;
pub mod pkce;
pub mod policy;
pub mod role;
pub mod scope;
pub mod secret;
pub mod service;
pub mod site;
pub mod subdomain;
pub mod token;
pub mod xsrf;

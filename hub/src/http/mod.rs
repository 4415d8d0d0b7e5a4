//! What is between a request and its handler: who asks, what they may, and how errors and headers leave.

pub mod caller;
pub mod cookies;
pub mod dress;
pub mod etag;
pub mod guard;
pub mod held;
pub mod origin;
pub mod problem;
pub mod proof;
pub mod record;
pub mod routes;
pub mod server;
pub mod url;
pub mod xsrf;

pub use caller::{Caller, Owner};
pub use problem::{Answer, Problem};

//! The reverse proxy of Specola: it knows routes and nothing else.
//!
//! Browsers speak HTTP/1.1 or, over TLS, HTTP/2. Requests go by longest prefix to an upstream over HTTP/1.1, bodies are
//! streamed both ways, and a websocket becomes a raw tunnel after a checked `101`. Routes come from the hub over a resumable
//! stream (see [`wire`]) and are kept on disk, so that the proxy serves on while no hub answers.
//! There are no users, cookies, sessions or database here.

#![forbid(unsafe_code)]

mod access_log;
mod acknowledge;
mod activity;
mod admin;
mod body;
mod budget;
pub mod chp;
mod cookies;
mod descriptors;
mod dial;
mod doubt;
mod error_page;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hand_over;
mod handed;
mod headers;
mod http2;
mod keep_alive;
mod link;
mod listener;
mod lobby;
mod measure;
mod metrics;
mod notify;
mod options;
mod path;
mod patient;
mod pipe;
mod pool;
pub mod proxy_protocol;
mod reach;
mod relay;
mod reload;
mod rewound;
mod room;
mod route;
mod scratch;
pub mod secure;
mod server;
mod short;
mod sibling;
mod silence;
mod snapshot;
mod splice;
mod state;
mod stop;
mod stream;
mod table;
mod target;
pub mod tls;
mod tunnel;
mod upgrade;
pub mod wire;
mod workers;

pub use cookies::CookieFirewall;
pub use hand_over::Sockets;
pub use options::{Cidr, Front, HubLink, Limits, Options};
pub use reload::Reload;
pub use server::Proxy;

use tokio_util::sync::CancellationToken;

/// Serves until `stop` is cancelled (or a graceful stop is asked for on the admin socket), then
/// drains: no new connections, requests in flight finish, and what is left after [`Limits::drain`]
/// is cut.
///
/// Errors: a listener or the admin socket cannot be bound, or an option does not parse. Problems
/// after the start are logged and do not end the proxy.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    Proxy::bind(options).await?.serve(stop).await
}

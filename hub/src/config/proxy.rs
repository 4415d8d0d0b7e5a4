//! `[proxy]`: the proxy in front of the hub and of people's servers, and its limits.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::unit::{ByteSize, Seconds};

/// The proxy in front of the hub and of people's servers. It reads these when it starts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProxyConfig {
    /// Starts the proxy with the hub, and again should it end. Without it, start `specola proxy` yourself.
    pub should_start: bool,
    /// How many connections are served at once; more wait.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How large the head of a request or of an answer may be.
    pub header_bytes: ByteSize,
    /// How long a browser may take to send the head of a request, or keep a connection without one.
    pub header_timeout: Seconds,
    /// How long connecting to a server may take.
    pub connect_timeout: Seconds,
    /// How long an unused connection to a server is kept. Most servers close theirs after 5 seconds.
    pub pool_idle: Seconds,
    /// How many unused connections are kept for each server.
    pub pool_size: usize,
    /// How long a browser may be silent in the middle of an upload.
    pub upload_idle: Seconds,
    /// How long requests may still take when the proxy stops.
    pub drain_timeout: Seconds,
    /// How long requests may still take when their server was stopped.
    pub route_grace: Seconds,
    /// How long requests for the hub wait while it restarts.
    pub hub_wait: Seconds,
    /// How often the proxy tells the hub which servers were in use.
    pub activity_interval: Seconds,
    /// A file of certificate authorities (PEM) that proxy and hub believe, beside those of this machine, when a service
    /// has an `https` address.
    #[schemars(extend("format" = "path"))]
    pub client_ca_file: Option<PathBuf>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            should_start: true,
            max_connections: 8192,
            header_bytes: ByteSize(64 << 10),
            header_timeout: Seconds(30.0),
            connect_timeout: Seconds(5.0),
            pool_idle: Seconds(4.0),
            pool_size: 64,
            upload_idle: Seconds(300.0),
            drain_timeout: Seconds(10.0),
            route_grace: Seconds(10.0),
            hub_wait: Seconds(10.0),
            activity_interval: Seconds(5.0),
            client_ca_file: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(proxy: &ProxyConfig) -> specola_proxy::Limits {
        specola_proxy::Limits {
            max_connections: proxy.max_connections,
            header_bytes: usize::try_from(proxy.header_bytes.0).unwrap_or(usize::MAX),
            header_read: proxy.header_timeout.duration(),
            connect: proxy.connect_timeout.duration(),
            pool_idle: proxy.pool_idle.duration(),
            pool_size: proxy.pool_size,
            upload_idle: proxy.upload_idle.duration(),
            drain: proxy.drain_timeout.duration(),
            route_grace: proxy.route_grace.duration(),
            hub_wait: proxy.hub_wait.duration(),
            activity_interval: proxy.activity_interval.duration(),
            ..specola_proxy::Limits::default()
        }
    }

    #[test]
    fn the_defaults_are_the_proxys_own() {
        assert_eq!(format!("{:?}", limits(&ProxyConfig::default())), format!("{:?}", specola_proxy::Limits::default()));
    }
}

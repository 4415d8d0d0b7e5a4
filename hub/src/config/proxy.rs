//! `[proxy]`: the proxy in front of the hub and of people's servers, and its limits.

use schemars::JsonSchema;
use serde::Deserialize;

use super::unit::{ByteSize, Seconds};

/// The proxy in front of the hub and of people's servers. It reads these when it starts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProxyConfig {
    /// Starts the proxy with the hub, and again should it end. Without it, start `specola proxy` yourself.
    pub should_start: bool,
    /// How many connections are served at once.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How large the head of a request or of an answer may be.
    pub max_head_bytes: ByteSize,
    /// How long a browser may take to send the head of a request.
    pub head_timeout: Seconds,
    /// How long connecting to a server may take.
    pub connect_timeout: Seconds,
    /// How long a connection to a server is kept for the next request.
    pub idle_timeout: Seconds,
    /// How many idle connections are kept for each server.
    pub max_idle_per_server: usize,
    /// How long running requests have to end when the proxy stops.
    pub drain_timeout: Seconds,
    /// How often the proxy tells the hub which servers were in use.
    pub activity_interval: Seconds,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            should_start: true,
            max_connections: 20_000,
            max_head_bytes: ByteSize(64 << 10),
            head_timeout: Seconds(30.0),
            connect_timeout: Seconds(10.0),
            idle_timeout: Seconds(60.0),
            max_idle_per_server: 16,
            drain_timeout: Seconds(30.0),
            activity_interval: Seconds(10.0),
        }
    }
}

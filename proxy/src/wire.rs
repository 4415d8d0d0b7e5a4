//! What hub and proxy say to each other, as serde types. The hub publishes, the proxy follows.
//!
//! `GET /routes/stream?proxy=ID[&site=NAME][&epoch=E&since=REV]` answers with endless `application/x-ndjson`, one
//! [`Line`] a line. `POST /routes/ack` takes an [`Ack`], `POST /activity` an [`Activity`]. Every request
//! carries `Authorization: token X`.

use std::collections::BTreeMap;

use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Path of the route stream.
pub const STREAM_PATH: &str = "/routes/stream";
/// Path that takes an [`Ack`].
pub const ACK_PATH: &str = "/routes/ack";
/// Path that takes an [`Activity`].
pub const ACTIVITY_PATH: &str = "/activity";
/// Takes [`Doubt`], answers [`Verdict`].
pub const DOUBT_PATH: &str = "/routes/doubt";

/// The header of a proxy that acknowledges heartbeats too, and is known by that to be there.
pub const ACKNOWLEDGES_HEADER: &str = "x-specola-acknowledges";

/// The header by which hub and proxies know a request as passed on by a proxy of theirs, whose word about the client they
/// believe.
pub const PROOF_HEADER: &str = "x-specola-proxy";

/// In answers to who has shown the proof: what the request has led to, such as `hub` or `user`.
pub const LED_TO_HEADER: &str = "x-specola-led-to";

/// In the data of a route that leads to the proxies of another site: the name of the site.
pub const ELSEWHERE: &str = "elsewhere";

/// What [`PROOF_HEADER`] says: it can be made of the token that hub and proxies share, and the token not of it.
pub fn proof(token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let made = hmac::sign(&key, b"specola: passed on by a proxy");
    made.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One route. `prefix` is a JupyterHub routespec: `[host]/path/` in escaped form, ending in `/`.
/// `target` is `http://host:port[/]` or `http+unix://%2Fpath%2Fof%2Fsocket`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Escaped URL prefix, such as `/user/a%40b/`.
    pub prefix: String,
    /// Where requests under the prefix go.
    pub target: String,
    /// Free data. `{"hub": true}` marks the hub's own route.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// One line of the route stream (and of the snapshot file).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// Replaces the whole table.
    Snapshot {
        /// Names one numbering of revisions; a new epoch starts with a snapshot.
        epoch: String,
        /// Revision of the table after this line.
        revision: u64,
        /// All routes.
        routes: Vec<Route>,
    },
    /// Changes some routes.
    Change {
        /// Must be the epoch of the table, else the proxy asks for a snapshot.
        epoch: String,
        /// Revision of the table after this line; greater than the one before.
        revision: u64,
        /// Routes to add or replace.
        #[serde(default)]
        put: Vec<Route>,
        /// Prefixes to remove.
        #[serde(default)]
        delete: Vec<String>,
    },
    /// Says that the link lives, and where the table stands.
    Heartbeat {
        /// Epoch of the hub's table.
        epoch: String,
        /// Revision of the hub's table.
        revision: u64,
    },
}

/// Body of `POST /routes/ack`: this proxy routes by, and has stored, that revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Identity of the proxy.
    pub proxy: String,
    /// Epoch of the applied revision.
    pub epoch: String,
    /// The applied revision.
    pub revision: u64,
}

/// Body of `POST /routes/doubt`: the server of this route could not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Identity of the proxy.
    pub proxy: String,
    /// The route, spelled as the hub spelled it.
    pub prefix: String,
    /// Where it leads.
    pub target: String,
}

/// The hub's answer to [`Doubt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the server is there, and the target its own. Else the proxy sends nobody there, and asks again.
    pub confirmed: bool,
}

/// Body of `POST /activity`: the routes whose activity moved since the last batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Identity of the proxy.
    pub proxy: String,
    /// By prefix, spelled as the hub spelled it.
    pub routes: BTreeMap<String, RouteActivity>,
}

/// Activity of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteActivity {
    /// RFC 3339 in UTC with microseconds and `Z`.
    pub last_activity: String,
}

/// Body of `GET /status` on the admin socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Process id.
    pub pid: u32,
    /// Identity of the proxy.
    pub proxy: String,
    /// Addresses that the public listeners are bound to.
    pub listen: Vec<std::net::SocketAddr>,
    /// Whether those speak TLS.
    #[serde(default)]
    pub tls: bool,
    /// When the certificate ends, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<String>,
    /// The word given at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Epoch of the table; empty before any.
    pub epoch: String,
    /// Revision of the table; 0 before any.
    pub revision: u64,
    /// Number of routes.
    pub routes: usize,
    /// Open client connections, tunnels not counted.
    pub connections: usize,
    /// Open websocket tunnels.
    pub tunnels: usize,
    /// Those of them that share the connection of their client, over HTTP/2.
    #[serde(default)]
    pub sharing_tunnels: usize,
    /// Requests answered since the start.
    pub requests: u64,
    /// Whether the route stream is up.
    pub linked: bool,
    /// Whether a stop was asked for.
    pub draining: bool,
    /// Names the program's file, so that whoever started the proxy can see whether there is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

//! What the benchmarks in `tests/measure/libraries` call: parts of the proxy by themselves.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderMap;
use serde_json::Map;
use tokio::net::TcpStream;

use crate::{
    HubLink, Options, Proxy, headers, listener, path,
    relay::Client,
    route::Route,
    short,
    stream::Stream,
    table::Table,
    tunnel::{self, End},
    wire,
};

/// Routes of so many people.
pub struct Routes(Table);

impl Routes {
    #[must_use]
    pub fn new(count: usize) -> Self {
        let mut table = Table::default();
        for number in 0..count {
            let prefix = format!("/user/somebody-{number}/");
            let key = path::prefix_key(&prefix).unwrap();
            let route = wire::Route { prefix, target: "http://127.0.0.1:1".to_owned(), data: Map::new() };
            table.put(&key, Arc::new(Route::new(route, Arc::default(), 1).unwrap()));
        }
        Self(table)
    }

    /// Whether a raw path has a route.
    #[must_use]
    pub fn find(&self, path: &str) -> bool {
        path::key(path).is_ok_and(|key| self.0.find(&key).is_some())
    }
}

/// A client of a proxy with one route, to which everything goes.
pub struct Heads(Client);

impl Heads {
    pub async fn new() -> Self {
        let target = Some("http://127.0.0.1:1".to_owned());
        let options = Options { hub: HubLink::None, default_target: target, ..Options::default() };
        let shared = Proxy::bind(options).await.unwrap().shared;
        let peer = IpAddr::from([127, 0, 0, 1]);
        let origin = listener::origin(&shared, peer, false);
        Self(Client::new(shared, origin, Some(peer)))
    }

    /// Reads a whole head and writes it for the upstream, as for plain requests. False where it is not one.
    pub fn write(&self, read: &[u8], to: &mut Vec<u8>) -> bool {
        short::write(&self.0, read, to)
    }

    /// Makes headers that hyper has read fit for the upstream, where hyper writes them. False where they are refused.
    pub fn clean(&self, headers: &mut HeaderMap) -> bool {
        headers::clean_request(headers, &self.0.origin, None).is_ok()
    }
}

/// Joins two connections until both directions have ended.
pub async fn join(browser: TcpStream, upstream: TcpStream) {
    let end = |socket| End { stream: Stream::Tcp(socket), read: bytes::Bytes::new() };
    let _ = tunnel::join(end(browser), end(upstream), Duration::from_secs(30), |_| (), |_| ()).await;
}

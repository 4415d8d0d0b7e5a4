//! The proxy from outside: real sockets, little upstreams, and a hub that speaks the route stream.
//!
//! Tests named `item_NN_…` show the item of that number in `CHECKLIST.md`.

// A test that cannot go on must stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acme;
mod chp;
mod client;
mod exchange;
mod framing;
mod handshake;
mod headers;
mod http2;
mod hub;
mod hub_restart;
mod life;
mod link;
mod paths;
#[path = "../../../tests/src/pebble.rs"]
mod pebble;
mod proxy_protocol;
mod secure;
mod streams;
mod tenancy;
mod tls;
mod tunnels;
mod unix;
mod upstream;
mod world;

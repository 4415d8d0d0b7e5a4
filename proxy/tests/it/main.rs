//! The proxy from outside: real sockets, little upstreams, and a hub that speaks the route stream.
//!
//! Tests named `item_NN_…` show the item of that number in `CHECKLIST.md`.

// A test that cannot go on must stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access_log;
mod acme;
mod acme_shared;
mod answers;
mod budget;
mod checklist;
mod chp;
mod client;
mod cookies;
mod differential;
mod doubt;
mod exchange;
mod floods;
mod frames;
mod framing;
mod hand_over;
mod handshake;
mod headers;
mod http2;
mod hub;
mod hub_restart;
mod life;
mod link;
mod lobby;
mod metrics;
mod paths;
#[path = "../../../tests/src/pebble.rs"]
mod pebble;
mod pipes;
mod proxy_protocol;
mod secure;
mod short;
mod short_uploads;
mod sites;
mod soak;
mod streams;
mod strict;
mod tenancy;
mod tls;
mod tunnels;
mod unix;
mod upstream;
mod world;

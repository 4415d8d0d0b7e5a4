//! Websockets: tunnels after a checked handshake, and what ends them.

use std::time::Duration;

use crate::{
    client::{Raw, until},
    hub::{hub_route, route},
    link::status,
    upstream::Upstream,
    world::{World, world, world_with},
};

pub const HANDSHAKE: &str = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// What proves that a key was understood.
pub fn accept_of(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// Switches, then sends back every byte until the end, then ends.
async fn raw_echo() -> Upstream {
    Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        loop {
            let bytes = std::mem::take(&mut peer.buffer);
            peer.send(&bytes).await;
            // An idle tunnel may be silent longer than any deadline.
            let mut piece = [0; 4096];
            match tokio::io::AsyncReadExt::read(&mut peer.stream, &mut piece).await {
                Ok(count) if count > 0 => peer.buffer.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
    })
    .await
}

async fn open(world: &World, path: &str) -> Raw {
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET {path} HTTP/1.1\r\n{HANDSHAKE}")).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(raw.exact(5).await, b"hello");
    raw
}

async fn echoes(raw: &mut Raw) {
    raw.send("ping").await;
    assert_eq!(raw.exact(4).await, b"ping");
}

#[tokio::test]
async fn item_22_an_end_is_passed_on_and_the_other_direction_goes_on() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        let all = peer.rest().await;
        peer.send(format!("got {} bytes", all.len())).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = open(&world, "/").await;
    raw.send(vec![1; 100_000]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    assert_eq!(String::from_utf8(raw.rest().await).unwrap(), "got 100000 bytes");
}

#[tokio::test]
async fn item_22_an_end_from_the_upstream_reaches_the_browser() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = open(&world, "/").await;
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn item_23_half_a_tunnel_does_not_live_on_for_ever() {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let sender = sender.clone();
        async move {
            peer.head().await;
            peer.send(format!("{SWITCH}\r\nhello")).await;
            assert!(peer.rest().await.is_empty());
            // Never ends its own direction.
            let _ = sender.send(());
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.tunnel_half_close = Duration::from_millis(100);
    })
    .await;
    let mut raw = open(&world, "/").await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    ended.recv().await.unwrap();
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn a_reader_that_stops_holds_back_the_sender_and_loses_nothing() {
    const SIZE: usize = 32 << 20;
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        peer.send(bytes).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = open(&world, "/").await;
    let bytes = raw.rest().await;
    assert_eq!(bytes.len(), SIZE);
    assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
}

#[tokio::test]
async fn bytes_from_the_browser_are_activity_and_bytes_to_it_are_not() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        loop {
            if !peer.more().await {
                return;
            }
            peer.send("pong!").await;
        }
    })
    .await;
    let world = world(vec![route("/user/a/", &upstream.url())]).await;
    let mut raw = open(&world, "/user/a/").await;
    let told = || world.hub.told.lock().unwrap().activity.get("/user/a/").cloned();
    until("activity of the handshake", async || told().is_some()).await;
    let before = told();
    raw.send("x").await;
    assert_eq!(raw.exact(5).await, b"pong!");
    until("later activity", async || told() > before).await;
}

#[tokio::test]
async fn a_tunnel_survives_a_hub_restart_and_a_snapshot_with_the_same_route() {
    let lab = raw_echo().await;
    let mut world = world(vec![hub_route("/", "http://127.0.0.1:1"), route("/user/a/", &lab.url())]).await;
    let mut raw = open(&world, "/user/a/").await;
    world.hub.stop();
    echoes(&mut raw).await;
    world.hub.resume();
    echoes(&mut raw).await;
    let revision = world.hub.snapshot_again();
    world.hub.acknowledged(revision).await;
    echoes(&mut raw).await;
    // The same route with other data is the same route.
    let mut same = route("/user/a/", &lab.url());
    same.data.insert("user".into(), "a".into());
    world.hub.set(vec![same], &[]).await;
    world.hub.stop();
    world.hub.resume_anew("two");
    world.hub.acknowledged(1).await;
    echoes(&mut raw).await;
}

#[tokio::test]
async fn the_status_counts_tunnels_until_they_end() {
    let lab = raw_echo().await;
    let world = world(vec![route("/user/a/", &lab.url())]).await;
    let raw = open(&world, "/user/a/").await;
    until("one tunnel", async || status(&world).await.tunnels == 1).await;
    assert_eq!(status(&world).await.connections, 0);
    drop(raw);
    until("no tunnel", async || status(&world).await.tunnels == 0).await;
}

#[tokio::test]
async fn item_30_a_stop_cuts_tunnels_after_the_drain() {
    let lab = raw_echo().await;
    let mut world = world_with(vec![route("/user/a/", &lab.url())], |options| {
        options.limits.drain = Duration::from_millis(200);
    })
    .await;
    let mut raw = open(&world, "/user/a/").await;
    world.stop.cancel();
    echoes(&mut raw).await;
    world.end().await;
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn item_29_a_deleted_route_ends_its_tunnels_after_the_grace() {
    let lab = raw_echo().await;
    let world = world_with(vec![route("/user/a/", &lab.url()), route("/user/b/", &lab.url())], |options| {
        options.limits.route_grace = Duration::from_millis(300);
    })
    .await;
    let mut a = open(&world, "/user/a/").await;
    let mut b = open(&world, "/user/b/").await;
    world.hub.set(vec![], &["/user/a/"]).await;
    // New ones are refused at once, the old one has its grace.
    assert_eq!(crate::client::get(world.address, "/user/a/").await.status, 404);
    echoes(&mut a).await;
    assert!(a.rest().await.is_empty());
    echoes(&mut b).await;
}

#[tokio::test]
async fn item_29_a_moved_route_leaves_old_tunnels_where_they_are() {
    let old = raw_echo().await;
    let new = Upstream::named("new").await;
    let world = world_with(vec![route("/user/a/", &old.url())], |options| {
        options.limits.route_grace = Duration::from_millis(1);
    })
    .await;
    let mut raw = open(&world, "/user/a/").await;
    world.hub.set(vec![route("/user/a/", &new.url())], &[]).await;
    assert_eq!(crate::client::get(world.address, "/user/a/").await.text(), "new");
    echoes(&mut raw).await;
}

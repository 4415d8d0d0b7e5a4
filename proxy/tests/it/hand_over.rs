//! Items 31 and 32: another proxy takes over, and limits change, while people work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use hyper::body::Frame;
use specola_proxy::{Proxy, chp::Listen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Raw, get, until},
    handshake,
    http2::{self, Site},
    hub::route,
    link::status,
    secure::shake,
    tunnels::{echoes, open, raw_echo},
    upstream::Upstream,
    world::{World, world, world_with},
};

struct Next {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Next {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A second proxy that takes the place of the world's.
async fn take_over(world: &World) -> Next {
    let mut options = world.options.clone();
    options.listen = vec![world.address];
    options.take_over = true;
    options.program = Some("the next".to_owned());
    let proxy = Proxy::bind(options).await.unwrap();
    assert_eq!(proxy.addresses(), [world.address]);
    let stop = CancellationToken::new();
    let until = stop.clone();
    Next { stop, task: tokio::spawn(async move { proxy.serve(until).await.unwrap() }) }
}

async fn taken(world: &World) {
    until("the next proxy at the admin socket", async || status(world).await.program.as_deref() == Some("the next"))
        .await;
}

/// Sends requests all along, each on a connection of its own or all on one that is opened again when it is closed.
fn hammer(world: &World, path: &'static str, reuse: bool) -> (Arc<AtomicUsize>, Arc<AtomicBool>, JoinHandle<()>) {
    let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, stopped, address) = (Arc::clone(&count), Arc::clone(&stop), world.address);
    let task = tokio::spawn(async move {
        let mut open: Option<Raw> = None;
        while !stopped.load(Ordering::SeqCst) {
            let mut raw = match open.take() {
                Some(raw) => raw,
                None => Raw::connect(address).await,
            };
            let answer = raw.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(answer.status, 200, "{}", answer.head);
            counted.fetch_add(1, Ordering::SeqCst);
            if reuse && answer.one("connection").is_none() {
                open = Some(raw);
            }
        }
    });
    (count, stop, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_32_another_proxy_takes_over_and_nobody_is_refused() {
    let (upstream, echo) = (Upstream::named("up").await, raw_echo().await);
    let mut world = world(vec![route("/", &upstream.url()), route("/ws/", &echo.url())]).await;
    let mut tunnel = open(&world, "/ws/").await;
    let hammers = [hammer(&world, "/", false), hammer(&world, "/", false), hammer(&world, "/", true)];
    let more = async |count: usize| {
        let before: Vec<usize> = hammers.iter().map(|(count, ..)| count.load(Ordering::SeqCst)).collect();
        until("more requests", async || {
            hammers.iter().zip(&before).all(|((now, ..), before)| now.load(Ordering::SeqCst) >= before + count)
        })
        .await;
    };
    more(50).await;
    let mut next = take_over(&world).await;
    taken(&world).await;
    more(200).await;
    echoes(&mut tunnel).await;
    assert!(!world.task.as_ref().unwrap().is_finished(), "the old one keeps its tunnel");
    // And once more: the next one is relieved by one after it.
    let last = take_over(&world).await;
    until("the end of the one that had nothing open", async || next.task.is_finished()).await;
    (&mut next.task).await.unwrap();
    more(200).await;
    for (_, stop, task) in hammers {
        stop.store(true, Ordering::SeqCst);
        task.await.unwrap();
    }
    // Routes that come now are those of the last one.
    world.hub.set(vec![route("/new/", &upstream.url())], &[]).await;
    assert_eq!(get(world.address, "/new/").await.status, 200);
    echoes(&mut tunnel).await;
    drop(tunnel);
    world.task.take().unwrap().await.unwrap();
    drop(last);
}

#[tokio::test]
async fn item_32_a_next_one_that_takes_long_to_serve_relieves_the_old_one_all_the_same() {
    let upstream = Upstream::named("up").await;
    let mut world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.hand_over = Duration::from_millis(300);
    })
    .await;
    let mut options = world.options.clone();
    options.listen = vec![world.address];
    options.take_over = true;
    options.program = Some("the next".to_owned());
    let next = Proxy::bind(options).await.unwrap();
    // Who asks for the listeners after that, and says nothing, is no longer waited for.
    let mut idle = UnixStream::connect(world.admin()).await.unwrap();
    let asking = "POST /hand-over HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: specola-listeners\r\n\r\n";
    idle.write_all(asking.as_bytes()).await.unwrap();
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    let stop = CancellationToken::new();
    let until = stop.clone();
    let _next = Next { stop, task: tokio::spawn(async move { next.serve(until).await.unwrap() }) };
    let old = world.task.take().unwrap();
    tokio::time::timeout(crate::client::DEADLINE, old).await.expect("the old one leaves").unwrap();
    taken(&world).await;
    assert_eq!(get(world.address, "/").await.text(), "up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_32_what_is_under_way_over_tls_and_http2_stays_behind() {
    let (echo, uploads) = (handshake::echo().await, Upstream::named("all of it").await);
    let mut site = Site::new("/ws/", &echo, |_| {}).await;
    site.world.hub.set(vec![route("/up/", &uploads.url())], &[]).await;
    let mut browser = site.browser().await;
    let mut socket = browser.websocket("/ws/").await.unwrap();
    // An upload on each protocol.
    let (pieces, body) = http2::streamed();
    pieces.send(Frame::data("first".into())).unwrap();
    let upload = http::Request::post("https://hub.example/up/").body(body).unwrap();
    let answer = tokio::spawn(browser.sender().send_request(upload));
    let mut old = shake(&site.connector(&["http/1.1"]), site.world.address, "hub.example").await.unwrap();
    old.write_all(b"PUT /up/ HTTP/1.1\r\nHost: hub.example\r\nContent-Length: 11\r\n\r\nfirst").await.unwrap();
    old.flush().await.unwrap();
    until("both uploads", async || uploads.connections() == 2).await;
    let _next = take_over(&site.world).await;
    taken(&site.world).await;
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    pieces.send(Frame::data("second".into())).unwrap();
    drop(pieces);
    assert_eq!(http2::text(answer.await.unwrap().unwrap()).await, "all of it");
    old.write_all(b"second").await.unwrap();
    let mut told = Vec::new();
    old.read_to_end(&mut told).await.unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with("all of it"), "{told}");
    assert!(uploads.seen().iter().all(|seen| seen.body == b"firstsecond"), "{:?}", uploads.seen());
    // Who comes now is the next one's; the old one ends with its last websocket.
    assert_eq!(http2::text(site.browser().await.ask(http2::to("/up/")).await).await, "all of it");
    let left = site.world.task.take().unwrap();
    assert!(!left.is_finished());
    drop((socket, browser));
    tokio::time::timeout(crate::client::DEADLINE, left).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn item_32_a_tunnel_that_stays_behind_still_counts_as_activity() {
    let echo = raw_echo().await;
    let world = world(vec![route("/ws/", &echo.url())]).await;
    let mut tunnel = open(&world, "/ws/").await;
    let _next = take_over(&world).await;
    taken(&world).await;
    let seen = || world.hub.told.lock().unwrap().activity.get("/ws/").cloned();
    until("the first activity", async || seen().is_some()).await;
    let before = seen();
    until("activity", async || {
        echoes(&mut tunnel).await;
        seen() > before
    })
    .await;
}

#[tokio::test]
async fn item_32_another_proxy_takes_over_at_a_unix_socket_too() {
    let upstream = Upstream::named("up").await;
    let folder = tempfile::tempdir().unwrap();
    let door = folder.path().join("door");
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.doors = vec![Listen::Unix(door.clone())];
    })
    .await;
    let mut before = UnixStream::connect(&door).await.unwrap();
    let next = take_over(&world).await;
    taken(&world).await;
    let mut after = UnixStream::connect(&door).await.unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("up"), "{answer}");
    }
    let mut world = world;
    world.task.take().unwrap().await.unwrap();
    UnixStream::connect(&door).await.unwrap();
    drop(next);
}

#[tokio::test]
async fn item_32_a_stop_of_the_next_one_ends_what_stayed_behind() {
    let echo = raw_echo().await;
    let mut world = world_with(vec![route("/ws/", &echo.url())], |options| {
        options.limits.drain = Duration::from_millis(50);
    })
    .await;
    let mut tunnel = open(&world, "/ws/").await;
    let next = take_over(&world).await;
    taken(&world).await;
    echoes(&mut tunnel).await;
    next.stop.cancel();
    assert!(tunnel.rest().await.is_empty());
    world.task.take().unwrap().await.unwrap();
    until("the closed door", async || TcpStream::connect(world.address).await.is_err()).await;
}

#[tokio::test]
async fn item_32_a_next_one_that_dies_before_it_serves_changes_nothing() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut options = world.options.clone();
    options.listen = vec![world.address];
    options.take_over = true;
    drop(Proxy::bind(options).await.unwrap());
    // Whoever looks for the old one finds it.
    assert!(crate::link::admin(&world, "GET /status").await.contains("\"routes\":1"));
    for _ in 0..20 {
        assert_eq!(get(world.address, "/").await.text(), "up");
    }
    // Nobody holds the listener but the old one.
    let mut world = world;
    world.end().await;
    until("the closed door", async || TcpStream::connect(world.address).await.is_err()).await;
}

#[tokio::test]
async fn item_31_limits_change_without_a_restart() {
    let upstream = Upstream::named("up").await;
    let (sender, receiver) = tokio::sync::watch::channel(specola_proxy::Limits::default());
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.max_connections = 2;
        options.new_limits = Some(receiver);
    })
    .await;
    let first = Raw::connect(world.address).await;
    let _second = Raw::connect(world.address).await;
    let mut third = Raw::connect(world.address).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    third.send(request).await;
    // There is no room for it until there is more.
    sender.send_modify(|limits| limits.max_connections = 3);
    assert_eq!(third.answer().await.text(), "up");
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "c".repeat(10_000));
    assert_eq!(third.ask(&long).await.status, 200);
    sender.send_modify(|limits| {
        limits.header_bytes = 8192;
        limits.max_connections = 2;
    });
    drop(first);
    until("the smaller bound", async || {
        let mut raw = Raw::connect(world.address).await;
        raw.send(&long).await;
        let head = raw.head().await;
        head.starts_with("HTTP/1.1 431 ")
    })
    .await;
    // What was open keeps what it began with.
    assert_eq!(third.ask(&long).await.status, 200);
}

//! Items 21, 23 and 24: what one address and one route may have, and who does not take what it asked for.

use std::time::Duration;

use specola_proxy::chp::Listen;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UnixStream},
};

use crate::{
    client::{Raw, ask, get, until},
    hub::{hub_route, route},
    tunnels::{HANDSHAKE, open, raw_echo},
    upstream::{Upstream, read},
    world::{World, world_with},
};

/// The value of a metric.
pub async fn metric(world: &World, line: &str) -> f64 {
    let text = crate::link::admin(world, "GET /metrics").await;
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{line} is not in\n{text}")).trim().parse().unwrap()
}

#[tokio::test]
async fn item_24_an_address_that_asks_too_often_is_told_so_and_health_checks_are_free() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![hub_route("/", &upstream.url())], |options| {
        (options.limits.address_rate, options.limits.address_burst) = (1, 3);
        options.trusted_proxies = vec!["127.0.0.2".parse().unwrap()];
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut refused = None;
    for _ in 0..10 {
        let answer = raw.ask(request).await;
        if answer.status == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("ten at once are too many");
    assert_eq!(refused.one("retry-after").as_deref(), Some("1"));
    assert!(upstream.seen().len() < 10);
    assert!(metric(&world, "specola_proxy_refused_total{limit=\"address_rate\"}").await >= 1.0);
    for _ in 0..10 {
        assert_eq!(get(world.address, "/_chp_healthz").await.status, 200);
        assert_eq!(get(world.address, "/hub/health").await.status, 200);
        // Those that are not plain neither.
        let check = "GET /hub/health HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(world.address, check).await.status, 200);
        // Nor is anything else called so.
        assert_eq!(get(world.address, "/user/a/hub/health").await.status, 429);
    }
    // Behind a front that is believed, each client has its own measure.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut front = Raw { stream: socket.connect(world.address).await.unwrap(), buffer: Vec::new() };
    let of = |client: u8| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.{client}\r\n\r\n");
    for client in 0..20 {
        assert_eq!(front.ask(of(client)).await.status, 200);
    }
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(front.ask(of(100)).await.status);
    }
    assert!(statuses.starts_with(&[200, 200, 200]) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn item_24_an_address_has_so_many_connections() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.address_connections = 2;
    })
    .await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(world.address).await;
        assert_eq!(raw.ask(request).await.status, 200);
        held.push(raw);
    }
    let mut third = Raw::connect(world.address).await;
    assert!(third.rest().await.is_empty(), "the third is closed");
    // Another address is not meant.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Raw { stream: socket.connect(world.address).await.unwrap(), buffer: Vec::new() };
    assert_eq!(other.ask(request).await.status, 200);
    held.pop();
    until("room for another", async || {
        let mut raw = Raw::connect(world.address).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, request.as_bytes()).await;
        raw.more().await
    })
    .await;
    assert!(metric(&world, "specola_proxy_refused_total{limit=\"address_connections\"}").await >= 1.0);
}

#[tokio::test]
async fn item_24_an_address_opens_so_many_connections_a_second() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        (options.limits.address_arrivals, options.limits.address_arrivals_burst) = (1, 3);
    })
    .await;
    let from = async |address: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        let mut raw = Raw { stream: socket.connect(world.address).await.unwrap(), buffer: Vec::new() };
        // One that is closed may not take it.
        let _ = raw.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        !raw.rest().await.is_empty()
    };
    let mut served = Vec::new();
    for _ in 0..10 {
        served.push(from("127.0.0.1:0").await);
    }
    assert!(served.starts_with(&[true, true, true]) && served.contains(&false), "{served:?}");
    assert!(from("127.0.0.2:0").await, "another address is not meant");
    let refused = metric(&world, "specola_proxy_refused_total{limit=\"address_arrivals\"}").await as usize;
    assert_eq!(refused, served.iter().filter(|served| !**served).count());
    until("room for another", async || from("127.0.0.1:0").await).await;
}

#[tokio::test]
async fn item_24_who_comes_to_a_unix_socket_is_of_no_address() {
    let upstream = Upstream::named("up").await;
    let folder = tempfile::tempdir().unwrap();
    let door = folder.path().join("door.sock");
    let _world = world_with(vec![route("/", &upstream.url())], |options| {
        let limits = &mut options.limits;
        limits.address_connections = 1;
        (limits.address_arrivals, limits.address_arrivals_burst) = (1, 1);
        (limits.address_rate, limits.address_burst) = (1, 1);
        options.doors = vec![Listen::Unix(door.clone())];
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut socket = UnixStream::connect(&door).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; b"HTTP/1.1 200 ".len()];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 ");
        open.push(socket);
    }
}

#[tokio::test]
async fn item_23_idle_connections_of_all_servers_are_bounded() {
    let mut upstreams = Vec::new();
    for _ in 0..5 {
        upstreams.push(Upstream::named("up").await);
    }
    let prefixes: Vec<String> = (0..5).map(|at| format!("/{at}/")).collect();
    let routes = prefixes.iter().zip(&upstreams).map(|(prefix, upstream)| route(prefix, &upstream.url())).collect();
    let world = world_with(routes, |options| {
        options.limits.pool_all = 3;
        options.limits.pool_idle = Duration::from_secs(60);
    })
    .await;
    // One after the other over one connection: each is kept before the next is asked for.
    let mut raw = Raw::connect(world.address).await;
    for _ in 0..2 {
        for prefix in &prefixes {
            assert_eq!(raw.ask(format!("GET {prefix} HTTP/1.1\r\nHost: a\r\n\r\n")).await.status, 200);
        }
    }
    let connections = || upstreams.iter().map(Upstream::connections).collect::<Vec<_>>();
    assert_eq!(connections(), [1, 1, 1, 2, 2]);
    assert_eq!(metric(&world, "specola_proxy_pool_idle").await, 3.0);
    // What a route had is another's when it is gone.
    world.hub.set(vec![], &["/0/"]).await;
    for _ in 0..2 {
        assert_eq!(raw.ask("GET /3/ HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    }
    assert_eq!(connections(), [1, 1, 1, 3, 2]);
}

#[tokio::test]
async fn item_24_a_route_has_a_budget_and_the_others_do_not_pay_for_it() {
    let (echo, other) = (raw_echo().await, Upstream::named("other").await);
    let world = world_with(vec![route("/ws/", &echo.url()), route("/", &other.url())], |options| {
        options.limits.route_requests = 2;
    })
    .await;
    let first = open(&world, "/ws/").await;
    let _second = open(&world, "/ws/").await;
    let full = ask(world.address, format!("GET /ws/ HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert_eq!(full.status, 503);
    assert!(full.one("retry-after").is_some());
    for _ in 0..5 {
        assert_eq!(get(world.address, "/x").await.status, 200, "ended requests are not counted");
    }
    drop(first);
    until("a free place", async || {
        let mut raw = Raw::connect(world.address).await;
        raw.send(format!("GET /ws/ HTTP/1.1\r\n{HANDSHAKE}")).await;
        raw.head().await.starts_with("HTTP/1.1 101 ")
    })
    .await;
}

#[tokio::test]
async fn item_24_a_route_that_is_asked_too_often_says_so() {
    let upstream = Upstream::named("up").await;
    let routes = vec![route("/a/", &upstream.url()), route("/b/", &upstream.url()), hub_route("/", &upstream.url())];
    let world = world_with(routes, |options| {
        (options.limits.route_rate, options.limits.route_burst) = (1, 2);
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(world.address, "/a/").await.status);
    }
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(get(world.address, "/b/").await.status, 200);
    for _ in 0..6 {
        assert_eq!(get(world.address, "/hub/").await.status, 200, "the hub is everybody's");
    }
}

#[tokio::test]
async fn item_21_a_reader_that_takes_nothing_is_cut_and_its_upstream_freed() {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let sender = sender.clone();
        async move {
            read(&mut peer, number).await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
            let piece = vec![0; 1 << 20];
            while tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &piece).await.is_ok() {}
            let _ = sender.send(());
        }
    })
    .await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.stalled = Duration::from_millis(300);
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // It keeps its connection and reads nothing.
    tokio::time::timeout(Duration::from_secs(10), ended.recv()).await.expect("the upstream is freed").unwrap();
    drop(raw);
}

#[tokio::test]
async fn item_23_a_websocket_that_is_not_answered_is_not_waited_for_for_ever() {
    let silent = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.rest().await;
    })
    .await;
    let world = world_with(vec![route("/", &silent.url())], |options| {
        options.limits.switch = Duration::from_millis(50);
    })
    .await;
    assert_eq!(ask(world.address, format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await.status, 503);
}

#[tokio::test]
async fn item_18_a_name_that_leads_to_a_forbidden_address_is_not_followed() {
    // Names of this machine lead to loopback; the check is the one of literal addresses.
    let upstream = Upstream::named("up").await;
    let world = world_with(
        vec![
            route("/name/", &format!("http://localhost:{}", upstream.address.port())),
            route("/cloud/", "http://169.254.169.254/"),
        ],
        |_| {},
    )
    .await;
    assert_eq!(get(world.address, "/name/").await.text(), "up");
    assert_eq!(get(world.address, "/cloud/").await.status, 404);
    assert!(TcpStream::connect(world.address).await.is_ok());
}

//! Items 29 and 30: what a stop and a deleted route do to what is open.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::{
    client::{Raw, get, until},
    hub::route,
    upstream::{Upstream, read},
    world::{world, world_with},
};

/// Sends half an answer, and the other half when told.
async fn halting() -> (Upstream, tokio::sync::watch::Sender<bool>) {
    let (sender, receiver) = tokio::sync::watch::channel(false);
    let upstream = Upstream::raw(move |number, mut peer, seen| {
        let mut receiver = receiver.clone();
        async move {
            let request = read(&mut peer, number).await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
            seen.lock().unwrap().push(request);
            let _ = receiver.wait_for(|go| *go).await;
            peer.send("other").await;
            peer.rest().await;
        }
    })
    .await;
    (upstream, sender)
}

#[tokio::test]
async fn item_30_a_stop_closes_the_door_and_lets_requests_finish() {
    let (upstream, go) = halting().await;
    let mut world = world(vec![route("/", &upstream.url())]).await;
    let mut open = Raw::connect(world.address).await;
    open.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    open.head().await;
    assert_eq!(open.exact(5).await, b"first");
    let mut idle = Raw::connect(world.address).await;
    assert_eq!(idle.ask("GET /_chp_healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    world.stop.cancel();
    assert!(idle.rest().await.is_empty(), "an idle connection is closed at once");
    until("the closed door", async || TcpStream::connect(world.address).await.is_err()).await;
    go.send(true).unwrap();
    assert_eq!(open.exact(5).await, b"other");
    assert!(open.rest().await.is_empty());
    world.task.take().unwrap().await.unwrap();
}

#[tokio::test]
async fn item_30_what_does_not_finish_in_time_is_cut() {
    let (upstream, _go) = halting().await;
    let mut world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.drain = Duration::from_millis(200);
    })
    .await;
    let mut open = Raw::connect(world.address).await;
    open.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    open.head().await;
    assert_eq!(open.exact(5).await, b"first");
    let start = Instant::now();
    world.end().await;
    assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < Duration::from_secs(2));
    assert!(open.rest().await.is_empty());
}

#[tokio::test]
async fn item_30_without_anything_open_a_stop_is_immediate() {
    let upstream = Upstream::named("up").await;
    let mut world = world(vec![route("/", &upstream.url()), route("/user/a/", &upstream.url())]).await;
    get(world.address, "/").await;
    get(world.address, "/user/a/").await;
    world.hub.set(vec![], &["/user/a/"]).await;
    let start = Instant::now();
    world.end().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn item_29_requests_of_a_deleted_route_finish_within_the_grace() {
    let (upstream, go) = halting().await;
    let world = world(vec![route("/user/a/", &upstream.url())]).await;
    let mut open = Raw::connect(world.address).await;
    open.send("GET /user/a/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    open.head().await;
    world.hub.set(vec![], &["/user/a/"]).await;
    go.send(true).unwrap();
    assert_eq!(open.exact(10).await, b"firstother");
}

#[tokio::test]
async fn item_29_requests_of_a_deleted_route_are_cut_after_the_grace() {
    let (upstream, _go) = halting().await;
    let world = world_with(vec![route("/user/a/", &upstream.url())], |options| {
        options.limits.route_grace = Duration::from_millis(50);
    })
    .await;
    let mut open = Raw::connect(world.address).await;
    open.send("GET /user/a/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    open.head().await;
    world.hub.set(vec![], &["/user/a/"]).await;
    assert_eq!(open.rest().await, b"first");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = world(vec![]).await;
    let mut options = world.options.clone();
    options.admin_socket = None;
    options.listen = vec![address];
    let problem = specola_proxy::Proxy::bind(options).await.err().expect("the address is taken");
    assert!(problem.to_string().contains(&address.to_string()), "{problem}");
}

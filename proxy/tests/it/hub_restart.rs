//! A hub restart must be invisible to browsers: requests for it wait.

use std::time::Duration;

use crate::{
    budget::metric,
    client::{Raw, ask, get, until},
    hub::{hub_route, route},
    upstream::{Upstream, read},
    world::{world, world_with},
};

async fn hub_at(address: std::net::SocketAddr) -> Upstream {
    Upstream::raw_at(address, |number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            seen.lock().unwrap().push(request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback").await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_wait_while_connecting_to_the_hub_is_refused() {
    let hub = Upstream::named("hub").await;
    let address = hub.address;
    let world = world(vec![hub_route("/", &hub.url())]).await;
    assert_eq!(get(world.address, "/hub/home").await.text(), "hub");
    drop(hub);
    let mut page = Raw::connect(world.address).await;
    page.send("GET /hub/home HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Nothing of a refused connection was sent, so that an upload can wait as well.
    let mut login = Raw::connect(world.address).await;
    login.send("POST /hub/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(tokio::time::timeout(Duration::from_millis(100), page.head()).await.is_err(), "answered without a hub");
    let hub = hub_at(address).await;
    assert_eq!(page.answer().await.text(), "back");
    assert_eq!(login.answer().await.text(), "back");
    assert!(hub.seen().iter().any(|seen| seen.body == b"hello"));
}

#[tokio::test]
async fn a_request_that_the_dying_hub_had_read_is_asked_again_when_that_is_safe() {
    let hub = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        // Killed while it works.
        if number > 0 {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback").await;
        }
    })
    .await;
    let world = world(vec![hub_route("/", &hub.url())]).await;
    assert_eq!(get(world.address, "/hub/home").await.text(), "back");
    assert_eq!(hub.seen().len(), 2);
}

#[tokio::test]
async fn a_form_that_the_dying_hub_had_read_is_not_sent_twice() {
    let hub = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
    })
    .await;
    let world = world_with(vec![hub_route("/", &hub.url())], |options| {
        options.limits.error_page = Duration::from_millis(50);
    })
    .await;
    let answer = ask(
        world.address,
        "POST /hub/spawn HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
    assert_eq!(answer.status, 502);
    assert_eq!(hub.seen().len(), 1);
}

#[tokio::test]
async fn the_wait_for_the_hub_ends_with_a_503() {
    let world = world_with(vec![hub_route("/", "http://127.0.0.1:1")], |options| {
        options.limits.hub_wait = Duration::from_millis(100);
    })
    .await;
    let answer = get(world.address, "/hub/home").await;
    assert_eq!(answer.status, 503);
    assert!(answer.one("retry-after").is_some());
}

#[tokio::test]
async fn a_user_server_that_is_gone_is_told_at_once() {
    let world = world(vec![route("/user/a/", "http://127.0.0.1:1")]).await;
    let start = std::time::Instant::now();
    assert_eq!(get(world.address, "/user/a/").await.status, 503);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_hub_on_a_unix_socket_is_waited_for_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let target = format!("http+unix://{}", path.display().to_string().replace('/', "%2F"));
    let world = world(vec![hub_route("/", &target)]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /hub/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(100), raw.head()).await.is_err(), "answered without a hub");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut head = vec![0; 4096];
    let count = stream.read(&mut head).await.unwrap();
    assert!(head[..count].starts_with(b"GET /hub/ HTTP/1.1\r\n"));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").await.unwrap();
    assert_eq!(raw.answer().await.text(), "unix");
}

#[tokio::test]
async fn a_hub_that_comes_back_elsewhere_answers_what_waited() {
    let world = world(vec![hub_route("/", "http://127.0.0.1:1")]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /hub/home HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(100), raw.head()).await.is_err(), "answered without a hub");
    let hub = Upstream::named("hub").await;
    world.hub.set(vec![hub_route("/", &hub.url())], &[]).await;
    assert_eq!(raw.answer().await.text(), "hub");
}

#[tokio::test]
async fn of_many_that_wait_for_the_hub_one_tries_to_reach_it() {
    const MANY: usize = 50;
    let hub = Upstream::named("hub").await;
    let address = hub.address;
    let world = world_with(vec![hub_route("/", &hub.url())], |options| {
        options.limits.hub_wait = Duration::from_secs(1);
        options.limits.error_page = Duration::from_millis(1);
    })
    .await;
    drop(hub);
    let wait = async || {
        let mut waiting = Vec::new();
        for _ in 0..MANY {
            let mut raw = Raw::connect(world.address).await;
            raw.send("GET /hub/home HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").await;
            waiting.push(raw);
        }
        waiting
    };
    let refused = async || metric(&world, "specola_proxy_connect_failures_total{reason=\"refused\"}").await;
    for mut raw in wait().await {
        assert_eq!(raw.answer().await.status, 503);
    }
    // Each once, and then one of them every 25 milliseconds.
    let tries = refused().await;
    assert!(tries <= 50.0 + 60.0, "{tries} tries in a second");
    let mut waiting = wait().await;
    until("all wait", async || refused().await >= tries + 50.0).await;
    let _hub = hub_at(address).await;
    for raw in &mut waiting {
        assert_eq!(raw.answer().await.text(), "back");
    }
}

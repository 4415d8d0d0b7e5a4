//! Who holds connections to the API, the metrics, the redirect or the admin socket keeps nobody else out.

use std::{net::SocketAddr, time::Duration};

use specola_proxy::{HubLink, Options, secure::Redirect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    chp,
    client::{DEADLINE, Raw, ask, get},
    link::status,
    secure::{Authority, files},
    world::{World, world, world_with},
};

/// More than any of the servers has places for.
const MANY: usize = 600;

async fn side() -> World {
    side_with(|_| {}).await
}

async fn side_with(adjust: impl FnOnce(&mut Options)) -> World {
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.redirect = Some(Redirect { listen: "127.0.0.1:0".parse().unwrap(), port: None });
    world_with(Vec::new(), |options| {
        options.hub = HubLink::None;
        options.tls = Some(tls);
        options.chp = Some(chp::plain());
        options.limits.upload_idle = Duration::from_millis(100);
        adjust(options);
    })
    .await
}

/// Connections that say nothing, or half of what they might.
async fn silent(address: SocketAddr) -> Vec<Raw> {
    let mut held = Vec::new();
    for number in 0..MANY {
        let mut raw = Raw::connect(address).await;
        if number % 2 == 0 {
            // Whoever was shown out already cannot say it.
            let _ = raw.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await;
        }
        held.push(raw);
    }
    held
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let world = side().await;
    let (api, metrics, redirect) = (world.api[0], world.metrics.unwrap(), world.redirect.unwrap());
    for (address, path, status) in [(api, "/api/routes", 403), (metrics, "/health", 200), (redirect, "/", 301)] {
        let _held = silent(address).await;
        assert_eq!(get(address, path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn silent_connections_to_the_admin_socket_keep_nobody_out() {
    let world = world(Vec::new()).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = UnixStream::connect(world.admin()).await.unwrap();
        // Whoever was shown out already cannot say it.
        let _ = stream.write_all(b"GET /status HTTP/1.1\r\n").await;
        held.push(stream);
    }
    let status = tokio::time::timeout(DEADLINE, status(&world)).await;
    assert_eq!(status.expect("an answer").pid, std::process::id());
}

#[tokio::test]
async fn half_a_head_is_cut_at_each_of_the_small_servers() {
    let short = Duration::from_millis(100);
    let world = side_with(|options| options.limits.header_read = short).await;
    for address in [world.api[0], world.metrics.unwrap(), world.redirect.unwrap()] {
        for begun in ["", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
            let mut raw = Raw::connect(address).await;
            raw.send(begun).await;
            assert_eq!(raw.rest().await, b"", "{address} {begun}");
        }
    }
    // One that asks on and on has the same time for each head.
    let mut raw = Raw::connect(world.api[0]).await;
    raw.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\n").await;
    assert_eq!(raw.answer().await.status, 404);
    assert_eq!(raw.rest().await, b"");
    let mut stream = UnixStream::connect(world.admin()).await.unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\n").await.unwrap();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(ended.expect("it is closed").unwrap(), 0);
}

#[tokio::test]
async fn a_route_that_does_not_arrive_is_not_waited_for() {
    let world = side().await;
    let head = "POST /api/routes/x HTTP/1.1\r\nHost: a\r\nAuthorization: token secret\r\nContent-Length: 9\r\n\r\n{";
    assert_eq!(ask(world.api[0], head).await.status, 408);
}

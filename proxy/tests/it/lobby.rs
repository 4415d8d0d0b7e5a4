//! Who holds connections to the API, the metrics, the redirect or the admin socket keeps nobody else out.

use std::{net::SocketAddr, time::Duration};

use specola_proxy::{HubLink, secure::Redirect};
use tokio::{io::AsyncWriteExt, net::UnixStream};

use crate::{
    chp,
    client::{Raw, ask, get},
    link::status,
    secure::{Authority, files},
    world::{World, world, world_with},
};

/// More than any of the servers has places for.
const MANY: usize = 600;

async fn side() -> World {
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.redirect = Some(Redirect { listen: "127.0.0.1:0".parse().unwrap(), port: None });
    world_with(Vec::new(), |options| {
        options.hub = HubLink::None;
        options.tls = Some(tls);
        options.chp = Some(chp::plain());
        options.limits.upload_idle = Duration::from_millis(100);
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
    let status = tokio::time::timeout(crate::client::DEADLINE, status(&world)).await;
    assert_eq!(status.expect("an answer").pid, std::process::id());
}

#[tokio::test]
async fn a_route_that_does_not_arrive_is_not_waited_for() {
    let world = side().await;
    let head = "POST /api/routes/x HTTP/1.1\r\nHost: a\r\nAuthorization: token secret\r\nContent-Length: 9\r\n\r\n{";
    assert_eq!(ask(world.api[0], head).await.status, 408);
}

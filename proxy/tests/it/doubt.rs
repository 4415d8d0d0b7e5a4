//! Item 17: a port that another program has by now.

use std::{net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    client::{get, until},
    hub::{route, user_route},
    upstream::{Upstream, read},
    world::{world, world_with},
};

/// Answers with a name, and not at all when dropped.
async fn at(address: SocketAddr, name: &'static str) -> Upstream {
    Upstream::raw_at(address, move |number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            seen.lock().unwrap().push(request);
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await;
        }
    })
    .await
}

#[tokio::test]
async fn item_17_after_a_refused_connection_a_port_is_not_trusted_until_the_hub_says_so() {
    let own = Upstream::named("own").await;
    let address = own.address;
    let world = world(vec![user_route("/user/a/", &own.url())]).await;
    assert_eq!(get(world.address, "/user/a/").await.text(), "own");
    drop(own);
    until("the end of the server", async || get(world.address, "/user/a/").await.status == 503).await;
    // Somebody else gets the port.
    let stranger = at(address, "stranger").await;
    let asked = || world.hub.told.lock().unwrap().doubts.len();
    until("the question", async || asked() > 0).await;
    let before = asked();
    for _ in 0..20 {
        let answer = get(world.address, "/user/a/").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.one("retry-after").is_some());
    }
    assert!(asked() <= before + 2, "requests are not questions");
    assert_eq!(stranger.connections(), 0, "not even a connection reaches it");
    let doubt = world.hub.told.lock().unwrap().doubts[0].clone();
    assert_eq!((doubt.prefix, doubt.target), ("/user/a/".to_owned(), format!("http://{address}")));
    world.hub.told.lock().unwrap().confirms = true;
    until("the hub's word", async || get(world.address, "/user/a/").await.status == 200).await;
}

#[tokio::test]
async fn item_17_a_route_that_the_hub_writes_anew_is_trusted() {
    let own = Upstream::named("own").await;
    let (address, url) = (own.address, own.url());
    let world = world(vec![user_route("/user/a/", &url)]).await;
    drop(own);
    until("the end of the server", async || get(world.address, "/user/a/").await.status == 503).await;
    let next = at(address, "next").await;
    assert_eq!(get(world.address, "/user/a/").await.status, 503);
    // A snapshot is no word about this route.
    let revision = world.hub.snapshot_again();
    world.hub.acknowledged(revision).await;
    assert_eq!(get(world.address, "/user/a/").await.status, 503);
    assert_eq!(next.connections(), 0);
    world.hub.set(vec![user_route("/user/a/", &url)], &[]).await;
    assert_eq!(get(world.address, "/user/a/").await.text(), "next");
}

#[tokio::test]
async fn item_17_services_keep_their_ports() {
    let own = Upstream::named("own").await;
    let (address, url) = (own.address, own.url());
    let world = world(vec![route("/services/s/", &url)]).await;
    drop(own);
    until("the end of the service", async || get(world.address, "/services/s/").await.status == 503).await;
    let _back = at(address, "back").await;
    assert_eq!(get(world.address, "/services/s/").await.text(), "back");
    assert!(world.hub.told.lock().unwrap().doubts.is_empty());
}

/// Listens and lets nobody in any more, as a machine that is gone without a word.
async fn mute() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut inside = Vec::new();
    // Until its queue is full.
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        inside.push(stream.unwrap());
    }
    (listener, inside)
}

#[tokio::test]
async fn item_17_a_server_that_says_nothing_is_asked_about_and_a_slow_one_goes_on() {
    let (listener, inside) = mute().await;
    let address = listener.local_addr().unwrap();
    let world = world_with(vec![user_route("/user/a/", &format!("http://{address}"))], |options| {
        options.limits.connect = Duration::from_millis(200);
    })
    .await;
    assert_eq!(get(world.address, "/user/a/").await.status, 503);
    until("the question", async || !world.hub.told.lock().unwrap().doubts.is_empty()).await;
    // Its address is somebody else's before the hub has looked.
    drop((listener, inside));
    let stranger = at(address, "stranger").await;
    for _ in 0..20 {
        assert_eq!(get(world.address, "/user/a/").await.status, 503);
    }
    assert_eq!(stranger.connections(), 0, "not even a connection reaches it");
    // Had it only been slow, the hub would say so.
    world.hub.told.lock().unwrap().confirms = true;
    until("the hub's word", async || get(world.address, "/user/a/").await.status == 200).await;
}

#[tokio::test]
async fn item_17_a_server_whose_handshake_fails_is_asked_about() {
    for words in ["no TLS at all\r\n\r\n", ""] {
        // With nothing to say, it closes.
        let other = Upstream::raw(move |_, mut peer, _| async move {
            peer.send(words).await;
        })
        .await;
        let target = format!("https://{}", other.address);
        let world = world(vec![user_route("/user/a/", &target)]).await;
        assert_eq!(get(world.address, "/user/a/").await.status, 503);
        until("the question", async || !world.hub.told.lock().unwrap().doubts.is_empty()).await;
        let before = other.connections();
        assert_eq!(get(world.address, "/user/a/").await.status, 503);
        assert_eq!(other.connections(), before, "nobody is connected there");
    }
}

//! The websocket handshake: what is passed on, what is checked, what is refused.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    accept_async, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    client::{Raw, ask, values},
    hub::route,
    tunnels::{HANDSHAKE, SWITCH},
    upstream::Upstream,
    world::world,
};

/// Answers messages of a real websocket with themselves, and closes it when told so.
pub async fn echo() -> Upstream {
    Upstream::raw(|_, peer, _| async move {
        let Ok(mut socket) = accept_async(peer.stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.to_text().is_ok_and(|text| text == "close") {
                let _ = socket.close(None).await;
            } else if message.is_text() || message.is_binary() {
                let _ = socket.send(message).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_real_websocket_passes_large_and_small_messages() {
    let upstream = echo().await;
    let world = world(vec![route("/user/a/", &upstream.url())]).await;
    let url = format!("ws://{}/user/a/api/kernels/x/channels?session_id=1", world.address);
    let (mut socket, _) = connect_async(url).await.unwrap();
    for size in [0, 1, 125, 126, 65_536, 5_000_000] {
        socket.send(Message::binary(vec![7; size])).await.unwrap();
        let back = socket.next().await.unwrap().unwrap();
        assert_eq!(back.into_data().len(), size);
    }
}

#[tokio::test]
async fn a_switch_has_no_length() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}Content-Length: 5\r\n\r\nhello")).await;
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET /x HTTP/1.1\r\n{HANDSHAKE}")).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 ") && values(&head, "content-length").is_empty(), "{head}");
    assert_eq!(raw.exact(5).await, b"hello");
}

#[tokio::test]
async fn a_subprotocol_is_passed_and_kept() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(values(&head, "sec-websocket-protocol"), ["v1.kernel.websocket.jupyter.org"]);
        assert_eq!(values(&head, "sec-websocket-extensions"), ["permessage-deflate"]);
        assert_eq!(values(&head, "origin"), ["http://hub.example"]);
        peer.send(format!("{SWITCH}Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")).await;
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut request = format!("ws://{}/x", world.address).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
    headers.insert("sec-websocket-protocol", "v1.kernel.websocket.jupyter.org".parse().unwrap());
    headers.insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
    headers.insert("origin", "http://hub.example".parse().unwrap());
    let text = request.headers().iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let text: String = text.collect();
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET /x HTTP/1.1\r\n{text}\r\n")).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(values(&head, "sec-websocket-protocol"), ["v1.kernel.websocket.jupyter.org"]);
    assert_eq!(values(&head, "sec-websocket-extensions"), ["permessage-deflate"]);
}

#[tokio::test]
async fn item_03_no_byte_passes_before_a_valid_switch() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let sender = sender.clone();
        async move {
            peer.head().await;
            // Whatever was sent after the head would be here by now.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut early = [0; 10];
            sender.send(peer.buffer.len() + peer.stream.try_read(&mut early).unwrap_or(0)).unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
            peer.rest().await;
        }
    })
    .await;
    let hub = Upstream::named("hub").await;
    let world = world(vec![route("/", &hub.url()), route("/user/a/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET /user/a/ HTTP/1.1\r\n{HANDSHAKE}GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(raw.answer().await.text(), "no");
    assert_eq!(seen.recv().await, Some(0));
    // They are the next request, and routed as such.
    assert_eq!(raw.answer().await.text(), "hub");
    assert_eq!(hub.last().line(), "GET /next HTTP/1.1");
}

#[tokio::test]
async fn item_03_a_switch_to_a_wrong_key_is_a_bad_answer() {
    let wrong = [
        SWITCH.replace("s3pP", "AAAA"),
        SWITCH.replace("Upgrade: websocket", "Upgrade: h2c"),
        SWITCH.replace("Connection: Upgrade\r\n", ""),
        format!("{SWITCH}Sec-WebSocket-Protocol: unasked\r\n"),
    ];
    for switch in wrong {
        let upstream = Upstream::fixed(format!("{switch}\r\n")).await;
        let world = world(vec![route("/", &upstream.url())]).await;
        assert_eq!(ask(world.address, format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await.status, 502, "{switch}");
    }
}

#[tokio::test]
async fn a_refused_handshake_is_relayed_as_it_is() {
    let upstream = Upstream::fixed("HTTP/1.1 403 Forbidden\r\nX-Why: xsrf\r\nContent-Length: 2\r\n\r\nno").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let answer = ask(world.address, format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.one("x-why").as_deref()), (403, "no", Some("xsrf")));
}

#[tokio::test]
async fn a_handshake_with_a_dead_server_is_a_503() {
    let world = world(vec![route("/", "http://127.0.0.1:1")]).await;
    assert_eq!(ask(world.address, format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await.status, 503);
}

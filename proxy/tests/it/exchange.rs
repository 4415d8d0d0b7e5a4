//! One request, one answer: sending again, answers without body, old versions, early answers.

use crate::{
    client::{Raw, ask, get, values},
    hub::route,
    upstream::{Upstream, read},
    world::world,
};

/// Closes each connection after one answer without saying so, as servers do whose idle time is over.
async fn forgetful() -> Upstream {
    Upstream::raw(|number, mut peer, seen| async move {
        let Some(request) = read(&mut peer, number).await else { return };
        seen.lock().unwrap().push(request);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // The next request on this connection is read, not answered, and the connection closed.
        if let Some(request) = read(&mut peer, number).await {
            seen.lock().unwrap().push(request);
        }
    })
    .await
}

#[tokio::test]
async fn a_request_lost_on_a_reused_connection_is_sent_again_only_when_that_is_safe() {
    let upstream = forgetful().await;
    let world = world(vec![route("/", &upstream.url())]).await;
    assert_eq!(get(world.address, "/1").await.status, 200);
    assert_eq!(get(world.address, "/2").await.status, 200);
    let lines: Vec<_> = upstream.seen().iter().map(|seen| (seen.connection, seen.line().to_owned())).collect();
    let expected = [(0, "GET /1 HTTP/1.1"), (0, "GET /2 HTTP/1.1"), (1, "GET /2 HTTP/1.1")];
    assert_eq!(lines, expected.map(|(connection, line)| (connection, line.to_owned())));
    // What may have been done must not be done twice.
    let answer = ask(world.address, "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(answer.status, 502);
    assert_eq!(upstream.seen().iter().filter(|seen| seen.line().contains("/3")).count(), 1);
}

#[tokio::test]
async fn answers_without_a_body_keep_their_heads_and_the_connection() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            let answer = match request.line().split(' ').nth(1).unwrap() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            };
            seen.lock().unwrap().push(request);
            peer.send(answer).await;
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!((values(&head, "content-length"), values(&head, "etag")), (vec!["1234".into()], vec!["x".into()]));
    for (path, status) in [("/204", 204), ("/304", 304), ("/0", 200)] {
        let answer = raw.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
    }
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn old_clients_and_old_upstreams_are_served() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        let request = read(&mut peer, number).await.unwrap();
        assert!(request.line().ends_with("HTTP/1.1"));
        assert_eq!(request.all("host").len(), 1, "a request of HTTP/1.1 has a host");
        peer.send("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    assert_eq!(raw.ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "until the end");
    assert_eq!(raw.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "until the end");
    let mut old = Raw::connect(world.address).await;
    old.send("GET /3 HTTP/1.0\r\n\r\n").await;
    let head = old.head().await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert_eq!(old.rest().await, b"until the end");
}

#[tokio::test]
async fn an_upstream_may_answer_before_the_upload_has_ended() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx").await;
    assert_eq!(raw.answer().await.text(), "big");
    // And the next request meets a fresh connection on both sides.
    assert_eq!(get(world.address, "/_chp_healthz").await.status, 200);
}

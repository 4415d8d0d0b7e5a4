//! Bodies that come behind their heads go the short way too, and from it to hyper in the middle.

use std::time::Duration;

use specola_proxy::Options;
use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, watch},
};

use crate::{
    budget::metric,
    client::{Raw, until},
    hub::route,
    pipes::pattern,
    tls::Front,
    upstream::{Upstream, read},
    world::{World, world, world_with},
};

const MB: usize = 1 << 20;

async fn short(world: &World) -> f64 {
    metric(world, "specola_proxy_short_total").await
}

async fn up(world: &World) -> usize {
    metric(world, "specola_proxy_bytes_total{direction=\"up\"}").await as usize
}

fn put(size: usize) -> String {
    format!("PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: {size:09}\r\n\r\n")
}

/// Sends uploads of many sizes in pieces, a request behind each.
async fn pass_whole(world: &World, upstream: &Upstream) {
    let mut raw = Raw::connect(world.address).await;
    let (mut expected, mut sent) = (0.0, 0);
    for (size, piece) in [(1, 1), (70_000, 1000), (70_000, 69_990), (MB, 40_000), (3 * MB + 17, 100_000), (5 * MB, MB)]
    {
        raw.send(put(size)).await;
        let body = pattern(size);
        for piece in body.chunks(piece) {
            raw.send(piece).await;
            tokio::task::yield_now().await;
        }
        raw.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.text(), "up");
        assert_eq!(raw.answer().await.text(), "up");
        let seen = upstream.seen();
        assert_eq!(seen[seen.len() - 1].line(), "GET /next HTTP/1.1");
        assert!(seen[seen.len() - 2].body == body, "{size} in pieces of {piece}");
        (expected, sent) = (expected + 2.0, sent + size);
    }
    assert_eq!(short(world).await, expected);
    assert_eq!(up(world).await, sent);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn item_25_bodies_behind_their_heads_arrive_whole() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    pass_whole(&world, &upstream).await;
    assert!(metric(&world, "specola_proxy_piped_bytes_total").await > 8.0 * MB as f64);
}

#[tokio::test]
async fn item_25_bodies_behind_their_heads_arrive_whole_without_a_pipe() {
    let upstream = Upstream::named("up").await;
    let front = Front::before(upstream.address, &["127.0.0.1"]).await;
    let trusting = |options: &mut Options| options.client_ca = Some(front.certificate.clone());
    let world = world_with(vec![route("/", &front.url("127.0.0.1"))], trusting).await;
    pass_whole(&world, &upstream).await;
    assert_eq!(metric(&world, "specola_proxy_piped_bytes_total").await, 0.0);
}

/// Answers before it reads the body, of which as much is on its way as there is room for, and sends it back in chunks.
async fn early(secured: bool) {
    let (go, gone) = watch::channel(false);
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let mut gone = gone.clone();
        async move {
            peer.head().await;
            gone.wait_for(|gone| *gone).await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n").await;
            let body = peer.exact(16 * MB).await;
            peer.send(format!("{:x}\r\n", body.len())).await;
            peer.send(body).await;
            peer.send("\r\n0\r\n\r\n").await;
            assert_eq!(peer.head().await.split("\r\n").next(), Some("GET /next HTTP/1.1"));
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
        }
    })
    .await;
    let front = Front::before(upstream.address, &["127.0.0.1"]).await;
    let url = if secured { front.url("127.0.0.1") } else { upstream.url() };
    let trusting = |options: &mut Options| options.client_ca = Some(front.certificate.clone());
    let world = world_with(vec![route("/", &url)], trusting).await;
    let (reading, mut writing) = Raw::connect(world.address).await.stream.into_split();
    let (sent, mut written) = mpsc::unbounded_channel();
    let sending = tokio::spawn(async move {
        writing.write_all(put(16 * MB).as_bytes()).await.unwrap();
        for piece in pattern(16 * MB).chunks(MB) {
            writing.write_all(piece).await.unwrap();
            sent.send(()).unwrap();
        }
        writing.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        writing
    });
    written.recv().await.unwrap();
    let mut before = 0;
    until("no more on its way", async || {
        let now = up(&world).await;
        let full = now > 100_000 && now == before;
        before = now;
        full
    })
    .await;
    go.send(true).unwrap();
    let mut raw = Raw { stream: reading.reunite(sending.await.unwrap()).unwrap(), buffer: Vec::new() };
    let answer = raw.answer().await;
    assert!(answer.body == [b"early", pattern(16 * MB).as_slice()].concat(), "{}", answer.body.len());
    assert_eq!(raw.answer().await.text(), "next");
    assert_eq!((short(&world).await, up(&world).await), (0.0, 16 * MB));
}

#[tokio::test]
async fn item_25_a_server_may_answer_while_a_pipe_is_full() {
    early(false).await;
}

#[tokio::test]
async fn item_25_a_server_may_answer_while_much_waits_to_be_sent() {
    early(true).await;
}

#[tokio::test]
async fn item_17_an_upload_that_hyper_was_given_is_not_sent_twice() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        // Longer than the short way waits.
        tokio::time::sleep(Duration::from_millis(1200)).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    for together in [true, false] {
        let mut raw = Raw::connect(world.address).await;
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
        let (first, rest) = if together { ("abc", "") } else { ("a", "bc") };
        raw.send(format!("{}{first}", put(3))).await;
        until("the beginning", async || up(&world).await % 3 > 0 || together).await;
        raw.send(rest).await;
        assert_eq!(raw.answer().await.status, 502);
        assert_eq!(upstream.last().body, b"abc");
    }
    let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(lines, ["GET / HTTP/1.1", "PUT /file HTTP/1.1"].repeat(2));
    assert_eq!(up(&world).await, 6);
}

#[tokio::test]
async fn item_25_an_answer_in_chunks_is_that_to_the_whole_upload() {
    let upstream =
        Upstream::fixed("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(put(2 * MB)).await;
    raw.send(pattern(2 * MB)).await;
    assert_eq!(raw.answer().await.text(), "ok");
    assert!(upstream.last().body == pattern(2 * MB));
    assert_eq!(up(&world).await, 2 * MB);
    assert_eq!(raw.ask(format!("{}abc", put(3))).await.text(), "ok");
    assert_eq!(upstream.last().body, b"abc");
    assert_eq!((upstream.seen().len(), upstream.connections()), (2, 1));
}

#[tokio::test]
async fn item_23_a_client_that_ends_its_upload_before_the_end_is_told_so() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let ended = ended.clone();
        async move {
            peer.head().await;
            ended.send(peer.rest().await).unwrap();
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("{}ab", put(3))).await;
    until("the beginning", async || up(&world).await == 2).await;
    raw.stream.shutdown().await.unwrap();
    let told = raw.rest().await;
    assert!(told.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&told));
    assert_eq!(ends.recv().await.unwrap(), b"ab");
}

#[tokio::test]
async fn item_25_a_server_that_takes_no_more_may_have_said_why() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.exact(100_000).await;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").await;
        // Reads no more, but does not go before it was heard.
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(put(8 * MB)).await;
    raw.send(pattern(100_000)).await;
    assert_eq!(raw.answer().await.text(), "much");
    drop(raw);
    let gone = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
    })
    .await;
    world.hub.set(vec![route("/", &gone.url())], &[]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("{}a", put(8 * MB))).await;
    assert_eq!(raw.answer().await.status, 502);
}

/// Ends each connection in the middle of an upload, after so much of it, and answers what else it is asked.
async fn breaks_after(count: usize) -> Upstream {
    Upstream::raw(move |number, mut peer, seen| async move {
        loop {
            while peer.buffer.len() < 4 {
                if !peer.more().await {
                    return;
                }
            }
            if peer.buffer.starts_with(b"PUT ") {
                peer.head().await;
                peer.exact(count).await;
                return;
            }
            let Some(request) = read(&mut peer, number).await else { return };
            seen.lock().unwrap().push(request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await
}

#[tokio::test]
async fn item_07_what_comes_behind_an_upload_that_failed_is_no_part_of_it() {
    for (body, taken) in [(60, 60), (60, 0), (60, 20), (200_000, 200_000), (200_000, 70_000)] {
        let upstream = breaks_after(taken).await;
        let world = world(vec![route("/", &upstream.url())]).await;
        let mut raw = Raw::connect(world.address).await;
        raw.send(put(body)).await;
        until("the head", async || upstream.connections() == 1).await;
        // As many bytes as the body has lead to the middle of a head.
        let next = format!("GET /next HTTP/1.1\r\nX-Pad: {}", "p".repeat(body));
        let inside = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let hidden = [&next[..body], inside].concat();
        raw.send([&pattern(body), hidden.as_bytes()].concat()).await;
        assert_eq!(raw.answer().await.status, 502, "{body} {taken}");
        raw.rest().await;
        let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
        assert!(lines.iter().all(|line| line.starts_with("GET /next")), "{lines:?} after {taken} of {body}");
    }
}

#[tokio::test]
async fn item_07_a_connection_whose_upload_got_no_answer_goes_on() {
    let upstream = breaks_after(60).await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(put(60)).await;
    until("the head", async || upstream.connections() == 1).await;
    raw.send(pattern(60)).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.one("connection")), (502, None));
    assert_eq!(raw.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
}

#[tokio::test]
async fn item_25_a_refusal_is_heard_though_the_server_resets_the_connection() {
    for taken in [0, MB] {
        let upstream = Upstream::raw(move |_, mut peer, _| async move {
            peer.head().await;
            peer.exact(taken).await;
            // What is in the socket is never read.
            peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").await;
        })
        .await;
        let world = world(vec![route("/", &upstream.url())]).await;
        for _ in 0..10 {
            let (reading, mut writing) = Raw::connect(world.address).await.stream.into_split();
            let sending = tokio::spawn(async move {
                writing.write_all(put(8 * MB).as_bytes()).await.unwrap();
                // Cut when nobody wants the rest.
                let _ = writing.write_all(&pattern(8 * MB)).await;
                writing
            });
            reading.readable().await.unwrap();
            let stream = reading.reunite(sending.await.unwrap()).unwrap();
            let mut raw = Raw { stream, buffer: Vec::new() };
            assert_eq!(raw.answer().await.text(), "much", "after {taken}");
        }
    }
}

#[tokio::test]
async fn item_29_a_route_that_goes_takes_an_upload_along() {
    // Reads nothing of it.
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    for size in [100, 8 * MB] {
        let world = world_with(vec![route("/user/a/", &upstream.url())], |options| {
            options.limits.route_grace = Duration::ZERO;
        })
        .await;
        let mut raw = Raw::connect(world.address).await;
        raw.send(put(size).replace("/file", "/user/a/")).await;
        let (reading, mut writing) = raw.stream.into_split();
        let sending = tokio::spawn(async move {
            let _ = writing.write_all(&pattern(size - 1)).await;
            writing
        });
        until("the beginning", async || up(&world).await > 0).await;
        world.hub.change(vec![], &["/user/a/"]);
        let mut raw = Raw { stream: reading.reunite(sending.await.unwrap()).unwrap(), buffer: Vec::new() };
        assert_eq!(raw.answer().await.status, 502);
    }
}

#[tokio::test]
async fn item_25_what_was_in_a_pipe_is_nobody_elses() {
    let stuck = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.exact(100_000).await;
        std::future::pending::<()>().await;
    })
    .await;
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/stuck/", &stuck.url()), route("/", &upstream.url())]).await;
    for _ in 0..4 {
        let before = up(&world).await;
        let mut raw = Raw::connect(world.address).await;
        raw.send(put(8 * MB).replace("/file", "/stuck/")).await;
        let leaving = tokio::spawn(async move {
            let _ = raw.stream.write_all(&vec![0; 8 * MB]).await;
        });
        until("much on its way", async || up(&world).await > before + 100_000).await;
        leaving.abort();
        let mut raw = Raw::connect(world.address).await;
        raw.send(put(2 * MB)).await;
        raw.send(pattern(2 * MB)).await;
        assert_eq!(raw.answer().await.text(), "up");
        assert!(upstream.last().body == pattern(2 * MB));
    }
}

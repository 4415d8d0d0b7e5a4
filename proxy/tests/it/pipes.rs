//! Large bodies, which the kernel moves through a pipe: the short way and hyper's.

use std::sync::{Arc, Mutex};

use specola_proxy::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    budget::metric,
    client::{DEADLINE, Raw, get, until, values},
    hub::route,
    upstream::{Upstream, read},
    world::{World, world, world_with},
};

const MB: usize = 1 << 20;

/// Bytes of which each says where it belongs.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// Sends so many of them in pieces of this size, the first of them together with the head, as long as it is taken.
async fn answer(peer: &mut Raw, size: usize, told: usize, piece: usize) {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {told}\r\n\r\n").into_bytes();
    bytes.extend(pattern(size));
    for piece in bytes.chunks(piece) {
        if peer.stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Answers `/SIZE/PIECE`, and keeps what is sent to it.
async fn upstream() -> Upstream {
    Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            let path: Vec<usize> = request.line().split(['/', ' ']).filter_map(|number| number.parse().ok()).collect();
            seen.lock().unwrap().push(request);
            let [size, piece] = path[..] else { panic!("{path:?}") };
            answer(&mut peer, size, size, piece).await;
        }
    })
    .await
}

async fn piped(world: &World) -> usize {
    metric(world, "specola_proxy_piped_bytes_total").await as usize
}

/// Has all requests go hyper's way.
fn by_hyper(options: &mut Options) {
    options.limits.answer = Some(DEADLINE);
}

#[tokio::test]
async fn item_25_large_bodies_arrive_whole_and_the_connections_go_on() {
    large_bodies(|_| {}).await;
}

#[tokio::test]
async fn item_25_large_bodies_arrive_whole_on_hypers_way_too() {
    large_bodies(by_hyper).await;
}

async fn large_bodies(options: impl FnOnce(&mut Options)) {
    let upstream = upstream().await;
    let world = world_with(vec![route("/", &upstream.url())], options).await;
    let mut client = Raw::connect(world.address).await;
    let mut expected = 0;
    for (size, piece) in [
        (0, 9),
        (MB / 2, 4096),
        (MB / 2 + 1, 777),
        (MB, 128 * 1024),
        (MB + 1, 100),
        (2 * MB, 1000),
        (3 * MB + 17, 65_537),
        (16 * MB, MB),
        (100, 50),
        (4 * MB, 300_000),
    ] {
        // The next request lies in the socket behind the body, and must not be taken for a part of it.
        let head = format!("PUT /{size}/{piece} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let next = format!("GET /5/{piece} HTTP/1.1\r\nHost: a\r\n\r\n");
        let all = [head.as_bytes(), &pattern(size), next.as_bytes()].concat();
        let (mut reading, mut writing) = client.stream.into_split();
        let sending = tokio::spawn(async move {
            for piece in all.chunks(piece.max(1000)) {
                writing.write_all(piece).await.unwrap();
            }
            writing
        });
        // Both at once: nobody may have to wait for the other.
        let mut read = Vec::new();
        let wanted = pattern(size);
        let mut bodies = Vec::new();
        while bodies.len() < 2 {
            if let Some(at) = read.windows(4).take(1000).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(read[..at].to_vec()).unwrap();
                let length: usize = values(&head, "content-length")[0].parse().unwrap();
                if read.len() >= at + 4 + length {
                    let rest = read.split_off(at + 4 + length);
                    bodies.push(read.split_off(at + 4));
                    read = rest;
                    continue;
                }
            }
            let mut piece = vec![0; 64 * 1024];
            let count = tokio::time::timeout(DEADLINE, reading.read(&mut piece)).await.expect("in time").unwrap();
            assert!(count > 0, "closed");
            read.extend_from_slice(&piece[..count]);
        }
        client = Raw { stream: reading.reunite(sending.await.unwrap()).unwrap(), buffer: read };
        assert!(bodies[0] == wanted, "an answer of {size} in pieces of {piece}");
        assert_eq!(bodies[1], pattern(5));
        let seen = upstream.seen();
        assert!(seen[seen.len() - 2].body == wanted, "an upload of {size} in pieces of {piece}");
        if size >= MB {
            expected += 2 * (size - MB / 2);
        }
    }
    assert_eq!(upstream.connections(), 1);
    let piped = piped(&world).await;
    assert!(piped >= expected / 2, "{piped} of {expected}");
}

#[tokio::test]
async fn item_25_a_large_answer_that_breaks_ends_there_and_nothing_of_it_is_seen_later() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        read(&mut peer, number).await;
        answer(&mut peer, 3 * MB, 4 * MB, 50_000).await;
    })
    .await;
    let other = Upstream::named("other").await;
    let world = world(vec![route("/", &upstream.url()), route("/other/", &other.url())]).await;
    for _ in 0..3 {
        let mut client = Raw::connect(world.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        let body = client.rest().await;
        assert!(body == pattern(3 * MB), "{}", body.len());
        assert_eq!(get(world.address, "/other/").await.text(), "other");
    }
    assert!(piped(&world).await > MB);
}

#[tokio::test]
async fn item_25_a_large_upload_that_breaks_on_either_side_is_seen_on_the_other() {
    broken_uploads(|_| {}).await;
}

#[tokio::test]
async fn item_25_a_large_upload_that_breaks_is_seen_on_hypers_way_too() {
    broken_uploads(by_hyper).await;
}

async fn broken_uploads(options: impl FnOnce(&mut Options)) {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&ended);
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let noted = Arc::clone(&noted);
        async move {
            let head = peer.head().await;
            if head.starts_with("PUT /refuse") {
                // In the middle of it, as servers do that have a bound.
                peer.exact(2 * MB).await;
                peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                return;
            }
            let body = peer.rest().await;
            noted.lock().unwrap().push(body);
        }
    })
    .await;
    let world = world_with(vec![route("/", &upstream.url())], options).await;
    let (size, sent) = (8 * MB, 3 * MB);
    let mut client = Raw::connect(world.address).await;
    client.send(format!("PUT /leave HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).await;
    client.send(pattern(sent)).await;
    until("bytes in the pipe", async || piped(&world).await > MB).await;
    drop(client);
    until("the end of the upload", async || !ended.lock().unwrap().is_empty()).await;
    let body = ended.lock().unwrap().pop().unwrap();
    assert!(body.len() <= sent && body == pattern(body.len()), "{}", body.len());

    let mut client = Raw::connect(world.address).await;
    client.send(format!("PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).await;
    let (reading, mut writing) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        // Cut when nobody wants the rest.
        let _ = writing.write_all(&pattern(size)).await;
        writing
    });
    let mut head = Vec::new();
    let answered = async {
        while !head.ends_with(b"\r\n\r\n") {
            reading.readable().await.unwrap();
            let mut piece = [0; 1];
            match reading.try_read(&mut piece) {
                Ok(0) => break,
                Ok(_) => head.push(piece[0]),
                Err(problem) if problem.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(DEADLINE, answered).await.expect("an answer in time");
    drop(reading);
    drop(sending.await);
    let head = String::from_utf8_lossy(&head).into_owned();
    // A server that closes while much is underway to it may be met by a reset, as without a proxy.
    assert!(head.starts_with("HTTP/1.1 413") || head.starts_with("HTTP/1.1 502") || head.is_empty(), "{head}");
    // And the proxy goes on.
    let mut client = Raw::connect(world.address).await;
    client.send(format!("PUT /again HTTP/1.1\r\nHost: a\r\nContent-Length: {MB}\r\n\r\n")).await;
    client.send(pattern(MB)).await;
    drop(client);
    until("another upload", async || !ended.lock().unwrap().is_empty()).await;
}

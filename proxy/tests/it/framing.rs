//! Items 1 to 7: one message in is one message out, whatever the bytes.

use crate::{
    client::{Raw, ask, get},
    hub::route,
    upstream::Upstream,
    world::{World, world},
};

async fn one(upstream: &Upstream) -> World {
    world(vec![route("/", &upstream.url())]).await
}

#[tokio::test]
async fn item_01_a_request_with_two_lengths_smuggles_nothing() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    let mut raw = Raw::connect(world.address).await;
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    raw.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    ))
    .await;
    // Either refused, or read by the coding with the connection closed: /admin is never a request.
    let _ = raw.rest().await;
    for seen in upstream.seen() {
        assert!(!seen.head.contains("/admin"), "{seen:?}");
        assert!(!(seen.head.contains("content-length") && seen.head.contains("transfer-encoding")), "{seen:?}");
    }
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!").await;
    assert!(String::from_utf8_lossy(&raw.rest().await).starts_with("HTTP/1.1 400"));
    assert!(upstream.seen().iter().all(|seen| !seen.line().contains("/b")));
}

#[tokio::test]
async fn item_01_codings_other_than_chunked_are_refused() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    let cases = [
        ("gzip, chunked", 501),
        ("chunked, chunked", 501),
        ("xchunked", 400),
        ("chunked\r\nTransfer-Encoding: identity", 400),
        ("identity\r\nTransfer-Encoding: chunked", 501),
        ("gzip", 400),
    ];
    for (coding, status) in cases {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert_eq!(ask(world.address, request).await.status, status, "{coding}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(ask(world.address, old).await.status, 400);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn item_01_wrong_lengths_and_chunks_are_refused() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    for length in ["+5", "-1", "5 5", "0x5", "5,6", "", "99999999999999999999999"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello");
        assert_eq!(ask(world.address, request).await.status, 400, "{length:?}");
    }
    assert!(upstream.seen().is_empty());
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&raw.rest().await).contains("200 OK"));
}

#[tokio::test]
async fn item_02_chunked_bodies_of_any_method_stay_one_request() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    for method in ["DELETE", "OPTIONS", "GET", "POST", "PUT", "PATCH"] {
        let before = upstream.seen().len();
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1d\r\nGET /smuggled HTTP/1.1\r\nHost:\r\n0\r\n\r\n"
        );
        assert_eq!(ask(world.address, request).await.text(), "up", "{method}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), before + 1, "{method}");
        let last = seen.last().unwrap();
        assert_eq!(last.line(), format!("{method} /x HTTP/1.1"));
        assert_eq!(last.body, b"GET /smuggled HTTP/1.1\r\nHost:");
    }
}

#[tokio::test]
async fn item_02_bodies_with_a_length_of_any_method_keep_it() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    for method in ["DELETE", "GET", "POST"] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(ask(world.address, request).await.text(), "up", "{method}");
        let last = upstream.last();
        assert_eq!((last.body.as_slice(), last.all("content-length")), (b"hello".as_slice(), vec!["5".to_owned()]));
    }
    ask(world.address, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(upstream.last().all("content-length"), ["0"]);
}

#[tokio::test]
async fn item_03_upgrades_other_than_websocket_are_stripped() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    let upgrades = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        "Connection: Upgrade\r\nUpgrade: tls/1.0",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12",
        "Connection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
    ];
    for upgrade in upgrades {
        let request = format!("GET /x HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n\r\n");
        assert_eq!(ask(world.address, request).await.status, 200, "{upgrade}");
        let last = upstream.last();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(last.all(name).is_empty(), "{name} {last:?}");
        }
    }
}

#[tokio::test]
async fn item_03_a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let upstream =
        Upstream::fixed("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    let world = one(&upstream).await;
    assert_eq!(get(world.address, "/x").await.status, 502);
}

#[tokio::test]
async fn item_04_there_is_exactly_one_valid_host() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n", "Host: a b\r\n", "Host: u@a\r\n", "Host:\r\n"] {
        assert_eq!(ask(world.address, format!("GET / HTTP/1.1\r\n{hosts}\r\n")).await.status, 400, "{hosts:?}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(ask(world.address, "GET / HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn item_04_absolute_form_names_the_host() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    let answer = ask(world.address, "GET http://evil.example/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let last = upstream.last();
    assert_eq!((last.line(), last.all("host")), ("GET /a?b=c HTTP/1.1", vec!["evil.example".to_owned()]));
    assert_eq!(ask(world.address, "GET http://u:p@evil/a HTTP/1.1\r\nHost: other\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn item_04_connect_and_trace_are_refused() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    assert_eq!(ask(world.address, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").await.status, 405);
    assert_eq!(ask(world.address, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 405);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn item_05_odd_line_ends_and_names_smuggle_nothing() {
    let upstream = Upstream::named("up").await;
    let world = one(&upstream).await;
    // A bare line feed ends a line, and is written anew as a whole line end.
    ask(world.address, "GET /lf HTTP/1.1\nHost: a\nX-One: 1\n\n").await;
    let last = upstream.last();
    assert_eq!(last.all("x-one"), ["1"]);
    assert!(!last.head.replace("\r\n", "").contains('\n'), "{last:?}");
    for line in ["X-Space : 1", "X-Fold: a\r\n b", "X-Nul: a\0b", "X\0: 1", ": empty", "Bad Name: 1"] {
        let answer = ask(world.address, format!("GET /odd HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{line:?}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn item_06_a_hostile_answer_becomes_a_bad_gateway() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        "HTTP/1.1 9999 Odd\r\n\r\n",
        "",
    ];
    for answer in answers {
        let upstream = Upstream::raw(move |number, mut peer, _| async move {
            crate::upstream::read(&mut peer, number).await;
            peer.send(answer).await;
        })
        .await;
        let world = one(&upstream).await;
        assert_eq!(get(world.address, "/x").await.status, 502, "{answer:?}");
    }
}

#[tokio::test]
async fn item_06_a_head_without_end_is_cut() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        crate::upstream::read(&mut peer, number).await;
        let line = format!("X-Long: {}\r\n", "x".repeat(1000));
        peer.send("HTTP/1.1 200 OK\r\n").await;
        use tokio::io::AsyncWriteExt;
        while peer.stream.write_all(line.as_bytes()).await.is_ok() {}
    })
    .await;
    let world = one(&upstream).await;
    assert_eq!(get(world.address, "/x").await.status, 502);
}

#[tokio::test]
async fn item_06_bytes_after_an_answer_are_not_the_next_answer() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let world = one(&upstream).await;
    let mut raw = Raw::connect(world.address).await;
    for _ in 0..5 {
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    }
}

#[tokio::test]
async fn item_06_both_lengths_in_an_answer_reach_nobody() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let world = one(&upstream).await;
    let answer = get(world.address, "/x").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.one("content-length"), None);
}

#[tokio::test]
async fn item_06_informational_answers_are_swallowed() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let world = one(&upstream).await;
    let answer = get(world.address, "/x").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn item_07_pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = crate::upstream::read(&mut peer, number).await {
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            seen.lock().unwrap().push(request);
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())).await;
        }
    })
    .await;
    let world = one(&upstream).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(raw.answer().await.text(), path);
    }
}

/// Bytes that parsers disagree about.
const ODD: [&[u8]; 16] =
    [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"\x0b", b"\xff", b"+", b"-", b"%", b"chunked"];

#[tokio::test]
async fn item_07_damaged_requests_never_become_other_requests_upstream() {
    let upstream = Upstream::named("up").await;
    let elsewhere = Upstream::named("else").await;
    let world = world(vec![route("/x/", &upstream.url()), route("/", &elsewhere.url())]).await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!(
        "POST /x/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
        inner.len()
    );
    let plain =
        format!("POST /x/2 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{inner}", inner.len());
    for good in [chunked.as_bytes(), plain.as_bytes()] {
        for at in 0..good.len() {
            // One oddity for each place, another at each place: all pairs would take minutes.
            let odd = ODD[at % ODD.len()];
            for replaced in [0, 1] {
                let bytes = [&good[..at], odd, &good[at + replaced..]].concat();
                let mut raw = Raw::connect(world.address).await;
                raw.send(&bytes).await;
                tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
                raw.rest().await;
            }
        }
    }
    assert!(!upstream.seen().is_empty());
    for seen in upstream.seen() {
        // What the proxy took for another request went by that request's own route.
        let target = seen.line().split(' ').nth(1).unwrap();
        assert!(target.starts_with("/x/") && seen.line().ends_with(" HTTP/1.1"), "{seen:?}");
        assert!(seen.all("content-length").len() + seen.all("transfer-encoding").len() <= 1, "{seen:?}");
        assert_eq!(seen.all("host").len(), 1, "{seen:?}");
    }
    assert_eq!(get(world.address, "/x/").await.text(), "up");
}

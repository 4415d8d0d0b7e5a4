//! Plain requests go a short way, all others hyper's: both ways lead to the same, and from one to the other.
//!
//! What is measured tells how many went the short way, so that no test here compares hyper with itself.

use std::{sync::Arc, time::Duration};

use specola_proxy::Options;
use tokio::sync::Notify;

use crate::{
    budget::metric,
    client::{Answer, DEADLINE, Raw, ask, until},
    hub::{hub_route, route, user_route},
    upstream::{Seen, Upstream, read},
    world::{World, world, world_with},
};

async fn short(world: &World) -> f64 {
    metric(world, "specola_proxy_short_total").await
}

/// A head as its first line, and the others in order, with names in lower case. Without what tells the time.
fn lines(head: &str) -> (String, Vec<String>) {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let lower = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        format!("{}:{}", name.to_ascii_lowercase(), value.trim())
    };
    let mut rest: Vec<String> = lines.map(lower).filter(|line| !line.starts_with("date:")).collect();
    rest.sort();
    (first, rest)
}

/// The next answer to a request, of which only the head may come.
async fn answered(raw: &mut Raw, request: &str) -> Answer {
    if request.starts_with("HEAD ") {
        return Answer { status: 0, head: raw.head().await, body: Vec::new() };
    }
    raw.answer().await
}

/// Sends a request the short way, and then hyper's, after one with a body. Gives what came of both.
async fn both_ways(world: &World, upstream: &Upstream, request: &str) -> [(Seen, Answer); 2] {
    let before = short(world).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(request).await;
    let plain = answered(&mut raw, request).await;
    let seen = upstream.last();
    assert_eq!(short(world).await, before + 1.0, "{request}");
    let mut raw = Raw::connect(world.address).await;
    let path = request.split(' ').nth(1).unwrap();
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{request}")).await;
    raw.answer().await;
    let other = answered(&mut raw, request).await;
    assert_eq!(short(world).await, before + 1.0, "{request}");
    [(seen, plain), (upstream.last(), other)]
}

async fn same_both_ways(options: impl FnOnce(&mut Options), requests: &[&str]) {
    let upstream = Upstream::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Of-Server: 1\r\n\r\nok").await;
    let routes = vec![hub_route("/", &upstream.url()), user_route("/user/a/", &upstream.url())];
    let world = world_with(routes, options).await;
    for request in requests {
        let mut request = request.replace('\n', "\r\n");
        if !request.contains("\r\n\r\n") {
            request += "\r\n\r\n";
        }
        let [(seen, plain), (other_seen, other)] = both_ways(&world, &upstream, &request).await;
        assert_eq!(lines(&seen.head), lines(&other_seen.head), "{request}");
        assert_eq!(seen.body, other_seen.body, "{request}");
        assert_eq!(lines(&plain.head), lines(&other.head), "{request}");
        assert_eq!((plain.body, plain.status), (other.body, other.status), "{request}");
    }
}

const REQUESTS: [&str; 18] = [
    "POST /user/a/api/kernels HTTP/1.1\nHost: a\nContent-Type: application/json\nContent-Length: 7\n\n{\"a\":1}",
    "PUT /user/a/api/contents/a HTTP/1.1\nHost: a\nCONTENT-LENGTH: 00002\nConnection: keep-alive\n\n{}",
    "PATCH /hub/api/users/a HTTP/1.1\nHost: a\nContent-Length: 0",
    "POST /hub/api/users/a/server HTTP/1.1\nHost: a\nAuthorization: token a",
    "GET /hub/home HTTP/1.1\nHost: a",
    "GET /user/a/api?x=%2F&y HTTP/1.1\nhOST: a.example:8443\nAccept: */*\nAccept: text/html",
    "HEAD /user/a/ HTTP/1.1\nHost: a",
    "OPTIONS /user/a/ HTTP/1.1\nHost: a",
    "DELETE /user/a/api/contents/a HTTP/1.1\nHost: a\nX-XSRFToken: 1",
    "GET /user/a/ HTTP/1.1\nHost: a\nConnection: keep-alive\nKeep-Alive: 300\nProxy-Connection: keep-alive",
    "GET /user/a/ HTTP/1.1\nHost: a\nProxy-Authorization: Basic YTpi\nHTTP2-Settings: a\nProxy-Authenticate: a",
    "GET /user/a/ HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Port: 444",
    "GET /user/a/ HTTP/1.1\nHost: a\nX-Forwarded-Host: b\nX-Forwarded-User: root\nForwarded: for=b\nX-Real-IP: 192.0.2.1",
    "GET /user/a/ HTTP/1.1\nHost: a\nX_Forwarded_For: 192.0.2.1\nX-Scheme: https\nX_Own: 1",
    "GET /user/a/ HTTP/1.1\nHost: a\nCookie: jupyterhub-hub-login=1; own=2\nCookie: jupyterhub-hub-login=3\nCookie: b=4",
    "GET /hub/ HTTP/1.1\nHost: a\nCookie: jupyterhub-hub-login=1; own=2",
    "GET /user/a/ HTTP/1.1\nHost: a\nCookie: jupyterhub-hub-login=caf\u{e9}; own=2\nX-Name: caf\u{e9}\nX-Empty:",
    "GET /user/a/ HTTP/1.1\nHost: [::1]:8000\nAuthorization: token a\nReferer: http://a/ \nOrigin:\thttp://a",
];

fn behind_firewall(options: &mut Options) {
    options.cookie_firewall = Some(specola_proxy::CookieFirewall::new(["jupyterhub-hub-login".to_owned()]));
}

#[tokio::test]
async fn item_08_a_plain_request_arrives_the_same_on_both_ways() {
    same_both_ways(|_| {}, &REQUESTS).await;
}

#[tokio::test]
async fn item_09_of_a_front_that_is_believed_too() {
    same_both_ways(|options| options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()], &REQUESTS).await;
}

#[tokio::test]
async fn item_09_as_configurable_http_proxy_too() {
    same_both_ways(
        |options| {
            options.chp = Some(specola_proxy::chp::ChpOptions::plain(None));
            options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        },
        &REQUESTS,
    )
    .await;
}

#[tokio::test]
async fn item_16_behind_the_cookie_firewall_too() {
    same_both_ways(behind_firewall, &REQUESTS).await;
}

#[tokio::test]
async fn item_06_a_plain_answer_arrives_the_same_on_both_ways() {
    for answer in [
        "200 OK\nContent-Length: 2\nDate: Mon, 30 Nov 2026 00:00:00 GMT\nServer: a\n\nok",
        "200 As you like it\nCONTENT-LENGTH: 0002\nKeep-Alive: timeout=5\nConnection: keep-alive\n\nok",
        "404 Not Found\nContent-Length: 0\nUpgrade: h2c\nProxy-Authenticate: Basic\n\n",
        "200 OK\nContent-Length: 2\nSet-Cookie: a=1\nSet-Cookie: b=2; Path=/\nSet-Cookie: c=3\nVary: a\nVary: b\n\nok",
        "304 Not Modified\nETag: \"a\"\n\n",
        "204 No Content\nX-A: 1\n\n",
        "302 Found\nLocation: /user/a/lab?\nContent-Length: 0\n\n",
        "200 OK\nContent-Length: 2\nStrict-Transport-Security: max-age=1\nX-Accel-Buffering: no\n\nok",
        "599 \nContent-Length: 1\n\n?",
    ] {
        let bytes = format!("HTTP/1.1 {}", answer.replace('\n', "\r\n"));
        let upstream = Upstream::fixed(bytes).await;
        let world = world(vec![route("/", &upstream.url())]).await;
        let [(_, plain), (_, other)] = both_ways(&world, &upstream, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(lines(&plain.head), lines(&other.head), "{answer}");
        assert_eq!((plain.body, plain.status), (other.body, other.status), "{answer}");
    }
}

#[tokio::test]
async fn item_06_an_answer_that_is_not_plain_is_still_the_answer_to_its_request() {
    // In pieces, for each of them may be where it is seen.
    let answers: [&[&str]; 8] = [
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nok\r\n", "0\r\n\r\n"],
        &["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        &["HTTP/1.1 200 OK\r\nContent-", "Length: 2\r\n\r\n", "o", "k"],
        &["HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"],
        &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"],
        &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n", "ok"],
        &["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    ];
    for pieces in answers {
        let upstream = Upstream::raw(move |number, mut peer, seen| async move {
            while let Some(request) = read(&mut peer, number).await {
                seen.lock().unwrap().push(request);
                for piece in pieces {
                    peer.send(piece).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        })
        .await;
        let world = world(vec![route("/", &upstream.url())]).await;
        let mut raw = Raw::connect(world.address).await;
        for number in 0..3 {
            // The first goes the short way, and hyper has the rest.
            let body = "Content-Length: 9\r\n\r\nGET /evil";
            let answer = raw.ask(format!("POST /{number} HTTP/1.1\r\nHost: a\r\n{body}")).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{pieces:?}");
            assert!(answer.one("x-own").is_none(), "{pieces:?}");
        }
        let seen: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
        assert_eq!(seen, [0, 1, 2].map(|number| format!("POST /{number} HTTP/1.1")), "each was sent once");
        assert!(upstream.seen().iter().all(|seen| seen.body == b"GET /evil"), "{pieces:?}");
    }
}

#[tokio::test]
async fn item_07_requests_of_both_kinds_keep_their_order() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let plain = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ";
    let chunks = "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n";
    let mut raw = Raw::connect(world.address).await;
    raw.send([&plain("/1"), body, chunks, &plain("/4"), "GET /5 HTTP/1.1\r\nHo"].concat()).await;
    for _ in 0..4 {
        assert_eq!(raw.answer().await.text(), "up");
    }
    assert_eq!(raw.ask("st: a\r\nConnection: close\r\n\r\n").await.one("connection").unwrap(), "close");
    assert!(raw.rest().await.is_empty());
    let paths: Vec<String> =
        upstream.seen().iter().map(|seen| seen.line().split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/1", "/2", "/3", "/4", "/5"]);
    assert_eq!(short(&world).await, 2.0);
    assert_eq!(upstream.connections(), 1, "hyper takes over what is idle");
}

#[tokio::test]
async fn item_20_an_answer_that_takes_its_time_is_waited_for() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        // Longer than the short way waits.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        peer.send("slow").await;
        read(&mut peer, number).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    assert_eq!(ask(world.address, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "slow");
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(short(&world).await, 0.0);
}

#[tokio::test]
async fn item_06_what_comes_behind_a_body_is_nobodys() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    for _ in 0..3 {
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    }
    assert_eq!(short(&world).await, 3.0);
    assert_eq!(upstream.connections(), 3, "none was used again");
}

#[tokio::test]
async fn item_06_what_a_server_says_unasked_is_nobodys() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (said, mut told) = tokio::sync::mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let goes = Arc::clone(&go);
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let (said, goes) = (said.clone(), Arc::clone(&goes));
        async move {
            while read(&mut peer, number).await.is_some() {
                peer.send(OK).await;
                if number == 0 {
                    goes.notified().await;
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
                    said.send(Vec::new()).unwrap();
                    return said.send(peer.rest().await).unwrap();
                }
            }
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    let mut next = async || tokio::time::timeout(DEADLINE, told.recv()).await.expect("the server has gone on");
    assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    go.notify_one();
    next().await;
    assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    assert_eq!(next().await, Some(Vec::new()), "nothing more was asked there");
}

#[tokio::test]
async fn item_21_a_body_of_any_length_comes_whole() {
    for length in [1, 1000, 64 * 1024, 100_000, 300_000, 3_000_000] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let body: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
        let upstream = Upstream::fixed([head.as_bytes(), &body].concat()).await;
        let world = world(vec![route("/", &upstream.url())]).await;
        let mut raw = Raw::connect(world.address).await;
        for _ in 0..2 {
            assert!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.body == body, "{length}");
        }
        assert_eq!(short(&world).await, 2.0, "{length}");
        assert_eq!(metric(&world, "specola_proxy_bytes_total{direction=\"down\"}").await, 2.0 * length as f64);
    }
}

#[tokio::test]
async fn item_17_a_kept_connection_that_has_ended_is_no_fault() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // Ends without a word, with the next request or before.
        if number % 2 == 0 {
            read(&mut peer, number).await;
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    for _ in 0..6 {
        assert_eq!(ask(world.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    }
    assert_eq!(upstream.seen().len(), 6);
}

#[tokio::test]
async fn item_29_a_route_that_goes_takes_a_short_answer_along() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        read(&mut peer, number).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
        peer.rest().await;
    })
    .await;
    let world = world_with(vec![user_route("/user/a/", &upstream.url())], |options| {
        options.limits.route_grace = Duration::ZERO;
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /user/a/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.head().await;
    assert_eq!(raw.exact(4).await, b"half");
    assert_eq!(short(&world).await, 1.0);
    world.hub.change(vec![], &["/user/a/"]);
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn item_23_a_client_that_asks_nothing_is_let_go() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.keep_alive = Some(Duration::from_millis(50));
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    for _ in 0..3 {
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "up");
    }
    assert!(raw.rest().await.is_empty());
    assert_eq!(short(&world).await, 3.0);
    until("its place is free", async || metric(&world, "specola_proxy_places_taken").await == 0.0).await;
}

#[tokio::test]
async fn item_17_a_request_with_a_body_is_not_sent_twice() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // Takes the next one, and does not answer.
        let request = read(&mut peer, number).await.unwrap();
        seen.lock().unwrap().push(request);
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let mut raw = Raw::connect(world.address).await;
    assert_eq!(raw.ask(post).await.status, 200);
    assert_eq!(raw.ask(post).await.status, 502);
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(short(&world).await, 1.0);
}

#[tokio::test]
async fn item_30_a_stop_waits_for_answers_that_are_not_plain() {
    for answer in ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "none at all"] {
        let (asked, mut waiting) = tokio::sync::mpsc::unbounded_channel();
        let (go, gone) = tokio::sync::watch::channel(false);
        let upstream = Upstream::raw(move |number, mut peer, _| {
            let (asked, mut gone) = (asked.clone(), gone.clone());
            async move {
                read(&mut peer, number).await;
                asked.send(()).unwrap();
                gone.wait_for(|gone| *gone).await.unwrap();
                peer.send(answer).await;
            }
        })
        .await;
        let mut world = world(vec![route("/", &upstream.url())]).await;
        let mut raw = Raw::connect(world.address).await;
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
        waiting.recv().await.unwrap();
        let ending = async {
            world.stop.cancel();
            // The door is closed: the drain has begun.
            until("a closed door", async || tokio::net::TcpStream::connect(world.address).await.is_err()).await;
            go.send(true).unwrap();
            raw.answer().await
        };
        let answered = ending.await;
        assert_eq!(answered.status, if answer.starts_with("HTTP") { 200 } else { 502 });
        world.end().await;
    }
}

#[tokio::test]
async fn item_06_a_length_that_is_none_and_a_head_without_bound_are_no_answers() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(20_000));
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", &long] {
        let upstream = Upstream::fixed(answer).await;
        let world = world_with(vec![route("/", &upstream.url())], |options| options.limits.header_bytes = 8192).await;
        assert_eq!(ask(world.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 502);
    }
}

#[tokio::test]
async fn item_24_a_refusal_and_a_body_count_once() {
    let upstream = Upstream::fixed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        (options.limits.route_rate, options.limits.route_burst) = (1, 1);
    })
    .await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome text";
    assert_eq!(ask(world.address, post).await.status, 200);
    assert_eq!(metric(&world, "specola_proxy_bytes_total{direction=\"up\"}").await, 9.0);
    assert_eq!(ask(world.address, post).await.status, 429);
    assert_eq!(metric(&world, "specola_proxy_refused_total{limit=\"route_rate\"}").await, 1.0);
    assert_eq!(metric(&world, "requests_web").await, 2.0);
}

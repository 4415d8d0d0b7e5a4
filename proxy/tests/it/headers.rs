//! Items 8 to 12: which headers pass, and how heads are bounded.

use crate::{
    client::{Raw, ask, get},
    hub::{TOKEN, hub_route, route},
    upstream::Upstream,
    world::{world, world_with},
};

#[tokio::test]
async fn item_08_three_set_cookies_survive() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-M: 1\r\nSet-Cookie: b=2\r\nX-M: 2\r\nSet-Cookie: c=3\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let answer =
        ask(world.address, "GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1\r\nCookie: y=2\r\nX-N: 1\r\nX-N: 2\r\n\r\n").await;
    assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2", "c=3"]);
    assert_eq!(answer.all("x-m"), ["1", "2"]);
    let last = upstream.last();
    assert_eq!(last.all("cookie"), ["x=1", "y=2"]);
    assert_eq!(last.all("x-n"), ["1", "2"]);
}

#[tokio::test]
async fn item_08_headers_of_one_hop_pass_neither_way() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nConnection: X-Internal, keep-alive\r\nX-Internal: 1\r\nKeep-Alive: timeout=99\r\nProxy-Authenticate: Basic\r\nUpgrade: h2\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Secret\r\nX-Secret: 1\r\nTE: gzip\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nAuthorization: token t\r\n\r\n";
    let answer = ask(world.address, request).await;
    for name in ["connection", "x-internal", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert!(answer.all(name).is_empty(), "{name} {answer:?}");
    }
    let last = upstream.last();
    for name in ["connection", "x-secret", "te", "keep-alive", "proxy-authorization", "proxy-connection"] {
        assert!(last.all(name).is_empty(), "{name} {last:?}");
    }
    assert_eq!(last.all("authorization"), ["token t"]);
}

#[tokio::test]
async fn item_08_nominations_cannot_remove_what_protects() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Cookie, Authorization, X-Forwarded-For, Content-Length\r\nCookie: c=1\r\nAuthorization: token t\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ask(world.address, request).await.status, 200);
    let last = upstream.last();
    for name in ["host", "cookie", "authorization", "x-forwarded-for", "content-length"] {
        assert_eq!(last.all(name).len(), 1, "{name} {last:?}");
    }
    assert_eq!(last.body, b"hello");
}

#[tokio::test]
async fn item_09_claims_of_an_untrusted_client_are_replaced() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let request = "GET / HTTP/1.1\r\nHost: hub.example:8000\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /e\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Scheme: https\r\nX_Forwarded_For: 1.2.3.4\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Protocol: https\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Server: evil\r\nX-Forwarded-User: root\r\nX-Forwarded-Email: root@evil\r\nX-Forwarded-Groups: admin\r\nX-Forwarded-Preferred-Username: root\r\nX_Forwarded-User: root\r\nx-forwarded_user: root\r\n\r\n";
    ask(world.address, request).await;
    let last = upstream.last();
    let people = ["user", "email", "groups", "preferred-username", "ssl", "protocol", "scheme", "server"];
    for name in people.map(|name| format!("x-forwarded-{name}")) {
        assert_eq!(last.all(&name), Vec::<String>::new(), "{name}");
    }
    assert!(last.all("x_forwarded-user").is_empty() && last.all("x-forwarded_user").is_empty());
    let expected = [
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-forwarded-host", vec!["hub.example:8000"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-port", vec!["8000"]),
        ("x-forwarded-prefix", vec![]),
        ("forwarded", vec![]),
        ("x-real-ip", vec![]),
        ("x-scheme", vec![]),
        ("x_forwarded_for", vec![]),
        ("host", vec!["hub.example:8000"]),
    ];
    for (name, values) in expected {
        assert_eq!(last.all(name), values, "{name}");
    }
}

#[tokio::test]
async fn item_09_claims_of_a_trusted_front_stay() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-User: ada\r\n\r\n";
    ask(world.address, request).await;
    let last = upstream.last();
    assert_eq!(last.all("x-forwarded-user"), ["ada"]);
    assert_eq!(last.all("x-forwarded-for"), ["1.2.3.4,127.0.0.1"]);
    assert_eq!(last.all("x-forwarded-proto"), ["https"]);
    assert_eq!(last.all("x-forwarded-port"), ["443"]);
}

#[tokio::test]
async fn item_09_a_mapped_address_is_shown_as_version_four() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.listen = vec!["[::]:0".parse().unwrap()];
    })
    .await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], world.address.port()));
    get(address, "/").await;
    assert_eq!(upstream.last().all("x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn item_10_trailers_pass_to_who_asks_for_them() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(crate::client::values(&head, "trailer"), ["X-Sum"]);
    let (body, trailers) = raw.chunked().await;
    assert_eq!((body.as_slice(), trailers), (b"ok".as_slice(), vec!["x-sum: 7".to_owned()]));
    assert_eq!(upstream.last().all("te"), ["trailers"]);

    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = raw.head().await;
    assert!(crate::client::values(&head, "trailer").is_empty());
    assert_eq!(raw.chunked().await, (b"ok".to_vec(), vec![]));
    assert!(upstream.last().all("te").is_empty());
}

#[tokio::test]
async fn item_10_trailers_of_a_request_pass() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
    assert_eq!(ask(world.address, request).await.status, 200);
    let last = upstream.last();
    assert_eq!((last.body.as_slice(), last.trailers), (b"ok".as_slice(), vec!["x-sum: 7".to_owned()]));
}

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn item_11_a_refusal_saves_the_upload() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        assert!(peer.rest().await.is_empty(), "a refused body was sent");
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(EXPECTING).await;
    // No 100 comes first.
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[tokio::test]
async fn item_11_one_continue_comes_when_the_upstream_wants_the_body() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(crate::client::values(&head, "expect"), ["100-continue"]);
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = peer.exact(5).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
        peer.send(body).await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(EXPECTING).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 100 "));
    raw.send("hello").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn item_11_an_upstream_that_knows_no_continue_gets_the_body_anyway() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(EXPECTING).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 100 "));
    raw.send("hello").await;
    assert_eq!(raw.answer().await.text(), "up");
    assert_eq!(upstream.last().body, b"hello");
}

#[tokio::test]
async fn item_12_heads_are_bounded() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let with = |line: String| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    // OAuth cookies are big.
    let cookies = with(format!("Cookie: c={}", "x".repeat(40_000)));
    assert_eq!(ask(world.address, cookies).await.status, 200);
    assert_eq!(ask(world.address, with(format!("X: {}", "x".repeat(70_000)))).await.status, 431);
    let many: Vec<_> = (0..150).map(|number| format!("X-{number}: 1")).collect();
    assert_eq!(ask(world.address, with(many.join("\r\n"))).await.status, 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(66_000));
    assert_eq!(ask(world.address, &long).await.status, 431, "such an address makes the head too long");
    assert_eq!(upstream.seen().len(), 1);
    // Where heads may be longer, addresses have a bound of their own.
    let wide = world_with(vec![route("/", &upstream.url())], |options| options.limits.header_bytes = 256 * 1024).await;
    assert_eq!(ask(wide.address, &long).await.status, 414);
    let just = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65_533));
    assert_eq!(ask(wide.address, just).await.status, 200);
}

#[tokio::test]
async fn item_09_the_hub_alone_sees_that_a_proxy_of_its_own_has_passed_a_request_on() {
    let upstream = Upstream::named("up").await;
    let routes = vec![hub_route("/", &upstream.url()), route("/user/a/", &upstream.url())];
    let world = world(routes).await;
    let ours = specola_proxy::wire::proof(TOKEN);
    assert!(ours.len() == 64 && !ours.contains(TOKEN) && ours != specola_proxy::wire::proof("other"));
    for (path, expected) in [("/hub/login", vec![ours.clone()]), ("/user/a/lab", vec![])] {
        let asked = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: x-specola-proxy\r\nX-Specola-Proxy: claimed\r\n\r\n"
        );
        assert_eq!(ask(world.address, asked.replace("Connection: x-specola-proxy\r\n", "")).await.status, 200);
        assert_eq!(upstream.last().all("x-specola-proxy"), expected, "{path}");
        // Nobody gets it away either.
        assert_eq!(ask(world.address, asked).await.status, 200);
        assert_eq!(upstream.last().all("x-specola-proxy"), expected, "{path}");
    }
}

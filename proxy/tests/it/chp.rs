//! The proxy as configurable-http-proxy: its REST API, and what its options change.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use specola_proxy::{
    HubLink, Options,
    chp::{ChpOptions, Listen},
    secure::{CertificateSource, ClientCertificates, TlsOptions},
};
use tokio::net::UnixStream;

use crate::{
    client::{Answer, DEADLINE, Raw, ask, get, until},
    secure::{Authority, browser, shake, shown},
    tls::Front,
    tunnels::{HANDSHAKE, SWITCH, echoes, open, raw_echo},
    upstream::Upstream,
    world::{World, world_with},
};

const TOKEN: &str = "secret";

pub fn plain() -> ChpOptions {
    ChpOptions {
        api: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
        metrics: Some(Listen::Tcp("127.0.0.1:0".parse().unwrap())),
        ..ChpOptions::plain(Some(TOKEN.to_owned()))
    }
}

async fn start(adjust: impl FnOnce(&mut Options, &mut ChpOptions)) -> World {
    world_with(Vec::new(), |options| {
        options.hub = HubLink::None;
        options.snapshot = None;
        options.trusted_proxies = vec!["0.0.0.0/0".parse().unwrap()];
        let mut chp = plain();
        adjust(options, &mut chp);
        options.chp = Some(chp);
    })
    .await
}

async fn api(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    with_token(world.api[0], TOKEN, method, path, body).await
}

async fn with_token(address: SocketAddr, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: api\r\nAuthorization: token {token}\r\n");
    ask(address, format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")).await
}

async fn add(world: &World, path: &str, target: &str) {
    let added = api(world, "POST", &format!("/api/routes{path}"), Some(json!({"target": target}))).await;
    assert_eq!(added.status, 201, "{}", added.text());
}

fn object(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn routes_come_and_go_by_the_api() {
    let one = Upstream::named("one").await;
    let world = start(|_, _| {}).await;
    assert_eq!(object(&api(&world, "GET", "/api/routes", None).await), json!({}));
    let body = json!({"target": one.url(), "jupyterhub": true, "user": "b@r x"});
    assert_eq!(api(&world, "POST", "/api/routes/user/b%40r%20x", Some(body)).await.status, 201);
    assert_eq!(get(world.address, "/user/b%40r%20x/lab?q=a+b").await.text(), "one");
    assert_eq!(one.last().line(), "GET /user/b%40r%20x/lab?q=a+b HTTP/1.1");
    let all = object(&api(&world, "GET", "/api/routes", None).await);
    let route = all.get("/user/b@r x").expect("keys are unescaped");
    assert_eq!(
        (&route["jupyterhub"], &route["user"], &route["target"]),
        (&json!(true), &json!("b@r x"), &json!(one.url()))
    );
    let active = route["last_activity"].as_str().unwrap();
    assert!(active.ends_with('Z') && active.len() == "2026-01-02T03:04:05.678Z".len(), "{active}");
    let same = object(&api(&world, "GET", "/api/routes/user/b%40r%20x/", None).await);
    assert_eq!(same["target"], route["target"]);
    assert_eq!(api(&world, "DELETE", "/api/routes/user/b@r%20x", None).await.status, 204);
    assert_eq!(api(&world, "DELETE", "/api/routes/user/b@r%20x", None).await.status, 404);
    assert_eq!(api(&world, "GET", "/api/routes/user/b@r%20x", None).await.status, 404);
    assert_eq!(get(world.address, "/user/b%40r%20x/lab").await.status, 404);
    add(&world, "", &one.url()).await;
    assert_eq!(get(world.address, "/anything").await.text(), "one");
}

#[tokio::test]
async fn the_default_route_is_deleted_by_its_path_alone() {
    let one = Upstream::named("one").await;
    let world = start(|options, _| options.default_target = Some(one.url())).await;
    assert_eq!(api(&world, "DELETE", "/api/routes", None).await.status, 404);
    assert_eq!(get(world.address, "/").await.text(), "one");
    assert_eq!(api(&world, "DELETE", "/api/routes/", None).await.status, 204);
    assert_eq!(get(world.address, "/").await.status, 404);
    assert_eq!(api(&world, "DELETE", "/api/routes/", None).await.status, 404);
    // As there, what was not found counts as well.
    let text = get(world.metrics.unwrap(), "/metrics").await.text();
    assert!(text.lines().any(|line| line == "api_route_delete 2"), "{text}");
}

#[tokio::test]
async fn the_api_refuses_what_it_does_not_understand_and_who_has_no_token() {
    let world = start(|_, _| {}).await;
    let target = || Some(json!({"target": "http://127.0.0.1:1"}));
    for token in ["wrong", "", "secretx"] {
        let answer = with_token(world.api[0], token, "POST", "/api/routes/x", target()).await;
        assert_eq!((answer.status, answer.body.len()), (403, 0), "{token}");
    }
    let cases = [
        ("POST", "/api/routes/x", Some(json!({})), 400),
        ("POST", "/api/routes/x", Some(json!({"target": 5})), 400),
        ("POST", "/api/routes/x", Some(json!(["target"])), 400),
        ("POST", "/api/routes/x", None, 400),
        ("POST", "/api/routes/x", Some(json!({"target": "nonsense"})), 400),
        ("POST", "/api/routes/../x", target(), 400),
        ("GET", "/api/routes/%FF", None, 400),
        ("DELETE", "/api/routes", None, 404),
        ("PUT", "/api/routes/x", target(), 405),
        ("GET", "/api/", None, 404),
        ("GET", "/api/routesx", None, 404),
        ("GET", "/api/routes?inactiveSince=endoftheworld", None, 400),
    ];
    for (method, path, body, status) in cases {
        let answer = api(&world, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    assert_eq!(object(&api(&world, "GET", "/api/routes", None).await), json!({}));
    let open = start(|_, chp| chp.token = None).await;
    assert_eq!(ask(open.api[0], "GET /api/routes HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn the_token_is_looked_at_before_the_body_which_has_a_bound() {
    const BOUND: usize = 1024 * 1024;
    let world = start(|_, _| {}).await;
    let post = async |authorization: &str, body: String| {
        let head = format!("POST /api/routes/x HTTP/1.1\r\nHost: api\r\nAuthorization: {authorization}\r\n");
        ask(world.api[0], format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
            .await
            .status
    };
    let route = |size: usize| {
        let begin = r#"{"target": "http://127.0.0.1:1", "user": ""#;
        format!("{begin}{}\"}}", "x".repeat(size - begin.len() - 2))
    };
    assert_eq!(post("token wrong", "{".to_owned()).await, 403);
    assert_eq!(post("token secret", "{".to_owned()).await, 400);
    assert_eq!(post("xx token secret", route(100)).await, 403);
    assert_eq!(post("token secret", route(BOUND + 1)).await, 413);
    assert_eq!(object(&api(&world, "GET", "/api/routes", None).await), json!({}));
    assert_eq!(post("token secret", route(BOUND)).await, 201);
    // Nothing of the body has come when the token is refused.
    let head = "POST /api/routes/x HTTP/1.1\r\nHost: api\r\nAuthorization: token wrong\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(ask(world.api[0], head).await.status, 403);
}

/// Silent before its answer at `/head` and in the middle of it at `/body`; elsewhere it takes what it gets and answers in ten
/// pieces with a pause before each.
async fn hesitant(pause: Duration) -> Upstream {
    Upstream::raw(move |number, mut peer, _| async move {
        let Some(request) = crate::upstream::read(&mut peer, number).await else { return };
        if !request.head.starts_with("GET /head") {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        }
        if request.head.starts_with("GET /body") {
            peer.send("abc").await;
        }
        if request.head.starts_with("GET /head") || request.head.starts_with("GET /body") {
            peer.rest().await;
            return;
        }
        for _ in 0..10 {
            // Pacing is what is tested.
            tokio::time::sleep(pause).await;
            peer.send("x").await;
        }
    })
    .await
}

/// Ten bytes with a pause before each.
async fn slow_upload(raw: &mut Raw, pause: Duration) {
    raw.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        // Pacing is what is tested.
        tokio::time::sleep(pause).await;
        raw.send("x").await;
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut_and_a_slow_one_is_not() {
    let (bound, pause) = (Duration::from_millis(800), Duration::from_millis(100));
    let (lab, echo) = (hesitant(pause).await, raw_echo().await);
    let world = start(|options, _| options.limits.download_idle = Some(bound)).await;
    add(&world, "/", &lab.url()).await;
    add(&world, "/echo", &echo.url()).await;
    let mut tunnel = open(&world, "/echo").await;
    let mut slow = Raw::connect(world.address).await;
    let slowly = async {
        slow_upload(&mut slow, pause).await;
        slow.answer().await.text()
    };
    let still = async {
        let mut body = Raw::connect(world.address).await;
        body.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(body.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(body.rest().await, b"abc");
    };
    let (text, (), head) = tokio::join!(slowly, still, get(world.address, "/head"));
    assert_eq!((text.as_str(), head.status), ("xxxxxxxxxx", 503));
    // It has been silent for longer.
    echoes(&mut tunnel).await;
}

#[tokio::test]
async fn the_time_for_the_beginning_of_an_answer_is_not_that_of_its_upload() {
    let lab = hesitant(Duration::from_millis(1)).await;
    let world = start(|options, _| options.limits.answer = Some(Duration::from_millis(800))).await;
    add(&world, "/", &lab.url()).await;
    let mut slow = Raw::connect(world.address).await;
    let slowly = async {
        slow_upload(&mut slow, Duration::from_millis(100)).await;
        slow.answer().await.status
    };
    let (slow, head) = tokio::join!(slowly, get(world.address, "/head"));
    assert_eq!((slow, head.status), (200, 503));
}

#[tokio::test]
async fn a_connection_is_closed_between_requests_but_neither_in_one_nor_before_the_first() {
    let lab = hesitant(Duration::from_millis(60)).await;
    let world = start(|options, _| options.limits.keep_alive = Some(Duration::from_millis(200))).await;
    add(&world, "/", &lab.url()).await;
    let mut first = Raw::connect(world.address).await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let mut kept = Raw::connect(world.address).await;
    for _ in 0..2 {
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(kept.answer().await.text(), "xxxxxxxxxx", "for longer than between two requests");
    }
    assert!(kept.rest().await.is_empty());
    first.send("\r\n").await;
    assert_eq!(first.answer().await.text(), "xxxxxxxxxx");
}

#[tokio::test]
async fn a_deleted_route_leaves_what_is_open_to_its_end() {
    let echo = raw_echo().await;
    let world = start(|options, _| options.limits.route_grace = Duration::from_millis(1)).await;
    add(&world, "/a", &echo.url()).await;
    let mut tunnel = open(&world, "/a").await;
    assert_eq!(api(&world, "DELETE", "/api/routes/a", None).await.status, 204);
    assert_eq!(get(world.address, "/a").await.status, 404);
    let cut = tokio::time::timeout(Duration::from_millis(100), tunnel.more()).await;
    assert!(cut.is_err(), "nothing happens to it");
    echoes(&mut tunnel).await;
}

#[tokio::test]
async fn last_activity_moves_with_requests_and_selects_routes() {
    let one = Upstream::named("one").await;
    let world = start(|_, _| {}).await;
    add(&world, "/a", &one.url()).await;
    let active = async || {
        let route = object(&api(&world, "GET", "/api/routes/a", None).await);
        route["last_activity"].as_str().unwrap().to_owned()
    };
    let first = active().await;
    assert_eq!(object(&api(&world, "GET", "/api/routes?inactive_since=2020-01-01T00:00:00Z", None).await), json!({}));
    let later = object(&api(&world, "GET", "/api/routes?inactiveSince=2999-01-01T00:00:00.000Z", None).await);
    assert!(later.get("/a").is_some());
    until("activity", async || {
        get(world.address, "/a/x").await;
        active().await > first
    })
    .await;
}

#[tokio::test]
async fn a_target_may_have_a_path_and_the_prefix_may_be_taken_off() {
    for (prepend, include, expected) in [
        (true, true, "GET /foo/bar/rest?q=1 HTTP/1.1"),
        (false, true, "GET /bar/rest?q=1 HTTP/1.1"),
        (true, false, "GET /foo/rest?q=1 HTTP/1.1"),
        (false, false, "GET /rest?q=1 HTTP/1.1"),
    ] {
        let one = Upstream::named("one").await;
        let world = start(|_, chp| (chp.prepend_path, chp.include_prefix) = (prepend, include)).await;
        add(&world, "/bar", &format!("{}/foo", one.url())).await;
        assert_eq!(get(world.address, "/bar/rest?q=1").await.status, 200);
        assert_eq!(one.last().line(), expected);
    }
}

#[tokio::test]
async fn headers_and_locations_are_changed_by_choice() {
    let one = Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = crate::upstream::read(&mut peer, number).await {
            let host = format!("127.0.0.1:{}", peer.stream.local_addr().unwrap().port());
            seen.lock().unwrap().push(request);
            peer.send(format!("HTTP/1.1 302 Found\r\nLocation: http://{host}/x?y\r\nContent-Length: 0\r\n\r\n")).await;
        }
    })
    .await;
    let plainly = start(|_, _| {}).await;
    add(&plainly, "/", &one.url()).await;
    let answer = ask(plainly.address, "GET / HTTP/1.1\r\nHost: hub.example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").await;
    assert_eq!(answer.one("location").unwrap(), format!("{}/x?y", one.url()));
    let seen = one.last();
    assert_eq!(seen.all("host"), ["hub.example"]);
    assert_eq!(seen.all("x-forwarded-for"), ["1.2.3.4,127.0.0.1"]);
    let world = start(|_, chp| {
        chp.auto_rewrite = true;
        chp.change_origin = true;
        chp.protocol_rewrite = Some("https".to_owned());
        chp.x_forward = false;
        chp.custom_headers = vec![("x-own".parse().unwrap(), "1".parse().unwrap())];
    })
    .await;
    add(&world, "/", &one.url()).await;
    let answer = ask(world.address, "GET / HTTP/1.1\r\nHost: hub.example\r\nX-Own: mine\r\n\r\n").await;
    assert_eq!(answer.one("location").as_deref(), Some("https://hub.example/x?y"));
    let seen = one.last();
    assert_eq!(seen.all("host"), [one.address.to_string()]);
    assert_eq!(seen.all("x-own"), ["1"]);
    assert!(seen.all("x-forwarded-for").is_empty() && seen.all("x-forwarded-proto").is_empty());
}

#[tokio::test]
async fn what_a_front_says_of_scheme_and_port_is_appended_to() {
    let one = Upstream::named("one").await;
    let world = start(|_, _| {}).await;
    add(&world, "/", &one.url()).await;
    let front =
        "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: hub.example\r\nX-Forwarded-Ssl: on";
    ask(world.address, format!("GET / HTTP/1.1\r\nHost: inside:8000\r\n{front}\r\n\r\n")).await;
    let seen = one.last();
    // What configurable-http-proxy 5.3 sends for this.
    let expected = [("proto", "https,http"), ("port", "443,8000"), ("host", "hub.example"), ("ssl", "on")];
    for (name, value) in expected {
        assert_eq!(seen.all(&format!("x-forwarded-{name}")), [value], "{name}");
    }
    get(world.address, "/").await;
    assert_eq!(one.last().all("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn the_first_segment_is_a_host_with_host_routing() {
    let (one, hub) = (Upstream::named("one").await, Upstream::named("hub").await);
    let world = start(|_, chp| chp.host_routing = true).await;
    add(&world, "/Ex.com/sub", &one.url()).await;
    add(&world, "/[::1]/sub", &one.url()).await;
    add(&world, "/", &hub.url()).await;
    let as_host = async |host: &str, path: &str| {
        ask(world.address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.text()
    };
    assert_eq!(as_host("ex.com:8000", "/sub/x").await, "one");
    assert_eq!(as_host("EX.com.", "/sub/x").await, "one");
    assert_eq!(as_host("[::1]:8000", "/sub/x").await, "one");
    assert_eq!(as_host("ex.com", "/other").await, "hub");
    assert_eq!(as_host("other.com", "/sub/x").await, "hub");
    let all = object(&api(&world, "GET", "/api/routes", None).await);
    let host = all.as_object().unwrap().iter().find(|(key, _)| key.to_lowercase() == "/ex.com/sub").unwrap();
    assert_eq!(host.1["host"].as_str().unwrap().to_lowercase(), "ex.com");
}

#[tokio::test]
async fn what_makes_configurable_http_proxy_fail_is_answered() {
    let one = Upstream::named("one").await;
    let world = start(|_, _| {}).await;
    add(&world, "/", &one.url()).await;
    for path in ["/%", "/%ff", "/<", "/>", "/`", "/a\\b", "/a/../b"] {
        assert_eq!(get(world.address, path).await.status, 400, "{path}");
    }
    let connect = ask(world.address, "CONNECT one.example:443 HTTP/1.1\r\nHost: one.example:443\r\n\r\n").await;
    assert_eq!(connect.status, 405);
    let upgrade = "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    assert_eq!(ask(world.address, format!("GET / HTTP/1.1\r\n{upgrade}")).await.text(), "one");
    assert!(one.last().all("upgrade").is_empty() && one.last().all("http2-settings").is_empty());
}

#[tokio::test]
async fn error_pages_come_from_a_server_or_a_folder() {
    let pages = Upstream::fixed("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\npage").await;
    let target = format!("{}/hub/error/", pages.url());
    let world = start(|_, chp| chp.error_target = Some(target)).await;
    let missing = get(world.address, "/nowhere?a=b").await;
    assert_eq!((missing.status, missing.text().as_str()), (404, "page"));
    assert_eq!(missing.one("content-type").as_deref(), Some("text/plain"));
    assert_eq!(pages.last().line(), "GET /hub/error/404?url=%2Fnowhere%3Fa%3Db HTTP/1.1");
    add(&world, "/dead", "http://127.0.0.1:1").await;
    let dead = get(world.address, "/dead").await;
    assert_eq!((dead.status, dead.text().as_str()), (503, "page"));
    assert_eq!((pages.seen().len(), pages.connections()), (2, 1), "its connection is kept");
    let target = format!("{}/e?theme=dark", pages.url());
    let mut world = start(|options, chp| {
        options.limits.drain = Duration::from_secs(600);
        chp.error_target = Some(target);
    })
    .await;
    assert_eq!(get(world.address, "/nowhere").await.text(), "page");
    assert_eq!(pages.last().line(), "GET /e/404?theme=dark&url=%2Fnowhere HTTP/1.1");
    // The connection that is kept does not hold the stop.
    tokio::time::timeout(DEADLINE, world.end()).await.expect("it stops");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("404.html"), "missing").unwrap();
    std::fs::write(folder.path().join("error.html"), "broken").unwrap();
    let path = folder.path().to_owned();
    let world = start(|_, chp| chp.error_path = Some(path)).await;
    add(&world, "/dead", "http://127.0.0.1:1").await;
    assert_eq!(get(world.address, "/nowhere").await.text(), "missing");
    let dead = get(world.address, "/dead").await;
    assert_eq!((dead.status, dead.text().as_str()), (503, "broken"));
}

#[tokio::test]
async fn unix_sockets_serve_all_three() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (public, api, metrics) = (path("proxy.sock"), path("api.sock"), path("metrics.sock"));
    // Left by one that was killed.
    drop(std::os::unix::net::UnixListener::bind(&public).unwrap());
    let one = Upstream::named("one").await;
    let mut world = start(|options, chp| {
        options.doors = vec![Listen::Unix(public.clone())];
        chp.api = vec![Listen::Unix(api.clone())];
        chp.metrics = Some(Listen::Unix(metrics.clone()));
    })
    .await;
    let body = json!({"target": one.url()}).to_string();
    let post = format!(
        "POST /api/routes/ HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(over(&api, &post).await.starts_with("HTTP/1.1 201 "));
    assert!(over(&public, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("one"));
    assert_eq!(one.last().all("x-forwarded-for"), ["127.0.0.1"]);
    assert!(over(&metrics, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.contains("api_route_add 1"));
    world.end().await;
    assert!(!public.exists() && !api.exists() && !metrics.exists());
}

async fn over(path: &PathBuf, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_target_may_want_a_certificate_and_insecure_believes_all() {
    let named = Upstream::named("inside").await;
    let authority = Authority::new();
    let client = authority.sign("client", &["proxy"]);
    let stranger = Authority::new();
    let front = Front::asking(named.address, &authority).await;
    let url = front.url("127.0.0.1");
    for (shows, ca, insecure, status) in
        [(true, true, false, 200), (false, true, false, 502), (true, false, false, 503), (true, false, true, 200)]
    {
        let world = start(|options, _| {
            options.client_certificate = shows.then(|| client.clone());
            options.client_ca = Some(if ca { authority.file() } else { stranger.file() });
            options.insecure = insecure;
        })
        .await;
        add(&world, "/", &url).await;
        let found = get(world.address, "/").await.status;
        let refused = status != 200 && matches!(found, 502 | 503);
        assert!(found == status || refused, "{shows} {ca} {insecure}: {found}");
    }
}

#[tokio::test]
async fn the_api_speaks_tls_to_who_has_a_certificate() {
    let authority = Authority::new();
    let server = authority.sign("api", &["localhost"]);
    let client = authority.sign("hub", &["hub"]);
    let world = start(|_, chp| {
        let mut tls = TlsOptions::new(CertificateSource::Files(vec![server]));
        tls.clients = ClientCertificates::Required(authority.file());
        chp.api_tls = Some(tls);
    })
    .await;
    for (shows, answers) in [(Some(&client), true), (None, false)] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let browser = browser(&authority.file(), shows);
        let answered = match shake(&browser, world.api[0], "localhost").await {
            Ok(mut stream) => {
                let _ = stream
                    .write_all(
                        format!("GET /api/routes HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\n\r\n")
                            .as_bytes(),
                    )
                    .await;
                stream.read_u8().await.is_ok()
            }
            Err(_) => false,
        };
        assert_eq!(answered, answers);
    }
    let mut bare = Raw::connect(world.api[0]).await;
    bare.send("GET /api/routes HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&bare.rest().await).contains("HTTP/1.1"));
}

#[tokio::test]
async fn item_31_a_changed_certificate_of_the_api_is_shown() {
    let authority = Authority::new();
    for told in [false, true] {
        let server = authority.sign("api", &["localhost"]);
        let world = start(|options, chp| {
            let look = if told { Duration::from_secs(3600) } else { Duration::from_millis(20) };
            options.limits.certificate_look = look;
            chp.api_tls = Some(TlsOptions::new(CertificateSource::Files(vec![server])));
        })
        .await;
        let browser = browser(&authority.file(), None);
        let shown = async || shown(&browser, world.api[0], "localhost").await.unwrap();
        let before = shown().await;
        authority.sign("api", &["localhost"]);
        if told {
            world.options.reload.tell();
        }
        until("a new certificate", async || shown().await != before).await;
    }
}

#[tokio::test]
async fn item_35_metrics_have_the_names_of_configurable_http_proxy() {
    let echo = Upstream::raw(|_, mut peer, _| async move {
        let head = peer.head().await;
        match head.contains("Upgrade") || head.contains("upgrade: websocket") {
            true => peer.send(format!("{SWITCH}\r\n")).await,
            false => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await,
        }
        peer.rest().await;
    })
    .await;
    let world = start(|_, _| {}).await;
    add(&world, "/", &echo.url()).await;
    assert_eq!(get(world.address, "/").await.status, 200);
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    api(&world, "GET", "/api/routes", None).await;
    let text = get(world.metrics.unwrap(), "/metrics").await.text();
    for line in [
        "api_route_add 1",
        "api_route_get 1",
        "api_route_delete 0",
        "requests_web 1",
        "requests_ws 1",
        "requests_proxy{status=\"200\"} 1",
        "requests_proxy{status=\"101\"} 1",
        "requests_api{status=\"201\"} 1",
        "find_target_for_req_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for name in ["find_target_for_req", "last_activity_updating"] {
        for quantile in ["0.01", "0.05", "0.5", "0.9", "0.95", "0.99", "0.999"] {
            let begin = format!("{name}{{quantile=\"{quantile}\"}} ");
            let value =
                text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("{begin} in\n{text}"));
            assert!(value.parse::<f64>().unwrap() > 0.0, "{begin}{value}");
        }
    }
    assert_eq!(get(world.metrics.unwrap(), "/").await.status, 404);
}

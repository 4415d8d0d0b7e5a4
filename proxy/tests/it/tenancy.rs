//! Items 16 to 19: one user's server is no other's, and error pages give nothing away.

use std::time::Duration;

use crate::{
    client::{Raw, ask, get, until},
    hub::{hub_route, route},
    upstream::Upstream,
    world::{world, world_with},
};

#[tokio::test]
async fn item_17_idle_connections_die_with_their_route() {
    let alice = Upstream::named("up").await;
    let world = world(vec![route("/user/alice/", &alice.url())]).await;
    get(world.address, "/user/alice/1").await;
    get(world.address, "/user/alice/2").await;
    assert_eq!(alice.connections(), 1, "the connection is used again");
    // Another tenant on the same port never gets the connection of the first.
    world.hub.set(vec![route("/user/bob/", &alice.url())], &["/user/alice/"]).await;
    get(world.address, "/user/bob/1").await;
    assert_eq!(alice.connections(), 2);
    assert_eq!(alice.last().connection, 1);
}

#[tokio::test]
async fn item_17_tenants_with_one_target_share_no_connection() {
    let shared = Upstream::named("up").await;
    let world = world(vec![route("/user/a/", &shared.url()), route("/user/b/", &shared.url())]).await;
    for path in ["/user/a/1", "/user/b/1", "/user/a/2", "/user/b/2"] {
        get(world.address, path).await;
    }
    let connections: Vec<_> = shared.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 0, 1]);
}

#[tokio::test]
async fn item_18_targets_that_are_not_usable_are_left_out_alone() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![
        route("/a/", "http://169.254.169.254/"),
        route("/b/", "nonsense"),
        route("/c/%zz/", &upstream.url()),
        route("/d/", &upstream.url()),
    ])
    .await;
    assert_eq!(get(world.address, "/a/").await.status, 404);
    assert_eq!(get(world.address, "/b/").await.status, 404);
    assert_eq!(get(world.address, "/d/").await.status, 200);
}

#[tokio::test]
async fn item_18_an_unusable_target_does_not_leave_the_old_one_in_place() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/user/a/", &upstream.url())]).await;
    assert_eq!(get(world.address, "/user/a/").await.status, 200);
    world.hub.set(vec![route("/user/a/", "nonsense")], &[]).await;
    assert_eq!(get(world.address, "/user/a/").await.status, 404);
}

#[tokio::test]
async fn item_18_a_wrong_token_gets_no_routes() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.hub = specola_proxy::HubLink::None;
    })
    .await;
    let mut options = world.options.clone();
    options.hub = specola_proxy::HubLink::Unix(world.hub.path.clone());
    options.token = "wrong".to_owned();
    options.admin_socket = None;
    let proxy = specola_proxy::Proxy::bind(options).await.unwrap();
    let address = proxy.addresses()[0];
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(proxy.serve(stop.clone()));
    until("a refusal", async || world.hub.told.lock().unwrap().refused > 0).await;
    assert_eq!(get(address, "/").await.status, 503);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn item_19_error_pages_echo_nothing_and_are_not_cached() {
    let world = world(vec![route("/user/a/", "http://127.0.0.1:1")]).await;
    let answer =
        ask(world.address, "GET /user/a/'onload=alert(1)' HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.text().contains("alert"), "{}", answer.text());
    assert_eq!(answer.one("content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(answer.one("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(answer.one("cache-control").as_deref(), Some("no-store"));
    assert!(answer.one("retry-after").is_some());
    assert!(answer.text().contains("prefers-color-scheme"));
    assert_eq!(get(world.address, "/elsewhere").await.status, 404);
}

#[tokio::test]
async fn item_19_programs_get_json() {
    let world = world(vec![route("/user/a/", "http://127.0.0.1:1")]).await;
    let requests = [
        "GET /user/a/api/status HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /user/a/x HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n",
    ];
    for request in requests {
        let answer = ask(world.address, request).await;
        let message: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &message["status"]), (503, &503.into()), "{request}");
        assert!(message["message"].is_string());
    }
}

#[tokio::test]
async fn item_19_the_hub_renders_the_page_of_a_server_that_does_not_answer() {
    let hub =
        Upstream::fixed("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Hub: 1\r\nContent-Length: 8\r\n\r\nhub page")
            .await;
    let world = world(vec![hub_route("/", &hub.url()), route("/user/a/", "http://127.0.0.1:1")]).await;
    let answer = get(world.address, "/user/a/lab?x=<y>").await;
    // The http crate refuses raw angle brackets, as the address of a request.
    assert_eq!(answer.status, 400);
    let answer = get(world.address, "/user/a/lab?x=1&y=%3C").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "hub page"));
    assert_eq!(answer.one("x-hub"), None);
    assert_eq!(hub.last().line(), "GET /hub/error/503?url=%2Fuser%2Fa%2Flab%3Fx%3D1%26y%3D%253C HTTP/1.1");
    assert!(hub.last().all("cookie").is_empty());
    // However often that is, it is no new connection each time.
    assert_eq!(get(world.address, "/user/a/lab").await.text(), "hub page");
    assert_eq!((hub.seen().len(), hub.connections()), (2, 1));
}

#[tokio::test]
async fn item_19_a_hub_that_hangs_does_not_hold_the_error_page() {
    let hub = Upstream::raw(|_, mut peer, _| async move {
        peer.rest().await;
    })
    .await;
    let world = world_with(vec![hub_route("/", &hub.url()), route("/user/a/", "http://127.0.0.1:1")], |options| {
        options.limits.error_page = Duration::from_millis(50);
    })
    .await;
    let answer = get(world.address, "/user/a/lab").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("<h1>503"), "{}", answer.text());
}

#[tokio::test]
async fn the_health_check_needs_no_route() {
    let world = world(vec![]).await;
    let mut raw = Raw::connect(world.address).await;
    for method in ["GET", "POST", "DELETE"] {
        let answer = raw.ask(format!("{method} /_chp_healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{\"status\":\"OK\"}"), "{method}");
    }
    assert_eq!(get(world.address, "/_chp_healthz?x=1").await.status, 404);
}

#[tokio::test]
async fn item_16_what_is_at_one_host_is_not_found_at_another() {
    let (hub, alice, bob) =
        (Upstream::named("hub").await, Upstream::named("alice").await, Upstream::named("bob").await);
    let world = world(vec![
        hub_route("/", &hub.url()),
        route("alice.hub.example/user/alice/", &alice.url()),
        route("bob.hub.example/user/bob/", &bob.url()),
    ])
    .await;
    for (host, path, expected) in [
        ("alice.hub.example", "/user/alice/x", "alice"),
        ("ALICE.hub.example.:8000", "/user/alice/x", "alice"),
        ("bob.hub.example", "/user/bob/", "bob"),
        ("bob.hub.example", "/user/alice/x", "hub"),
        ("alice.hub.example", "/user/bob/", "hub"),
        ("hub.example", "/user/alice/x", "hub"),
        ("x.alice.hub.example", "/user/alice/x", "hub"),
        ("alice.hub.example", "/hub/home", "hub"),
    ] {
        let answer = ask(world.address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.text(), expected, "{host}{path}");
    }
    // The authority of a whole address is the host, whatever `Host` says.
    let whole = "GET http://bob.hub.example/user/alice/x HTTP/1.1\r\nHost: alice.hub.example\r\n\r\n";
    assert_eq!(ask(world.address, whole).await.text(), "hub");
}

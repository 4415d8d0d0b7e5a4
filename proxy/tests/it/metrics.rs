//! Item 35: what is measured, by class and never by person.

use crate::{
    budget::metric,
    client::{Raw, get, until},
    hub::{hub_route, route, user_route},
    tunnels::{echoes, open, raw_echo},
    upstream::Upstream,
    world::world_with,
};

#[tokio::test]
async fn item_35_answers_are_measured_by_class_and_nobody_is_named() {
    let (upstream, echo) = (Upstream::named("up").await, raw_echo().await);
    let routes = vec![
        hub_route("/", &upstream.url()),
        user_route("/user/a/", &upstream.url()),
        user_route("/user/a/ws/", &echo.url()),
        route("/dead/", "http://127.0.0.1:1"),
    ];
    let world = world_with(routes, |options| {
        options.metrics = Some(specola_proxy::chp::Listen::Tcp("127.0.0.1:0".parse().unwrap()));
    })
    .await;
    for path in ["/hub/", "/user/a/", "/user/a/x", "/dead/"] {
        get(world.address, path).await;
    }
    let count =
        async |class: &str| metric(&world, &format!("specola_proxy_answer_seconds_count{{class=\"{class}\"}}")).await;
    assert_eq!((count("hub").await, count("user").await, count("other").await), (1.0, 2.0, 1.0));
    let bucket = "specola_proxy_answer_seconds_bucket{class=\"user\",le=\"+Inf\"}";
    assert_eq!(metric(&world, bucket).await, 2.0);
    assert_eq!(metric(&world, "specola_proxy_connect_failures_total{reason=\"refused\"}").await, 1.0);
    assert_eq!(metric(&world, "requests_web").await, 4.0);
    assert!(metric(&world, "specola_proxy_pool_idle").await >= 1.0);
    let down = metric(&world, "specola_proxy_bytes_total{direction=\"down\"}").await;
    let mut tunnel = open(&world, "/user/a/ws/").await;
    echoes(&mut tunnel).await;
    assert_eq!(metric(&world, "tunnels").await, 1.0);
    assert_eq!(metric(&world, "requests_ws").await, 1.0);
    drop(tunnel);
    until("the end of the websocket", async || {
        metric(&world, "specola_proxy_tunnel_seconds_count{class=\"user\"}").await == 1.0
    })
    .await;
    assert_eq!(metric(&world, "specola_proxy_bytes_total{direction=\"up\"}").await, 4.0);
    // What came with the handshake is passed on without being counted.
    assert!(metric(&world, "specola_proxy_bytes_total{direction=\"down\"}").await >= down + 4.0);
    let text = crate::link::admin(&world, "GET /metrics").await;
    assert!(!text.contains("/user/"), "{text}");
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line}");
    }
}

#[tokio::test]
async fn item_35_a_stopped_proxy_tells_nothing_more() {
    let mut world = world_with(vec![], |_| {}).await;
    let mut idle = Raw::connect(world.address).await;
    assert_eq!(metric(&world, "routes").await, 0.0);
    world.end().await;
    assert!(idle.rest().await.is_empty());
}

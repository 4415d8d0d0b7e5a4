//! Routes over the stream: resumed, acknowledged, stored, and gone on with when the hub is away.

use std::time::Duration;

use specola_proxy::{HubLink, wire::Status};

use crate::{
    client::{Raw, get, until},
    hub::{hub_route, route},
    upstream::Upstream,
    world::{World, world, world_with},
};

pub async fn status(world: &World) -> Status {
    let text = admin(world, "GET /status").await;
    serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

pub async fn admin(world: &World, line: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(world.admin()).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_first_stream_asks_for_everything_and_is_acknowledged() {
    let world = world(vec![route("/a/", "http://127.0.0.1:1")]).await;
    let told = world.hub.told.lock().unwrap();
    assert_eq!(told.streams, ["proxy=p%201"]);
    let ack = told.acks.last().unwrap();
    assert_eq!((ack.proxy.as_str(), ack.epoch.as_str(), ack.revision), ("p 1", "one", 2));
}

#[tokio::test]
async fn a_lost_stream_is_resumed_where_it_ended() {
    let a = Upstream::named("a").await;
    let b = Upstream::named("b").await;
    let mut world = world(vec![route("/a/", &a.url())]).await;
    world.hub.stop();
    let revision = world.hub.change(vec![route("/b/", &b.url())], &["/a/"]);
    assert_eq!(get(world.address, "/a/").await.text(), "a", "routes stay while the hub is away");
    world.hub.resume();
    world.hub.acknowledged(revision).await;
    assert_eq!(world.hub.told.lock().unwrap().streams.last().unwrap(), "proxy=p%201&epoch=one&since=2");
    assert_eq!(get(world.address, "/b/").await.text(), "b");
    assert_eq!(get(world.address, "/a/").await.status, 404);
}

#[tokio::test]
async fn a_hub_that_comes_back_is_found_at_once() {
    let mut world = world(vec![]).await;
    let old = world.hub.told.lock().unwrap().streams.len();
    world.hub.stop();
    until("the loss of the link", async || !status(&world).await.linked).await;
    let start = std::time::Instant::now();
    world.hub.resume();
    until("a new stream", async || world.hub.told.lock().unwrap().streams.len() > old).await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_new_epoch_replaces_the_table() {
    let a = Upstream::named("a").await;
    let mut world = world(vec![route("/a/", &a.url())]).await;
    world.hub.stop();
    world.hub.resume_anew("two");
    world.hub.acknowledged(1).await;
    until("the new epoch", async || status(&world).await.epoch == "two").await;
    assert_eq!(get(world.address, "/a/").await.text(), "a");
    world.hub.set(vec![], &["/a/"]).await;
    assert_eq!(get(world.address, "/a/").await.status, 404);
}

#[tokio::test]
async fn a_silent_stream_counts_as_dead() {
    let mut world = world_with(vec![], |options| {
        // Shorter than the hub's heartbeat.
        options.limits.link_silence = Duration::from_millis(30);
    })
    .await;
    until("further streams", async || world.hub.told.lock().unwrap().streams.len() > 2).await;
    world.end().await;
}

#[tokio::test]
async fn a_proxy_starts_from_its_snapshot_without_a_hub() {
    let a = Upstream::named("a").await;
    let b = Upstream::named("b").await;
    let mut world = world(vec![route("/a/", &a.url()), route("/c/", &a.url())]).await;
    world.hub.set(vec![route("/b/", &b.url())], &["/c/"]).await;
    world.end().await;
    world.hub.stop();
    world.start().await;
    assert_eq!(get(world.address, "/a/").await.text(), "a");
    assert_eq!(get(world.address, "/b/").await.text(), "b");
    assert_eq!(get(world.address, "/c/").await.status, 404);
    let status = status(&world).await;
    assert_eq!((status.epoch.as_str(), status.revision, status.routes, status.linked), ("one", 3, 2, false));
    // And resumes from there.
    world.hub.resume();
    until("a resumed stream", async || {
        world.hub.told.lock().unwrap().streams.last().unwrap() == "proxy=p%201&epoch=one&since=3"
    })
    .await;
}

#[tokio::test]
async fn item_33_an_acknowledged_route_is_on_disk_and_survives_a_kill() {
    let world = world(vec![route("/a/", "http://127.0.0.1:1")]).await;
    for number in 0..20 {
        let prefix = format!("/b-{number}/");
        world.hub.set(vec![route(&prefix, "http://127.0.0.1:1")], &[]).await;
        let text = std::fs::read_to_string(world.folder.path().join("routes")).unwrap();
        assert!(text.ends_with('\n') && text.contains(&prefix), "{prefix}");
    }
}

#[tokio::test]
async fn a_broken_snapshot_does_not_keep_the_proxy_from_starting() {
    let a = Upstream::named("a").await;
    let mut world = world(vec![route("/a/", &a.url())]).await;
    world.end().await;
    std::fs::write(world.folder.path().join("routes"), b"\xff{garbage").unwrap();
    world.start().await;
    until("the route from the hub", async || get(world.address, "/a/").await.status == 200).await;
}

#[tokio::test]
async fn without_routes_everything_goes_to_the_default_target() {
    let hub = Upstream::named("hub").await;
    let mut world = world_with(vec![], |options| {
        options.default_target = Some(hub.url());
        options.hub = HubLink::None;
    })
    .await;
    assert_eq!(get(world.address, "/hub/home").await.text(), "hub");
    assert_eq!(get(world.address, "/user/a/").await.text(), "hub");
    world.end().await;
}

#[tokio::test]
async fn item_34_an_acknowledged_route_is_seen_by_the_very_next_request() {
    let a = Upstream::named("a").await;
    let b = Upstream::named("b").await;
    let world = world(vec![]).await;
    let mut raw = Raw::connect(world.address).await;
    for round in 0..50 {
        let target = if round % 2 == 0 { a.url() } else { b.url() };
        world.hub.set(vec![route("/x/", &target)], &[]).await;
        let expected = if round % 2 == 0 { "a" } else { "b" };
        assert_eq!(raw.ask("GET /x/ HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), expected);
    }
}

#[tokio::test]
async fn activity_is_told_in_batches_and_kept_while_the_hub_is_away() {
    let ok = Upstream::named("ok").await;
    let not = Upstream::fixed("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let mut world = world(vec![
        hub_route("/", &ok.url()),
        route("/user/a/", &ok.url()),
        route("/user/b/", &not.url()),
        route("/user/c/", &ok.url()),
    ])
    .await;
    for path in ["/", "/user/a/", "/user/b/"] {
        get(world.address, path).await;
    }
    until("activity of a", async || world.hub.told.lock().unwrap().activity.contains_key("/user/a/")).await;
    world.hub.stop();
    get(world.address, "/user/c/").await;
    world.hub.resume();
    until("activity of c", async || world.hub.told.lock().unwrap().activity.contains_key("/user/c/")).await;
    let told = world.hub.told.lock().unwrap();
    // Not the failed one, nor the hub's own.
    assert_eq!(told.activity.len(), 2, "{:?}", told.activity);
    let time = &told.activity["/user/a/"];
    let parsed = chrono::DateTime::parse_from_rfc3339(time).unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
    assert!((chrono::Utc::now() - parsed.to_utc()).num_seconds().abs() < 10);
}

#[tokio::test]
async fn an_upload_counts_as_activity_while_it_runs() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/user/a/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST /user/a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello").await;
    until("activity", async || world.hub.told.lock().unwrap().activity.contains_key("/user/a/")).await;
}

#[tokio::test]
async fn the_admin_socket_tells_and_stops_and_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = world(vec![route("/a/", "http://127.0.0.1:1")]).await;
    let mode = std::fs::metadata(world.admin()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _open = Raw::connect(world.address).await;
    until("the open connection", async || status(&world).await.connections == 1).await;
    let told = status(&world).await;
    assert_eq!((told.pid, told.routes, told.revision), (std::process::id(), 1, world.hub.revision()));
    assert!(told.linked && !told.draining);
    assert_eq!(told.listen, [world.address]);
    // A second proxy at the same socket is refused.
    assert!(specola_proxy::Proxy::bind(world.options.clone()).await.is_err());
    assert!(admin(&world, "POST /stop").await.starts_with("HTTP/1.1 202"));
    world.task.take().unwrap().await.unwrap();
    assert!(!world.admin().exists());
}

#[tokio::test]
async fn a_socket_file_left_by_a_killed_proxy_is_replaced() {
    let mut world = world(vec![]).await;
    world.end().await;
    drop(std::os::unix::net::UnixListener::bind(world.admin()).unwrap());
    world.start().await;
    assert_eq!(status(&world).await.pid, std::process::id());
}

#[tokio::test]
async fn a_hundred_thousand_routes_are_applied_found_and_changed_quickly() {
    let upstream = Upstream::named("up").await;
    let url = upstream.url();
    let routes = (0..100_000).map(|number| route(&format!("/user/user-{number}/"), &url)).collect();
    let world = world(routes).await;
    assert_eq!(status(&world).await.routes, 100_000);
    for number in [0, 1, 49_999, 99_999] {
        assert_eq!(get(world.address, &format!("/user/user-{number}/lab/tree")).await.text(), "up");
    }
    assert_eq!(get(world.address, "/user/user-100000/").await.status, 404);
    // A change must not cost a copy of the table: many of them within a second even unoptimised.
    let start = std::time::Instant::now();
    let mut revision = 0;
    for number in 0..1000 {
        revision = world.hub.change(vec![route(&format!("/user/new-{number}/"), &url)], &[]);
    }
    world.hub.acknowledged(revision).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(get(world.address, "/user/new-999/").await.text(), "up");
}

#[tokio::test]
async fn the_hub_may_be_at_an_address_as_well_as_at_a_socket() {
    let a = Upstream::named("a").await;
    // The fake hub listens on a unix socket: bytes are carried there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = world_with(vec![route("/a/", &a.url())], |options| {
        let HubLink::Unix(socket) = options.hub.clone() else { panic!("the world's hub is at a socket") };
        options.hub = HubLink::Http(format!("http://{address}/"));
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut unix = tokio::net::UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tcp, &mut unix).await });
            }
        });
    })
    .await;
    assert_eq!(get(world.address, "/a/").await.text(), "a");
}

#[tokio::test]
async fn lines_that_are_not_understood_break_the_link_and_nothing_else() {
    let a = Upstream::named("a").await;
    let answers = ["{\"type\":\"news\"}\n", "garbage\n", "{\"type\":\"snapshot\"}\n", "\u{0}\u{0}\n"];
    for text in answers {
        let mut world = world(vec![route("/a/", &a.url())]).await;
        world.hub.stop();
        std::fs::remove_file(&world.hub.path).unwrap();
        let listener = tokio::net::UnixListener::bind(&world.hub.path).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        use tokio::io::AsyncWriteExt;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(get(world.address, "/a/").await.text(), "a", "{text}");
        drop(listener);
        world.hub.resume();
        world.hub.set(vec![route("/b/", &a.url())], &[]).await;
        assert_eq!(get(world.address, "/b/").await.text(), "a", "{text}");
    }
}

#[tokio::test]
async fn a_hub_that_refuses_to_resume_is_asked_for_everything() {
    let a = Upstream::named("a").await;
    let mut world = world(vec![route("/a/", &a.url())]).await;
    world.hub.stop();
    std::fs::remove_file(&world.hub.path).unwrap();
    let listener = tokio::net::UnixListener::bind(&world.hub.path).unwrap();
    let mut buffer = vec![0; 4096];
    let mut lines = Vec::new();
    // Acknowledgements and activity may come in between.
    while lines.len() < 2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let count = stream.read(&mut buffer).await.unwrap();
        let line = String::from_utf8_lossy(&buffer[..count]).lines().next().unwrap().to_owned();
        if line.starts_with("GET /routes/stream") {
            lines.push(line);
        }
        stream.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    }
    assert!(lines[0].contains("since=2") && !lines[1].contains("since"), "{lines:?}");
}

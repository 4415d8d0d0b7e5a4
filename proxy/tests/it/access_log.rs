//! Item 35: the access log, by choice.

use serde_json::Value;

use crate::{
    client::{Raw, get, until},
    hub::route,
    upstream::{Upstream, read},
    world::{World, world_with},
};

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn logged(world: &World, count: usize) -> Vec<Value> {
    let path = world.folder.path().join("access.log");
    until("the lines", async || lines(&path).len() >= count).await;
    lines(&path)
}

#[tokio::test]
async fn item_35_each_answer_is_a_line_without_what_is_secret() {
    let upstream = Upstream::named("hello").await;
    let cut = Upstream::raw(|number, mut peer, _| async move {
        read(&mut peer, number).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123").await;
    })
    .await;
    let routes = vec![route("/user/a/", &upstream.url()), route("/cut/", &cut.url())];
    let file = std::cell::OnceCell::new();
    let mut world = world_with(routes, |options| {
        let path = options.snapshot.clone().unwrap().with_file_name("access.log");
        options.access_log = Some(file.get_or_init(|| path).clone());
    })
    .await;
    assert_eq!(get(world.address, "/user/a/x?token=secret").await.text(), "hello");
    assert_eq!(get(world.address, "/nowhere").await.status, 404);
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /cut/ HTTP/1.1\r\nHost: a\r\nUser-Agent: test \"x\"\r\n\r\n").await;
    raw.rest().await;
    let found = logged(&world, 3).await;
    let line = &found[0];
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/user/a/x".into()));
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &5.into()));
    assert_eq!((&line["route"], &line["address"]), (&"/user/a/".into(), &"127.0.0.1".into()));
    assert!(line["seconds"].as_f64().unwrap() > 0.0 && line.get("cut").is_none(), "{line}");
    assert_eq!((&found[1]["status"], found[1].get("route")), (&404.into(), None));
    assert_eq!((&found[2]["bytes"], &found[2]["cut"]), (&3.into(), &true.into()));
    assert_eq!(found[2]["agent"], "test \"x\"");
    let text = std::fs::read_to_string(file.get().unwrap()).unwrap();
    assert!(!text.contains("secret"), "{text}");
    // Lines that wait are written before the end.
    for _ in 0..50 {
        get(world.address, "/nowhere").await;
    }
    world.end().await;
    assert_eq!(lines(file.get().unwrap()).len(), 53);
}

#[tokio::test]
async fn item_35_a_log_that_was_moved_away_begins_anew() {
    let world = world_with(vec![], |options| {
        options.access_log = Some(options.snapshot.clone().unwrap().with_file_name("access.log"));
    })
    .await;
    get(world.address, "/first").await;
    assert_eq!(logged(&world, 1).await[0]["path"], "/first");
    let path = world.folder.path().join("access.log");
    std::fs::rename(&path, world.folder.path().join("access.log.1")).unwrap();
    until("a line in a new file", async || {
        get(world.address, "/again").await;
        lines(&path).iter().any(|line| line["path"] == "/again")
    })
    .await;
    assert!(lines(&path).iter().all(|line| line["path"] != "/first"));
}

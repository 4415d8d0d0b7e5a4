//! Items 23 and 25: clients of HTTP/2 that want more than their share.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    budget::metric,
    client::{DEADLINE, Raw, until},
    frames::{CANCEL, END_HEADERS, Frames, HEADERS, Outcome, PING, RESET, SETTINGS, block, to},
    http2::{self, Site, text},
    hub::route,
    link::status,
    upstream::Upstream,
};

const CONTINUATION: u8 = 9;
/// What a frame may hold.
const FRAME: usize = 16 * 1024;

/// Reads and never answers.
async fn silent() -> Upstream {
    Upstream::raw(|_, mut peer: Raw, _| async move {
        let _ = tokio::io::copy(&mut peer.stream, &mut tokio::io::sink()).await;
    })
    .await
}

#[tokio::test]
async fn item_23_many_requests_of_few_connections_leave_room_for_others() {
    let (hanging, other) = (silent().await, Upstream::named("other").await);
    let site = Site::new("/", &hanging, |options| options.limits.max_connections = 16).await;
    site.world.hub.set(vec![route("/other/", &other.url())], &[]).await;
    let mut head = to("/hub/login");
    head[0].1 = "POST";
    let mut greedy = [Frames::open(&site, &[]).await, Frames::open(&site, &[]).await];
    for frames in &mut greedy {
        for id in (1..).step_by(2).take(128) {
            frames.send(HEADERS, END_HEADERS, id, &block(&head)).await;
        }
    }
    let refused = async || metric(&site.world, "specola_proxy_refused_total{limit=\"places\"}").await as usize;
    until("all requests are judged", async || hanging.connections() + refused().await == 256).await;
    assert!((4..=14).contains(&hanging.connections()), "{} connections", hanging.connections());
    assert_eq!(status(&site.world).await.connections, 2);
    // Who comes now is served, over either protocol, and the one request of a connection needs no further place.
    let mut third = site.browser().await;
    assert_eq!(text(third.ask(http2::to("/other/")).await).await, "other");
    let mut old =
        crate::secure::shake(&site.connector(&["http/1.1"]), site.world.address, "hub.example").await.unwrap();
    old.write_all(b"GET /other/ HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, old.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    drop(greedy);
    // Their places are free again.
    until("their end", async || metric(&site.world, "specola_proxy_places_taken").await == 1.0).await;
    let _open = third.sender().send_request(http2::to("/"));
    assert_eq!(text(third.ask(http2::to("/other/")).await).await, "other");
}

#[tokio::test]
async fn item_25_resets_among_health_checks_end_the_connection() {
    let hanging = silent().await;
    let site = Site::new("/", &hanging, |options| options.limits.http2_resets = 30).await;
    let mut frames = Frames::open(&site, &[]).await;
    let mut sent = 0;
    while sent < 500 {
        let id = sent * 4 + 1;
        frames.ask(id, &to("/")).await;
        frames.ask(id + 2, &to("/_chp_healthz")).await;
        match frames.outcome(id + 2).await {
            Outcome::Good => frames.send(RESET, 0, id, &CANCEL.to_be_bytes()).await,
            _ => break,
        }
        sent += 1;
    }
    assert!((30..500).contains(&sent), "{sent} were let through");
}

#[tokio::test]
async fn item_25_resets_among_answers_of_a_server_are_a_browser_in_a_hurry() {
    let (hanging, other) = (silent().await, Upstream::named("other").await);
    let site = Site::new("/", &hanging, |options| options.limits.http2_resets = 30).await;
    site.world.hub.set(vec![route("/other/", &other.url())], &[]).await;
    let mut frames = Frames::open(&site, &[]).await;
    for id in (1..400).step_by(4) {
        frames.ask(id, &to("/")).await;
        frames.ask(id + 2, &to("/other/")).await;
        assert_eq!(frames.outcome(id + 2).await, Outcome::Good);
        frames.send(RESET, 0, id, &CANCEL.to_be_bytes()).await;
    }
}

#[tokio::test]
async fn item_25_a_head_that_goes_on_without_end_ends_the_connection() {
    let upstream = Upstream::named("up").await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut frames = Frames::open(&site, &[]).await;
    frames.send(HEADERS, 0, 1, &block(&to("/"))).await;
    let value = "a".repeat(100);
    let line = block(&[("x-more", &value)]);
    let piece = line.repeat(FRAME / line.len());
    for _ in 0..500 {
        frames.send(CONTINUATION, 0, 1, &piece).await;
    }
    assert_eq!(frames.outcome(1).await, Outcome::Closed);
    // Lines of nothing cost as much.
    let mut frames = Frames::open(&site, &[]).await;
    frames.send(HEADERS, 0, 1, &block(&to("/"))).await;
    for _ in 0..20_000 {
        frames.send(CONTINUATION, 0, 1, &[]).await;
    }
    assert_eq!(frames.outcome(1).await, Outcome::Closed);
    assert!(upstream.seen().is_empty());
    assert_eq!(text(site.browser().await.ask(http2::to("/")).await).await, "up");
}

#[tokio::test]
async fn item_25_a_small_head_that_stands_for_a_large_one_is_refused() {
    let upstream = Upstream::named("up").await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut frames = Frames::open(&site, &[]).await;
    // One line of 3900 bytes goes into the table, and then one byte each stands for it.
    let mut head = block(&to("/"));
    head.extend([0x40, 1, b'x', 0x7f, (3900_u32 - 127) as u8 & 0x7f | 0x80, ((3900_u32 - 127) >> 7) as u8]);
    head.extend([b'a'; 3900]);
    head.extend(vec![0x80 | 62; FRAME - head.len()]);
    for id in (1..40).step_by(2) {
        let mut bomb = head.clone();
        if id > 1 {
            // It is in the table by now.
            bomb = block(&to("/"));
            bomb.extend(vec![0x80 | 62; FRAME - bomb.len()]);
        }
        frames.send(HEADERS, END_HEADERS | 1, id, &bomb).await;
        let outcome = frames.outcome(id).await;
        assert!(!matches!(outcome, Outcome::Good), "{outcome:?}");
        if outcome == Outcome::Closed {
            break;
        }
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(text(site.browser().await.ask(http2::to("/")).await).await, "up");
}

#[tokio::test]
async fn item_25_pings_and_settings_without_end_get_no_more_than_they_give() {
    const MANY: usize = 20_000;
    let upstream = Upstream::named("up").await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
    let setting = [&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0][..], &[0, 4, 0, 0, 0xff, 0xff]].concat();
    for frame in [ping, setting] {
        let frames = Frames::open(&site, &[]).await;
        let (mut read, mut write) = tokio::io::split(frames.stream);
        let all = frame.repeat(MANY);
        let sending = tokio::spawn(async move {
            let _ = write.write_all(&all).await;
            let _ = write.flush().await;
            write
        });
        // Nobody takes the answers, and others are served.
        assert_eq!(text(site.browser().await.ask(http2::to("/")).await).await, "up");
        // An end of the connection is as good.
        let mut got = 0;
        let mut piece = vec![0; 1 << 16];
        while got < MANY * 9 {
            match tokio::time::timeout(DEADLINE, read.read(&mut piece)).await.expect("nothing comes in time") {
                Ok(count @ 1..) => got += count,
                _ => break,
            }
        }
        assert!(got <= MANY * frame.len() + FRAME, "{got}");
        drop(sending.await.unwrap());
    }
}

//! Items 23 and 29: what people and servers do all day, in a hurry: nothing may be left of it.
//!
//! `SPECOLA_SOAK_ROUNDS` has it go on for longer; `tests/bench soak` does.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    process::Child,
};

use crate::{
    client::{Raw, get, until},
    streams::{process, process_with_files},
    tunnels::{HANDSHAKE, SWITCH},
    upstream::Upstream,
};

/// Websockets of one round.
const MANY: usize = 40;

/// Echoes in websockets, answers other requests, and dies when it is dropped.
async fn server(address: SocketAddr) -> Upstream {
    Upstream::raw_at(address, |_, mut peer, _| async move {
        loop {
            let Ok(head) = tokio::time::timeout(Duration::from_secs(60), peer_head(&mut peer)).await else { return };
            let Some(head) = head else { return };
            if !head.to_ascii_lowercase().contains("upgrade: websocket") {
                if peer.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
                continue;
            }
            if peer.stream.write_all(format!("{SWITCH}\r\n").as_bytes()).await.is_err() {
                return;
            }
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = peer.stream.read(&mut piece).await {
                if peer.stream.write_all(&piece[..count]).await.is_err() {
                    return;
                }
            }
            return;
        }
    })
    .await
}

/// The next head; None at the end of the connection.
async fn peer_head(peer: &mut Raw) -> Option<String> {
    loop {
        if let Some(at) = peer.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            return String::from_utf8(peer.buffer.drain(..at + 4).collect()).ok();
        }
        let mut piece = [0; 4096];
        match peer.stream.read(&mut piece).await {
            Ok(count @ 1..) => peer.buffer.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// A websocket that has echoed once; None when its server died meanwhile.
async fn websocket(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET /api/kernels HTTP/1.1\r\n{HANDSHAKE}").as_bytes()).await.ok()?;
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
    if !read.starts_with(b"HTTP/1.1 101 ") {
        return None;
    }
    stream.write_all(b"ping").await.ok()?;
    stream.read_exact(&mut piece[..4]).await.ok()?;
    Some(stream)
}

fn open_files(child: &Child) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", child.id().unwrap())).unwrap().count()
}

/// Kilobytes.
fn memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Seconds of processor time, in hundredths.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id().unwrap())).unwrap();
    let times = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// The same numbers in each run.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_29_websockets_come_and_go_and_servers_die_and_nothing_is_left() {
    let rounds = std::env::var("SPECOLA_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut upstream = server("127.0.0.1:0".parse().unwrap()).await;
    let address = upstream.address;
    let (child, proxy) = process(&upstream.url()).await;
    assert_eq!(get(proxy, "/").await.status, 200);
    let mut state = 1;
    let (mut opened, mut killed, mut begin) = (0, 0, (0, 0));
    for round in 0..rounds {
        let mut open = Vec::new();
        for some in 0..MANY {
            if let Some(stream) = websocket(proxy).await {
                open.push(stream);
                opened += 1;
            }
            match random(&mut state) % 8 {
                // A tab is closed.
                0 if !open.is_empty() => drop(open.swap_remove(random(&mut state) % open.len())),
                // The server dies with all its connections, and is there again.
                1 if some > MANY / 2 => {
                    drop(upstream);
                    upstream = server(address).await;
                    killed += 1;
                }
                2 => drop(get(proxy, "/api/contents").await),
                // Somebody asks and does not wait.
                3 => {
                    let mut stream = TcpStream::connect(proxy).await.unwrap();
                    let _ = stream.write_all(b"GET /api/status HTTP/1.1\r\nHost: a\r\n\r\n").await;
                }
                _ => {}
            }
        }
        drop(open);
        if round == 1 {
            // Everything has been done once, and what is kept for good is there.
            begin = (settled(&child, 40).await, memory(&child));
        }
    }
    let end = (settled(&child, begin.0).await, memory(&child));
    println!("{opened} websockets, {killed} deaths: {} to {} files, {} to {} kB", begin.0, end.0, begin.1, end.1);
    assert!(opened > rounds * MANY / 2 && killed > 0);
    assert!(end.0 <= begin.0, "{begin:?} {end:?}");
    assert!(end.1 < begin.1 + 4096, "{begin:?} {end:?}");
}

/// Waits until no more than so many files are open, and gives the number.
async fn settled(child: &Child, most: usize) -> usize {
    until("the end of all connections", async || open_files(child) <= most).await;
    open_files(child)
}

#[tokio::test]
async fn item_23_without_descriptors_the_proxy_waits_and_goes_on() {
    let upstream = Upstream::named("up").await;
    let folder = tempfile::tempdir().unwrap();
    let admin = folder.path().join("admin.sock");
    let (child, proxy) = process_with_files(&upstream.url(), 40, &admin).await;
    assert_eq!(get(proxy, "/").await.status, 200);
    let mut held = Vec::new();
    // The kernel takes what the proxy cannot.
    for _ in 0..60 {
        held.push(TcpStream::connect(proxy).await.unwrap());
    }
    until("no descriptor is left", async || open_files(&child) >= 40).await;
    let mut waiting = Raw::connect(proxy).await;
    waiting.send("GET /_chp_healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let before = ticks(&child);
    assert!(tokio::time::timeout(Duration::from_millis(500), waiting.head()).await.is_err(), "there was one left");
    let used = ticks(&child) - before;
    assert!(used < 15, "it turned in circles: {used} hundredths of a second");
    drop(held);
    assert!(waiting.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(get(proxy, "/").await.status, 200);
    let mut asking = UnixStream::connect(&admin).await.unwrap();
    asking.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut metrics = String::new();
    asking.read_to_string(&mut metrics).await.unwrap();
    let failures = metrics.lines().find_map(|line| line.strip_prefix("specola_proxy_accept_failures_total "));
    assert!(failures.unwrap().parse::<u64>().unwrap() > 0);
}

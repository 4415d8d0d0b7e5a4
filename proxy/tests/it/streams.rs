//! Items 20 to 24: bodies flow both ways as they come, without being collected.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::{Mutex, mpsc},
};

use crate::{
    client::{DEADLINE, Raw, get, until, values},
    hub::route,
    upstream::{Upstream, read},
    world::{world, world_with},
};

#[tokio::test]
async fn item_20_events_arrive_one_by_one_and_at_once() {
    let (wanted, wants) = mpsc::unbounded_channel::<()>();
    let (sent, mut times) = mpsc::unbounded_channel();
    let wants = Arc::new(Mutex::new(wants));
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let (wants, sent) = (Arc::clone(&wants), sent.clone());
        async move {
            read(&mut peer, number).await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            // Each is sent when the one before has arrived: held back for a next one, it would never come.
            let mut wants = wants.lock().await;
            for number in 0..5 {
                wants.recv().await.unwrap();
                sent.send(Instant::now()).unwrap();
                peer.send(format!("9\r\ndata: {number}\n\n\r\n")).await;
            }
            peer.send("0\r\n\r\n").await;
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(values(&head, "transfer-encoding"), ["chunked"]);
    let mut delays = Vec::new();
    for number in 0..5 {
        wanted.send(()).unwrap();
        assert_eq!(raw.line().await, "9");
        assert_eq!(raw.exact(9).await, format!("data: {number}\n\n").into_bytes());
        raw.line().await;
        delays.push(times.recv().await.unwrap().elapsed());
    }
    assert_eq!(raw.line().await, "0");
    // The best, for a busy machine may hold up any other.
    assert!(delays.iter().min() < Some(&Duration::from_millis(20)), "{delays:?}");
}

#[tokio::test]
async fn item_20_the_first_byte_of_a_stream_needs_no_second() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        read(&mut peer, number).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").await;
        peer.rest().await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.head().await;
    assert_eq!(raw.exact(1).await, b"x");
}

#[tokio::test]
async fn item_20_request_and_answer_stream_at_the_same_time() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let size = peer.line().await;
            let data = peer.exact(usize::from_str_radix(&size, 16).unwrap()).await;
            peer.line().await;
            peer.send(format!("{size}\r\n")).await;
            peer.send(&data).await;
            peer.send("\r\n").await;
            if data.is_empty() {
                return;
            }
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    raw.head().await;
    for word in ["one", "two", "six"] {
        raw.send(format!("3\r\n{word}\r\n")).await;
        assert_eq!(raw.line().await, "3");
        assert_eq!(raw.exact(3).await, word.as_bytes());
        raw.line().await;
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.line().await, "0");
}

const HUGE: u64 = 2 << 30;

/// The proxy as a process of its own, so that its memory can be told from the test's.
pub async fn process(target: &str) -> (Child, SocketAddr) {
    process_by(Command::new(std::env::current_exe().unwrap()), target).await
}

/// With so many files that it may have open, and an admin socket.
pub async fn process_with_files(target: &str, most: usize, admin: &Path) -> (Child, SocketAddr) {
    let mut shell = Command::new("sh");
    shell.env("PROXY_ADMIN", admin);
    shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    process_by(shell, target).await
}

async fn process_by(mut command: Command, target: &str) -> (Child, SocketAddr) {
    let mut child = command
        .args(["--exact", "streams::the_proxy_alone", "--ignored", "--nocapture"])
        .env("PROXY_TARGET", target)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the proxy says its address");
        if let Ok(address) = line.parse() {
            return (child, address);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "not a test: other tests start it as a process"]
async fn the_proxy_alone() {
    let options = specola_proxy::Options {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        identity: "alone".to_owned(),
        admin_socket: std::env::var_os("PROXY_ADMIN").map(Into::into),
        default_target: Some(std::env::var("PROXY_TARGET").expect("PROXY_TARGET is where requests go")),
        ..specola_proxy::Options::default()
    };
    let proxy = specola_proxy::Proxy::bind(options).await.unwrap();
    eprintln!("{}", proxy.addresses()[0]);
    proxy.serve(tokio_util::sync::CancellationToken::new()).await.unwrap();
}

/// Kilobytes: the most the process ever held.
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn pour(stream: &mut tokio::net::TcpStream, mut count: u64) {
    let chunk = vec![7_u8; 256 * 1024];
    while count > 0 {
        let piece = count.min(chunk.len() as u64);
        stream.write_all(&chunk[..piece as usize]).await.unwrap();
        count -= piece;
    }
}

async fn drain(stream: &mut tokio::net::TcpStream, already: usize) -> u64 {
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut count = already as u64;
    while count < HUGE {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "cut after {count} bytes");
        count += read as u64;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_21_two_gigabytes_pass_each_way_at_constant_memory() {
    // Ends each connection after one request, so that the second does not meet a pooled one.
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        let head = peer.head().await;
        if head.starts_with("GET") {
            peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {HUGE}\r\n\r\n")).await;
            pour(&mut peer.stream, HUGE).await;
        } else {
            let count = drain(&mut peer.stream, peer.buffer.len()).await;
            peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{count}")).await;
        }
    })
    .await;
    let (child, address) = process(&upstream.url()).await;
    assert_eq!(get(address, "/_chp_healthz").await.status, 200);
    let before = peak(&child);

    let mut down = Raw::connect(address).await;
    down.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    down.head().await;
    assert_eq!(drain(&mut down.stream, down.buffer.len()).await, HUGE);

    let mut up = Raw::connect(address).await;
    up.send(format!("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {HUGE}\r\n\r\n")).await;
    pour(&mut up.stream, HUGE).await;
    assert_eq!(up.answer().await.text(), HUGE.to_string());

    let growth = peak(&child) - before;
    assert!(growth < 16 * 1024, "the proxy grew by {growth} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_21_bodies_of_no_known_length_pass_at_constant_memory() {
    const PIECES: usize = 4096;
    const PIECE: usize = 64 * 1024;
    let pour = async |stream: &mut tokio::net::TcpStream| {
        let piece = [format!("{PIECE:x}\r\n").as_bytes(), &vec![7; PIECE], b"\r\n"].concat();
        for _ in 0..PIECES {
            stream.write_all(&piece).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    };
    // Counts the bytes of the body, which are all sevens, and nothing around it is.
    async fn count(peer: &mut Raw) -> usize {
        let sevens = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == 7).count();
        let mut count = 0;
        loop {
            count += sevens(&peer.buffer);
            if peer.buffer.ends_with(b"0\r\n\r\n") {
                return count;
            }
            // Enough to see an end that comes in pieces.
            let kept = peer.buffer.len().min(4);
            peer.buffer.drain(..peer.buffer.len() - kept);
            count -= sevens(&peer.buffer);
            assert!(peer.more().await, "cut after {count} bytes");
        }
    }
    let upstream = Upstream::raw(move |_, mut peer, _| async move {
        if peer.head().await.starts_with("GET") {
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            pour(&mut peer.stream).await;
        } else {
            let count = count(&mut peer).await.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", count.len());
            peer.send(head + &count).await;
        }
    })
    .await;
    let (child, address) = process(&upstream.url()).await;
    assert_eq!(get(address, "/_chp_healthz").await.status, 200);
    let before = peak(&child);
    let mut down = Raw::connect(address).await;
    down.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(down.head().await.to_ascii_lowercase().contains("transfer-encoding: chunked"));
    assert_eq!(count(&mut down).await, PIECES * PIECE);
    let mut up = Raw::connect(address).await;
    up.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    pour(&mut up.stream).await;
    assert_eq!(up.answer().await.text(), (PIECES * PIECE).to_string());
    let growth = peak(&child) - before;
    assert!(growth < 16 * 1024, "the proxy grew by {growth} KiB");
}

#[tokio::test]
async fn item_21_a_slow_reader_slows_the_upstream() {
    let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let sender = sender.clone();
        async move {
            read(&mut peer, number).await;
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n")).await;
            let chunk = vec![7_u8; 64 * 1024];
            while peer.stream.write_all(&chunk).await.is_ok() {
                let _ = sender.send(chunk.len());
            }
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.head().await;
    // Not reading on: the upstream must come to a halt after what the buffers of four sockets take.
    let mut total = 0;
    while let Ok(Some(count)) = tokio::time::timeout(Duration::from_millis(500), sent.recv()).await {
        total += count;
        assert!(total < 64 << 20, "the upstream was not slowed down");
    }
    // And goes on when we do.
    let mut read = raw.buffer.len();
    while read < total + (1 << 20) {
        raw.buffer.clear();
        assert!(raw.more().await);
        read += raw.buffer.len();
    }
}

#[tokio::test]
async fn item_22_a_client_that_leaves_cancels_the_upstream() {
    let (sender, mut cut) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let sender = sender.clone();
        async move {
            read(&mut peer, number).await;
            // Silent before the head on the first connection, in the middle of a body on the second.
            if number > 0 {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").await;
            }
            sender.send("asked").unwrap();
            peer.rest().await;
            sender.send("cut").unwrap();
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    for _ in 0..2 {
        let mut raw = Raw::connect(world.address).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(tokio::time::timeout(DEADLINE, cut.recv()).await.unwrap(), Some("asked"));
        drop(raw);
        assert_eq!(tokio::time::timeout(DEADLINE, cut.recv()).await.unwrap(), Some("cut"));
    }
}

#[tokio::test]
async fn item_22_an_upstream_that_dies_in_a_body_cuts_the_client() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        read(&mut peer, number).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.head().await;
    assert_eq!(raw.rest().await, b"half");
}

#[tokio::test]
async fn item_23_a_slow_head_is_cut() {
    let world = world_with(vec![], |options| options.limits.header_read = Duration::from_millis(100)).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow").await;
    let answer = String::from_utf8(raw.rest().await).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn item_23_a_silent_upload_is_cut_and_a_slow_one_is_not() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.upload_idle = Duration::from_secs(1);
    })
    .await;
    let mut slow = Raw::connect(world.address).await;
    slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n").await;
    let mut silent = Raw::connect(world.address).await;
    silent.send("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nab").await;
    for _ in 0..8 {
        // Pacing is what is tested here: longer in all than the silence that is allowed.
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.send("x").await;
    }
    assert_eq!(slow.answer().await.text(), "up");
    let cut = silent.rest().await;
    assert!(cut.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&cut));
}

#[tokio::test]
async fn item_23_connections_beyond_the_bound_wait_their_turn() {
    let upstream = Upstream::named("up").await;
    let world = world_with(vec![route("/", &upstream.url())], |options| options.limits.max_connections = 2).await;
    let mut first = Raw::connect(world.address).await;
    let mut second = Raw::connect(world.address).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(first.ask(request).await.status, 200);
    assert_eq!(second.ask(request).await.status, 200);
    let mut third = Raw::connect(world.address).await;
    third.send(request).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), third.head()).await.is_err(), "beyond the bound");
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn item_23_an_idle_upstream_connection_is_closed() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            seen.lock().unwrap().push(request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
        seen.lock().unwrap().clear();
    })
    .await;
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.limits.pool_idle = Duration::from_millis(50);
    })
    .await;
    get(world.address, "/").await;
    until("the end of the connection", async || upstream.seen().is_empty()).await;
}

//! Unix sockets on both sides of the proxy as the hub runs it.

use std::{path::Path, time::Duration};

use specola_proxy::{
    chp::Listen,
    secure::{CertificateSource, TlsOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{
    client::DEADLINE,
    hub::route,
    tunnels::{HANDSHAKE, SWITCH},
    upstream::{Upstream, read},
    world::world_with,
};

async fn head(socket: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server at a unix socket: tells its requests their own heads, and sends back what comes over websockets.
fn lab(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let asked = head(&mut socket).await;
                if asked.contains("upgrade: websocket") {
                    socket.write_all(format!("{SWITCH}\r\n").as_bytes()).await.unwrap();
                    let (mut from, mut to) = socket.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    return;
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{asked}", asked.len());
                socket.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
}

#[tokio::test]
async fn requests_and_websockets_pass_between_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (door, socket) = (folder.path().join("door.sock"), folder.path().join("a lab.sock"));
    lab(&socket);
    let target = format!("http+unix://{}", socket.display().to_string().replace('/', "%2F").replace(' ', "%20"));
    // With TLS at its address, the proxy speaks plain HTTP at the socket.
    let names = vec!["localhost".to_owned()];
    let tls = TlsOptions::new(CertificateSource::SelfSigned { folder: folder.path().join("tls"), names });
    let mut world = world_with(vec![route("/user/a/", &target)], |options| {
        options.doors = vec![Listen::Unix(door.clone())];
        options.tls = Some(tls);
    })
    .await;
    let mut browser = UnixStream::connect(&door).await.unwrap();
    let request =
        "GET /user/a/x HTTP/1.1\r\nHost: hub.example\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    browser.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for line in
        ["GET /user/a/x HTTP/1.1", "host: hub.example", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http\r"]
    {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    let mut browser = UnixStream::connect(&door).await.unwrap();
    browser.write_all(format!("GET /user/a/ws HTTP/1.1\r\n{HANDSHAKE}").as_bytes()).await.unwrap();
    assert!(head(&mut browser).await.starts_with("HTTP/1.1 101 "));
    browser.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    browser.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    drop(browser);
    // The file goes with the proxy, and a new one listens there again.
    world.end().await;
    assert!(!door.exists());
    world.start().await;
    assert!(UnixStream::connect(&door).await.is_ok());
    // A server that is gone is told of.
    std::fs::remove_file(&socket).unwrap();
    let mut browser = UnixStream::connect(&door).await.unwrap();
    browser.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn item_21_a_reader_at_a_unix_socket_that_takes_nothing_is_cut() {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |number, mut peer, _| {
        let sender = sender.clone();
        async move {
            let request = read(&mut peer, number).await.unwrap();
            let switches = !request.all("upgrade").is_empty();
            let length = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_owned();
            peer.send(if switches { format!("{SWITCH}\r\n") } else { length }).await;
            let piece = vec![0; 1 << 16];
            while peer.stream.write_all(&piece).await.is_ok() {}
            let _ = sender.send(());
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let door = folder.path().join("door.sock");
    let world = world_with(vec![route("/", &upstream.url())], |options| {
        options.doors = vec![Listen::Unix(door.clone())];
        options.limits.stalled = Duration::from_millis(300);
    })
    .await;
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), format!("GET / HTTP/1.1\r\n{HANDSHAKE}")] {
        let mut browser = UnixStream::connect(&door).await.unwrap();
        browser.write_all(request.as_bytes()).await.unwrap();
        tokio::time::timeout(DEADLINE, ended.recv()).await.expect("the upstream is freed").unwrap();
    }
    drop(world);
}

#[tokio::test]
async fn item_21_a_server_at_a_unix_socket_that_takes_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lab.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let target = format!("http+unix://{}", socket.display().to_string().replace('/', "%2F"));
    let world = world_with(vec![route("/", &target)], |options| {
        options.limits.stalled = Duration::from_millis(300);
    })
    .await;
    let uploading = tokio::spawn(crate::tls::upload(world.address));
    let (mut lab, _) = listener.accept().await.unwrap();
    head(&mut lab).await;
    // It keeps its connection and reads nothing more.
    assert_eq!(uploading.await.unwrap(), 502);
}

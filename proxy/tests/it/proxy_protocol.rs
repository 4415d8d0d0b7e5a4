//! The PROXY protocol: whom it is taken from, what it changes, and what ends a connection.

use std::time::Duration;

use specola_proxy::{Options, chp::Listen, secure::Redirect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    client::{Raw, ask},
    hub::route,
    secure::{Authority, browser, files, shake_over},
    upstream::Upstream,
    world::{World, world_with},
};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";

async fn behind(upstream: &Upstream, from: &str, adjust: impl FnOnce(&mut Options)) -> World {
    world_with(vec![route("/", &upstream.url())], |options| {
        options.proxy_protocol_from = vec![from.parse().unwrap()];
        adjust(options);
    })
    .await
}

fn binary(command: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11][..], &length, body].concat()
}

/// 203.0.113.9, who spoke TLS to the load balancer.
fn with_tls() -> Vec<u8> {
    binary(0x21, &[203, 0, 113, 9, 192, 0, 2, 2, 0x12, 0x67, 1, 187, 0x20, 0, 5, 1, 0, 0, 0, 0])
}

#[tokio::test]
async fn item_27_the_client_is_whom_the_header_names() {
    let upstream = Upstream::named("x").await;
    let world = behind(&upstream, "127.0.0.0/8", |_| {}).await;
    for (header, address, proto) in [
        (b"PROXY TCP4 203.0.113.7 192.0.2.2 4711 80\r\n".to_vec(), "203.0.113.7", "http"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::7", "http"),
        (with_tls(), "203.0.113.9", "https"),
        // The sender itself, which looks whether we live.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", "http"),
        (binary(0x20, &[]), "127.0.0.1", "http"),
    ] {
        let answer = ask(world.address, [&header[..], GET.as_bytes()].concat()).await;
        assert_eq!(answer.text(), "x");
        let seen = upstream.last();
        assert_eq!(seen.all("x-forwarded-for"), [address]);
        assert_eq!(seen.all("x-forwarded-proto"), [proto]);
    }
}

#[tokio::test]
async fn item_27_a_header_may_come_in_pieces_and_counts_for_the_whole_connection() {
    let upstream = Upstream::named("x").await;
    let world = behind(&upstream, "127.0.0.1", |_| {}).await;
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 80\r\n".to_vec(), with_tls()] {
        let mut raw = Raw::connect(world.address).await;
        for byte in &header {
            raw.send([*byte]).await;
            // Each in a segment of its own, most of the time.
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            assert_eq!(raw.ask(GET).await.text(), "x");
            assert_eq!(upstream.last().all("x-forwarded-for"), ["203.0.113.9"]);
        }
    }
}

#[tokio::test]
async fn item_27_whoever_has_to_say_it_and_does_not_is_turned_away() {
    let upstream = Upstream::named("x").await;
    let late = |options: &mut Options| options.limits.proxy_header = Duration::from_millis(50);
    let world = behind(&upstream, "127.0.0.1", late).await;
    for bytes in [
        GET.as_bytes().to_vec(),
        format!("PROXY TCP4 203.0.113.7 nonsense 1 2\r\n{GET}").into_bytes(),
        [binary(0x31, &[0; 12]), GET.into()].concat(),
        // Never whole.
        b"PROXY TCP4 203.0".to_vec(),
        Vec::new(),
    ] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(&bytes).await;
        assert_eq!(raw.rest().await, b"", "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn item_27_from_others_a_header_is_nothing() {
    let upstream = Upstream::named("x").await;
    let world = behind(&upstream, "192.0.2.0/24", |_| {}).await;
    assert_eq!(ask(world.address, GET).await.text(), "x");
    assert_eq!(upstream.last().all("x-forwarded-for"), ["127.0.0.1"]);
    let forged = ask(world.address, format!("PROXY TCP4 203.0.113.7 192.0.2.2 1 2\r\n{GET}")).await;
    assert_eq!(forged.status, 400);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn item_27_at_a_unix_socket_too() {
    let upstream = Upstream::named("x").await;
    let folder = tempfile::tempdir().unwrap();
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.2 4711 80\r\n".to_vec();
    // Its list, a header at the socket, and whom the server is told of.
    for (number, (from, header, seen)) in [
        ("unix:", v1.clone(), Some(("203.0.113.7", "http"))),
        ("unix:", with_tls(), Some(("203.0.113.9", "https"))),
        ("unix:", binary(0x20, &[]), Some(("127.0.0.1", "http"))),
        ("unix:", Vec::new(), None),
        // The address that a unix socket counts as is that of the port alone.
        ("127.0.0.1", v1, None),
        ("127.0.0.1", Vec::new(), Some(("127.0.0.1", "http"))),
    ]
    .into_iter()
    .enumerate()
    {
        let door = folder.path().join(format!("{number}.sock"));
        let authority = Authority::new();
        let world = behind(&upstream, from, |options| {
            options.doors = vec![Listen::Unix(door.clone())];
            // TLS is spoken at the port alone.
            options.tls = Some(files(vec![authority.sign("one", &["hub.example"])]));
        })
        .await;
        let before = upstream.seen().len();
        let mut browser = UnixStream::connect(&door).await.unwrap();
        let last = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let asked = async {
            for byte in &header {
                browser.write_all(&[*byte]).await?;
            }
            browser.write_all(last.as_bytes()).await?;
            browser.read_to_string(&mut answer).await
        };
        // Whoever is turned away may not come to the end of what it says, and sees a reset with bytes unread.
        assert!(asked.await.is_ok() || seen.is_none(), "{from} {header:?}");
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), seen.is_some(), "{from} {header:?}: {answer}");
        assert_eq!(upstream.seen().len() - before, usize::from(seen.is_some()), "{from} {header:?}");
        if let Some((address, proto)) = seen {
            assert_eq!(upstream.last().all("x-forwarded-for"), [address]);
            assert_eq!(upstream.last().all("x-forwarded-proto"), [proto]);
        }
        drop(world);
    }
}

#[tokio::test]
async fn item_27_the_redirect_to_https_hears_it_and_those_who_say_nothing() {
    let upstream = Upstream::named("x").await;
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.redirect = Some(Redirect { listen: "127.0.0.1:0".parse().unwrap(), port: Some(443) });
    let world = behind(&upstream, "127.0.0.1", |options| options.tls = Some(tls)).await;
    let redirect = world.redirect.unwrap();
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.2 4711 80\r\n".to_vec();
    for header in [v1, with_tls(), binary(0x20, &[]), Vec::new()] {
        let answer = ask(redirect, [&header[..], b"GET /x HTTP/1.1\r\nHost: hub.example\r\n\r\n"].concat()).await;
        assert_eq!((answer.status, answer.one("location").as_deref()), (301, Some("https://hub.example/x")));
    }
}

#[tokio::test]
async fn item_27_the_header_comes_before_tls() {
    let upstream = Upstream::named("x").await;
    let authority = Authority::new();
    let tls = files(vec![authority.sign("one", &["hub.example"])]);
    let world = behind(&upstream, "127.0.0.1", |options| options.tls = Some(tls)).await;
    let connector: TlsConnector = browser(&authority.file(), None);
    let mut raw = Raw::connect(world.address).await;
    raw.send("PROXY TCP4 203.0.113.7 192.0.2.2 4711 443\r\n").await;
    let mut stream = shake_over(&connector, raw.stream, "hub.example").await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("x"), "{answer}");
    assert_eq!(upstream.last().all("x-forwarded-for"), ["203.0.113.7"]);
}

//! HTTP/2 towards browsers: what upstreams see of it, websockets over it, and what bounds it.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
    ext::Protocol,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use specola_proxy::{Options, secure::TlsOptions, tls::client_config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    client::{DEADLINE, Raw, until, values},
    handshake,
    hub::route,
    link::status,
    secure::{Authority, files, shake},
    tunnels::{SWITCH, accept_of},
    upstream::{Upstream, read},
    world::{World, world, world_with},
};

pub type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// A proxy that speaks HTTP/2 at `hub.example`.
pub struct Site {
    pub world: World,
    authority: Authority,
}

/// A browser's one connection.
pub struct Browser {
    sender: SendRequest<Sent>,
    connection: JoinHandle<hyper::Result<()>>,
    line: socket2::Socket,
}

impl Site {
    pub async fn new(prefix: &str, upstream: &Upstream, adjust: impl FnOnce(&mut Options)) -> Self {
        Self::at(prefix, &upstream.url(), adjust).await
    }

    pub async fn at(prefix: &str, target: &str, adjust: impl FnOnce(&mut Options)) -> Self {
        let authority = Authority::new();
        let mut tls: TlsOptions = files(vec![authority.sign("one", &["hub.example"])]);
        tls.http2 = true;
        let world = world_with(vec![route(prefix, target)], |options| {
            options.tls = Some(tls);
            adjust(options);
        })
        .await;
        Self { world, authority }
    }

    pub fn connector(&self, protocols: &[&str]) -> TlsConnector {
        let mut config = client_config(Some(&self.authority.file())).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(std::sync::Arc::new(config))
    }

    pub async fn browser(&self) -> Browser {
        let stream = shake(&self.connector(&["h2", "http/1.1"]), self.world.address, "hub.example").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let line = socket2::SockRef::from(stream.get_ref().0).try_clone().unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(1 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Browser { sender, connection: tokio::spawn(connection), line }
    }
}

impl Browser {
    pub fn sender(&mut self) -> &mut SendRequest<Sent> {
        &mut self.sender
    }

    pub async fn ask(&mut self, request: Request<Sent>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        tokio::time::timeout(DEADLINE, self.sender.send_request(request)).await.unwrap().unwrap()
    }

    /// A websocket, or the answer that refuses it.
    pub async fn websocket(&mut self, path: &str) -> Result<WebSocketStream<TokioIo<Upgraded>>, Response<Incoming>> {
        // The server's settings allow it, and have to be here first.
        self.ask(to("/_chp_healthz")).await;
        let mut response = self.ask(connect(path, "websocket")).await;
        if response.status() != 200 {
            return Err(response);
        }
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
    }
}

fn nothing() -> Sent {
    Full::default().boxed_unsync()
}

pub fn to(path: &str) -> Request<Sent> {
    Request::get(format!("https://hub.example{path}")).body(nothing()).unwrap()
}

fn connect(path: &str, protocol: &'static str) -> Request<Sent> {
    Request::connect(format!("https://hub.example{path}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("origin", "https://hub.example")
        .body(nothing())
        .unwrap()
}

/// A body that is sent piece by piece.
pub fn streamed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Sent) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |context| frames.poll_recv(context).map(|frame| frame.map(Ok)));
    (sender, BodyExt::boxed_unsync(StreamBody::new(stream)))
}

pub async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn item_25_http2_becomes_http1_and_back() {
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: keep-alive, X-Secret\r\n\
                  Keep-Alive: timeout=9\r\nX-Secret: 1\r\nContent-Length: 2\r\n\r\nhi";
    let upstream = Upstream::fixed(answer).await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let mut request = to("/user/a%20b/?x=%2F");
    for (name, value) in [("cookie", "a=1"), ("cookie", "b=2"), ("x-forwarded-for", "6.6.6.6"), ("te", "trailers")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = browser.ask(request).await;
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    for gone in ["connection", "keep-alive", "x-secret", "transfer-encoding"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(text(response).await, "hi");
    let seen = upstream.last();
    assert_eq!(seen.line(), "GET /user/a%20b/?x=%2F HTTP/1.1");
    let expected = [
        ("host", "hub.example"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-host", "hub.example"),
        ("te", "trailers"),
    ];
    for (name, value) in expected {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert!(!seen.head.contains("\r\n:"), "pseudo-headers stay behind: {}", seen.head);
    // Both are spoken at the same address.
    let old = shake(&site.connector(&["http/1.1"]), site.world.address, "hub.example").await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn item_25_many_requests_share_a_connection_and_none_waits_for_another() {
    let upstream = Upstream::raw(|number, mut peer, _| async move {
        let Some(request) = read(&mut peer, number).await else { return };
        if request.line().starts_with("GET /slow") {
            peer.rest().await;
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfast").await;
    })
    .await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let slow: Vec<_> = (0..50).map(|_| browser.sender.send_request(to("/slow"))).collect();
    assert_eq!(text(browser.ask(to("/")).await).await, "fast");
    assert_eq!(status(&site.world).await.connections, 1);
    drop(slow);
    // Taking them back cancels them upstream, and the connection lives on.
    assert_eq!(text(browser.ask(to("/")).await).await, "fast");
}

#[tokio::test]
async fn item_25_bodies_stream_both_ways_at_once() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        let head = peer.head().await;
        assert_eq!(values(&head, "transfer-encoding"), ["chunked"]);
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let size = usize::from_str_radix(&peer.line().await, 16).unwrap();
            let piece = peer.exact(size + 2).await;
            peer.send(format!("{size:x}\r\n")).await;
            peer.send(piece).await;
            if size == 0 {
                return;
            }
        }
    })
    .await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let (pieces, body) = streamed();
    let request = Request::post("https://hub.example/").body(body).unwrap();
    let mut response = browser.ask(request).await;
    for size in [1, 10_000, 3] {
        pieces.send(Frame::data(vec![7; size].into())).unwrap();
        let mut back = 0;
        while back < size {
            back += response.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        assert_eq!(back, size);
    }
    drop(pieces);
    // The end may come with an empty frame.
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn item_25_a_large_upload_and_download_arrive_whole() {
    const SIZE: usize = 20 << 20;
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        peer.send(&request.body).await;
        seen.lock().unwrap().push(request);
    })
    .await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let body = Full::new(Bytes::from(bytes.clone())).boxed_unsync();
    let response = browser.ask(Request::put("https://hub.example/").body(body).unwrap()).await;
    assert!(response.into_body().collect().await.unwrap().to_bytes() == bytes);
    assert_eq!(upstream.last().all("content-length"), [SIZE.to_string()]);
}

#[tokio::test]
async fn item_25_trailers_pass_when_they_are_named_and_asked_for() {
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n\
                  1\r\na\r\n0\r\nX-Sum: 7\r\nSet-Cookie: evil=1\r\nX-Other: 1\r\n\r\n";
    let upstream = Upstream::fixed(answer).await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let (pieces, body) = streamed();
    pieces.send(Frame::data("up".into())).unwrap();
    let mut own = HeaderMap::new();
    own.insert("x-mine", "1".parse().unwrap());
    own.insert("x-unnamed", "1".parse().unwrap());
    pieces.send(Frame::trailers(own)).unwrap();
    drop(pieces);
    let request = Request::post("https://hub.example/").header("te", "trailers").header("trailer", "x-mine");
    let response = browser.ask(request.body(body).unwrap()).await;
    let whole = response.into_body().collect().await.unwrap();
    let trailers = whole.trailers().unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "7");
    assert_eq!(upstream.last().trailers, ["x-mine: 1"]);
    // Whoever did not ask gets none.
    let whole = browser.ask(to("/")).await.into_body().collect().await.unwrap();
    assert!(whole.trailers().is_none_or(HeaderMap::is_empty), "{:?}", whole.trailers());
}

#[tokio::test]
async fn item_25_heads_are_bounded() {
    let upstream = Upstream::named("x").await;
    let site = Site::new("/", &upstream, |options| options.limits.header_bytes = 16 * 1024).await;
    let mut browser = site.browser().await;
    let mut long = to("/");
    long.headers_mut().insert("x-long", "a".repeat(17 * 1024).parse().unwrap());
    assert_eq!(browser.ask(long).await.status(), 431);
    let mut many = to("/");
    for at in 0..101 {
        let name = http::HeaderName::try_from(format!("x-{at}")).unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(browser.ask(many).await.status(), 431);
    assert_eq!(browser.ask(connect("/", "chat")).await.status(), 501);
    let plain = Request::builder().method(Method::CONNECT).uri("hub.example:443").body(nothing()).unwrap();
    assert_eq!(browser.ask(plain).await.status(), 405);
    assert!(upstream.seen().is_empty());
    assert_eq!(text(browser.ask(to("/")).await).await, "x");
}

#[tokio::test]
async fn item_25_opening_and_resetting_streams_without_end_ends_the_connection() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.rest().await;
    })
    .await;
    let site = Site::new("/", &upstream, |options| options.limits.http2_resets = 30).await;
    let mut browser = site.browser().await;
    let mut sent = 0;
    while sent < 1000 {
        if browser.sender.ready().await.is_err() {
            break;
        }
        // Until it is under way: what was never sent cannot be taken back.
        let before = upstream.connections();
        let asked = browser.sender.send_request(to("/"));
        tokio::select! {
            _ = asked => break,
            () = until("the request upstream", async || upstream.connections() > before) => sent += 1,
        }
    }
    assert!((30..1000).contains(&sent), "{sent} were let through");
    // The rest of the world goes on.
    assert_eq!(text(site.browser().await.ask(to("/_chp_healthz")).await).await, "{\"status\":\"OK\"}");
}

#[tokio::test]
async fn item_25_a_silent_connection_is_closed_and_a_busy_one_is_not() {
    let upstream = handshake::echo().await;
    let site = Site::new("/", &upstream, |options| options.limits.header_read = Duration::from_millis(500)).await;
    let mut busy = site.browser().await;
    let mut socket = busy.websocket("/").await.unwrap();
    // Nothing at all after the handshake.
    let mut silent = shake(&site.connector(&["h2"]), site.world.address, "hub.example").await.unwrap();
    let idle = site.browser().await;
    let _kept = idle.sender;
    tokio::time::timeout(DEADLINE, idle.connection).await.expect("it is closed").unwrap().unwrap();
    // A reset is an end too.
    let ended = tokio::time::timeout(DEADLINE, silent.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it is closed");
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
}

#[tokio::test]
async fn item_25_without_tls_there_is_no_http2() {
    let upstream = Upstream::named("x").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 "),
        "{answer}"
    );
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let answer = crate::client::ask(world.address, format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
    for name in ["upgrade", "http2-settings"] {
        assert!(upstream.last().all(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn item_25_a_websocket_over_http2_passes_messages_and_closes_from_both_ends() {
    let upstream = handshake::echo().await;
    let site = Site::new("/user/a/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    let mut one = browser.websocket("/user/a/one").await.unwrap();
    let mut two = browser.websocket("/user/a/two").await.unwrap();
    for size in [0, 1, 65_536, 5_000_000] {
        one.send(Message::binary(vec![7; size])).await.unwrap();
        assert_eq!(one.next().await.unwrap().unwrap().into_data().len(), size);
    }
    let now = status(&site.world).await;
    assert_eq!((now.tunnels, now.connections), (2, 1), "both share one connection");
    one.close(None).await.unwrap();
    while let Some(Ok(_)) = one.next().await {}
    drop(one);
    until("one tunnel left", async || status(&site.world).await.tunnels == 1).await;
    // Told to close by the other end.
    two.send(Message::text("close")).await.unwrap();
    assert!(matches!(two.next().await, Some(Ok(Message::Close(_)))));
    while let Some(Ok(_)) = two.next().await {}
    drop(two);
    until("no tunnel left", async || status(&site.world).await.tunnels == 0).await;
    // A browser that vanishes takes its websockets with it.
    let _three = browser.websocket("/user/a/three").await.unwrap();
    browser.line.shutdown(std::net::Shutdown::Both).unwrap();
    until("all gone", async || status(&site.world).await.tunnels == 0).await;
}

#[tokio::test]
async fn item_25_the_upstream_sees_a_handshake_with_a_fresh_key() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        let request = read(&mut peer, number).await.unwrap();
        let accept = accept_of(&values(&request.head, "sec-websocket-key")[0]);
        seen.lock().unwrap().push(request);
        let switch = SWITCH.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept);
        peer.send(format!("{switch}Sec-WebSocket-Protocol: b\r\nX-More: 1\r\n\r\nhello")).await;
        let bytes = peer.rest().await;
        peer.send(format!("got {}", bytes.len())).await;
    })
    .await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut browser = site.browser().await;
    browser.ask(to("/_chp_healthz")).await;
    for _ in 0..2 {
        let mut request = connect("/x?session_id=1", "websocket");
        request.headers_mut().insert("sec-websocket-protocol", "a, b".parse().unwrap());
        let mut response = browser.ask(request).await;
        assert_eq!(response.status(), 200);
        for gone in ["connection", "upgrade", "sec-websocket-accept"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        for (name, value) in [("sec-websocket-protocol", "b"), ("x-more", "1")] {
            assert_eq!(response.headers()[name], value);
        }
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        stream.write_all(b"some").await.unwrap();
        // One direction ends, the other goes on.
        stream.shutdown().await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "got 4");
    }
    let seen = upstream.seen();
    for one in &seen {
        assert_eq!(one.line(), "GET /x?session_id=1 HTTP/1.1");
        for (name, value) in [("upgrade", "websocket"), ("connection", "Upgrade"), ("host", "hub.example")] {
            assert_eq!(one.all(name), [value], "{name}");
        }
    }
    assert_ne!(seen[0].all("sec-websocket-key"), seen[1].all("sec-websocket-key"));
}

#[tokio::test]
async fn item_25_a_refused_websocket_gets_the_status_it_was_refused_with() {
    let cases = [
        ("HTTP/1.1 403 Forbidden\r\nX-Why: xsrf\r\nContent-Length: 2\r\n\r\nno".to_owned(), 403),
        // A key that is not ours.
        (format!("{SWITCH}\r\n"), 502),
        // An open websocket is what a 200 would mean.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno".to_owned(), 502),
    ];
    for (answer, expected) in cases {
        let upstream = Upstream::fixed(answer).await;
        let site = Site::new("/", &upstream, |_| {}).await;
        let mut browser = site.browser().await;
        let refused = browser.websocket("/").await.err().unwrap();
        assert_eq!(refused.status(), expected);
        if expected == 403 {
            assert_eq!(refused.headers()["x-why"], "xsrf");
            assert_eq!(text(refused).await, "no");
        }
        // The connection serves on.
        assert_eq!(browser.ask(to("/_chp_healthz")).await.status(), 200);
        let mut old = connect("/", "websocket");
        old.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
        assert_eq!(browser.ask(old).await.status(), 400);
    }
    let site = Site::new("/", &Upstream::named("gone").await, |_| {}).await;
    assert_eq!(site.browser().await.websocket("/").await.err().unwrap().status(), 503);
}

#[tokio::test]
async fn item_30_a_stop_lets_requests_of_http2_finish_and_cuts_websockets() {
    let upstream = handshake::echo().await;
    let mut site = Site::new("/", &upstream, |options| options.limits.drain = Duration::from_millis(200)).await;
    let mut browser = site.browser().await;
    let mut socket = browser.websocket("/").await.unwrap();
    site.world.stop.cancel();
    // It works on while the proxy drains.
    socket.send(Message::text("on")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("on"));
    site.world.end().await;
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))));
}

#[tokio::test]
async fn item_29_a_deleted_route_ends_its_websockets_over_http2_and_no_others() {
    let upstream = handshake::echo().await;
    let grace = |options: &mut Options| options.limits.route_grace = Duration::from_millis(50);
    let site = Site::new("/user/a/", &upstream, grace).await;
    site.world.hub.set(vec![route("/user/b/", &upstream.url())], &[]).await;
    let mut browser = site.browser().await;
    let mut a = browser.websocket("/user/a/").await.unwrap();
    let mut b = browser.websocket("/user/b/").await.unwrap();
    site.world.hub.set(vec![], &["/user/a/"]).await;
    assert!(!matches!(a.next().await, Some(Ok(_))));
    b.send(Message::text("on")).await.unwrap();
    assert_eq!(b.next().await.unwrap().unwrap(), Message::text("on"));
}

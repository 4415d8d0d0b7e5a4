//! HTTP/2 frame by frame: what no library would send, and clients that take nothing.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
};
use tokio_rustls::client::TlsStream;

use crate::{
    client::{DEADLINE, until, values},
    differential::Recorder,
    http2::Site,
    secure::shake,
    tunnels::{SWITCH, accept_of},
    upstream::{Upstream, read},
};

const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const AWAY: u8 = 7;
const WINDOW: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;
/// Names of settings.
const STREAMS: u16 = 3;
const INITIAL_WINDOW: u16 = 4;
/// Reasons of resets.
const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// A connection.
pub struct Frames {
    pub stream: TlsStream<TcpStream>,
    /// What the proxy has set.
    settings: Vec<(u16, u32)>,
}

pub struct Frame {
    pub kind: u8,
    pub id: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    Bad,
    Other,
    Reset(u32),
    /// With the whole connection.
    Closed,
}

impl Frames {
    pub async fn open(site: &Site, settings: &[(u16, u32)]) -> Self {
        let stream = shake(&site.connector(&["h2"]), site.world.address, "hub.example").await.unwrap();
        let mut frames = Self { stream, settings: Vec::new() };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.send(SETTINGS, 0, 0, &settings).await;
        frames
    }

    pub async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(id.to_be_bytes());
        bytes.extend(payload);
        // Who was refused already may be gone.
        let _ = self.stream.write_all(&bytes).await;
        let _ = self.stream.flush().await;
    }

    /// A request without a body.
    pub async fn ask(&mut self, id: u32, lines: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, id, &block(lines)).await;
    }

    /// The next frame that is not about the connection; None at the end. Pings are answered.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            let reading = tokio::time::timeout(DEADLINE, self.stream.read_exact(&mut head)).await;
            reading.expect("nothing comes in time").ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            match (head[3], head[4]) {
                (SETTINGS, 0) => {
                    let name = |six: &[u8]| u16::from_be_bytes([six[0], six[1]]);
                    let value = |six: &[u8]| u32::from_be_bytes([six[2], six[3], six[4], six[5]]);
                    self.settings.extend(payload.chunks(6).map(|six| (name(six), value(six))));
                    self.send(SETTINGS, ACKNOWLEDGED, 0, &[]).await;
                }
                (PING, 0) => self.send(PING, ACKNOWLEDGED, 0, &payload).await,
                (SETTINGS | PING | WINDOW, _) => {}
                (kind, _) => return Some(Frame { kind, id, payload }),
            }
        }
    }

    pub async fn outcome(&mut self, id: u32) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                // The statuses that are in the table of HPACK.
                HEADERS if frame.id == id => {
                    return match frame.payload[0] {
                        0x88 => Outcome::Good,
                        0x8c => Outcome::Bad,
                        _ => Outcome::Other,
                    };
                }
                RESET if frame.id == id => {
                    return Outcome::Reset(u32::from_be_bytes(frame.payload.try_into().unwrap()));
                }
                AWAY => return Outcome::Closed,
                _ => {}
            }
        }
        Outcome::Closed
    }
}

/// Lines of a head, in the form that refers to nothing.
pub fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in lines {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "one byte says the length");
            bytes.push(text.len() as u8);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

pub fn to(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "https"), (":authority", "hub.example"), (":path", path)]
}

/// Sends without an end, and tells when nobody takes it any more. A websocket if it is asked for one.
async fn spring() -> (Upstream, UnboundedReceiver<()>) {
    let (sender, ended) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let sender = sender.clone();
        async move {
            let head = peer.head().await;
            match values(&head, "sec-websocket-key").first() {
                Some(key) => {
                    let switch = SWITCH.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept_of(key));
                    peer.send(format!("{switch}\r\n")).await;
                }
                None => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await,
            }
            let piece = vec![0; 1 << 16];
            while peer.stream.write_all(&piece).await.is_ok() {}
            let _ = sender.send(());
        }
    })
    .await;
    (upstream, ended)
}

const STALLED: Duration = Duration::from_millis(300);

#[tokio::test]
async fn item_21_a_reader_of_http2_that_takes_nothing_is_cut() {
    let (upstream, mut ended) = spring().await;
    let site = Site::new("/", &upstream, |options| options.limits.stalled = STALLED).await;
    let mut frames = Frames::open(&site, &[(INITIAL_WINDOW, 0)]).await;
    frames.ask(1, &to("/")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    // It keeps its connection, answers pings and takes nothing.
    assert_eq!(frames.outcome(1).await, Outcome::Reset(CANCEL));
    tokio::time::timeout(DEADLINE, ended.recv()).await.expect("the upstream is freed").unwrap();
    // The connection serves on.
    frames.ask(3, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(3).await, Outcome::Good);
}

#[tokio::test]
async fn item_21_a_slow_reader_of_http2_is_not_cut() {
    let (upstream, _ended) = spring().await;
    // Long beside what a busy machine may hold up the reader here.
    let stalled = 8 * STALLED;
    let site = Site::new("/", &upstream, |options| options.limits.stalled = stalled).await;
    let mut frames = Frames::open(&site, &[(INITIAL_WINDOW, 16 * 1024)]).await;
    frames.ask(1, &to("/")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    let begin = std::time::Instant::now();
    while begin.elapsed() < 5 * stalled / 2 {
        let frame = frames.next().await.expect("the connection lives");
        assert_eq!(frame.kind, DATA, "the stream goes on");
        // Pacing is what is tested here.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let taken = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
        for id in [0, 1] {
            frames.send(WINDOW, 0, id, &taken).await;
        }
    }
}

#[tokio::test]
async fn item_21_a_websocket_of_http2_that_takes_nothing_is_cut() {
    let (upstream, mut ended) = spring().await;
    let site = Site::new("/", &upstream, |options| options.limits.stalled = STALLED).await;
    let mut frames = Frames::open(&site, &[(INITIAL_WINDOW, 0)]).await;
    let lines = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "hub.example"),
        (":path", "/"),
        ("sec-websocket-version", "13"),
    ];
    frames.send(HEADERS, END_HEADERS, 1, &block(&lines)).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    // Nothing of the stream is left, in the tunnel or in what sends for it.
    assert_eq!(frames.outcome(1).await, Outcome::Reset(CANCEL));
    tokio::time::timeout(DEADLINE, ended.recv()).await.expect("the upstream is freed").unwrap();
    until("no tunnel left", async || crate::link::status(&site.world).await.tunnels == 0).await;
    frames.ask(3, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(3).await, Outcome::Good);
}

#[tokio::test]
async fn item_25_streams_beyond_the_bound_are_refused() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.rest().await;
    })
    .await;
    let usual = Site::new("/", &upstream, |_| {}).await;
    let mut frames = Frames::open(&usual, &[]).await;
    frames.ask(1, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    assert!(frames.settings.contains(&(STREAMS, 128)), "{:?}", frames.settings);

    let site = Site::new("/", &upstream, |options| options.limits.http2_streams = 8).await;
    let mut frames = Frames::open(&site, &[]).await;
    // The bound holds for who was told of it.
    frames.ask(1, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    let ids = (3..).step_by(2);
    for id in ids.clone().take(8) {
        frames.ask(id, &to("/")).await;
    }
    until("eight requests", async || upstream.connections() == 8).await;
    frames.ask(19, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(19).await, Outcome::Reset(REFUSED_STREAM));
    assert_eq!(upstream.connections(), 8);
    // One that ends makes room.
    frames.send(RESET, 0, 3, &CANCEL.to_be_bytes()).await;
    frames.ask(21, &to("/_chp_healthz")).await;
    assert_eq!(frames.outcome(21).await, Outcome::Good);
}

/// Requests that are none, with a word on each: lines instead of those of the same name, or beside them.
fn lies() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    vec![
        ("a coding", vec![("transfer-encoding", "chunked")]),
        ("a connection", vec![("connection", "keep-alive")]),
        ("a nomination", vec![("connection", "host")]),
        ("an upgrade", vec![("upgrade", "websocket")]),
        ("an old connection", vec![("proxy-connection", "keep-alive")]),
        ("keep-alive", vec![("keep-alive", "timeout=5")]),
        ("te", vec![("te", "gzip")]),
        ("a length without a body", vec![("content-length", "5")]),
        ("a length that is none", vec![("content-length", "x")]),
        ("a length with a sign", vec![("content-length", "-1")]),
        ("a line feed", vec![("x-a", "a\nb: c")]),
        ("a carriage return", vec![("x-a", "a\rb")]),
        ("a whole line", vec![("x-a", "a\r\ntransfer-encoding: chunked")]),
        ("NUL", vec![("x-a", "a\0b")]),
        ("a line feed in a cookie", vec![("cookie", "a=1\r\nx-evil: 1")]),
        ("a space in the path", vec![(":path", "/a b")]),
        ("a request in the path", vec![(":path", "/a HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled")]),
        ("a line feed in the path", vec![(":path", "/a\nb")]),
        ("no path", vec![(":path", "")]),
        ("a path without a slash", vec![(":path", "a")]),
        ("a request in the method", vec![(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET")]),
        ("a space in the method", vec![(":method", "GET /")]),
        ("a path in the host", vec![(":authority", "hub.example/a")]),
        ("a user in the host", vec![(":authority", "a@hub.example")]),
        ("a space in the host", vec![(":authority", "hub example")]),
        ("a line in the host", vec![(":authority", "a\r\nx-evil: 1")]),
        ("no host", vec![(":authority", "")]),
        ("a capital name", vec![("X-A", "a")]),
        ("a name with a space", vec![("x a", "a")]),
        ("a name with a colon", vec![("x:a", "a")]),
        ("a name with a line", vec![("x\r\ntransfer-encoding", "chunked")]),
        ("no name", vec![("", "a")]),
        ("a pseudo-header of answers", vec![(":status", "200")]),
        ("a pseudo-header of nobody", vec![(":evil", "1")]),
        ("a pseudo-header too late", vec![("x-a", "a"), (":protocol", "websocket")]),
    ]
}

#[tokio::test]
async fn item_07_requests_of_http2_that_lie_come_to_nobody() {
    let recorder = Recorder::start().await;
    let site = Site::at("/", &format!("http://{}", recorder.address), |_| {}).await;
    for (word, lines) in lies() {
        let mut head = to("/lie");
        for line in lines {
            match head.iter_mut().find(|(name, _)| *name == line.0) {
                Some(there) => *there = line,
                None => head.push(line),
            }
        }
        let mut frames = Frames::open(&site, &[]).await;
        frames.ask(1, &head).await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Good | Outcome::Other), "{word}: {outcome:?}");
        assert!(recorder.take().unwrap().is_empty(), "{word}");
    }
    // Twice what has to be there once.
    for name in [":method", ":path", ":authority", ":scheme"] {
        let mut head = to("/lie");
        head.push(*head.iter().find(|(there, _)| *there == name).unwrap());
        let mut frames = Frames::open(&site, &[]).await;
        frames.ask(1, &head).await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Good | Outcome::Other), "{name}: {outcome:?}");
    }
    // Bodies that are longer or shorter than they say may have begun upstream, and are never whole there.
    for length in ["4", "6", "37"] {
        let mut head = to("/lie");
        head[0].1 = "POST";
        head.push(("content-length", length));
        let mut frames = Frames::open(&site, &[]).await;
        frames.send(HEADERS, END_HEADERS, 1, &block(&head)).await;
        frames.send(DATA, END_STREAM, 1, b"hello").await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Good), "{length}: {outcome:?}");
    }
    assert!(recorder.take().unwrap().is_empty());
    // What is inside a body stays there.
    let body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut head = to("/truth");
    head[0].1 = "POST";
    let mut frames = Frames::open(&site, &[]).await;
    frames.send(HEADERS, END_HEADERS, 1, &block(&head)).await;
    frames.send(DATA, END_STREAM, 1, body).await;
    assert_eq!(frames.outcome(1).await, Outcome::Good);
    assert_eq!(recorder.take().unwrap(), [("POST /truth HTTP/1.1".to_owned(), body.to_vec())]);
}

#[tokio::test]
async fn item_04_over_http2_the_authority_is_the_host() {
    let upstream = Upstream::raw(|number, mut peer, seen| async move {
        while let Some(request) = read(&mut peer, number).await {
            seen.lock().unwrap().push(request);
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let site = Site::new("/", &upstream, |_| {}).await;
    let mut frames = Frames::open(&site, &[]).await;
    let mut head = to("/");
    head.push(("host", "evil.example"));
    frames.ask(1, &head).await;
    frames.outcome(1).await;
    assert_eq!(upstream.last().all("host"), ["hub.example"]);
    assert_eq!(upstream.last().all("x-forwarded-host"), ["hub.example"]);
    // Without one, there has to be one host.
    let bare: Vec<_> = to("/").into_iter().filter(|(name, _)| *name != ":authority").collect();
    for (id, hosts, passed) in
        [(3, &["one.example"][..], true), (5, &["one.example", "two.example"], false), (7, &[], false)]
    {
        let before = upstream.seen().len();
        let lines: Vec<_> = bare.iter().copied().chain(hosts.iter().map(|host| ("host", *host))).collect();
        frames.ask(id, &lines).await;
        let outcome = frames.outcome(id).await;
        assert_eq!(upstream.seen().len() - before, usize::from(passed), "{hosts:?}: {outcome:?}");
        assert_eq!(outcome == Outcome::Bad, !passed, "{hosts:?}");
    }
}

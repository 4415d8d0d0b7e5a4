//! What the fuzz targets in `proxy/fuzz` call: each takes any bytes, and panics when a promise is broken. And what
//! benchmarks call.
//!
//! The real code runs, over sockets between parts of one thread whose clock jumps ahead when nothing is left to do.

// A broken promise is a panic, which is what the fuzzer looks for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

pub mod bench;
#[path = "../tests/it/strict.rs"]
mod strict;

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::Runtime,
};

use crate::{
    HubLink, Limits, Options, Proxy,
    activity::lock,
    chp::{self, ChpOptions},
    listener,
    path::{host_key, key, prefix_key},
    patient::PatientSocket,
    state::Shared,
    stream::Stream,
    table::Table,
    wire::Line,
};

const END: &[u8] = b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const TOKEN: &str = "secret";
/// A bound, whatever it is, is hyper's to keep.
const LONG: Duration = Duration::from_secs(3600);

type Seen = Arc<Mutex<HashMap<usize, Vec<u8>>>>;

/// What an upstream does with a connection.
#[derive(Clone, Default)]
enum Answer {
    /// A short answer to each whole request.
    #[default]
    Short,
    /// These bytes, as soon as anything of a body has come, or a whole request.
    Bytes(Vec<u8>),
    /// It ends after so many bytes, and all that came before are answered shortly.
    End(usize),
}

/// A proxy without doors, and one upstream.
struct Stage {
    runtime: Runtime,
    shared: Arc<Shared>,
    /// What the upstream got, by connection, since it was looked at last.
    seen: Seen,
    /// What it answers with.
    answer: Arc<Mutex<Answer>>,
    _folder: TempDir,
}

thread_local! {
    static STAGES: RefCell<[Option<Stage>; 2]> = const { RefCell::new([None, None]) };
}

/// Acts with a proxy whose plain requests go the short way, or with one that is configurable-http-proxy, whose requests
/// are all hyper's.
fn on_stage<T>(is_short: bool, act: impl FnOnce(&Stage) -> T) -> T {
    STAGES.with_borrow_mut(|[long, short]| {
        let stage = if is_short { short } else { long };
        act(stage.get_or_insert_with(|| Stage::new(is_short)))
    })
}

impl Stage {
    fn new(is_short: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("up");
        let (seen, answer) = (Arc::default(), Arc::default());
        let shared = runtime.block_on(async {
            tokio::spawn(upstream(UnixListener::bind(&socket).unwrap(), Arc::clone(&seen), Arc::clone(&answer)));
            let options = Options {
                hub: HubLink::None,
                chp: (!is_short).then(|| ChpOptions::plain(Some(TOKEN.to_owned()))),
                limits: Limits { download_idle: (!is_short).then_some(LONG), ..Limits::default() },
                default_target: Some(format!("http+unix://{}", socket.display().to_string().replace('/', "%2F"))),
                ..Options::default()
            };
            Proxy::bind(options).await.unwrap().shared
        });
        Self { runtime, shared, seen, answer, _folder: folder }
    }

    /// Sends bytes as a client, each piece when the one before has been passed on, and gives what came back.
    fn ask(&self, pieces: [&[u8]; 2]) -> Vec<u8> {
        self.runtime.block_on(async {
            let (mut client, server) = UnixStream::pair().unwrap();
            let serving =
                tokio::spawn(listener::serve_alone(Arc::clone(&self.shared), Stream::Unix(PatientSocket::new(server))));
            let mut back = Vec::new();
            let (mut reader, mut writer) = client.split();
            let writing = async {
                for piece in pieces {
                    // It may be closed before all is read.
                    let _ = writer.write_all(piece).await;
                    // The clock goes on once nothing is left to do.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let _ = writer.write_all(END).await;
            };
            let reading = async {
                let _ = reader.read_to_end(&mut back).await;
            };
            tokio::join!(writing, reading);
            serving.await.unwrap();
            // What is on its way to the upstream arrives, and belongs to this client.
            tokio::time::sleep(Duration::from_millis(1)).await;
            back
        })
    }

    fn take_seen(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *lock(&self.seen)).into_values().collect()
    }
}

async fn upstream(listener: UnixListener, seen: Seen, answer: Arc<Mutex<Answer>>) {
    for number in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        tokio::spawn(async move {
            let (mut answered, mut came, mut piece) = (0, 0, vec![0; 16 * 1024]);
            while let Ok(count @ 1..) = stream.read(&mut piece).await {
                let (whole, is_begun) = {
                    let mut seen = lock(&seen);
                    let seen = seen.entry(number).or_insert_with(|| {
                        // The connection was kept for another input.
                        answered = 0;
                        Vec::new()
                    });
                    seen.extend_from_slice(piece.get(..count).unwrap_or_default());
                    // What is odd is found when all is looked at.
                    let Ok(found) = strict::requests(seen) else { return };
                    (found.len(), head_end(seen) < seen.len())
                };
                came += count;
                let answer = lock(&answer).clone();
                match answer {
                    Answer::Bytes(bytes) if whole > 0 || is_begun => {
                        let _ = stream.write_all(&bytes).await;
                        return;
                    }
                    Answer::End(after) if came >= after => return,
                    _ => {}
                }
                while answered < whole {
                    answered += 1;
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Where a head ends, or all there is.
fn head_end(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}

/// Any bytes from a client: what reaches the upstream is whole requests and nothing else, each of them one of the client's,
/// and what comes back is answers. So it is where the upstream leaves in the middle of a request.
pub fn exchange(bytes: &[u8]) {
    let asked = strict::requests(&[bytes, END].concat());
    for (is_short, ends) in [(false, false), (true, false), (true, true)] {
        on_stage(is_short, |stage| {
            *lock(&stage.answer) = if ends { Answer::End(bytes.len() / 2) } else { Answer::Short };
            // A body that comes behind its head, in two pieces.
            let head = head_end(bytes);
            let back = stage.ask(bytes.split_at(head + (bytes.len() - head) / 2).into());
            for connection in stage.take_seen() {
                let seen = String::from_utf8_lossy(&connection);
                match (strict::requests(&connection), &asked) {
                    (Err(problem), _) => panic!("{problem} reached the upstream: {seen:?}"),
                    (Ok(got), Ok(asked)) => {
                        let is_asked = |(line, body): &strict::Request| {
                            let method = |line: &str| line.split(' ').next().map(str::to_owned);
                            let ours = line.starts_with("GET /hub/error/") && body.is_empty();
                            ours || asked.iter().any(|(of, whole)| method(of) == method(line) && whole == body)
                        };
                        assert!(got.iter().all(is_asked), "nobody asked for all of this: {seen:?}");
                    }
                    // What is odd to the strict may be read in more than one way.
                    (Ok(_), Err(_)) => {}
                }
            }
            if !back.starts_with(b"HTTP/1.1 101")
                && let Err(problem) = strict::answers(&back)
            {
                panic!("{problem} came back: {:?}", String::from_utf8_lossy(&back));
            }
        });
    }
}

/// Any bytes as a body in chunks.
pub fn chunks(bytes: &[u8]) {
    let mut whole = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n".to_vec();
    whole.extend_from_slice(bytes);
    exchange(&whole);
}

/// Any bytes from an upstream: the client gets no more answers than it asked for, and each is whole or cut.
pub fn answer(bytes: &[u8]) {
    for is_short in [false, true] {
        on_stage(is_short, |stage| {
            *lock(&stage.answer) = Answer::Bytes(bytes.to_vec());
            for pieces in [
                [b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n", b"".as_slice()],
                [b"PUT /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na", b"bcde"],
            ] {
                let back = stage.ask(pieces);
                stage.take_seen();
                match strict::answers(&back) {
                    Ok(found) => assert!(found.len() <= 2, "{found:?}"),
                    Err(problem) => panic!("{problem} came back: {:?}", String::from_utf8_lossy(&back)),
                }
            }
        });
    }
}

/// Any path: a key that is found has no way around it, and means the same when it is read again.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = host_key(text);
    if let Ok(found) = prefix_key(text) {
        let _ = Table::fits(&found);
    }
    let Ok(found) = key(text) else { return };
    let climbs = |segment: &[u8]| matches!(segment, b"." | b"..");
    assert!(!found.split(|byte| *byte == b'/').any(climbs), "{text:?} became {:?}", String::from_utf8_lossy(&found));
    // Only an encoded one stands inside a segment.
    let encoded = text.to_ascii_lowercase().matches("%5c").count();
    let inside = found.iter().filter(|byte| **byte == b'\\').count();
    assert_eq!(inside, encoded, "{text:?} became {:?}", String::from_utf8_lossy(&found));
}

/// Any bytes before a connection: no header is longer than what there is, and more bytes do not change a verdict.
pub fn header(bytes: &[u8]) {
    let found = crate::proxy_protocol::parse(bytes);
    if let Ok(Some(header)) = &found {
        assert!(header.length <= bytes.len());
        let alone = bytes.get(..header.length).unwrap_or_default();
        assert_eq!(crate::proxy_protocol::parse(alone), found);
    }
    let more = [bytes, b"\r\n"].concat();
    assert!(found == Ok(None) || crate::proxy_protocol::parse(&more) == found);
}

/// Any body for the API: it is answered, and the table stays one that can be told.
pub fn api(bytes: &[u8]) {
    on_stage(false, |stage| {
        let head = format!(
            "POST /api/routes/a HTTP/1.1\r\nHost: a\r\nAuthorization: token {TOKEN}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        let ask = |request: Vec<u8>| {
            stage.runtime.block_on(async {
                let (mut client, server) = UnixStream::pair().unwrap();
                let serving =
                    tokio::spawn(chp::serve_api(Arc::clone(&stage.shared), Stream::Unix(PatientSocket::new(server))));
                let mut back = Vec::new();
                let (mut reader, mut writer) = client.split();
                let _ = tokio::join!(writer.write_all(&request), reader.read_to_end(&mut back));
                serving.await.unwrap();
                back
            })
        };
        let back = ask([head.as_bytes(), bytes].concat());
        assert!(
            back.starts_with(b"HTTP/1.1 201 ") || back.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            String::from_utf8_lossy(&back)
        );
        let list =
            format!("GET /api/routes HTTP/1.1\r\nHost: a\r\nAuthorization: token {TOKEN}\r\nConnection: close\r\n\r\n");
        let back = ask(list.into_bytes());
        let body =
            back.windows(4).position(|four| four == b"\r\n\r\n").and_then(|at| back.get(at + 4..)).unwrap_or_default();
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|table| table.is_object()));
    });
}

/// Any line of the route stream: it is refused or applied, and the table can be told as a line again.
pub fn line(bytes: &[u8]) {
    let Ok(line) = serde_json::from_slice::<Line>(bytes) else { return };
    on_stage(false, |stage| {
        stage.runtime.block_on(async {
            let before = stage.shared.routes.load_full();
            stage.shared.apply(&line);
            let told = serde_json::to_vec(&stage.shared.routes.load().to_line()).unwrap();
            assert!(serde_json::from_slice::<Line>(&told).is_ok(), "{}", json!(line));
            stage.shared.routes.store(before);
        });
    });
}

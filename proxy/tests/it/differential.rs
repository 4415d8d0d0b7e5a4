//! Item 7: the same bytes to this proxy, to nginx and to haproxy, and what an upstream behind each of them saw.
//!
//! Whatever we pass on has to be what one of the two passes on, or less of it: who reads a request otherwise than
//! everybody else is who lets requests be smuggled.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    client::{DEADLINE, until},
    hub::route,
    strict::{Request, requests},
    world::world_with,
};

/// Ends every sequence; who answers it has read all that came before.
const END: &str = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// Records what comes and answers every whole request.
pub struct Recorder {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let log = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(Vec::new());
                    log.len() - 1
                };
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    // The log is emptied between sequences, and a kept connection goes on.
                    let (mut all, mut answered) = (Vec::new(), 0);
                    let mut piece = vec![0; 65536];
                    while let Ok(count @ 1..) = stream.read(&mut piece).await {
                        log.lock().unwrap()[number].extend_from_slice(&piece[..count]);
                        all.extend_from_slice(&piece[..count]);
                        // Who sends nonsense gets no answer.
                        let whole = requests(&all).map_or(0, |found| found.len());
                        while answered < whole {
                            answered += 1;
                            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections, task }
    }

    /// What came since the last time, in the order of connections.
    pub fn take(&self) -> Result<Vec<Request>, String> {
        let mut all = Vec::new();
        // Cleared and not removed: kept connections go on writing where they did.
        for connection in self.connections.lock().unwrap().iter_mut() {
            all.extend(requests(&std::mem::take(connection))?);
        }
        Ok(all)
    }
}

/// A proxy in front of a recorder.
struct Front {
    address: SocketAddr,
    recorder: Recorder,
    _child: Option<Child>,
}

impl Front {
    async fn of(peer: &Peer, folder: &TempDir) -> Self {
        let recorder = Recorder::start().await;
        let (address, child) = peer.start(folder, recorder.address).await;
        Self { address, recorder, _child: Some(child) }
    }

    /// Sends a sequence and gives what the upstream saw of it, in any order: connections are kept for later ones.
    async fn pass(&self, bytes: &[u8]) -> Result<Vec<Request>, String> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A refusal may come while we write.
        let _ = stream.write_all(bytes).await;
        let _ = stream.write_all(END.as_bytes()).await;
        let mut answers = Vec::new();
        // Who waits for more than there is closes after its time limit.
        let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answers)).await;
        if reading.is_err() {
            return Err("a request, and its client is never told the end".into());
        }
        let mut seen = self.recorder.take()?;
        for (line, _) in &mut seen {
            // Whether a fragment is passed on or left out, the same is meant; we leave it out.
            if let Some((path, rest)) = line.split_once('#') {
                *line = format!("{path} {}", rest.rsplit(' ').next().unwrap_or_default());
            }
        }
        seen.sort();
        Ok(seen)
    }
}

/// Another proxy.
pub struct Peer {
    program: &'static str,
    option: &'static str,
    /// Its configuration, from a port to listen at, the upstream and a folder.
    text: fn(u16, SocketAddr, &str) -> String,
}

pub const NGINX: Peer = Peer { program: "nginx", option: "-c", text: nginx };
pub const HAPROXY: Peer = Peer { program: "haproxy", option: "-f", text: haproxy };

impl Peer {
    pub async fn start(&self, folder: &TempDir, upstream: SocketAddr) -> (SocketAddr, Child) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = folder.path().join(format!("{}.conf", self.program));
        std::fs::write(&path, (self.text)(port, upstream, &folder.path().display().to_string())).unwrap();
        let child = Command::new(self.program)
            .arg(self.option)
            .arg(&path)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|problem| panic!("{}: {problem}", self.program));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until(self.program, async || TcpStream::connect(address).await.is_ok()).await;
        (address, child)
    }
}

/// Whether both are here. They have to be where that is asked for.
pub fn peers_are_here() -> bool {
    let there = |program: &str| {
        ["/usr/sbin", "/usr/bin"].iter().any(|folder| std::path::Path::new(folder).join(program).exists())
    };
    let here = there("nginx") && there("haproxy");
    if !here {
        assert!(std::env::var_os("SPECOLA_REQUIRE_PEERS").is_none(), "nginx and haproxy have to be there");
        eprintln!("skipped: no nginx and haproxy");
    }
    here
}

fn nginx(port: u16, upstream: SocketAddr, folder: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s; {temporary}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_request_buffering off; }} }} }}\n"
    )
}

fn haproxy(port: u16, upstream: SocketAddr, _: &str) -> String {
    format!(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 1s\n  timeout http-request 1s\n  timeout server 5s\n  timeout connect 5s\n\
         frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s {upstream}\n"
    )
}

/// Sequences with a word on each. Those that begin with a plus are in order: all three pass all of it.
fn sequences() -> Vec<(&'static str, Vec<u8>)> {
    let many = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        "1\r\nx\r\n".repeat(300)
    );
    let texts = [
        ("+ two in a row", "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("+ a length", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        ("+ chunks", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        (
            "+ a coding in capitals",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "+ a chunk with an extension",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "+ a size with noughts",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
        ),
        ("+ many small chunks", &many),
        (
            "+ a body that looks like a request",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n",
        ),
        ("+ a delete with a body", "DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "length and coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        ),
        (
            "coding and length",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("two lengths", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("the same length twice", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a list of lengths", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
        ("a length with a sign", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
        ("a negative length", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"),
        ("a length in hex", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
        ("an empty length", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello"),
        ("a huge length", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
        (
            "a coding that is not known",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "two codings",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "two lines of codings",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a coding with a tab",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a coding after a vertical tab",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a coding with a space before its colon",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a folded coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a coding in quotes",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a coding of the old version",
            "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a nominated length",
            "POST /a HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a size with a sign",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a size in the way of programs",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a huge size",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a size with a space before",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a chunk that ends with a line feed",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        ),
        (
            "a chunk without its end",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        ),
        (
            "an extension with a line feed",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\nhi\r\n0\r\n\r\n",
        ),
        ("a size that is none", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n"),
        (
            "trailers that lie",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: x\r\n\r\n",
        ),
        ("line feeds alone", "GET /a HTTP/1.1\nHost: a\n\n"),
        ("a carriage return alone", "GET /a HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n"),
        ("NUL in a value", "GET /a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        ("a name with a space", "GET /a HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n"),
        ("no name", "GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("a line without a colon", "GET /a HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"),
        ("no host", "GET /a HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("a host with a space", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("a space before the first header", "GET /a HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("spaces in the line", "GET  /a  HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a tab in the line", "GET\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        ("three words before the version", "GET /a /b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a version that is none", "GET /a HTTP/1.2.3\r\nHost: a\r\n\r\n"),
        ("a version to come", "GET /a HTTP/3.0\r\nHost: a\r\n\r\n"),
        ("no version", "GET /a\r\n\r\n"),
        ("empty lines first", "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a body without a length", "POST /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "an upgrade and then a request",
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "an upgrade to the second version",
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        ),
        ("the preface of the second version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a tunnel", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("another host in the line", "GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    texts.into_iter().map(|(word, text)| (word, text.as_bytes().to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_07_the_same_bytes_are_read_as_nginx_or_haproxy_reads_them() {
    if !peers_are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let nginx = Front::of(&NGINX, &folder).await;
    let haproxy = Front::of(&HAPROXY, &folder).await;
    let recorder = Recorder::start().await;
    let world = world_with(vec![route("/", &format!("http://{}", recorder.address))], |options| {
        options.limits.header_read = Duration::from_secs(1);
        options.limits.upload_idle = Duration::from_secs(1);
    })
    .await;
    let ours = Front { address: world.address, recorder, _child: None };
    let mut wrong = Vec::new();
    for (word, bytes) in sequences() {
        let (own, one, other) = tokio::join!(ours.pass(&bytes), nginx.pass(&bytes), haproxy.pass(&bytes));
        let own = match own {
            Ok(own) => own,
            Err(problem) => {
                wrong.push(format!("{word}: the upstream got {problem}"));
                continue;
            }
        };
        let whole = word.starts_with('+');
        let end = |request: &Request| request.0.contains("/end");
        let is_like = |peer: &Result<Vec<Request>, String>| match peer {
            Ok(peer) if whole => own == *peer && own.iter().any(end),
            Ok(peer) => own.iter().filter(|request| !end(request)).all(|request| peer.contains(request)),
            // A peer that passes nonsense on is no measure.
            Err(_) => false,
        };
        let nothing = own.iter().all(end);
        let right = if whole { is_like(&one) && is_like(&other) } else { nothing || is_like(&one) || is_like(&other) };
        if !right {
            wrong.push(format!("{word}:\n  ours    {own:?}\n  nginx   {one:?}\n  haproxy {other:?}"));
        }
        // What is inside a body comes to nobody as a request, unless all three read it so.
        if own.iter().any(|(line, _)| line.contains("/smuggled")) && !(is_like(&one) && is_like(&other)) {
            wrong.push(format!("{word}: smuggled"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Item 6: the same bytes of an upstream through this proxy, nginx and haproxy, and what a client of each of them got.
//!
//! An answer is as suspect as a request: what we give has to be what one of the two gives, or nothing, and nobody gets
//! more answers than there were requests.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::{
    client::{DEADLINE, Raw},
    differential::{HAPROXY, NGINX, peers_are_here},
    hub::route,
    upstream::Upstream,
    world::world,
};

/// Ends every sequence; who gets its answer has got all that came before.
const END: &str = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ENDED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend";

/// What a client makes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Those that the upstream has made up.
    lines: Vec<String>,
    body: Vec<u8>,
    /// The client can tell that something is missing.
    cut: bool,
}

/// Reads what a client gets, as strictly as can be. `head` is whether the first request was HEAD.
fn answers(mut bytes: &[u8], head: bool) -> Result<Vec<Answer>, String> {
    let mut found: Vec<Answer> = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            // The begin of one, of which nobody makes anything.
            let begins = bytes.starts_with(b"HTTP/1.");
            return if begins { Ok(found) } else { Err(format!("odd bytes {:?}", String::from_utf8_lossy(bytes))) };
        };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let odd = || format!("odd head {text:?}");
        if text.replace("\r\n", "").contains(['\n', '\r', '\0']) {
            return Err(odd());
        }
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ").or(line.strip_prefix("HTTP/1.0 ")));
        let status: u16 = status.and_then(|status| status.get(..3)?.parse().ok()).ok_or_else(odd)?;
        let (mut length, mut chunked, mut own) = (None, false, Vec::new());
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(odd)?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "content-length" if length.is_none() => length = Some(value.parse::<usize>().map_err(|_| odd())?),
                "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
                "content-length" | "transfer-encoding" => return Err(odd()),
                _ if name.is_empty() || name.contains(char::is_whitespace) => return Err(odd()),
                _ if name.starts_with("x-") || name == "set-cookie" => own.push(format!("{name}: {value}")),
                _ => {}
            }
        }
        if (100..200).contains(&status) {
            continue;
        }
        own.sort();
        let empty = status == 204 || status == 304 || (head && found.is_empty());
        let (body, cut) = match (chunked, length) {
            (true, Some(_)) => return Err(odd()),
            _ if empty => (Vec::new(), false),
            (true, None) => chunks(&mut bytes)?,
            (false, Some(length)) => {
                let (body, rest) = bytes.split_at(length.min(bytes.len()));
                bytes = rest;
                (body.to_vec(), body.len() < length)
            }
            (false, None) => (std::mem::take(&mut bytes).to_vec(), false),
        };
        found.push(Answer { status, lines: own, body, cut });
    }
    Ok(found)
}

fn chunks(bytes: &mut &[u8]) -> Result<(Vec<u8>, bool), String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            *bytes = &[];
            return Ok((body, true));
        };
        let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("odd chunk {:?}", String::from_utf8_lossy(&bytes[..end])))?;
        *bytes = &bytes[end + 2..];
        if bytes.len() < size + 2 {
            body.extend_from_slice(&bytes[..size.min(bytes.len())]);
            *bytes = &[];
            return Ok((body, true));
        }
        if &bytes[size..size + 2] != b"\r\n" {
            return Err("a chunk without an end".to_owned());
        }
        body.extend_from_slice(&bytes[..size]);
        *bytes = &bytes[size + 2..];
        if size == 0 {
            return Ok((body, false));
        }
    }
}

/// Answers with a word on each. Those that begin with a plus are in order: all three give them. After one that is marked
/// with an equals sign the upstream stays, so that what it has said too much could meet the next request.
fn told() -> Vec<(&'static str, &'static str)> {
    vec![
        ("+ a length", "HTTP/1.1 200 OK\r\nX-A: a\r\nContent-Length: 2\r\n\r\nhi"),
        ("+ chunks", "HTTP/1.1 200 OK\r\nX-A: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("+ until the end", "HTTP/1.1 200 OK\r\nX-A: a\r\n\r\nhi"),
        ("+ nothing", "HTTP/1.1 204 No Content\r\nX-A: a\r\n\r\n"),
        ("+ not modified", "HTTP/1.1 304 Not Modified\r\nX-A: a\r\n\r\n"),
        ("+ cookies", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhi"),
        ("+ HEAD", "HTTP/1.1 200 OK\r\nX-A: a\r\nContent-Length: 2\r\n\r\n"),
        ("a line feed in a value", "HTTP/1.1 200 OK\r\nX-A: a\nX-B: b\r\nContent-Length: 2\r\n\r\nhi"),
        ("line feeds alone", "HTTP/1.1 200 OK\nX-A: a\nContent-Length: 2\n\nhi"),
        (
            "a carriage return in a value",
            "HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nhi",
        ),
        ("a fold", "HTTP/1.1 200 OK\r\nX-A: a\r\n Content-Length: 9\r\nContent-Length: 2\r\n\r\nhi"),
        ("a fold first", "HTTP/1.1 200 OK\r\n X-A: a\r\nContent-Length: 2\r\n\r\nhi"),
        ("NUL", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nhi"),
        ("a line without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nhi"),
        ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nX-A: a\r\n\r\nhi"),
        ("no name", "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nhi"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"),
        ("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi"),
        ("HEAD with two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"),
        ("HEAD with a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n"),
        ("HEAD with an odd coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        ("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi"),
        ("a huge length", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nhi"),
        (
            "length and coding",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "coding and length",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 90\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        ("an odd coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("an old version with chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        (
            "an extension with a line feed",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\nhi\r\n0\r\n\r\n",
        ),
        ("a size with a sign", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n"),
        (
            "a size in the way of programs",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
        ),
        ("a huge size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n"),
        ("a chunk without its end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n"),
        ("chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        ("less than its length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
        (
            "= a second answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        (
            "= nothing with a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        (
            "= not modified with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        (
            "= HEAD with a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        ("= HEAD with chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"),
        (
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil",
        ),
        ("a hint first", "HTTP/1.1 103 Early Hints\r\nX-B: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("no status", "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("a version to come", "HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("no version", "200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("no head", "hi"),
    ]
}

/// Gives to `/N` the answer of that number.
async fn teller() -> Upstream {
    let told: Arc<HashMap<String, (&str, &str)>> =
        Arc::new(told().into_iter().enumerate().map(|(at, one)| (format!("/{at}"), one)).collect());
    Upstream::raw(move |_, mut peer, _| {
        let told = Arc::clone(&told);
        async move {
            loop {
                while !peer.buffer.windows(4).any(|four| four == b"\r\n\r\n") {
                    if !peer.more().await {
                        return;
                    }
                }
                let head = peer.head().await;
                let path = head.split(' ').nth(1).unwrap();
                let Some((word, answer)) = told.get(path) else {
                    peer.send(ENDED).await;
                    continue;
                };
                peer.send(answer).await;
                if !word.starts_with('=') {
                    return;
                }
            }
        }
    })
    .await
}

async fn ask(address: SocketAddr, at: usize, word: &str) -> Result<Vec<Answer>, String> {
    let head = word.contains("HEAD");
    let method = if head { "HEAD" } else { "GET" };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = format!("{method} /{at} HTTP/1.1\r\nHost: a\r\n\r\n{END}");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end too.
    reading.map_err(|_| "nothing, and its client is never told the end".to_owned())?.ok();
    answers(&bytes, head)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_06_answers_are_read_as_nginx_or_haproxy_reads_them() {
    if !peers_are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let teller = teller().await;
    let (nginx, _nginx) = NGINX.start(&folder, teller.address).await;
    let (haproxy, _haproxy) = HAPROXY.start(&folder, teller.address).await;
    let world = world(vec![route("/", &teller.url())]).await;
    let mut wrong = Vec::new();
    for (at, (word, _)) in told().into_iter().enumerate() {
        let (own, one, other) =
            tokio::join!(ask(world.address, at, word), ask(nginx, at, word), ask(haproxy, at, word));
        let mut tell = |what: &str| {
            wrong.push(format!("{word}: {what}\n  ours    {own:?}\n  nginx   {one:?}\n  haproxy {other:?}"))
        };
        let Ok(ours) = &own else {
            tell("the client got nonsense");
            continue;
        };
        let first = |answers: &Result<Vec<Answer>, String>| answers.as_ref().ok().and_then(|all| all.first().cloned());
        let is_like = |peer: &Result<Vec<Answer>, String>| first(peer).is_some() && first(peer) == first(&own);
        let refused = ours.first().is_none_or(|answer| answer.status == 502 || answer.cut);
        let right = match word.starts_with('+') {
            true => is_like(&one) && is_like(&other),
            false => refused || is_like(&one) || is_like(&other),
        };
        if !right {
            tell("another answer");
        }
        // The second is that to the second request, if there is one.
        if ours.len() > 2 || ours.get(1).is_some_and(|end| (end.status, end.body.as_slice()) != (200, b"end")) {
            tell("an answer to nobody's request");
        }
        let evil = |answer: &Answer| {
            let body = String::from_utf8_lossy(&answer.body);
            body.contains("evil") || answer.lines.iter().any(|line| line.contains("evil"))
        };
        if ours.iter().any(evil) {
            tell("what was hidden came out");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn item_06_hints_without_end_end_with_their_client() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |_, mut peer, _| {
        let sender = sender.clone();
        async move {
            if peer.head().await.contains("/end") {
                return peer.send(ENDED).await;
            }
            let hints = "HTTP/1.1 103 Early Hints\r\nX-A: a\r\n\r\n".repeat(1000);
            while peer.stream.write_all(hints.as_bytes()).await.is_ok() {
                let _ = sender.send(true);
            }
            let _ = sender.send(false);
        }
    })
    .await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Far more than any buffer holds.
    for _ in 0..500 {
        assert_eq!(tokio::time::timeout(DEADLINE, told.recv()).await.unwrap(), Some(true));
    }
    // Others are served meanwhile, and none of it comes to the client.
    assert_eq!(crate::client::get(world.address, "/end").await.text(), "end");
    assert!(tokio::time::timeout(Duration::from_millis(50), raw.stream.readable()).await.is_err());
    drop(raw);
    let freed = async { while told.recv().await != Some(false) {} };
    tokio::time::timeout(DEADLINE, freed).await.expect("the upstream is freed");
}

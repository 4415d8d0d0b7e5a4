//! HTTP/2 with browsers: what bounds a connection, and how its requests become those of HTTP/1.1, which is all that
//! upstreams are spoken to.
//!
//! A websocket over HTTP/2 is a `CONNECT` with `:protocol` (RFC 8441). It becomes the handshake of HTTP/1.1, and the
//! upstream's `101` becomes a `200`.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{CONNECTION, COOKIE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
    response,
};
use hyper::{body::Incoming, ext::Protocol, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio_rustls::rustls::crypto::ring;

use crate::{
    body::{Download, Never},
    error_page::{self, Fault},
    handed::{self, Handed, SharedBody},
    metrics::Refusal,
    relay::{self, Client, refused_head},
    state::Shared,
    stream::Stream,
};

/// What a handshake calls it.
pub(crate) const ALPN: &[u8] = b"h2";
/// Lines of a head, as many as hyper takes of HTTP/1.1.
const LINES: usize = 100;
/// How often a client shows that it is still there.
const PING: Duration = Duration::from_secs(60);
/// Bytes of uploads that are taken before the upstream takes them: of one stream, and of all.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// Bytes that one stream may hold for a slow reader.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client has reset and we have not looked at.
const PENDING_RESETS: usize = 20;
/// Streams that we reset for what the client did.
const LOCAL_RESETS: usize = 100;

const FULL: Fault =
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, "There are as many requests as there may be. Try again shortly.");

/// Serves one connection until it ends, is idle for too long, or is abused.
pub(crate) async fn serve(client: Arc<Client>, stream: Stream) {
    let shared = Arc::clone(&client.shared);
    // Pings find a vanished client, keepalive also one whose ping was never asked for.
    stream.keep_alive();
    let busy = Arc::new(Busy::default());
    let counted = Arc::clone(&busy);
    let service = service_fn(move |request| {
        let answering = Answering::new(&counted, client.shared.limits().http2_resets);
        let alone = counted.is_idle();
        let client = Arc::clone(&client);
        async move {
            // The connection has one place, for one request.
            let answer = if alone || Handed::of_stream().enter(&client.shared.room) {
                relay::answer(client, request).await?
            } else {
                client.shared.meter.refused(Refusal::Places);
                error_page::own(FULL, false)
            };
            answering.end(answer.body());
            Ok::<_, Never>(answer.map(SharedBody::new))
        }
    });
    let mut connection = pin!(builder(&shared, &busy).serve_connection(TokioIo::new(stream), service));
    let idle = shared.limits().keep_alive.unwrap_or(shared.limits().header_read);
    let served = shared.halt.until(async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = busy.flood.notified() => {
                tracing::info!("a client opens and resets streams without end");
                return Ok(());
            }
            () = busy.idle(idle) => {}
            _ = shared.while_open(pending::<()>()) => {
                connection.as_mut().graceful_shutdown();
                return connection.as_mut().await;
            }
        }
        connection.as_mut().graceful_shutdown();
        // A request may have been under way to us; whoever only says nothing is left after as long again.
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = busy.idle(idle) => Ok(()),
        }
    });
    if let Some(Err(problem)) = served.await {
        tracing::debug!(%problem, "client connection ended");
    }
}

fn builder(shared: &Arc<Shared>, busy: &Arc<Busy>) -> http2::Builder<Tasks> {
    let limits = shared.limits();
    let (stream, all) = WINDOWS;
    let mut builder = http2::Builder::new(Tasks { shared: Arc::clone(shared), busy: Arc::clone(busy) });
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .initial_stream_window_size(stream)
        .initial_connection_window_size(all)
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// What is going on in one connection.
#[derive(Default)]
struct Busy {
    open: AtomicUsize,
    started: AtomicUsize,
    /// Requests that were taken back, less those that a server has answered.
    taken_back: AtomicUsize,
    flood: Notify,
}

impl Busy {
    fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Ends when nothing has been going on for so long, or up to twice as long.
    async fn idle(&self, time: Duration) {
        loop {
            let before = self.started.load(Ordering::Relaxed);
            tokio::time::sleep(time).await;
            if self.is_idle() && self.started.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// Counts as open until dropped.
struct Open(Arc<Busy>);

impl Open {
    fn new(busy: &Arc<Busy>) -> Self {
        busy.open.fetch_add(1, Ordering::Relaxed);
        busy.started.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(busy))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request until it has an answer. Opening streams and resetting them at once costs a client nothing and us a
/// request to an upstream each, and no bound on open streams meets it.
struct Answering {
    busy: Arc<Busy>,
    most: usize,
    ended: Option<Answered>,
}

/// Who has answered. Our own answers cost a client as little as taking back: they make up for nothing.
enum Answered {
    Server,
    Proxy,
}

impl Answering {
    fn new(busy: &Arc<Busy>, most: usize) -> Self {
        Self { busy: Arc::clone(busy), most, ended: None }
    }

    fn end(mut self, body: &Download) {
        self.ended = Some(if body.is_own() { Answered::Proxy } else { Answered::Server });
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let count = &self.busy.taken_back;
        match self.ended {
            // Fails at zero, where it has nothing to do.
            Some(Answered::Server) => {
                let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
            }
            Some(Answered::Proxy) => {}
            None if count.fetch_add(1, Ordering::Relaxed) >= self.most => self.busy.flood.notify_one(),
            None => {}
        }
    }
}

/// Runs the streams of a connection as tasks of the proxy, which waits for them when it drains.
#[derive(Clone)]
struct Tasks {
    shared: Arc<Shared>,
    busy: Arc<Busy>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let open = Open::new(&self.busy);
        let halt = Arc::clone(&self.shared.halt);
        let stream = handed::run(future, self.shared.limits().stalled);
        self.shared.tasks.spawn(async move {
            let _open = open;
            halt.until(stream).await;
        });
    }
}

/// Makes a request of HTTP/2 look like one of HTTP/1.1: cookies in one line, and a websocket as a handshake with a key
/// of ours. Hop-by-hop headers cannot be there, the h2 crate refuses them.
pub(crate) fn adapt(request: &mut Request<Incoming>) -> Result<(), Fault> {
    const PROTOCOL: Fault = Fault::new(StatusCode::NOT_IMPLEMENTED, "Only websockets are connected here.");
    const VERSION: Fault = Fault::new(StatusCode::BAD_REQUEST, "Websockets of this version are not served here.");
    const CHANCE: Fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The server cannot connect a websocket now.");
    join_cookies(request.headers_mut());
    if request.headers().len() > LINES {
        return Err(refused_head(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let Some(protocol) = request.extensions().get::<Protocol>() else { return Ok(()) };
    if !protocol.as_str().eq_ignore_ascii_case("websocket") {
        return Err(PROTOCOL);
    }
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(VERSION);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, fresh_key().ok_or(CHANCE)?);
    Ok(())
}

/// Browsers part cookies to compress them better; upstreams of HTTP/1.1 read one line (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut whole = first.as_bytes().to_vec();
    for cookie in [second].into_iter().chain(cookies) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(cookie.as_bytes());
    }
    // Made of valid values, it is one.
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        headers.insert(COOKIE, whole);
    }
}

fn fresh_key() -> Option<HeaderValue> {
    let mut bytes = [0; 16];
    ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    HeaderValue::from_str(&STANDARD.encode(bytes)).ok()
}

/// Makes the head of a checked `101` the answer to a `CONNECT`.
pub(crate) fn accepted(parts: &mut response::Parts) {
    parts.status = StatusCode::OK;
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        parts.headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_one_line() {
        for (lines, expected) in
            [(&[][..], None), (&["a=1"], Some("a=1")), (&["a=1", "b=2; c=3", "d="], Some("a=1; b=2; c=3; d="))]
        {
            let line = |cookie: &&'static str| (COOKIE, HeaderValue::from_static(cookie));
            let mut headers: HeaderMap = lines.iter().map(line).collect();
            join_cookies(&mut headers);
            assert_eq!(headers.get_all(COOKIE).iter().count(), usize::from(expected.is_some()));
            assert_eq!(headers.get(COOKIE).map(|cookie| cookie.to_str().unwrap()), expected);
        }
    }

    #[test]
    fn keys_are_sixteen_bytes_and_never_the_same() {
        let (one, two) = (fresh_key().unwrap(), fresh_key().unwrap());
        assert_eq!(STANDARD.decode(one.as_bytes()).unwrap().len(), 16);
        assert_ne!(one, two);
    }
}

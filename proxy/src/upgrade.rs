//! Websockets: the handshake is passed on and its answer checked, then bytes flow unread.

use std::{sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use hyper::{
    body::{Body, Incoming},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};

use crate::{
    body::{Download, Exchange, Upload},
    budget::Turn,
    error_page::Fault,
    handed::{Handed, SharedStream},
    headers, http2,
    reach::{self, Patience},
    relay::{self, Client},
    rewound::Rewound,
    route::Route,
    sibling,
    stream::Stream,
    tunnel::{self, End},
};

/// The key of a whole websocket handshake. Any other upgrade is stripped and the request goes on as
/// an ordinary one.
pub(crate) fn wanted(request: &Request<Incoming>) -> Option<HeaderValue> {
    let headers = request.headers();
    // Nearly every request ends here.
    let upgrade = headers.get(UPGRADE)?;
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let whole = request.method() == Method::GET
        && matches!(request.version(), Version::HTTP_11 | Version::HTTP_2)
        && request.body().is_end_stream()
        && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
        && names_upgrade(headers)
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && STANDARD.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16);
    whole.then(|| key.clone())
}

/// Passes the handshake on, always on a new connection, and starts the tunnel after a valid `101`.
pub(crate) async fn pass(
    client: &Arc<Client>,
    mut request: Request<Incoming>,
    mut route: Arc<Route>,
    key: HeaderValue,
    turn: Option<Turn>,
) -> Result<Response<Download>, Fault> {
    let shared = &client.shared;
    let browser = hyper::upgrade::on(&mut request);
    let shares = request.version() == Version::HTTP_2;
    let (mut parts, _) = request.into_parts();
    parts.version = Version::HTTP_11;
    let origin = sibling::origin(&client.origin, &parts.extensions);
    headers::clean_request(&mut parts.headers, &origin, None).map_err(relay::refused_head)?;
    relay::guard_cookies(shared, &route, &mut parts.headers);
    sibling::show(shared, &route, &mut parts.headers);
    if let Some(chp) = &shared.chp {
        chp.rewrite.request(&mut parts.headers, route.target());
    }
    state_upgrade(&mut parts.headers);
    parts.extensions.clear();
    let offered = parts.headers.clone();
    let lease = reach::dial(shared, &mut route, &mut Patience::default()).await?;
    let mut exchange =
        Exchange { route: Arc::clone(&route), lease: None, uploaded: None, counts: false, silence: None, _turn: turn };
    let outgoing = Request::from_parts(parts, Upload::Empty);
    let patience = shared.limits().switch;
    let sending = exchange.lease.insert(lease).sender.send_request(outgoing);
    let answered = tokio::time::timeout(patience, sending).await.map_err(|_| relay::LATE)?;
    let mut response = answered.map_err(|error| relay::no_answer(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Over HTTP/2 a success would open the websocket.
        if shares && response.status().is_success() {
            return Err(relay::NO_ANSWER);
        }
        let (parts, body) = response.into_parts();
        return relay::deliver(client, parts, body, exchange, false);
    }
    if !is_valid(response.headers(), &key, &offered) {
        tracing::info!(prefix = route.prefix(), "upstream answered a websocket handshake wrongly");
        return Err(relay::NO_ANSWER);
    }
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    relay::confine_cookies(shared, &route, &mut parts.headers);
    if !headers::clean_response(&mut parts.headers, false) {
        return Err(relay::NO_ANSWER);
    }
    state_upgrade(&mut parts.headers);
    parts.extensions.clear();
    if shares {
        http2::accepted(&mut parts);
    }
    let tunnel = run(Arc::clone(client), exchange, browser, upstream, Handed::of_stream());
    shared.tasks.spawn(tunnel);
    Ok(Response::from_parts(parts, Download::Own(None)))
}

/// Joins both sides once they are free of HTTP, until one of them, the route or the proxy ends.
async fn run(
    client: Arc<Client>,
    mut exchange: Exchange,
    browser: OnUpgrade,
    upstream: OnUpgrade,
    handed: Arc<Handed>,
) {
    let shared = &client.shared;
    let route = Arc::clone(&exchange.route);
    let gone = Arc::clone(&route.gone);
    let joined = async {
        let (Ok(browser), Ok(upstream)) = (browser.await, upstream.await) else { return };
        // The upstream connection is ours now, its driver has ended.
        exchange.lease = None;
        let (browser, upstream) = (end(browser, &handed), end(upstream, &handed));
        let _open = shared.counts.open_tunnel(matches!(browser.stream, Stream::Shared(_)));
        route.touch();
        let patience = shared.limits().tunnel_half_close;
        let begin = Instant::now();
        let sent = |bytes| {
            route.touch();
            route.count_up(bytes);
        };
        let ended = tunnel::join(browser, upstream, patience, sent, |bytes| route.count_down(bytes)).await;
        shared.meter.tunnel_ended(route.class(), begin.elapsed());
        if let Err(problem) = ended {
            tracing::debug!(%problem, "tunnel broke");
        }
    };
    shared.halt.until(gone.until(joined)).await;
}

fn end(upgraded: Upgraded, handed: &Arc<Handed>) -> End {
    match upgraded.downcast::<TokioIo<Rewound>>() {
        Ok(parts) => {
            let (stream, rest) = parts.io.into_inner().into_parts();
            stream.keep_alive();
            let read = if rest.is_empty() { parts.read_buf } else { [parts.read_buf, rest].concat().into() };
            End { stream, read }
        }
        Err(upgraded) => {
            let stream = SharedStream::new(upgraded, Arc::clone(handed));
            End { stream: Stream::Shared(Box::new(stream)), read: Bytes::new() }
        }
    }
}

fn state_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether a `101` proves that the upstream understood this handshake (RFC 6455, 4.1).
fn is_valid(answer: &HeaderMap, key: &HeaderValue, offered: &HeaderMap) -> bool {
    let is_websocket = answer.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let accepted = only(answer, &SEC_WEBSOCKET_ACCEPT).is_some_and(|value| value.as_bytes() == accept(key).as_bytes());
    let chosen = match answer.get(SEC_WEBSOCKET_PROTOCOL) {
        None => true,
        Some(chosen) => {
            headers::tokens(offered, &SEC_WEBSOCKET_PROTOCOL).any(|offer| offer.as_bytes() == chosen.as_bytes())
        }
    };
    is_websocket && names_upgrade(answer) && accepted && chosen
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    headers::tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

fn accept(key: &HeaderValue) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_standard() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_whole_answer_to_our_key_switches() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let offered = [(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("a, b"))].into_iter().collect();
        let good = [
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "b"),
        ];
        let answer = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            let line = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
            lines.iter().map(line).collect()
        };
        assert!(is_valid(&answer(&good), &key, &offered));
        assert!(is_valid(&answer(&good[..3]), &key, &offered));
        for (at, wrong) in [(0, "close"), (1, "h2c"), (2, "AAAA"), (3, "c")] {
            let mut lines = good;
            lines[at].1 = wrong;
            assert!(!is_valid(&answer(&lines), &key, &offered), "{wrong}");
        }
        assert!(!is_valid(&answer(&good[..2]), &key, &offered));
    }
}

//! Which headers pass, and which say where a request came from. Pure, in place.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING},
};
use hyper::body::SizeHint;

use crate::target::Target;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that a `Connection` header may not take away from the next hop.
const KEPT: [&str; 8] =
    ["host", "authorization", "cookie", "set-cookie", "content-length", "transfer-encoding", "te", "content-type"];

/// Names in `Connection` headers that are looked at; a message with more is refused.
const NOMINATIONS: usize = 32;

/// What is known of the client's connection.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The client's address as `X-Forwarded-For` shows it.
    pub(crate) address: HeaderValue,
    /// Whether the upstream is told of it.
    pub(crate) told: bool,
    /// Whether its own claims are believed.
    pub(crate) trusted: bool,
    /// Whether all is said already, by another proxy of ours.
    pub(crate) vouched: bool,
    /// Whether scheme and port are put behind those that a trusted front said, as configurable-http-proxy does.
    pub(crate) appended: bool,
    /// `http` or `https`.
    pub(crate) proto: HeaderValue,
    /// Port of that scheme.
    pub(crate) port: HeaderValue,
}

/// Makes a client's head fit for the upstream, and tells whether the client takes trailers. The body's
/// framing is told by `size`, None is no body.
pub(crate) fn clean_request(
    headers: &mut HeaderMap,
    origin: &Origin,
    size: Option<SizeHint>,
) -> Result<bool, StatusCode> {
    check_transfer_encoding(headers)?;
    let trailers = accepts_trailers(headers);
    let foreign = |name: &str| is_lookalike(name) || (!origin.trusted && is_claim(name));
    strip(headers, |name| is_hop(name) || foreign(name)).ok_or(StatusCode::BAD_REQUEST)?;
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    } else {
        headers.remove(TE);
    }
    frame(headers, size);
    if origin.told {
        state_origin(headers, origin);
    }
    Ok(trailers)
}

/// Makes an upstream's head fit for the client. False when it is not to be trusted with a client.
pub(crate) fn clean_response(headers: &mut HeaderMap, client_takes_trailers: bool) -> bool {
    if strip(headers, is_hop).is_none() || check_transfer_encoding(headers).is_err() {
        return false;
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // With both, the length is a lie that hyper has not used, and must not write.
        headers.remove(CONTENT_LENGTH);
    } else if !single_length(headers) {
        return false;
    }
    if !client_takes_trailers {
        headers.remove(TRAILER);
    }
    true
}

/// Only `chunked` itself is passed on: what other codings hide cannot be framed anew.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), StatusCode> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(StatusCode::NOT_IMPLEMENTED),
    }
}

/// Whether the message says `TE: trailers`.
pub(crate) fn accepts_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

/// Whom the nearest front names as its client.
pub(crate) fn last_address(headers: &HeaderMap) -> Option<IpAddr> {
    let last = tokens(headers, &FORWARDED_FOR).last()?;
    let bare = last.trim_start_matches('[').split(']').next()?;
    // Some fronts add the port.
    bare.parse().ok().or_else(|| bare.rsplit_once(':')?.0.parse().ok())
}

/// What a head names in `Trailer`, less what may not come after a body (RFC 9110, 6.5.1).
pub(crate) fn named_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = tokens(headers, &TRAILER).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    names.take(NOMINATIONS).filter(|name| may_trail(name.as_str())).collect()
}

fn may_trail(name: &str) -> bool {
    let framing = matches!(name, "te" | "trailer" | "transfer-encoding" | "host" | "set-cookie" | "cookie");
    let control = matches!(name, "authorization" | "cache-control" | "location" | "max-forwards");
    !framing && !control && !is_hop(name) && !is_claim(name) && !name.starts_with("content-")
}

/// The comma-separated words of all headers of a name.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Removes what `Connection` names and what `unwanted` picks, looking at each name once: nearly all
/// heads have next to nothing of it. None when `Connection` is not to be believed.
fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) -> Option<()> {
    let mut names: Vec<HeaderName> = Vec::new();
    let mut nominations = 0;
    for token in tokens(headers, &CONNECTION) {
        if token.eq_ignore_ascii_case("keep-alive") || token.eq_ignore_ascii_case("close") {
            continue;
        }
        nominations += 1;
        if nominations > NOMINATIONS {
            return None;
        }
        names.push(HeaderName::from_bytes(token.as_bytes()).ok()?);
    }
    names.retain(may_be_nominated);
    names.extend(headers.keys().filter(|name| unwanted(name.as_str())).cloned());
    for name in names {
        headers.remove(name);
    }
    Some(())
}

/// Headers of one hop, beside those that `Connection` names, `TE` and `Trailer`.
pub(crate) fn is_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "upgrade"
            | "http2-settings"
    )
}

/// Headers that only a trusted front may set: where a request comes from, and with some fronts who has sent it.
pub(crate) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip" | "x-scheme")
}

/// Headers that an upstream may read as a claim, such as `X_Forwarded_For`: WSGI applications mix
/// underscores and dashes.
pub(crate) fn is_lookalike(name: &str) -> bool {
    name.as_bytes().contains(&b'_') && is_claim(&name.replace('_', "-"))
}

fn may_be_nominated(name: &HeaderName) -> bool {
    let name = name.as_str();
    !KEPT.contains(&name) && !name.starts_with("x-forwarded-") && !name.starts_with("sec-websocket-")
}

/// States the length anew, so that two readings of one message cannot exist.
fn frame(headers: &mut HeaderMap, size: Option<SizeHint>) {
    headers.remove(TRANSFER_ENCODING);
    match size.map(|size| size.exact()) {
        None if headers.contains_key(CONTENT_LENGTH) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        None => {}
        Some(Some(length)) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Some(None) => {
            headers.remove(CONTENT_LENGTH);
            // Said aloud, for hyper sends no body with GET, HEAD or DELETE otherwise.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Makes one length of the same one said twice, in lines or in a list. False when they are not the same, or are none:
/// hyper does not look at those of answers that have no body.
fn single_length(headers: &mut HeaderMap) -> bool {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next().map(|first| first.to_str().unwrap_or_default()) else { return true };
    if lengths.next().is_none() && number(first).is_some() {
        return true;
    }
    let Some(length) = first.split(',').next().and_then(|first| number(first.trim())) else { return false };
    let same = |value: &HeaderValue| {
        value.to_str().is_ok_and(|all| all.split(',').all(|one| number(one.trim()) == Some(length)))
    };
    if !headers.get_all(CONTENT_LENGTH).iter().all(same) {
        return false;
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    true
}

fn state_origin(headers: &mut HeaderMap, origin: &Origin) {
    let host = headers.get(HOST).cloned();
    let port = host.as_ref().and_then(|host| HeaderValue::from_bytes(port_of(host.as_bytes())?).ok());
    let port = port.unwrap_or_else(|| origin.port.clone());
    if origin.vouched && headers.contains_key(FORWARDED_FOR) {
        // As if the client had come to this proxy.
    } else if origin.trusted {
        append(headers, &FORWARDED_FOR, &origin.address);
    } else {
        headers.insert(FORWARDED_FOR, origin.address.clone());
    }
    if origin.appended {
        append(headers, &FORWARDED_PROTO, &origin.proto);
        append(headers, &FORWARDED_PORT, &port);
    } else {
        // What a trusted front said stays: it knows the scheme that the browser used.
        headers.entry(FORWARDED_PROTO).or_insert_with(|| origin.proto.clone());
        headers.entry(FORWARDED_PORT).or_insert(port);
    }
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

/// Puts a value behind all that are there.
fn append(headers: &mut HeaderMap, name: &HeaderName, last: &HeaderValue) {
    let mut chain = Vec::new();
    for value in headers.get_all(name) {
        chain.extend_from_slice(value.as_bytes());
        chain.push(b',');
    }
    chain.extend_from_slice(last.as_bytes());
    let chain = HeaderValue::from_bytes(&chain).unwrap_or_else(|_| last.clone());
    headers.insert(name, chain);
}

/// The port that a host names.
pub(crate) fn port_of(host: &[u8]) -> Option<&[u8]> {
    let colon = host.iter().rposition(|&byte| byte == b':')?;
    let port = host.get(colon + 1..)?;
    (!port.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

/// HTTP/1.1 wants a host, and older clients name none.
pub(crate) fn name_host(headers: &mut HeaderMap, target: &Target) {
    if !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(&target.authority)
    {
        headers.insert(HOST, host);
    }
}

/// The one host of a request: exactly one `Host`, made of characters that a host may have.
pub(crate) fn only_host(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?;
    (hosts.next().is_none() && is_host(host.as_bytes())).then_some(host)
}

/// Whether it is made of characters that a host may have.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+;=".contains(byte);
    !host.is_empty() && host.iter().all(valid)
}

/// Whether a request without a body may be sent twice.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;

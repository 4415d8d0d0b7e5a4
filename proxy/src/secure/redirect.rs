//! Plain HTTP beside https: proofs for ACME authorities, and for everybody else the https address.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::acme::Proofs;
use crate::{chp::Door, headers, lobby, state::Shared};

/// Connections served at once.
const CONNECTIONS: usize = 512;
/// Where authorities look for proofs (RFC 8555, 8.3).
const PROOF: &str = "/.well-known/acme-challenge/";

/// Answers until the drain.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, port: u16, proofs: Proofs) {
    lobby::serve(shared, Door::Tcp(listener), CONNECTIONS, move |request| answer(request, port, &proofs)).await;
}

fn answer(request: &Request<Incoming>, port: u16, proofs: &Proofs) -> Response<Full<Bytes>> {
    if let Some(token) = request.uri().path().strip_prefix(PROOF) {
        return match proofs.get(token) {
            Some(proof) => reply(StatusCode::OK, proof.into()),
            None => reply(StatusCode::NOT_FOUND, Bytes::new()),
        };
    }
    let host = headers::only_host(request.headers()).and_then(|host| host.to_str().ok());
    let url = request.uri().path_and_query().map_or("/", |url| url.as_str());
    let Some(location) = host.and_then(|host| location(host, port, url)) else {
        return reply(StatusCode::BAD_REQUEST, Bytes::from_static(b"The request does not name a valid host."));
    };
    // Only these two may be asked again with another method.
    let status = match *request.method() {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let mut response = reply(status, Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The same address by https.
fn location(host: &str, port: u16, url: &str) -> Option<HeaderValue> {
    let name = match host.rsplit_once(':') {
        Some((name, digits)) if !digits.ends_with(']') && digits.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let url = if url.starts_with('/') { url } else { "/" };
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let valid = match bracketed {
        Some(address) => matches!(address.parse(), Ok(IpAddr::V6(_))),
        None => !name.is_empty() && !name.contains(['[', ']', ':']),
    };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    valid.then(|| HeaderValue::from_str(&format!("https://{name}{port}{url}")).ok()).flatten()
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_stays_and_the_port_is_that_of_https() {
        let cases = [
            ("hub.example", 443, "/a?b=c", Some("https://hub.example/a?b=c")),
            ("hub.example:8080", 8443, "/", Some("https://hub.example:8443/")),
            ("[::1]:80", 8443, "/", Some("https://[::1]:8443/")),
            ("[::1]", 443, "*", Some("https://[::1]/")),
            ("hub.example:port", 443, "/", None),
            ("[nonsense]", 443, "/", None),
            (":80", 443, "/", None),
        ];
        for (host, port, url, expected) in cases {
            let found = location(host, port, url);
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{host}");
        }
    }
}

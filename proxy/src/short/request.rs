//! Which requests may go the short way, and their head as the upstream gets it.

use std::{mem::MaybeUninit, ops::Range, sync::Arc, time::Duration};

use http::Method;
use httparse::{Header, Request, Status};

use crate::{
    headers::{self, Origin},
    relay::{self, Client},
    route::Route,
    short::head::{HEADERS, Name, closes, number, write},
    wire,
};

/// A request that goes the short way.
pub(super) struct Asked {
    /// Bytes of its head.
    pub(super) length: usize,
    /// Bytes of its body.
    pub(super) body: u64,
    /// Where its head says so.
    told: Option<Range<usize>>,
    /// Whether it may be sent twice.
    pub(super) is_repeatable: bool,
    /// Whether only the head of the answer is wanted.
    pub(super) head: bool,
    /// Whether the client wants no other answer on this connection.
    pub(super) closes: bool,
    pub(super) route: Arc<Route>,
    /// How long it took to find that; see [`relay::find`].
    pub(super) finding: Option<Duration>,
    /// Whether the hub is asked how it is.
    pub(super) is_health: bool,
}

impl Asked {
    /// What came of its body together with the head.
    pub(super) fn first<'a>(&self, read: &'a [u8]) -> &'a [u8] {
        let body = read.get(self.length..).unwrap_or_default();
        body.get(..usize::try_from(self.body).unwrap_or(usize::MAX)).unwrap_or(body)
    }

    /// Has a head that was read say that less of its body is to come.
    pub(super) fn tell_less(&self, body: u64, read: &mut [u8]) {
        if let Some(told) = self.told.clone().and_then(|told| read.get_mut(told)) {
            told.copy_from_slice(format!("{body:0width$}", width = told.len()).as_bytes());
        }
    }
}

/// Reads a request and writes its head for the upstream. None where the request is not plain: what is not understood
/// here, or not allowed, or not whole yet, is hyper's to judge.
pub(super) fn plain(client: &Client, read: &[u8], to: &mut Vec<u8>) -> Option<Asked> {
    let shared = &client.shared;
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS];
    let mut request = Request::new(&mut []);
    let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(read, &mut headers) else { return None };
    let (method, target) = (request.method?, request.path?);
    if request.version != Some(1) || !is_plain(method) || !is_target(target) {
        return None;
    }
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let host = hosts.next().filter(|host| headers::is_host(host.value))?.value;
    if hosts.next().is_some() {
        return None;
    }
    let path = target.split('?').next().unwrap_or_default();
    if path == "/_chp_healthz" {
        return None;
    }
    let (route, finding) = relay::find(shared, std::str::from_utf8(host).ok()?, path);
    let route = route.ok()?;
    // What other proxies of ours say of their answers is theirs to read.
    if route.is_elsewhere() || shared.chp.as_ref().is_some_and(|chp| chp.rewrite.moves(route.target())) {
        return None;
    }
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    let mut lines = Lines::new(client, &route, read);
    for header in &*request.headers {
        lines.pass(header, to)?;
    }
    let (closes, body, told) = (lines.closes, lines.body.unwrap_or_default(), lines.told.take());
    lines.end(host, to);
    to.extend_from_slice(b"\r\n");
    let (head, is_health) = (method == "HEAD", relay::is_health(&route, path));
    let is_repeatable = body == 0 && headers::is_idempotent(&Method::from_bytes(method.as_bytes()).ok()?);
    Some(Asked { length, body, told, is_repeatable, head, closes, route, finding, is_health })
}

fn is_plain(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE" | "POST" | "PUT" | "PATCH")
}

/// A path with or without a query, of characters that all programs read alike.
fn is_target(target: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    target.starts_with('/') && !target.starts_with("//") && target.bytes().all(usual)
}

/// The lines of a head on their way.
struct Lines<'a> {
    client: &'a Client,
    route: &'a Route,
    /// What a trusted front says of where the request comes from, before what we say: address, scheme and port.
    chains: [Option<&'a [u8]>; 3],
    proto: bool,
    port: bool,
    host: bool,
    closes: bool,
    body: Option<u64>,
    /// Where that stands in what was read.
    told: Option<Range<usize>>,
    read: &'a [u8],
}

impl<'a> Lines<'a> {
    fn new(client: &'a Client, route: &'a Route, read: &'a [u8]) -> Self {
        let [proto, port, host, closes] = [false; 4];
        Self { client, route, chains: [None; 3], proto, port, host, closes, body: None, told: None, read }
    }

    /// Writes one header, or leaves it out. None where it makes the request one that is not plain.
    fn pass(&mut self, header: &Header<'a>, to: &mut Vec<u8>) -> Option<()> {
        let Origin { trusted, appended, .. } = self.client.origin;
        let name = Name::of(header.name)?;
        match name.as_str() {
            "transfer-encoding" | "te" | "trailer" | "expect" | "upgrade" | wire::PROOF_HEADER => return None,
            "content-length" => {
                // Beyond this, lengths are no lengths to hyper.
                let body = number(header.value).filter(|body| *body <= u64::MAX - 2)?;
                if self.body.replace(body).is_some() {
                    return None;
                }
                let at = header.value.as_ptr().addr() - self.read.as_ptr().addr();
                self.told = Some(at..at + header.value.len());
                write("content-length", body.to_string().as_bytes(), to);
                return Some(());
            }
            "connection" => {
                self.closes |= closes(header.value)?;
                return Some(());
            }
            "cookie" => {
                let firewall = self.client.shared.cookie_firewall.as_ref().filter(|_| !self.route.is_hub());
                match firewall {
                    None => name.write(header.value, to),
                    Some(firewall) => firewall.shown(header.value).iter().for_each(|value| name.write(value, to)),
                }
                return Some(());
            }
            "x-forwarded-for" if trusted => return once(&mut self.chains[0], header.value),
            "x-forwarded-proto" if trusted && appended => return once(&mut self.chains[1], header.value),
            "x-forwarded-port" if trusted && appended => return once(&mut self.chains[2], header.value),
            "x-forwarded-proto" => self.proto = trusted,
            "x-forwarded-port" => self.port = trusted,
            "x-forwarded-host" => self.host = trusted,
            _ => {}
        }
        let name_is = name.as_str();
        let foreign = headers::is_lookalike(name_is) || (!trusted && headers::is_claim(name_is));
        if !foreign && !headers::is_hop(name_is) {
            name.write(header.value, to);
        }
        Some(())
    }

    /// Says where the request comes from, as [`headers::clean_request`] does, and who passes it on.
    fn end(self, host: &[u8], to: &mut Vec<u8>) {
        let (origin, [address, proto, port]) = (&self.client.origin, self.chains);
        append("x-forwarded-for", address, origin.address.as_bytes(), to);
        if !self.proto {
            append("x-forwarded-proto", proto, origin.proto.as_bytes(), to);
        }
        if !self.port {
            append("x-forwarded-port", port, headers::port_of(host).unwrap_or(origin.port.as_bytes()), to);
        }
        if !self.host {
            write("x-forwarded-host", host, to);
        }
        if let Some(proof) = self.client.shared.proof.as_ref().filter(|_| self.route.is_hub()) {
            write(wire::PROOF_HEADER, proof.as_bytes(), to);
        }
    }
}

/// Keeps a value of which there may be one. None where there is another.
fn once<'a>(kept: &mut Option<&'a [u8]>, value: &'a [u8]) -> Option<()> {
    kept.replace(value).is_none().then_some(())
}

/// Writes a value behind those that are there.
fn append(name: &str, chain: Option<&[u8]>, last: &[u8], to: &mut Vec<u8>) {
    match chain {
        None => write(name, last, to),
        Some(chain) => write(name, &[chain, b",", last].concat(), to),
    }
}

//! Which answers may come back the short way, and their head as the client gets it.

use std::{cell::RefCell, mem::MaybeUninit, ops::Range, sync::Arc, time::SystemTime};

use http::StatusCode;
use httparse::{Header, Response, Status};

use crate::{
    headers,
    route::Route,
    short::{
        head::{HEADERS, Name, closes, number, write},
        request::Asked,
    },
    state::Shared,
};

/// An answer that goes the short way.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Bytes of its head.
    length: usize,
    /// Bytes of its body that are still to be passed on.
    pub(super) left: u64,
    /// Whether the server takes another request on this connection.
    pub(super) keeps: bool,
    /// Whether the client was told that it is the last one on its connection.
    pub(super) closes: bool,
}

impl Answer {
    /// What came of the body together with the head.
    pub(super) fn first<'a>(&self, read: &'a [u8]) -> &'a [u8] {
        let body = read.get(self.length..).unwrap_or_default();
        body.get(..usize::try_from(self.left).unwrap_or(usize::MAX)).unwrap_or(body)
    }

    /// Where in a buffer of such a length the rest of the body has its place behind what was read of it. None where there
    /// is none, or no room for all of it.
    pub(super) fn rest(&self, read: usize, room: usize) -> Option<Range<usize>> {
        let end = usize::try_from(self.left).ok()?.checked_add(self.length)?;
        (read < end && end <= room).then_some(read..end)
    }

    /// Counts what is passed on of the body.
    pub(super) fn passed(&mut self, route: &Arc<Route>, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
        route.count_down(bytes);
        if self.left == 0 && self.status.as_u16() < 300 {
            route.touch();
        }
    }
}

/// Reads an answer and writes its head for the client. None where it is not plain, or not whole yet.
pub(super) fn plain(shared: &Shared, asked: &Asked, read: &[u8], to: &mut Vec<u8>) -> Option<Answer> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS];
    let mut response = Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, read, &mut headers);
    let Ok(Status::Complete(length)) = parsed else { return None };
    let (code, reason) = (response.code?, response.reason?);
    // What comes before an answer, and a switch, are none.
    if response.version != Some(1) || code < 200 {
        return None;
    }
    let status = StatusCode::from_u16(code).ok()?;
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    let firewall = shared.cookie_firewall.as_ref().filter(|_| !asked.route.is_hub());
    let hsts = shared.secure.as_ref().and_then(|secure| secure.hsts.as_ref());
    let (mut size, mut keeps, mut dated) = (None, true, false);
    for header in &*response.headers {
        let name = Name::of(header.name)?;
        match name.as_str() {
            "transfer-encoding" | "trailer" => return None,
            "content-length" if size.replace(number(header.value)?).is_some() => return None,
            "connection" => {
                keeps &= !closes(header.value)?;
                continue;
            }
            "strict-transport-security" if hsts.is_some() => continue,
            "date" => dated = true,
            other if headers::is_hop(other) => continue,
            other if firewall.is_some_and(|firewall| firewall.concerns(other)) => return None,
            _ => {}
        }
        name.write(header.value, to);
    }
    let bare = matches!(code, 204 | 304);
    // Beyond this, lengths are no lengths to hyper.
    if length > shared.limits().header_bytes || size.is_some_and(|size| size > u64::MAX - 2) {
        return None;
    }
    let left = match size {
        // Programs do not agree on what a length means here.
        Some(_) if bare => return None,
        _ if asked.head || bare => 0,
        // An answer without a length lasts until the server closes the connection.
        size => size?,
    };
    if !dated {
        now(|date| write("date", date, to));
    }
    if let Some(hsts) = hsts {
        write("strict-transport-security", hsts.as_bytes(), to);
    }
    let closes = asked.closes || shared.drain.is_set() || shared.leaving.is_set();
    if closes {
        write("connection", b"close", to);
    }
    to.extend_from_slice(b"\r\n");
    // What comes after the body was not asked for, and nothing more is on such a connection.
    keeps &= read.len() as u64 <= left.saturating_add(length as u64);
    Some(Answer { status, length, left, keeps, closes })
}

/// Lends the date, as it is written in a head (RFC 9110, 6.6.1).
fn now(to: impl FnOnce(&[u8])) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(of, date)| {
        if *of != second || date.is_empty() {
            (*of, *date) = (second, httpdate::fmt_http_date(now));
        }
        to(date.as_bytes());
    });
}

//! Other proxies of ours: servers of another site are reached through the proxies that are there.
//!
//! What is sent to one carries the proof that hub and proxies share, and who shows it is believed about the client, whatever
//! its address. Nobody else ever sees the proof: it is taken from every request, and added to those for the hub and for
//! other proxies alone.

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};

use crate::{
    error_page::Fault,
    headers::Origin,
    route::{Class, Route},
    state::Shared,
    target::Target,
    wire,
};

/// Two sites that each take the other for that of the server. A third proxy is never asked.
pub(crate) const ASTRAY: Fault = Fault::new(
    StatusCode::BAD_GATEWAY,
    "Two sites do not agree on which of them this server runs at. Try again shortly.",
);
/// For all servers of a site whose proxies are not reached.
pub(crate) const AWAY: Fault =
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The site of this server is not reached from here. Try again shortly.");

/// Nobody else waits for the proxies of a site that gave no sign, for so long.
const REST: Duration = Duration::from_secs(2);
/// They are remembered for so long after the last try.
const KEPT: Duration = Duration::from_secs(60);
/// So many of them are remembered.
const MOST: usize = 256;

/// Stands with a request that another proxy of ours has passed on.
#[derive(Clone, Copy)]
struct PassedOn;

/// Whether another proxy of ours has passed a request on. Takes the proof from it in any case.
pub(crate) fn admit<B>(shared: &Shared, request: &mut Request<B>) -> bool {
    let Some(proof) = &shared.proof else { return false };
    let headers = request.headers_mut();
    if !headers.contains_key(wire::PROOF_HEADER) {
        return false;
    }
    let alone = headers.get_all(wire::PROOF_HEADER).iter().count() == 1;
    let Some(shown) = headers.remove(wire::PROOF_HEADER) else { return false };
    let passed_on = alone && is_same(shown.as_bytes(), proof.as_bytes());
    if passed_on {
        request.extensions_mut().insert(PassedOn);
    }
    passed_on
}

/// In a time that does not tell how much of it is right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// What counts of where a request comes from.
pub(crate) fn origin<'a>(origin: &'a Origin, extensions: &Extensions) -> Cow<'a, Origin> {
    match extensions.get::<PassedOn>() {
        None => Cow::Borrowed(origin),
        Some(PassedOn) => Cow::Owned(Origin { trusted: true, vouched: true, ..origin.clone() }),
    }
}

/// Lets the hub, or another proxy, know that a request comes from here.
pub(crate) fn show(shared: &Shared, route: &Route, headers: &mut HeaderMap) {
    if let Some(proof) = shared.proof.as_ref().filter(|_| route.is_hub() || route.is_elsewhere()) {
        headers.insert(wire::PROOF_HEADER, proof.clone());
    }
}

/// Tells who passed a request on where it has led, and nobody else.
pub(crate) fn mark<B>(response: &mut Response<B>, passed_on: bool, class: Class, elsewhere: bool) {
    if passed_on {
        response.headers_mut().insert(wire::LED_TO_HEADER, HeaderValue::from_static(class.name()));
    } else if elsewhere {
        response.headers_mut().remove(wire::LED_TO_HEADER);
    }
}

/// Whose proxies gave no sign of late, by address.
#[derive(Default)]
pub(crate) struct Silent(Mutex<HashMap<String, Instant>>);

impl Silent {
    /// Whether nobody is to wait for it now. One is let through after a while, for whom the others wait again.
    pub(crate) fn is(&self, target: &Target) -> bool {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = silent.get_mut(&target.authority) else { return false };
        if since.elapsed() < REST {
            return true;
        }
        *since = Instant::now();
        false
    }

    /// Notes why nobody could connect. Whoever answers, if only to refuse, costs no time, and is tried again.
    pub(crate) fn note(&self, target: &Target, problem: &io::Error) {
        use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        if !matches!(problem.kind(), TimedOut | HostUnreachable | NetworkUnreachable) {
            return self.forget(target);
        }
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, since| since.elapsed() < KEPT);
        if silent.len() < MOST {
            silent.insert(target.authority.clone(), Instant::now());
        }
    }

    /// It gave a sign.
    pub(crate) fn forget(&self, target: &Target) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&target.authority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_no_sign_is_not_waited_for_and_who_refused_is() {
        let [one, other] = ["https://one.example", "https://other.example"].map(|url| Target::parse(url).unwrap());
        for (kind, silent) in [
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::HostUnreachable, true),
            (io::ErrorKind::NetworkUnreachable, true),
            (io::ErrorKind::ConnectionRefused, false),
            (io::ErrorKind::ConnectionReset, false),
            // What TLS and too many open files are.
            (io::ErrorKind::InvalidData, false),
            (io::ErrorKind::Other, false),
        ] {
            let all = Silent::default();
            all.note(&one, &kind.into());
            assert_eq!((all.is(&one), all.is(&other)), (silent, false), "{kind:?}");
            all.forget(&one);
            assert!(!all.is(&one), "it answered");
        }
    }

    #[test]
    fn one_at_a_time_is_let_through_to_who_gave_no_sign() {
        let one = Target::parse("https://one.example").unwrap();
        let Some(before) = Instant::now().checked_sub(REST) else { return };
        let silent = Silent(Mutex::new(HashMap::from([(one.authority.clone(), before)])));
        assert_eq!([(); 3].map(|()| silent.is(&one)), [false, true, true]);
    }

    #[test]
    fn a_proof_is_the_same_or_it_is_none() {
        for (shown, same) in [("5f5f", true), ("5f5e", false), ("", false), ("5f5f5f", false), ("5f", false)] {
            assert_eq!(is_same(shown.as_bytes(), b"5f5f"), same, "{shown}");
        }
    }
}

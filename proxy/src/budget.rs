//! How much of the proxy one address and one route may have: connections, requests at once, and requests a second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{activity::lock, error_page::Fault, metrics::Refusal, relay::Client, route::Route, state::Shared};

pub(crate) const TOO_MANY: Fault =
    Fault::new(StatusCode::TOO_MANY_REQUESTS, "There were too many requests. Try again shortly.");
const FULL: Fault =
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The server has as many requests as it may have. Try again shortly.");

/// A bound on how often something may happen, by the generic cell rate algorithm: the state is the time at which all
/// that was let through would have been through at an even pace.
#[derive(Default)]
pub(crate) struct Pace(AtomicU64);

/// So many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Nanoseconds from one to the next.
    each: u64,
    /// Nanoseconds that may be used ahead.
    ahead: u64,
}

impl Rate {
    /// One in so much time.
    pub(crate) fn every(time: Duration) -> Self {
        Self { each: nanoseconds(time), ahead: 0 }
    }

    /// None is no bound: the rate is 0. A burst of 0 is that of one second.
    pub(crate) fn new(a_second: u32, burst: u32) -> Option<Self> {
        let each = 1_000_000_000_u64.checked_div(u64::from(a_second))?;
        let burst = if burst == 0 { a_second } else { burst };
        Some(Self { each, ahead: each * u64::from(burst.saturating_sub(1)) })
    }
}

/// Nanoseconds, for a [`Pace`].
pub(crate) fn since(start: Instant) -> u64 {
    nanoseconds(start.elapsed())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether one more may pass now. `now` is in nanoseconds since any fixed moment.
    pub(crate) fn passes(&self, rate: Rate, now: u64) -> bool {
        let step = |then: u64| (then.saturating_sub(now) <= rate.ahead).then(|| then.max(now) + rate.each);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }

    fn is_idle(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }
}

/// Tables of addresses, so that not all wait for one lock.
const TABLES: usize = 16;
/// Addresses in a table before idle ones are looked for.
const SOME: usize = 1024;

#[derive(Default)]
struct Peer {
    connections: usize,
    arrivals: Pace,
    requests: Pace,
}

impl Peer {
    fn is_idle(&self, now: u64) -> bool {
        self.connections == 0 && self.arrivals.is_idle(now) && self.requests.is_idle(now)
    }
}

#[derive(Default)]
struct Table {
    peers: HashMap<u128, Peer>,
    /// As many as there were when idle ones were looked for.
    looked: usize,
}

impl Table {
    fn peer(&mut self, key: u128, now: u64) -> &mut Peer {
        // Not at every address, when all of them are busy.
        if self.peers.len() >= SOME.max(2 * self.looked) && !self.peers.contains_key(&key) {
            self.peers.retain(|_, peer| !peer.is_idle(now));
            self.looked = self.peers.len();
        }
        self.peers.entry(key).or_default()
    }
}

/// Who is connected, and who asks how often. An address is forgotten when there is nothing to remember of it.
pub(crate) struct Crowd {
    start: Instant,
    tables: [Mutex<Table>; TABLES],
}

impl Default for Crowd {
    fn default() -> Self {
        Self { start: Instant::now(), tables: Default::default() }
    }
}

/// One connection of an address.
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    key: u128,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.crowd.now();
        let peers = &mut lock(self.crowd.table(self.key)).peers;
        if let Some(peer) = peers.get_mut(&self.key) {
            peer.connections = peer.connections.saturating_sub(1);
            if peer.is_idle(now) {
                peers.remove(&self.key);
            }
        }
    }
}

impl Crowd {
    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        since(self.start)
    }

    fn table(&self, key: u128) -> &Mutex<Table> {
        let [first, rest @ ..] = &self.tables;
        // Neighbours must not share a table: whole networks come at once.
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        usize::try_from(mixed).ok().and_then(|at| rest.get(at.checked_sub(1)?)).unwrap_or(first)
    }

    /// A seat for one more connection, unless the address has `most` already, or takes them faster than the rate.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: Option<usize>,
        rate: Option<Rate>,
    ) -> Result<Seat, Refusal> {
        let (key, now) = (key(address), self.now());
        let mut table = lock(self.table(key));
        let peer = table.peer(key, now);
        if most.is_some_and(|most| peer.connections >= most) {
            return Err(Refusal::AddressConnections);
        }
        if rate.is_some_and(|rate| !peer.arrivals.passes(rate, now)) {
            return Err(Refusal::AddressArrivals);
        }
        peer.connections += 1;
        drop(table);
        Ok(Seat { crowd: Arc::clone(self), key })
    }

    /// Whether an address may ask once more now.
    pub(crate) fn passes(&self, address: IpAddr, rate: Rate) -> bool {
        let (key, now) = (key(address), self.now());
        lock(self.table(key)).peer(key, now).requests.passes(rate, now)
    }
}

/// Whoever has an address of version six has a network of them.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

/// One request at a route, until its answer or its websocket has ended.
pub(crate) struct Turn(Arc<Route>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turns.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a route has open, and how fast more comes.
#[derive(Default)]
pub(crate) struct Turns {
    open: AtomicUsize,
    pace: Pace,
}

/// A seat for a connection of this address, where seats are counted; an error when there is none for it. Fronts that are
/// believed have everybody's connections.
pub(crate) fn seat(shared: &Shared, address: Option<IpAddr>, trusted: bool) -> Result<Option<Seat>, ()> {
    let limits = shared.limits();
    let most = Some(limits.address_connections).filter(|most| *most > 0);
    let rate = Rate::new(limits.address_arrivals, limits.address_arrivals_burst);
    let Some(address) = address.filter(|_| !trusted && (most.is_some() || rate.is_some())) else { return Ok(None) };
    shared.crowd.enter(address, most, rate).map(Some).map_err(|refusal| {
        shared.meter.refused(refusal);
        tracing::debug!(%address, "an address has as many connections as it may have, or takes too many at once");
    })
}

/// Whether the client may ask once more.
pub(crate) fn may_ask(client: &Client, asked_by: impl FnOnce() -> Option<IpAddr>) -> Result<(), Fault> {
    let shared = &client.shared;
    let limits = shared.limits();
    let Some(rate) = Rate::new(limits.address_rate, limits.address_burst) else { return Ok(()) };
    // A front asks for many: whom it names is meant.
    let address = if client.origin.trusted { asked_by() } else { client.peer };
    if address.is_none_or(|address| shared.crowd.passes(address, rate)) {
        return Ok(());
    }
    shared.meter.refused(Refusal::AddressRate);
    Err(TOO_MANY)
}

/// A turn at a route. The hub's own route has none: it is everybody's.
pub(crate) fn turn(shared: &Shared, route: &Arc<Route>) -> Result<Option<Turn>, Fault> {
    if route.is_hub() {
        return Ok(None);
    }
    let limits = shared.limits();
    let paced = Rate::new(limits.route_rate, limits.route_burst);
    if paced.is_some_and(|rate| !route.turns.pace.passes(rate, shared.crowd.now())) {
        shared.meter.refused(Refusal::RouteRate);
        return Err(TOO_MANY);
    }
    if limits.route_requests == 0 {
        return Ok(None);
    }
    if route.turns.open.fetch_add(1, Ordering::Relaxed) >= limits.route_requests {
        route.turns.open.fetch_sub(1, Ordering::Relaxed);
        shared.meter.refused(Refusal::RouteRequests);
        return Err(FULL);
    }
    Ok(Some(Turn(Arc::clone(route))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_pace_lets_a_burst_pass_and_then_the_rate() {
        assert_eq!(Rate::new(0, 5), None);
        let rate = Rate::new(10, 3).unwrap();
        let pace = Pace::default();
        let passed = |now: u64| (0..100).filter(|_| pace.passes(rate, now)).count();
        assert_eq!(passed(SECOND), 3);
        assert_eq!(passed(SECOND + SECOND / 10), 1);
        assert_eq!(passed(SECOND + SECOND / 2), 3, "no more than the burst after a pause");
        let even = Rate::new(10, 1).unwrap();
        let pace = Pace::default();
        let all = (0..1000).filter(|step| pace.passes(even, SECOND + step * SECOND / 100)).count();
        assert_eq!(all, 100, "ten a second for ten seconds");
        assert_eq!(Rate::new(5, 0), Rate::new(5, 5), "without a burst, that of a second");
    }

    #[test]
    fn an_address_has_so_many_seats_and_is_forgotten_with_the_last() {
        let crowd = Arc::new(Crowd::default());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let enter = |of: &str, most| crowd.enter(address(of), Some(most), None).ok();
        let first = enter("192.0.2.1", 2).unwrap();
        let second = enter("::ffff:192.0.2.1", 2).unwrap();
        assert!(enter("192.0.2.1", 2).is_none(), "it is the same address");
        assert!(enter("192.0.2.2", 2).is_some());
        drop(first);
        let third = enter("192.0.2.1", 2).unwrap();
        drop((second, third));
        let six = enter("2001:db8::1", 1).unwrap();
        assert!(enter("2001:db8::2", 1).is_none(), "one network");
        assert!(enter("2001:db8:0:1::1", 1).is_some());
        drop(six);
        assert_eq!(crowd.tables.iter().map(|table| lock(table).peers.len()).sum::<usize>(), 0);
    }

    #[test]
    fn addresses_that_only_asked_are_forgotten_when_there_are_many() {
        let crowd = Crowd::default();
        let rate = Rate::new(1_000_000, 1).unwrap();
        for number in 0..200_000_u32 {
            assert!(crowd.passes(IpAddr::V4(number.into()), rate));
        }
        let kept: usize = crowd.tables.iter().map(|table| lock(table).peers.len()).sum();
        assert!(kept <= TABLES * SOME * 2, "{kept}");
    }
}

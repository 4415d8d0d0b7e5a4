//! One route: its target, its idle connections, its activity, and the signal that ends it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use chrono::Utc;
use serde_json::{Map, Value};

use crate::{
    activity::Ledger,
    budget::Turns,
    doubt::Doubt,
    pool::{Lease, Line, Pool},
    reach::Vigil,
    stop::Stop,
    target::{Target, TargetError},
    wire,
};

/// A route as the data path sees it. Held by the table, by open requests and by tunnels.
pub(crate) struct Route {
    wire: ArcSwap<wire::Route>,
    target: Target,
    /// Of the hub's own route: who waits for it.
    hub: Option<Arc<Vigil>>,
    elsewhere: AtomicBool,
    /// Microseconds since the epoch; 0 is never.
    last_activity: AtomicI64,
    /// Whether the route stands in the ledger already.
    noted: AtomicBool,
    ledger: Arc<Ledger>,
    pool: Pool,
    class: Class,
    pub(crate) turns: Turns,
    pub(crate) doubt: Doubt,
    /// Given when requests and tunnels of a deleted route must end.
    pub(crate) gone: Arc<Stop>,
}

impl Route {
    pub(crate) fn new(wire: wire::Route, ledger: Arc<Ledger>, pool_size: usize) -> Result<Self, TargetError> {
        let target = Target::parse(&wire.target)?;
        Ok(Self::leading_to(target, wire, ledger, pool_size))
    }

    /// A route whose target was read already.
    pub(crate) fn leading_to(target: Target, wire: wire::Route, ledger: Arc<Ledger>, pool_size: usize) -> Self {
        Self {
            target,
            class: Class::of(&wire),
            turns: Turns::default(),
            doubt: Doubt::default(),
            hub: is_hub(&wire.data).then(Arc::default),
            elsewhere: AtomicBool::new(is_elsewhere(&wire.data)),
            wire: ArcSwap::from_pointee(wire),
            last_activity: AtomicI64::new(0),
            noted: AtomicBool::new(false),
            ledger,
            pool: Pool::new(pool_size),
            gone: Arc::new(Stop::default()),
        }
    }

    pub(crate) fn wire(&self) -> Arc<wire::Route> {
        self.wire.load_full()
    }

    pub(crate) fn prefix(&self) -> String {
        self.wire.load().prefix.clone()
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the hub itself answers here, so that a failed connection is a restart and not an end.
    pub(crate) fn is_hub(&self) -> bool {
        self.hub.is_some()
    }

    /// Those who wait for the hub; None for other servers, which nobody waits for.
    pub(crate) fn vigil(&self) -> Option<&Arc<Vigil>> {
        self.hub.as_ref()
    }

    /// Whether it leads to the proxies of another site.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// Whose server it leads to.
    pub(crate) fn class(&self) -> Class {
        if self.is_hub() { Class::Hub } else { self.class }
    }

    /// Connections that wait for a request.
    pub(crate) fn idle(&self) -> usize {
        self.pool.idle()
    }

    /// Takes over new data when the target is the same; false when this must be another route.
    pub(crate) fn update(&self, wire: &wire::Route) -> bool {
        let now = self.wire.load();
        // Other authorities are believed of the hub: no connection is of both.
        if now.target != wire.target || self.is_hub() != is_hub(&wire.data) {
            return false;
        }
        if **now != *wire {
            self.elsewhere.store(is_elsewhere(&wire.data), Ordering::Relaxed);
            self.wire.store(Arc::new(wire.clone()));
        }
        true
    }

    /// Stamps activity, and notes the route for the next batch.
    pub(crate) fn touch(self: &Arc<Self>) {
        let begin = self.ledger.timed.then(Instant::now);
        self.last_activity.store(Utc::now().timestamp_micros(), Ordering::Relaxed);
        if !self.is_hub() && !self.noted.swap(true, Ordering::AcqRel) {
            self.ledger.note_active(Arc::clone(self));
        }
        if let Some(begin) = begin {
            self.ledger.updating.add(begin.elapsed());
        }
    }

    /// The time of the last activity in microseconds; the next touch will note the route again.
    pub(crate) fn report_activity(&self) -> i64 {
        // The mark goes first: a touch in between is then noted once more, never lost.
        self.noted.store(false, Ordering::Release);
        self.last_activity.load(Ordering::Acquire)
    }

    /// The time of the last activity in microseconds; 0 is never.
    pub(crate) fn last_activity(&self) -> i64 {
        self.last_activity.load(Ordering::Relaxed)
    }

    /// Counts as used from now on, without being told to a hub.
    pub(crate) fn begin_activity(&self) {
        self.last_activity.store(Utc::now().timestamp_micros(), Ordering::Relaxed);
    }

    /// Counts bytes that went to the server.
    pub(crate) fn count_up(&self, bytes: usize) {
        self.ledger.bytes_up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that came from it.
    pub(crate) fn count_down(&self, bytes: usize) {
        self.ledger.bytes_down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of bodies that were not copied.
    pub(crate) fn count_piped(&self, bytes: usize) {
        self.ledger.bytes_piped.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn take_idle(&self) -> Option<Lease> {
        self.pool.take()
    }

    /// Keeps a connection whose exchange is over, for the next request.
    pub(crate) fn keep_idle(self: &Arc<Self>, lease: Lease) {
        if self.pool.keep(lease, &self.ledger) {
            self.ledger.note_pooled(Arc::downgrade(self));
        }
    }

    pub(crate) fn take_line(&self) -> Option<Line> {
        self.pool.take_line()
    }

    /// Keeps a line whose exchange is over.
    pub(crate) fn keep_line(self: &Arc<Self>, line: Line) {
        if self.pool.keep_line(line, &self.ledger) {
            self.ledger.note_pooled(Arc::downgrade(self));
        }
    }

    /// Drops idle connections older than the bound; false when none are left.
    pub(crate) fn sweep_idle(&self, oldest: std::time::Duration) -> bool {
        self.pool.sweep(oldest, &self.ledger)
    }

    /// Closes the idle connections and keeps no more.
    pub(crate) fn retire(&self) {
        self.pool.close(&self.ledger);
    }

    #[cfg(test)]
    pub(crate) fn sample(prefix: &str) -> Self {
        let wire = wire::Route { prefix: prefix.to_owned(), target: "http://127.0.0.1:1".to_owned(), data: Map::new() };
        Self::new(wire, Arc::default(), 1).unwrap()
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.pool.close(&self.ledger);
    }
}

fn is_hub(data: &Map<String, Value>) -> bool {
    data.get("hub").and_then(Value::as_bool).unwrap_or(false)
}

fn is_elsewhere(data: &Map<String, Value>) -> bool {
    data.get(wire::ELSEWHERE).is_some_and(Value::is_string)
}

/// Whose servers there are, as far as the metrics tell: never whose in person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Hub,
    User,
    Service,
    Other,
}

impl Class {
    pub(crate) const ALL: [Self; 4] = [Self::Hub, Self::User, Self::Service, Self::Other];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::User => "user",
            Self::Service => "service",
            Self::Other => "other",
        }
    }

    /// As JupyterHub says it in the data of a route.
    fn of(wire: &wire::Route) -> Self {
        let has = |key: &str| wire.data.get(key).is_some_and(|value| !value.is_null());
        if is_hub(&wire.data) {
            Self::Hub
        } else if has("user") {
            Self::User
        } else if has("service") {
            Self::Service
        } else {
            Self::Other
        }
    }
}

/// Weak, so that the sweeper keeps no route alive.
pub(crate) type Pooled = Weak<Route>;

//! What all parts of the proxy share, and how a line of the route stream changes it.

use std::{
    collections::HashSet,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::TaskTracker;

use crate::{
    access_log::AccessLog,
    activity::Ledger,
    budget::Crowd,
    chp::Chp,
    cookies::CookieFirewall,
    metrics::Meter,
    options::{Cidr, Front, Limits},
    path::prefix_key,
    room::Room,
    route::Route,
    secure::Secure,
    sibling,
    stop::Stop,
    table::Table,
    target::{Target, TargetError},
    tls::Trust,
    wire,
};

/// Routes and where they stand in the hub's numbering. Never changed, only replaced.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    pub(crate) table: Table,
    pub(crate) epoch: String,
    pub(crate) revision: u64,
    /// The hub's own route, for its error pages.
    pub(crate) hub: Option<Arc<Route>>,
}

/// One proxy, as its tasks see it.
pub(crate) struct Shared {
    pub(crate) identity: String,
    /// Where this proxy is, told to the hub.
    pub(crate) site: Option<String>,
    /// What requests to the hub and to other proxies carry as [`wire::PROOF_HEADER`]; None when there is no hub that would
    /// know it.
    pub(crate) proof: Option<HeaderValue>,
    /// Replaced when they are read again; see [`Shared::limits`].
    pub(crate) limits: ArcSwap<Limits>,
    pub(crate) trusted: Vec<Cidr>,
    /// Who says whose connection it passes on.
    pub(crate) proxy_protocol_from: Vec<Front>,
    /// Whom to believe among upstreams that speak TLS.
    pub(crate) trust: Trust,
    /// Whom to believe where the hub answers.
    pub(crate) trust_of_hub: Trust,
    /// TLS towards browsers.
    pub(crate) secure: Option<Secure>,
    pub(crate) mark: Option<String>,
    /// Set when this is configurable-http-proxy.
    pub(crate) chp: Option<Chp>,
    pub(crate) routes: ArcSwap<Routes>,
    /// Takes what no route matches.
    pub(crate) fallback: Option<Arc<Route>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tasks: TaskTracker,
    /// Set when another proxy has taken over: nothing more is accepted, and what is open goes on.
    pub(crate) leaving: Arc<Stop>,
    /// The public listeners, to be handed over; closed with the doors.
    pub(crate) listeners: Mutex<Vec<OwnedFd>>,
    /// Asks everything to end after what it is doing.
    pub(crate) drain: Arc<Stop>,
    /// Ends everything now.
    pub(crate) halt: Arc<Stop>,
    pub(crate) counts: Counts,
    pub(crate) meter: Meter,
    pub(crate) room: Arc<Room>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) cookie_firewall: Option<CookieFirewall>,
    pub(crate) silent: sibling::Silent,
    /// Takes routes whose server was not connected to; None when there is no hub that could be asked.
    pub(crate) doubts: Option<UnboundedSender<Arc<Route>>>,
}

/// What the status tells.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) tunnels: AtomicUsize,
    /// Those of them that share the connection of their client.
    pub(crate) sharing_tunnels: AtomicUsize,
    pub(crate) requests: AtomicU64,
    pub(crate) linked: AtomicBool,
}

impl Counts {
    /// Counts a tunnel until the result is dropped.
    pub(crate) fn open_tunnel(&self, shares: bool) -> OpenTunnel<'_> {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        self.sharing_tunnels.fetch_add(usize::from(shares), Ordering::Relaxed);
        OpenTunnel(self, shares)
    }
}

pub(crate) struct OpenTunnel<'a>(&'a Counts, bool);

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.0.sharing_tunnels.fetch_sub(usize::from(self.1), Ordering::Relaxed);
    }
}

/// What a line did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The table changed.
    Changed,
    /// The table stands where the hub says.
    Current,
    /// The hub is ahead, its change may still be on the way.
    Behind,
    /// The table does not fit the line: only a snapshot helps.
    Astray,
}

impl Shared {
    /// The output of the future, or None once new connections are not for this process any more.
    pub(crate) async fn while_open<F: Future>(&self, future: F) -> Option<F::Output> {
        self.leaving.until(self.drain.until(future)).await.flatten()
    }

    /// The bounds as they are now. Not to be held while waiting.
    pub(crate) fn limits(&self) -> arc_swap::Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// Applies one line. Only one task may call this.
    pub(crate) fn apply(self: &Arc<Self>, line: &wire::Line) -> Applied {
        let now = self.routes.load_full();
        let (next, retired): (Routes, Vec<Retirement>) = match line {
            wire::Line::Heartbeat { epoch, revision } => {
                return match now.epoch == *epoch {
                    true if now.revision == *revision => Applied::Current,
                    true if now.revision < *revision => Applied::Behind,
                    _ => Applied::Astray,
                };
            }
            wire::Line::Snapshot { epoch, revision, routes } => {
                let mut next = Routes { epoch: epoch.clone(), revision: *revision, ..Routes::default() };
                for wire in routes {
                    self.put(&mut next, &now, wire);
                }
                let kept: HashSet<*const Route> = next.table.iter().map(Arc::as_ptr).collect();
                let gone = now.table.iter().filter(|route| !kept.contains(&Arc::as_ptr(route)));
                let retired = gone.map(|route| self.retirement(&next, route)).collect();
                (next, retired)
            }
            wire::Line::Change { epoch, revision, put, delete } => {
                if now.epoch != *epoch || now.epoch.is_empty() {
                    return Applied::Astray;
                }
                if *revision <= now.revision {
                    return Applied::Current;
                }
                let mut next = Routes { revision: *revision, ..(*now).clone() };
                let removed = delete.iter().filter_map(|prefix| next.table.remove(&prefix_key(prefix).ok()?));
                let mut gone: Vec<_> = removed.collect();
                gone.extend(put.iter().filter_map(|wire| self.put(&mut next, &now, wire)));
                // What the hub writes anew is true again, also where nothing of it differs.
                put.iter()
                    .filter_map(|wire| next.table.get(&prefix_key(&wire.prefix).ok()?))
                    .for_each(|route| route.doubt.settle());
                // One line may delete a prefix and put it again.
                gone.retain(|route| !next.holds(route));
                if next.hub.as_ref().is_some_and(|hub| !next.holds(hub) || !hub.is_hub()) {
                    next.hub = None;
                }
                let retired = gone.iter().map(|route| self.retirement(&next, route)).collect();
                (next, retired)
            }
        };
        // The table first: a request that finds the old one still finds the route alive.
        self.routes.store(Arc::new(next));
        for retirement in retired {
            self.retire(retirement);
        }
        Applied::Changed
    }

    /// Puts one route, keeping the old object when only its data differs. Gives what was replaced.
    fn put(&self, next: &mut Routes, now: &Routes, wire: &wire::Route) -> Option<Arc<Route>> {
        let key = match prefix_key(&wire.prefix) {
            Ok(key) if Table::fits(&key) => key,
            Ok(_) => {
                refuse(wire, "the prefix is too deep");
                return None;
            }
            Err(problem) => {
                refuse(wire, &problem.to_string());
                return None;
            }
        };
        let route = match now.table.get(&key) {
            Some(known) if known.update(wire) => Arc::clone(known),
            _ => match self.make(wire) {
                Ok(route) => Arc::new(route),
                Err(problem) => {
                    refuse(wire, &problem.to_string());
                    // What was there is no longer what the hub wants there.
                    return next.table.remove(&key);
                }
            },
        };
        if route.is_hub() {
            next.hub = Some(Arc::clone(&route));
        }
        let before = next.table.put(&key, Arc::clone(&route));
        before.filter(|before| !Arc::ptr_eq(before, &route))
    }

    fn make(&self, wire: &wire::Route) -> Result<Route, TargetError> {
        let (ledger, pool) = (Arc::clone(&self.ledger), self.limits().pool_size);
        if self.chp.is_none() {
            return Route::new(wire.clone(), ledger, pool);
        }
        let route = Route::leading_to(Target::with_path(&wire.target)?, wire.clone(), ledger, pool);
        route.begin_activity();
        Ok(route)
    }

    fn retirement(&self, next: &Routes, route: &Arc<Route>) -> Retirement {
        let key = prefix_key(&route.prefix()).unwrap_or_default();
        Retirement { route: Arc::clone(route), replaced: next.table.get(&key).is_some() }
    }

    /// A deleted route may finish what it does within the grace. A replaced one drains by itself: its
    /// server moved, and cutting a kernel's tunnel early helps nobody.
    fn retire(self: &Arc<Self>, retirement: Retirement) {
        retirement.route.retire();
        // As configurable-http-proxy, what is open goes on: its hub ends the server itself.
        if retirement.replaced || self.chp.is_some() {
            return;
        }
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            // A drain has its own bound, and must not wait for this one.
            let grace = shared.limits().route_grace;
            if shared.drain.until(tokio::time::sleep(grace)).await.is_some() {
                retirement.route.gone.cancel();
            }
        });
    }
}

struct Retirement {
    route: Arc<Route>,
    replaced: bool,
}

fn refuse(wire: &wire::Route, problem: &str) {
    tracing::warn!(prefix = wire.prefix, problem, "a route is not usable and is left out");
}

impl Routes {
    pub(crate) fn holds(&self, route: &Arc<Route>) -> bool {
        let key = prefix_key(&route.prefix()).unwrap_or_default();
        self.table.get(&key).is_some_and(|found| Arc::ptr_eq(found, route))
    }

    /// The route that has taken the place of this one.
    pub(crate) fn successor(&self, route: &Arc<Route>) -> Option<Arc<Route>> {
        let key = prefix_key(&route.prefix()).ok()?;
        self.table.get(&key).filter(|found| !Arc::ptr_eq(found, route)).cloned()
    }

    /// The table as a line, for the snapshot file.
    pub(crate) fn to_line(&self) -> wire::Line {
        let mut routes: Vec<wire::Route> = self.table.iter().map(|route| (*route.wire()).clone()).collect();
        routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        wire::Line::Snapshot { epoch: self.epoch.clone(), revision: self.revision, routes }
    }
}

//! A connection to a route's server, or what is said when there is none. A hub that restarts is waited for.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    dial, doubt, error_page::Fault, link, metrics::Refusal, pool::Lease, relay, rewound::Rewound, route::Route,
    sibling, state::Shared, stream::Stream,
};

/// Between two attempts to reach a hub that restarts.
const PAUSE: Duration = Duration::from_millis(25);
/// The longest pause of who was connected, and not answered.
const LONGEST: Duration = Duration::from_millis(400);

/// How long one request waits for the hub: [`crate::Limits::hub_wait`] from the first time that it has to.
pub(crate) struct Patience {
    deadline: Option<Instant>,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: None, pause: PAUSE }
    }
}

impl Patience {
    /// None when it is over.
    fn deadline(&mut self, shared: &Shared) -> Option<Instant> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + shared.limits().hub_wait);
        (Instant::now() < deadline).then_some(deadline)
    }

    /// Waits for a moment, longer each time and not in step with others; false when it is over.
    pub(crate) async fn pause(&mut self, shared: &Shared) -> bool {
        if self.deadline(shared).is_none() {
            return false;
        }
        tokio::time::sleep(self.pause.mul_f64(0.5 + link::jitter())).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

/// Those who wait for one hub: one of them tries to reach it, and wakes the others.
pub(crate) struct Vigil {
    turn: Arc<Semaphore>,
    back: Notify,
}

impl Default for Vigil {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), back: Notify::new() }
    }
}

/// Of the one who tries.
struct Watch {
    vigil: Arc<Vigil>,
    _turn: OwnedSemaphorePermit,
}

impl Watch {
    fn end(self) {
        self.vigil.back.notify_waiters();
    }
}

impl Vigil {
    /// Waits until it may be tried again; false at the deadline.
    async fn wait(self: &Arc<Self>, watch: &mut Option<Watch>, deadline: Instant) -> bool {
        if watch.is_none() {
            tokio::select! {
                biased;
                () = self.back.notified() => return true,
                turn = Arc::clone(&self.turn).acquire_owned() => match turn {
                    Ok(turn) => *watch = Some(Watch { vigil: Arc::clone(self), _turn: turn }),
                    Err(_) => return false,
                },
                () = tokio::time::sleep_until(deadline) => return false,
            }
        }
        tokio::time::sleep(PAUSE).await;
        true
    }
}

/// A connection of its own; see [`connect`].
pub(crate) async fn dial(shared: &Shared, route: &mut Arc<Route>, patience: &mut Patience) -> Result<Lease, Fault> {
    let stream = connect(shared, route, patience).await?;
    let driven = dial::drive(shared, route, Rewound::new(stream, Bytes::new())).await;
    driven.map_err(|error| relay::no_answer(&error))
}

/// Connects; while the hub restarts, its route waits for it instead of failing. Should the hub come
/// back elsewhere, `route` becomes the one that leads there.
pub(crate) async fn connect(shared: &Shared, route: &mut Arc<Route>, patience: &mut Patience) -> Result<Stream, Fault> {
    const AWAY: Fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The server does not answer. It may be starting.");
    let mut watch = None;
    loop {
        if route.doubt.is_raised() {
            shared.meter.refused(Refusal::Doubt);
            return Err(AWAY);
        }
        if route.is_elsewhere() && shared.silent.is(route.target()) {
            return Err(sibling::AWAY);
        }
        let problem = match dial::open(shared, route).await {
            Ok(stream) => {
                if route.is_elsewhere() {
                    shared.silent.forget(route.target());
                }
                watch.into_iter().for_each(Watch::end);
                return Ok(stream);
            }
            Err(problem) => problem,
        };
        shared.meter.not_connected(&problem);
        if route.is_elsewhere() {
            tracing::debug!(%problem, prefix = route.prefix(), "the proxy of another site is not reached");
            shared.silent.note(route.target(), &problem);
            return Err(sibling::AWAY);
        }
        doubt::raise(shared, route, &problem);
        if !may_try_again(shared, route, &problem, patience, &mut watch).await {
            tracing::debug!(%problem, prefix = route.prefix(), "upstream is not reached");
            return Err(AWAY.because(problem.kind()));
        }
        if let Some(successor) = shared.routes.load().successor(route) {
            watch.take().into_iter().for_each(Watch::end);
            *route = successor;
        }
    }
}

/// Waits for a hub that restarts, for as long as there is patience.
async fn may_try_again(
    shared: &Shared,
    route: &Route,
    problem: &io::Error,
    patience: &mut Patience,
    watch: &mut Option<Watch>,
) -> bool {
    let Some(vigil) = route.vigil() else { return false };
    match problem.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => match patience.deadline(shared) {
            Some(deadline) => vigil.wait(watch, deadline).await,
            None => false,
        },
        // Behind one address there may be several hubs, of which the next one answers: a machine that died says nothing
        // at all. Who has waited for that has hammered at nobody.
        io::ErrorKind::TimedOut => patience.pause(shared).await,
        _ => false,
    }
}

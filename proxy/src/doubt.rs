//! Servers that refused a connection: nobody is sent to their port until the hub says that it is still theirs.
//!
//! When a person's server dies, its port may be another person's a moment later, and the first one's browser would show
//! the second one's server its token. The first refused connection tells that the server is gone; from then on its route
//! answers 503, while the hub is asked. The hub looks at the server, and says yes or takes the route away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    link::Control,
    route::{Class, Route},
    state::Shared,
    target::Address,
    wire,
};

/// Before the hub is asked again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

pub(crate) type Doubted = UnboundedReceiver<Arc<Route>>;

/// Whether a route may lead to somebody else by now.
#[derive(Default)]
pub(crate) struct Doubt(AtomicBool);

impl Doubt {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The hub says that the route is right.
    pub(crate) fn settle(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Doubts a person's server that refused a connection. Others have their ports for good, and so have the proxies of other
/// sites; sockets have names.
pub(crate) fn raise(shared: &Shared, route: &Arc<Route>) {
    let Some(doubts) = &shared.doubts else { return };
    if route.class() != Class::User || route.is_elsewhere() || matches!(route.target().address, Address::Unix(_)) {
        return;
    }
    if !route.doubt.0.swap(true, Ordering::AcqRel) {
        tracing::info!(
            prefix = route.prefix(),
            "a server refused a connection; the hub is asked whether it is still there"
        );
        // It fails when the proxy ends.
        let _ = doubts.send(Arc::clone(route));
    }
}

/// Asks the hub about each doubted route until it is settled or gone.
pub(crate) async fn settle(shared: Arc<Shared>, control: Control, mut doubted: Doubted) {
    let settling = async {
        while let Some(route) = doubted.recv().await {
            let (shared, control) = (Arc::clone(&shared), control.clone());
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                let asking = ask(&shared, &control, &route);
                shared.drain.until(route.gone.until(asking)).await;
            });
        }
    };
    shared.drain.until(settling).await;
}

async fn ask(shared: &Shared, control: &Control, route: &Arc<Route>) {
    let (mut pause, longest) = PAUSES;
    while route.doubt.is_raised() && shared.routes.load().holds(route) {
        let question =
            wire::Doubt { proxy: shared.identity.clone(), prefix: route.prefix(), target: route.wire().target.clone() };
        match control.put_question(wire::DOUBT_PATH, &question).await {
            // None is a hub that does not know the question.
            Ok(None) => return route.doubt.settle(),
            Ok(Some(wire::Verdict { confirmed: true })) => {
                tracing::info!(prefix = route.prefix(), "the hub says that the server is still there");
                return route.doubt.settle();
            }
            Ok(Some(_)) => {}
            Err(problem) => tracing::debug!(problem = format!("{problem:#}"), "the hub does not say"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

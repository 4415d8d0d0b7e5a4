//! Servers that were not connected to: nobody is sent to their port until the hub says that it is still theirs.
//!
//! When a person's server dies, its port may be another person's a moment later, and the first one's browser would show
//! the second one's server its token. So may the address of a pod. The first failed connection tells that the server may
//! be gone; from then on its route answers 503, while the hub is asked. The hub looks at the server, and says yes, as of
//! one that is only slow, or takes the route away.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;
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

/// Whether it says something of the server, and not of this machine alone: what it is out of, a file that it cannot read,
/// a name that it cannot look up.
fn is_of_server(problem: &io::Error) -> bool {
    const OWN: [Errno; 6] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::PERM];
    let errno = problem.raw_os_error();
    problem.kind() != io::ErrorKind::Other && !OWN.iter().any(|own| Some(own.raw_os_error()) == errno)
}

/// Doubts a person's server that could not be connected to. Others have their ports for good, and so have the proxies of other
/// sites; sockets have names.
pub(crate) fn raise(shared: &Shared, route: &Arc<Route>, problem: &io::Error) {
    let Some(doubts) = shared.doubts.as_ref().filter(|_| is_of_server(problem)) else { return };
    if route.class() != Class::User || route.is_elsewhere() || matches!(route.target().address, Address::Unix(_)) {
        return;
    }
    if !route.doubt.0.swap(true, Ordering::AcqRel) {
        tracing::info!(
            prefix = route.prefix(),
            %problem,
            "a server was not connected to; the hub is asked whether it is still there"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_17_whatever_a_server_does_to_a_connection_is_of_the_server() {
        let of_system = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [
            Errno::CONNREFUSED,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::HOSTDOWN,
            Errno::CONNRESET,
            Errno::CONNABORTED,
            Errno::PIPE,
        ] {
            assert!(is_of_server(&of_system(errno)), "{errno}");
        }
        // Of our own bound on connecting, and of TLS.
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof] {
            assert!(is_of_server(&kind.into()), "{kind}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::PERM] {
            assert!(!is_of_server(&of_system(errno)), "{errno}");
        }
        assert!(!is_of_server(&io::Error::other("no authority can be read")));
    }
}

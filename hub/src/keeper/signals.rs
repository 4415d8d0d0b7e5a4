//! Wake-ups within this process. Losing one costs a little waiting and nothing else: the rows are the truth.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use hub_core::id::SpawnerId;
use tokio::sync::{Notify, watch};

use super::absence::Absence;

#[derive(Default)]
struct Slot {
    /// Woken for the run that works on the server.
    changed: Arc<Notify>,
    /// Whether a run of this process works on it.
    held: bool,
}

/// Who waits for what; cheap to clone.
#[derive(Clone)]
pub struct Signals(Arc<Shared>);

struct Shared {
    slots: Mutex<HashMap<SpawnerId, Slot>>,
    /// Who follows which server: where many start at once, each follower is woken for its own alone.
    followers: Mutex<HashMap<SpawnerId, Vec<Arc<Notify>>>>,
    /// Counts changes of any server, for who has to do with all of them.
    servers: watch::Sender<u64>,
    /// Counts changes of routes.
    routes: watch::Sender<u64>,
    /// Counts acknowledgements of proxies.
    acknowledged: watch::Sender<u64>,
    /// How long the database was away.
    absence: Absence,
}

impl Default for Signals {
    fn default() -> Self {
        Self(Arc::new(Shared {
            slots: Mutex::default(),
            followers: Mutex::default(),
            servers: watch::Sender::new(0),
            routes: watch::Sender::new(0),
            acknowledged: watch::Sender::new(0),
            absence: Absence::default(),
        }))
    }
}

/// Proof that this run alone works on a server in this process.
pub struct Held {
    signals: Signals,
    server: SpawnerId,
    /// Whether the slot is given back, and may be another run's already.
    ended: bool,
}

impl Held {
    /// Gives the server back, unless somebody has called since the run last listened: then it has to go on.
    pub fn end(mut self) -> Option<Self> {
        let mut slots = self.signals.slots();
        // One lock for both, so that a call is either heard here or finds that nobody works on the server.
        let called = slots.get(&self.server).is_some_and(|slot| slot.changed.notified().now_or_never().is_some());
        if !called {
            slots.remove(&self.server);
        }
        drop(slots);
        self.ended = !called;
        called.then_some(self)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.ended {
            self.signals.slots().remove(&self.server);
        }
        self.signals.progressed(self.server);
    }
}

/// Follows some servers. A change that comes while nobody waits is kept until somebody does.
pub struct Followed {
    signals: Signals,
    servers: HashSet<SpawnerId>,
    changed: Arc<Notify>,
}

impl Followed {
    /// Returns once one of the servers has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Forgets a change of before: what is read from now on has it.
    pub fn mark_unchanged(&self) {
        let _ = self.changed.notified().now_or_never();
    }

    /// Follows these servers instead.
    pub fn follow(&mut self, servers: HashSet<SpawnerId>) {
        if servers == self.servers {
            return;
        }
        let mut followers = self.signals.followers();
        for gone in self.servers.difference(&servers) {
            self.leave(&mut followers, *gone);
        }
        for new in servers.difference(&self.servers) {
            followers.entry(*new).or_default().push(self.changed.clone());
        }
        drop(followers);
        self.servers = servers;
    }

    fn leave(&self, followers: &mut HashMap<SpawnerId, Vec<Arc<Notify>>>, server: SpawnerId) {
        if let Some(there) = followers.get_mut(&server) {
            there.retain(|one| !Arc::ptr_eq(one, &self.changed));
            if there.is_empty() {
                followers.remove(&server);
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.follow(HashSet::new());
    }
}

impl Signals {
    /// How long the database was away.
    pub fn absence(&self) -> &Absence {
        &self.0.absence
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SpawnerId, Slot>> {
        // The map is whole after every statement, so that a panic elsewhere leaves it usable.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, HashMap<SpawnerId, Vec<Arc<Notify>>>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a server for one run; `None` when another run has it, which is then made to read the row once more.
    pub fn hold(&self, server: SpawnerId) -> Option<Held> {
        let mut slots = self.slots();
        let slot = slots.entry(server).or_default();
        if slot.held {
            slot.changed.notify_one();
            return None;
        }
        slot.held = true;
        Some(Held { signals: self.clone(), server, ended: false })
    }

    /// Whether a run of this process works on the server.
    pub fn is_held(&self, server: SpawnerId) -> bool {
        self.slots().get(&server).is_some_and(|slot| slot.held)
    }

    /// Wakes the run that works on the server, and all who follow it.
    pub fn server_changed(&self, server: SpawnerId) {
        if let Some(slot) = self.slots().get(&server) {
            slot.changed.notify_one();
        }
        self.progressed(server);
    }

    /// Returns once `server_changed` was called for a held server.
    pub async fn changed(&self, server: SpawnerId) {
        let notify = self.slots().get(&server).map(|slot| slot.changed.clone());
        match notify {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Wakes all who follow a server.
    pub fn progressed(&self, server: SpawnerId) {
        for follower in self.followers().get(&server).into_iter().flatten() {
            follower.notify_one();
        }
        self.0.servers.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows some servers.
    pub fn follow(&self, servers: HashSet<SpawnerId>) -> Followed {
        let mut followed = Followed { signals: self.clone(), servers: HashSet::new(), changed: Arc::default() };
        followed.follow(servers);
        followed
    }

    /// Follows all servers: for one task, not for one a person.
    pub fn follow_all(&self) -> watch::Receiver<u64> {
        self.0.servers.subscribe()
    }

    /// Wakes the route streams.
    pub fn routes_changed(&self) {
        self.0.routes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows routes.
    pub fn follow_routes(&self) -> watch::Receiver<u64> {
        self.0.routes.subscribe()
    }

    /// Wakes those who wait for proxies.
    pub fn acknowledged(&self) {
        self.0.acknowledged.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How many acknowledgements there were.
    pub fn acknowledgements(&self) -> u64 {
        *self.0.acknowledged.borrow()
    }

    /// Follows acknowledgements.
    pub fn follow_acknowledgements(&self) -> watch::Receiver<u64> {
        self.0.acknowledged.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SpawnerId = SpawnerId(1);

    #[test]
    fn a_run_that_was_called_in_its_last_moment_goes_on() {
        let signals = Signals::default();
        let held = signals.hold(SERVER).unwrap();
        signals.server_changed(SERVER);
        let held = held.end().expect("the call is heard");
        assert!(signals.is_held(SERVER));
        assert!(held.end().is_none(), "a call is heard once");
        assert!(!signals.is_held(SERVER));
    }

    #[test]
    fn a_second_run_leaves_its_claim_to_the_first() {
        let signals = Signals::default();
        let held = signals.hold(SERVER).unwrap();
        assert!(signals.hold(SERVER).is_none());
        assert!(held.end().is_some(), "the first run reads the row once more");
    }

    #[test]
    fn a_run_that_has_ended_does_not_take_the_place_of_the_next() {
        let signals = Signals::default();
        assert!(signals.hold(SERVER).unwrap().end().is_none());
        let next = signals.hold(SERVER);
        assert!(signals.is_held(SERVER));
        drop(next);
        assert!(!signals.is_held(SERVER));
    }

    #[test]
    fn a_follower_is_woken_for_its_own_servers_alone() {
        let signals = Signals::default();
        let woken = |followed: &Followed| followed.changed().now_or_never().is_some();
        let (one, mut many) = (signals.follow([SERVER].into()), signals.follow([SERVER, SpawnerId(2)].into()));
        signals.progressed(SpawnerId(2));
        assert!(!woken(&one), "it is about another server");
        assert!(woken(&many) && !woken(&many), "once");
        signals.server_changed(SERVER);
        one.mark_unchanged();
        assert!(!woken(&one), "it has read what changed");
        many.mark_unchanged();
        many.follow([SpawnerId(2), SpawnerId(3)].into());
        signals.progressed(SERVER);
        assert!(!woken(&many) && woken(&one));
        signals.progressed(SpawnerId(3));
        assert!(woken(&many));
        drop((one, many));
        assert!(signals.followers().is_empty(), "nothing is left of who has gone");
    }
}

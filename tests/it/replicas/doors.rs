//! The proxies that people come in by, one of which may die: only what is in flight on it then may fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use tests::Session;

use super::people::count;

/// One proxy, or the balancer before all of them.
pub struct Door {
    origin: String,
    /// Nobody goes there any more.
    is_closed: AtomicBool,
    in_flight: AtomicU64,
    /// Requests that ended with the proxy that they were in.
    pub cut: AtomicU64,
}

/// All of them; a clone has the same.
#[derive(Clone)]
pub struct Doors(Arc<All>);

struct All {
    open: Mutex<Vec<Arc<Door>>>,
    /// Where a balancer leads to any proxy that lives.
    front: Option<Door>,
    /// Whether one is dying, and how many have died.
    is_dying: AtomicBool,
    deaths: AtomicU64,
}

impl Door {
    fn new(origin: String) -> Door {
        Door { origin, is_closed: AtomicBool::new(false), in_flight: AtomicU64::new(0), cut: AtomicU64::new(0) }
    }

    async fn knock(&self, session: &Session, name: &str) -> Result<()> {
        let said = session.at(&self.origin)?.get(&format!("/user/{name}/x")).await?.expect(&[200])?.json()?;
        ensure!(said["user"] == name, "{name} is led to {said}");
        Ok(())
    }
}

impl Doors {
    pub fn new(origins: Vec<String>, front: Option<String>) -> Doors {
        let open = origins.into_iter().map(|origin| Arc::new(Door::new(origin))).collect();
        Doors(Arc::new(All {
            open: Mutex::new(open),
            front: front.map(Door::new),
            is_dying: AtomicBool::new(false),
            deaths: AtomicU64::new(0),
        }))
    }

    fn open(&self) -> Vec<Arc<Door>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more.
    pub fn add(&self, origin: String) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(Door::new(origin)));
    }

    /// A ready lab answers through each proxy at once, and it is this person's.
    pub async fn visit(&self, session: &Session, name: &str) -> Result<()> {
        for door in self.open() {
            door.in_flight.fetch_add(1, Ordering::SeqCst);
            // Counted first: what is in flight when a door closes is all that ever will be.
            if !door.is_closed.load(Ordering::SeqCst) {
                let said = door.knock(session, name).await;
                if said.is_err() && door.is_closed.load(Ordering::SeqCst) {
                    count(&door.cut);
                } else {
                    said?;
                }
            }
            door.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        self.visit_front(session, name).await
    }

    async fn visit_front(&self, session: &Session, name: &str) -> Result<()> {
        let Some(front) = &self.0.front else { return Ok(()) };
        let deaths = self.0.deaths.load(Ordering::SeqCst);
        let said = front.knock(session, name).await;
        let was_in_flight = self.0.is_dying.load(Ordering::SeqCst) && deaths == 0;
        if said.is_err() && was_in_flight {
            count(&front.cut);
            return Ok(());
        }
        said
    }

    /// One of them dies. Gives it, and how many requests were in flight on it at most, besides those by the balancer.
    pub fn death(&self, origin: &str, kill: impl FnOnce()) -> Result<(Arc<Door>, u64)> {
        let door = self.open().into_iter().find(|door| door.origin == origin);
        let Some(door) = door else { anyhow::bail!("there is no door {origin}") };
        door.is_closed.store(true, Ordering::SeqCst);
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open.origin != origin);
        let in_flight = door.in_flight.load(Ordering::SeqCst);
        self.0.is_dying.store(true, Ordering::SeqCst);
        kill();
        self.0.deaths.fetch_add(1, Ordering::SeqCst);
        Ok((door, in_flight))
    }

    /// How many requests by the balancer ended with a proxy.
    pub fn cut_at_front(&self) -> u64 {
        self.0.front.as_ref().map_or(0, |front| front.cut.load(Ordering::SeqCst))
    }
}

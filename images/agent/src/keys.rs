//! Keys of one object store: asked of the hub, kept in memory, and renewed at half of their life as long as somebody uses
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::hub::{Hub, Refusal};
use crate::status::Status;

/// Programs of AWS wait for two seconds. Who finds no keys gets an answer before.
const PATIENCE: Duration = Duration::from_millis(1700);
/// Between two questions to the hub.
const SHORTEST: Duration = Duration::from_millis(500);
/// Keys that end sooner are not handed out.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Keys as the hub gives them and programs of AWS take them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Keys {
    /// The key's name.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// What goes with every request.
    pub token: String,
    /// When they end, as RFC 3339.
    pub expiration: String,
}

impl Keys {
    /// For how long they are good; nothing when that is past or cannot be read.
    pub fn left(&self) -> Duration {
        let end = chrono::DateTime::parse_from_rfc3339(&self.expiration).map(|end| end.to_utc());
        end.ok().and_then(|end| (end - chrono::Utc::now()).to_std().ok()).unwrap_or_default()
    }
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<Held>>,
    refusal: Option<Refusal>,
    /// How often the hub has been asked.
    tries: u64,
}

struct Held {
    keys: Keys,
    renew: Instant,
    ends: Instant,
}

impl Held {
    fn new(keys: Keys) -> Self {
        let (left, now) = (keys.left(), Instant::now());
        Self { keys, renew: now + (left / 2).max(SHORTEST), ends: now + left.saturating_sub(LAST_MOMENTS) }
    }
}

/// The keys of one storage.
pub struct KeyRing {
    /// The storage's name.
    pub name: String,
    hub: Arc<Hub>,
    status: Arc<Status>,
    state: watch::Sender<State>,
    /// Somebody has asked since the last question to the hub.
    used: AtomicBool,
    wanted: Notify,
}

impl KeyRing {
    /// Keys of this storage, none of them yet.
    pub fn new(name: String, hub: Arc<Hub>, status: Arc<Status>) -> Self {
        let state = watch::Sender::new(State::default());
        Self { name, hub, status, state, used: AtomicBool::new(false), wanted: Notify::new() }
    }

    /// Keys that are good, at once where there are any; else what the next answer of the hub brings, if it comes in time.
    pub async fn take(&self) -> Result<Keys, Refusal> {
        let mut states = self.state.subscribe();
        self.used.store(true, Ordering::Relaxed);
        let (good, tries) = {
            let state = states.borrow_and_update();
            (state.keys.clone(), state.tries)
        };
        let now = Instant::now();
        if good.as_ref().is_none_or(|held| held.renew <= now) {
            self.wanted.notify_one();
        }
        if let Some(held) = good.filter(|held| held.ends > now) {
            return Ok(held.keys.clone());
        }
        let answered = tokio::time::timeout(PATIENCE, states.wait_for(|state| state.tries > tries)).await;
        let state = match answered {
            Ok(Ok(state)) => state.clone(),
            _ => self.state.borrow().clone(),
        };
        match state.keys.filter(|held| held.ends > Instant::now()) {
            Some(held) => Ok(held.keys.clone()),
            None => Err(state.refusal.unwrap_or_else(|| Refusal::saying("the hub does not answer"))),
        }
    }

    /// Waits until the hub was asked once, whatever it said.
    pub async fn asked(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.tries > 0).await;
    }

    /// Runs until it is aborted.
    pub async fn run(&self) {
        let mut refusals = 0;
        loop {
            self.used.store(false, Ordering::Relaxed);
            match self.hub.keys(&self.name).await {
                Ok(keys) => {
                    refusals = 0;
                    self.keep(keys).await;
                }
                Err(refusal) => {
                    refusals += 1;
                    self.refused(refusal, refusals).await;
                }
            }
        }
    }

    /// Keeps keys until it is time for others: at half of their life, if they are used, or when somebody asks.
    async fn keep(&self, keys: Keys) {
        self.status.keys_kept(&self.name, keys.left().as_secs());
        let held = Arc::new(Held::new(keys));
        self.state.send_modify(|state| {
            *state = State { keys: Some(held.clone()), refusal: None, tries: state.tries + 1 };
        });
        tokio::time::sleep_until(held.renew).await;
        if !self.used.load(Ordering::Relaxed) {
            self.wanted.notified().await;
        }
    }

    /// Tells why there are none, and waits before the hub is asked again.
    async fn refused(&self, refusal: Refusal, refusals: u32) {
        self.status.keys_refused(&self.name, &refusal);
        let pause = match refusal.status {
            403 | 404 | 409 => Duration::from_secs(30),
            _ => Duration::from_secs(1 << refusals.min(5)),
        };
        // Who may not have keys any more does not keep those at hand.
        let over = matches!(refusal.status, 403 | 404);
        self.state.send_modify(|state| {
            let keys = state.keys.take().filter(|held| !over && held.ends > Instant::now());
            *state = State { keys, refusal: Some(refusal), tries: state.tries + 1 };
        });
        tokio::time::sleep(SHORTEST).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.wanted.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renewed_at_half_of_their_life_and_not_handed_out_in_the_end() {
        let of = |seconds: i64| {
            let end = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
            let keys = Keys {
                access_key_id: "a".into(),
                secret_access_key: "s".into(),
                token: "t".into(),
                expiration: end.to_rfc3339(),
            };
            let held = Held::new(keys);
            let now = Instant::now();
            (held.renew.duration_since(now).as_secs_f64(), held.ends.duration_since(now).as_secs_f64())
        };
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 0.2 && (b - d).abs() < 0.2;
        for (life, expected) in [(3600, (1800.0, 3599.0)), (10, (5.0, 9.0)), (0, (0.5, 0.0)), (-60, (0.5, 0.0))] {
            assert!(near(of(life), expected), "{life}: {:?}", of(life));
        }
    }
}

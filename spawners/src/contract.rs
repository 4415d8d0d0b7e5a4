//! What every driver must do, as checks that a driver's own tests call. They panic where a driver breaks its word.
//!
//! A check opens drivers anew in the middle, as a hub does that was killed and started again.

// Checks are tests, though they stand outside a test module to be shared.
#![allow(clippy::expect_used)]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;

use crate::{Identity, Plan, Record, SaveError, Sight, Spawner, StartError, Started, Stop};

/// Opens a driver; each one knows nothing of the others but what is in the world.
pub type Open<'a> = &'a (dyn Fn() -> Box<dyn Spawner> + Sync);
/// Plans a server that comes up and stays: row, generation.
pub type Planner<'a> = &'a (dyn Fn(i64, i64) -> Plan + Sync);

/// How long a check waits for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every check, one after the other.
pub async fn all(open: Open<'_>, plan: Planner<'_>) {
    a_server_starts_is_seen_and_stops(open, plan).await;
    what_does_not_exist_is_absent_and_can_be_stopped(open, plan).await;
    a_second_start_adopts_the_first(open, plan).await;
    a_newer_generation_replaces_the_older(open, plan).await;
    a_start_that_is_cut_off_leaves_nothing_unknown(open, plan).await;
    a_start_that_may_not_save_creates_nothing(open, plan).await;
    two_servers_do_not_touch_each_other(open, plan).await;
}

/// Start, look, list, stop, look.
pub async fn a_server_starts_is_seen_and_stops(open: Open<'_>, plan: Planner<'_>) {
    let (plan, paper) = (plan(101, 1), Paper::default());
    let started = start(&*open(), &plan, &paper).await;
    assert_eq!(paper.last(), started.state, "the state that is returned was saved");
    let sight = look(&*open(), &plan.identity, &started.state).await;
    assert_eq!(sight, Sight::Up { url: started.url.clone() }, "a driver opened anew sees it");
    let nothing_saved = look(&*open(), &plan.identity, &Value::Null).await;
    assert_eq!(nothing_saved, Sight::Up { url: started.url }, "it is found without its state");
    assert_eq!(owned(&*open(), 101).await, vec![plan.identity.clone()], "it is listed");
    stop(&*open(), &plan.identity, &started.state).await;
    assert_eq!(owned(&*open(), 101).await, vec![], "it is listed no more");
}

/// Neither look nor stop nor forget minds that there is nothing.
pub async fn what_does_not_exist_is_absent_and_can_be_stopped(open: Open<'_>, plan: Planner<'_>) {
    let (driver, server) = (open(), plan(102, 1).identity);
    assert_eq!(look(&*driver, &server, &Value::Null).await, Sight::Absent);
    for force in [false, true] {
        driver.stop(&server, &Value::Null, Stop { force }).await.expect("stopping nothing is fine");
    }
    driver.forget(&server, &Value::Null).await.expect("forgetting nothing is fine");
    assert_eq!(driver.logs(&server, &Value::Null, 10).await.expect("there is no log"), "");
}

/// Start twice, the second time by another driver and without the state: one server.
pub async fn a_second_start_adopts_the_first(open: Open<'_>, plan: Planner<'_>) {
    let (plan, paper) = (plan(103, 1), Paper::default());
    let first = start(&*open(), &plan, &paper).await;
    let with_state =
        open().start(&plan, &first.state, &Paper::default()).await.expect("a start that is repeated succeeds");
    assert_eq!(with_state.url, first.url);
    let second = start(&*open(), &plan, &Paper::default()).await;
    assert_eq!(second, first, "the second start found the first");
    assert_eq!(owned(&*open(), 103).await.len(), 1);
    stop(&*open(), &plan.identity, &first.state).await;
}

/// A start with a higher generation removes what an older one left.
pub async fn a_newer_generation_replaces_the_older(open: Open<'_>, plan: Planner<'_>) {
    let (old, new) = (plan(104, 1), plan(104, 2));
    let before = start(&*open(), &old, &Paper::default()).await;
    let after = start(&*open(), &new, &Paper::default()).await;
    assert_eq!(look(&*open(), &old.identity, &before.state).await, Sight::Absent, "the older one is gone");
    assert_eq!(owned(&*open(), 104).await, vec![new.identity.clone()]);
    open().stop(&old.identity, &before.state, Stop { force: true }).await.expect("a late stop is fine");
    let sight = look(&*open(), &new.identity, &after.state).await;
    assert_eq!(sight, Sight::Up { url: after.url }, "a late stop of the older one does not touch the newer");
    stop(&*open(), &new.identity, &after.state).await;
}

/// The hub dies at each point where a start writes something down, before and after it is durable.
pub async fn a_start_that_is_cut_off_leaves_nothing_unknown(open: Open<'_>, plan: Planner<'_>) {
    for (durable, row) in [(false, 105), (true, 106)] {
        for cut in 1.. {
            let (plan, paper) = (plan(row, cut), Paper::cut_at(cut as usize, durable));
            if run_until_cut(&*open(), &plan, &paper).await {
                clear(&*open(), &plan.identity, &paper.last()).await;
                break;
            }
            let sight = look(&*open(), &plan.identity, &paper.last()).await;
            assert!(!matches!(sight, Sight::Exited { .. }), "cut at save {cut}, durable: {durable}: {sight:?}");
            let second = open().start(&plan, &paper.last(), &Paper::default()).await.expect("a second start succeeds");
            assert_eq!(owned(&*open(), row).await.len(), 1, "cut at save {cut}, durable: {durable}: one server");
            if let Sight::Up { url } = sight {
                assert_eq!(second.url, url, "what was up is adopted");
            }
            clear(&*open(), &plan.identity, &second.state).await;
        }
    }
}

/// When the first save fails, nothing is created.
pub async fn a_start_that_may_not_save_creates_nothing(open: Open<'_>, plan: Planner<'_>) {
    let plan = plan(107, 1);
    let outcome = open().start(&plan, &Value::Null, &Overtaken).await;
    assert!(matches!(outcome, Err(StartError::Unsaved(SaveError::Overtaken))), "{outcome:?}");
    assert_eq!(look(&*open(), &plan.identity, &Value::Null).await, Sight::Absent);
    assert_eq!(owned(&*open(), 107).await, vec![]);
}

/// Two servers of one user: stopping one leaves the other.
pub async fn two_servers_do_not_touch_each_other(open: Open<'_>, plan: Planner<'_>) {
    let (one, two) = (plan(108, 1), plan(109, 1));
    let (driver, paper) = (open(), Paper::default());
    let first = start(&*driver, &one, &paper).await;
    let second = start(&*driver, &two, &paper).await;
    stop(&*driver, &one.identity, &first.state).await;
    assert_eq!(look(&*driver, &two.identity, &second.state).await, Sight::Up { url: second.url });
    stop(&*driver, &two.identity, &second.state).await;
}

/// Waits until the condition holds; panics when it does not within a minute.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stops as the keeper does: asks again until the server is gone.
pub async fn stop(driver: &dyn Spawner, server: &Identity, state: &Value) {
    end(driver, server, state, Stop { force: false }).await;
}

async fn clear(driver: &dyn Spawner, server: &Identity, state: &Value) {
    end(driver, server, state, Stop { force: true }).await;
}

async fn end(driver: &dyn Spawner, server: &Identity, state: &Value, how: Stop) {
    eventually("the server is gone", || async {
        driver.stop(server, state, how).await.expect("a stop may be repeated");
        look(driver, server, state).await == Sight::Absent
    })
    .await;
}

async fn start(driver: &dyn Spawner, plan: &Plan, paper: &Paper) -> Started {
    driver.start(plan, &Value::Null, paper).await.expect("the server starts")
}

async fn look(driver: &dyn Spawner, server: &Identity, state: &Value) -> Sight {
    driver.look(server, state).await.expect("the driver can be reached")
}

async fn owned(driver: &dyn Spawner, row: i64) -> Vec<Identity> {
    let all = driver.list_owned().await.expect("the driver can be reached");
    all.into_iter().map(|owned| owned.identity).filter(|identity| identity.spawner.0 == row).collect()
}

/// Starts until the paper cuts it off; whether it came through without being cut.
async fn run_until_cut(driver: &dyn Spawner, plan: &Plan, paper: &Paper) -> bool {
    tokio::select! {
        started = driver.start(plan, &Value::Null, paper) => {
            started.expect("the server starts");
            true
        }
        () = paper.cut() => false,
    }
}

/// A record in memory, that may hang at one of its saves as if the hub had died there.
#[derive(Default)]
pub struct Paper {
    last: Mutex<Value>,
    saves: AtomicUsize,
    cut_at: usize,
    durable: bool,
    reached: tokio::sync::Notify,
}

impl Paper {
    /// A record that hangs at the given save (1 is the first), before or after writing it down.
    pub fn cut_at(save: usize, durable: bool) -> Self {
        Self { cut_at: save, durable, ..Self::default() }
    }

    /// What was saved last; null when nothing was.
    pub fn last(&self) -> Value {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the record hangs.
    pub async fn cut(&self) {
        self.reached.notified().await;
    }

    fn write(&self, state: &Value) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
    }
}

#[async_trait]
impl Record for Paper {
    async fn save(&self, state: &Value) -> Result<(), SaveError> {
        let cut = self.saves.fetch_add(1, Ordering::SeqCst) + 1 == self.cut_at;
        if !cut || self.durable {
            self.write(state);
        }
        if cut {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn progress(&self, _percent: u8, _message: &str) {}
}

struct Overtaken;

#[async_trait]
impl Record for Overtaken {
    async fn save(&self, _state: &Value) -> Result<(), SaveError> {
        Err(SaveError::Overtaken)
    }

    async fn progress(&self, _percent: u8, _message: &str) {}
}

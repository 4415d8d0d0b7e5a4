//! Which routes were active, told to the hub in batches; and which have idle connections.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat};

use crate::{
    link::Control,
    measure::Summary,
    options::Limits,
    route::{Pooled, Route},
    stop::Stop,
    wire,
};

/// Routes to look at soon, and what all of them count. Each stands here at most once, so the lists are bounded by the table.
#[derive(Default)]
pub(crate) struct Ledger {
    active: Mutex<Vec<Arc<Route>>>,
    pooled: Mutex<Vec<Pooled>>,
    /// Idle connections that pools may keep, and how many they may all keep.
    granted: AtomicUsize,
    grants: usize,
    pub(crate) bytes_up: AtomicU64,
    pub(crate) bytes_down: AtomicU64,
    /// Those of both that went through a pipe of the kernel.
    pub(crate) bytes_piped: AtomicU64,
    /// How long it takes to stamp activity; measured where `timed`.
    pub(crate) updating: Summary,
    pub(crate) timed: bool,
}

impl Ledger {
    pub(crate) fn new(timed: bool, grants: usize) -> Self {
        Self { timed, grants, ..Self::default() }
    }

    /// Lets a pool keep one more connection, if there are not too many in all.
    pub(crate) fn grant_idle(&self) -> bool {
        let grant = |granted: usize| (granted < self.grants).then_some(granted + 1);
        self.granted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grant).is_ok()
    }

    /// Takes back what a pool does not need.
    pub(crate) fn return_idle(&self, count: usize) {
        self.granted.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn note_active(&self, route: Arc<Route>) {
        lock(&self.active).push(route);
    }

    pub(crate) fn note_pooled(&self, route: Pooled) {
        lock(&self.pooled).push(route);
    }

    /// Drops idle connections older than [`Limits::pool_idle`], looking only where there are any.
    pub(crate) async fn sweep(&self, oldest: impl Fn() -> Duration, stop: &Stop) {
        while stop.until(tokio::time::sleep(oldest() / 4)).await.is_some() {
            let oldest = oldest();
            let mut pooled = std::mem::take(&mut *lock(&self.pooled));
            pooled.retain(|route| route.upgrade().is_some_and(|route| route.sweep_idle(oldest)));
            lock(&self.pooled).append(&mut pooled);
        }
    }

    /// Connections that wait for a request, of all routes.
    pub(crate) fn idle(&self) -> usize {
        lock(&self.pooled).iter().filter_map(|route| Some(route.upgrade()?.idle())).sum()
    }

    fn take_active(&self) -> Vec<Arc<Route>> {
        std::mem::take(&mut *lock(&self.active))
    }
}

/// What the hub was not told yet, by prefix.
#[derive(Default)]
struct Pending(BTreeMap<String, i64>);

impl Pending {
    /// Merges; the later time stays. Gives the number of routes for which there was no room.
    fn merge(&mut self, moves: impl IntoIterator<Item = (String, i64)>, kept: usize) -> usize {
        let mut lost = 0;
        for (prefix, time) in moves {
            let full = self.0.len() >= kept;
            match self.0.entry(prefix) {
                Entry::Occupied(mut known) => *known.get_mut() = time.max(*known.get()),
                Entry::Vacant(_) if full => lost += 1,
                Entry::Vacant(free) => {
                    free.insert(time);
                }
            }
        }
        lost
    }

    fn batch(&self, size: usize) -> Vec<(String, i64)> {
        self.0.iter().take(size).map(|(prefix, time)| (prefix.clone(), *time)).collect()
    }

    fn told(&mut self, batch: &[(String, i64)]) {
        for (prefix, _) in batch {
            self.0.remove(prefix);
        }
    }
}

/// Reports activity until the stop, and once more at the stop.
pub(crate) async fn report(ledger: Arc<Ledger>, control: Control, identity: String, limits: Limits, stop: Arc<Stop>) {
    let mut pending = Pending::default();
    loop {
        let last = stop.until(tokio::time::sleep(limits.activity_interval)).await.is_none();
        let moved = ledger.take_active();
        let moves = moved.iter().map(|route| (route.prefix(), route.report_activity()));
        let lost = pending.merge(moves, limits.activity_kept);
        if lost > 0 {
            tracing::warn!(lost, "activity of some routes is dropped, the hub has been away too long");
        }
        while !pending.0.is_empty() {
            let batch = pending.batch(limits.activity_batch.max(1));
            if let Err(problem) = control.post(wire::ACTIVITY_PATH, &message(&identity, &batch)).await {
                tracing::debug!(%problem, "activity is kept for later");
                break;
            }
            pending.told(&batch);
        }
        if last {
            return;
        }
    }
}

fn message(identity: &str, batch: &[(String, i64)]) -> wire::Activity {
    let routes = batch.iter().filter_map(|(prefix, micros)| {
        let time = DateTime::from_timestamp_micros(*micros)?;
        let last_activity = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        Some((prefix.clone(), wire::RouteActivity { last_activity }))
    });
    wire::Activity { proxy: identity.to_owned(), routes: routes.collect() }
}

/// No lock here is held across a panic, so a poisoned one still holds whole data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_activity_keeps_the_later_time_and_the_bound() {
        let mut pending = Pending::default();
        let merge = |pending: &mut Pending, moves: &[(&str, i64)]| {
            pending.merge(moves.iter().map(|(prefix, time)| ((*prefix).to_owned(), *time)), 2)
        };
        assert_eq!(merge(&mut pending, &[("/a/", 5), ("/b/", 7)]), 0);
        assert_eq!(merge(&mut pending, &[("/a/", 3), ("/b/", 9), ("/c/", 1)]), 1);
        assert_eq!(pending.batch(10), [("/a/".to_owned(), 5), ("/b/".to_owned(), 9)]);
        let batch = pending.batch(1);
        pending.told(&batch);
        assert_eq!(pending.batch(10), [("/b/".to_owned(), 9)]);
    }

    #[test]
    fn times_are_told_in_utc_with_microseconds() {
        let message = message("p", &[("/a/".to_owned(), 1_767_225_600_000_001)]);
        let told = message.routes.get("/a/").unwrap();
        assert_eq!(told.last_activity, "2026-01-01T00:00:00.000001Z");
    }
}

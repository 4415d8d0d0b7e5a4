//! A quiet moment before a refresh that ends the access tokens of before, as INDIGO IAM's do: whoever was given one a
//! moment ago is about to use it. Until the next one is there, nobody is given the old one; they wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::id::UserId;
use tokio::time::Instant;

/// How long a token that was handed out is not ended: a part of its life, or this at most.
const PART: i32 = 5;
const LONGEST: TimeDelta = TimeDelta::seconds(2);
/// So many people are remembered before those whose moment is over are forgotten.
const MANY: usize = 1000;

/// For how long whoever is given a token may count on it, of a token with this life.
pub fn moment(life: Option<TimeDelta>) -> Duration {
    life.map_or(LONGEST, |life| (life / PART).min(LONGEST)).to_std().unwrap_or_default()
}

/// Who was given a token lately, and who is not to be given one now.
#[derive(Default)]
pub struct Quiet(Mutex<HashMap<UserId, State>>);

#[derive(Default)]
struct State {
    handed: Option<Instant>,
    refreshing: bool,
}

impl State {
    fn counts(&self, now: Instant) -> bool {
        self.refreshing || self.handed.is_some_and(|at| now - at < LONGEST.to_std().unwrap_or_default())
    }
}

/// While it lives, nobody is given a token of this person's that is at hand.
pub struct Refreshing<'q> {
    quiet: &'q Quiet,
    user: UserId,
}

impl Quiet {
    /// Takes note that a token goes out now. False: a refresh is about to end it, so it must not.
    pub fn hand_out(&self, user: UserId) -> bool {
        self.hand_out_at(user, Instant::now())
    }

    fn hand_out_at(&self, user: UserId, now: Instant) -> bool {
        let mut all = self.lock();
        if all.len() > MANY {
            all.retain(|_, state| state.counts(now));
        }
        let state = all.entry(user).or_default();
        if !state.refreshing {
            state.handed = Some(now);
        }
        !state.refreshing
    }

    /// Takes note that the person who has the turn was given a token.
    pub fn handed(&self, user: UserId) {
        self.lock().entry(user).or_default().handed = Some(Instant::now());
    }

    /// Keeps everybody waiting, and lets the moment of those pass who were given a token. Whoever calls has the turn.
    /// `others`: other hubs may have given one until now.
    pub async fn begin(&self, user: UserId, moment: Duration, others: bool) -> Refreshing<'_> {
        let now = Instant::now();
        let handed = {
            let mut all = self.lock();
            let state = all.entry(user).or_default();
            state.refreshing = true;
            state.handed
        };
        let refreshing = Refreshing { quiet: self, user };
        if let Some(since) = if others { Some(now) } else { handed } {
            tokio::time::sleep_until(since + moment).await;
        }
        refreshing
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.quiet.lock().get_mut(&self.user) {
            state.refreshing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId(1);

    #[tokio::test]
    async fn a_refresh_waits_for_who_was_given_a_token_and_everybody_for_the_refresh() {
        let (quiet, moment) = (Quiet::default(), Duration::from_millis(200));
        let begun = Instant::now();
        drop(quiet.begin(ADA, Duration::from_secs(600), false).await);
        assert!(begun.elapsed() < moment, "nobody was given any");
        let begun = Instant::now();
        assert!(quiet.hand_out_at(ADA, begun));
        let refreshing = quiet.begin(ADA, moment, false).await;
        assert!(begun.elapsed() >= moment);
        assert!(!quiet.hand_out(ADA) && quiet.hand_out(UserId(2)));
        drop(refreshing);
        assert!(quiet.hand_out_at(ADA, begun));
        let begun = Instant::now();
        drop(quiet.begin(ADA, moment, true).await);
        assert!(begun.elapsed() >= moment, "nobody knows what other hubs have given");
    }

    #[tokio::test]
    async fn who_waits_in_the_quiet_is_not_kept_out_by_one_that_gave_up() {
        let quiet = Quiet::default();
        quiet.handed(ADA);
        let given_up =
            tokio::time::timeout(Duration::from_millis(1), quiet.begin(ADA, Duration::from_secs(600), false));
        assert!(given_up.await.is_err());
        assert!(quiet.hand_out(ADA));
    }

    #[test]
    fn those_whose_moment_is_over_are_forgotten() {
        let (quiet, begun) = (Quiet::default(), Instant::now());
        for number in 0..5000 {
            quiet.hand_out_at(UserId(number.into()), begun + Duration::from_millis(10) * number);
        }
        assert!(quiet.lock().len() <= MANY + 1, "{}", quiet.lock().len());
    }

    #[test]
    fn the_moment_is_a_part_of_a_short_life() {
        for (life, expected) in [(Some(5), 1000), (Some(3600), 2000), (None, 2000), (Some(0), 0)] {
            let life = life.map(TimeDelta::seconds);
            assert_eq!(moment(life), Duration::from_millis(expected), "{life:?}");
        }
    }
}

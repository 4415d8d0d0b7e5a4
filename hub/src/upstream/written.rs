//! What was kept lately, where another database may take the place of the one that took it: a replica that had not heard of
//! the last commits, or a backup. It is looked for a while whether a state of before stands there again, whose refresh token
//! is dead perhaps, and what was kept is put over it once more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hub_core::id::UserId;
use hub_store::StoreError;
use serde_json::Value;
use tokio::time::Instant;

use super::{Kept, store};
use crate::app::App;

/// So long it is looked.
const LASTS: Duration = Duration::from_secs(5 * 60);
/// So many states of before are known of one person.
const MOST: usize = 8;

/// The last state that this hub has kept of each person, with those before it.
#[derive(Default)]
pub struct Written(Mutex<HashMap<UserId, Chain>>);

struct Chain {
    before: Vec<Kept>,
    state: Value,
    at: Instant,
    /// What was found in the database the last time, as it stood there, and was not of before.
    good: Vec<u8>,
}

impl Chain {
    /// The state to be put in the place of what is there, if that is one of before.
    fn over(&self, there: &Kept) -> Option<&Value> {
        let is_last = Kept::new(Vec::new(), self.state.clone()).is_some_and(|last| last.is_same_login(there));
        // A refresh need not change the tokens that are kept.
        (!is_last && self.before.iter().any(|before| before.is_same_login(there))).then_some(&self.state)
    }
}

impl Written {
    /// Takes note of what the database has just taken over a state of before. One that is this hub's alone is not
    /// exchanged under it.
    pub fn note(&self, app: &App, user: UserId, before: Kept, state: Value) {
        if app.store.is_shared() {
            self.note_at(user, before, state, Instant::now());
        }
    }

    fn note_at(&self, user: UserId, before: Kept, state: Value, now: Instant) {
        let mut all = self.lock();
        all.retain(|_, chain| now - chain.at < LASTS);
        let mut known = all.remove(&user).map(|chain| chain.before).unwrap_or_default();
        known.push(before);
        if known.len() > MOST {
            known.remove(0);
        }
        all.insert(user, Chain { before: known, state, at: now, good: Vec::new() });
    }

    fn people(&self, now: Instant) -> Vec<UserId> {
        let mut all = self.lock();
        all.retain(|_, chain| now - chain.at < LASTS);
        all.keys().copied().collect()
    }

    /// Whether what is there is not what was found good the last time.
    fn is_new(&self, user: UserId, sealed: &[u8]) -> bool {
        self.lock().get(&user).is_some_and(|chain| chain.good != sealed)
    }

    /// The state to be put in the place of what is there, if that is one of before.
    fn over(&self, user: UserId, there: &Kept) -> Option<Value> {
        self.lock().get(&user).and_then(|chain| chain.over(there)).cloned()
    }

    /// Takes note that what is there is not of before.
    fn is_good(&self, user: UserId, sealed: Vec<u8>) {
        if let Some(chain) = self.lock().get_mut(&user) {
            chain.good = sealed;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Chain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at all who are known, and puts again what is lost.
pub async fn look(app: &App) -> Result<(), StoreError> {
    let people = app.upstream.written.people(Instant::now());
    if people.is_empty() {
        return Ok(());
    }
    for (user, sealed) in app.store.auth_states_of(&people).await? {
        if app.upstream.written.is_new(user, &sealed) {
            let there = app.hooks.auth_states.unseal(&sealed).and_then(|state| Kept::new(sealed.clone(), state));
            match there.filter(|there| app.upstream.written.over(user, there).is_some()) {
                Some(there) => is_lost(app, user, &there).await.map(drop)?,
                None => app.upstream.written.is_good(user, sealed),
            }
        }
    }
    Ok(())
}

/// Whether what is there is of before what was kept, which is put there again.
pub async fn is_lost(app: &App, user: UserId, there: &Kept) -> Result<bool, StoreError> {
    let Some(state) = app.upstream.written.over(user, there) else { return Ok(false) };
    if !store::put(app, user, there, &state).await? {
        return Ok(false);
    }
    tracing::warn!(%user, "the database has lost fresh tokens that it took; they are kept again");
    // What it tells of them is of before as well.
    app.store.upstream_renewed(user, Some(app.now())).await?;
    app.upstream.tell(user);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADA: UserId = UserId(1);

    fn state(number: u8) -> Value {
        json!({ "access_token": format!("a{number}"), "refresh_token": format!("r{number}") })
    }

    fn kept(number: u8) -> Kept {
        Kept::new(vec![number], state(number)).unwrap()
    }

    #[test]
    fn a_state_of_before_is_replaced_and_no_other_one() {
        let (written, now) = (Written::default(), Instant::now());
        for number in 1..=2 {
            written.note_at(ADA, kept(number), state(number + 1), now);
        }
        for (there, expected) in [(1, true), (2, true), (3, false), (9, false)] {
            assert_eq!(written.over(ADA, &kept(there)), expected.then(|| state(3)), "{there}");
        }
        // A refresh that changed nothing but when it was.
        written.note_at(ADA, kept(3), state(3), now);
        assert_eq!(written.over(ADA, &kept(3)), None);
        assert_eq!(written.over(UserId(2), &kept(1)), None);
    }

    #[test]
    fn what_was_found_good_is_not_looked_at_again_and_all_is_forgotten_after_a_while() {
        let (written, now) = (Written::default(), Instant::now());
        for number in 0..100 {
            written.note_at(ADA, kept(number), state(number + 1), now);
        }
        assert_eq!(written.lock()[&ADA].before.len(), MOST);
        written.is_good(ADA, vec![7]);
        assert!(!written.is_new(ADA, &[7]) && written.is_new(ADA, &[8]));
        written.note_at(ADA, kept(100), state(101), now);
        assert!(written.is_new(ADA, &[7]), "what was kept since then is something else");
        assert_eq!((written.people(now), written.people(now + LASTS)), (vec![ADA], Vec::new()));
    }
}

//! Refresh tokens that a provider takes no more, while it is not sure that there is no better one: another hub may have it in
//! memory, because the database was away when it got it, and brings it soon (`unkept`, `written`). Until then it is as if the
//! provider did not answer: nobody is put out, and nobody waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hub_core::id::UserId;
use hub_core::secret::Secret;
use tokio::time::Instant;

/// So long a better one is waited for.
const LASTS: Duration = Duration::from_secs(20);
/// A doubt that nobody came back to is forgotten; whoever asks then waits anew.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// The tokens in doubt, by whose they are.
#[derive(Default)]
pub struct Doubts(Mutex<HashMap<UserId, (Secret, Instant)>>);

impl Doubts {
    /// Whether a token is in doubt: asking the provider again would be of no use, and some take it for a theft.
    pub fn has(&self, user: UserId, token: &Secret) -> bool {
        self.has_at(user, token, Instant::now())
    }

    fn has_at(&self, user: UserId, token: &Secret, now: Instant) -> bool {
        let all = self.lock();
        all.get(&user).is_some_and(|(known, since)| known.matches(token.expose()) && now - *since < LASTS)
    }

    /// Takes note that the provider does not take a token. True: it is in doubt from now on. False: it was, for long enough.
    pub fn begin(&self, user: UserId, token: &Secret) -> bool {
        self.begin_at(user, token, Instant::now())
    }

    fn begin_at(&self, user: UserId, token: &Secret, now: Instant) -> bool {
        let mut all = self.lock();
        all.retain(|_, (_, since)| now - *since < FORGOTTEN);
        match all.get(&user) {
            Some((known, since)) if known.matches(token.expose()) => {
                let lasts = now - *since < LASTS;
                if !lasts {
                    all.remove(&user);
                }
                lasts
            }
            _ => {
                all.insert(user, (token.clone(), now));
                true
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, (Secret, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId(1);

    #[test]
    fn a_token_is_in_doubt_for_a_while_and_another_one_is_another_doubt() {
        let (doubts, begun) = (Doubts::default(), Instant::now());
        let (one, two) = (Secret::new("one"), Secret::new("two"));
        assert!(!doubts.has_at(ADA, &one, begun) && doubts.begin_at(ADA, &one, begun));
        let (before, after) = (begun + LASTS - Duration::from_millis(1), begun + LASTS);
        assert!(doubts.has_at(ADA, &one, before) && doubts.begin_at(ADA, &one, before));
        assert!(!doubts.has_at(ADA, &two, before) && !doubts.has_at(UserId(2), &one, before));
        assert!(!doubts.has_at(ADA, &one, after) && !doubts.begin_at(ADA, &one, after), "it is over");
        assert!(doubts.lock().is_empty());
        assert!(doubts.begin_at(ADA, &one, after) && doubts.begin_at(ADA, &two, after));
        assert!(!doubts.has_at(ADA, &one, after) && doubts.has_at(ADA, &two, after));
        assert!(doubts.begin_at(UserId(2), &one, after + FORGOTTEN) && doubts.lock().len() == 1);
    }
}

//! Access tokens for an audience or a scope of somebody's own wish: a bounded number of them in memory, and, where there may
//! be other hubs, in the database, encrypted: a hub that asked for its own would end the others' at some providers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_store::{NewUpstreamOther, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Access, Kept, Want};
use crate::app::App;

/// So many are remembered of one person, whose programs may wish for ever new ones.
const MOST_OF_ONE: u32 = 32;
/// So many are remembered in all.
const MOST: usize = 10_000;

/// Which tokens will do.
#[derive(Debug, Clone, Copy)]
pub struct Good {
    /// They last for so long, or for half of their life.
    pub at_least: TimeDelta,
    /// A refresh after theirs has ended them.
    pub of_last_refresh: bool,
}

/// What was given lately.
#[derive(Default)]
pub struct Others(Mutex<HashMap<UserId, Vec<Other>>>);

#[derive(Clone)]
struct Other {
    want: Want,
    /// The account it is of: a database may give the number of somebody who left to somebody else.
    account: Account,
    access: Access,
    got: Time,
    /// The refresh that gave it.
    refresh: Option<i64>,
}

/// Provider and number there.
type Account = (Option<String>, Option<String>);

/// One as it stands in the database, before it is encrypted.
#[derive(Serialize, Deserialize)]
struct Written {
    audience: Option<String>,
    scope_wished: Option<String>,
    account: Account,
    token: String,
    scope: Vec<String>,
    provider: String,
    expires_at: Time,
    got: Time,
    refresh: Option<i64>,
}

fn account_of(kept: &Kept) -> Account {
    (kept.provider().map(str::to_owned), kept.subject().map(str::to_owned))
}

/// What a wish is known by in the database. Wishes are as long as people like.
fn name_of(want: &Want) -> String {
    hex::encode(Sha256::digest(json!([want.audience, want.scope]).to_string().as_bytes()))
}

impl Other {
    fn new(of: &Kept, want: Want, access: Access, got: Time) -> Self {
        Self { want, account: account_of(of), access, got, refresh: of.last_refresh() }
    }

    /// As `Kept::is_good`: who asks for more than the provider gives must not make the hub refresh each time.
    fn is_good(&self, now: Time, at_least: TimeDelta) -> bool {
        self.access.expires_at.is_some_and(|end| end - now > at_least.min((end - self.got) / 2))
    }

    fn lives(&self, now: Time) -> bool {
        self.access.expires_at.is_some_and(|end| end > now)
    }
}

impl Written {
    /// `None` for one without an end, which is not kept.
    fn of(other: &Other) -> Option<Self> {
        let Other { want, account, access, got, refresh } = other.clone();
        Some(Self {
            audience: want.audience,
            scope_wished: want.scope,
            account,
            token: access.token.expose().to_owned(),
            scope: access.scope,
            provider: access.provider,
            expires_at: access.expires_at?,
            got,
            refresh,
        })
    }

    fn read(self) -> Other {
        Other {
            want: Want { audience: self.audience, scope: self.scope_wished, id_token: false },
            account: self.account,
            access: Access {
                token: Secret::new(self.token),
                expires_at: Some(self.expires_at),
                scope: self.scope,
                provider: self.provider,
            },
            got: self.got,
            refresh: self.refresh,
        }
    }
}

/// The token that this hub or another one was given for a wish, if it will do.
pub async fn get(app: &App, user: UserId, of: &Kept, want: &Want, good: Good) -> Result<Option<Access>, StoreError> {
    let (others, now) = (&app.upstream.others, app.now());
    let found = others.get(user, of, want, now, good);
    if found.is_some() || !app.store.is_shared() {
        return Ok(found);
    }
    let Some(sealed) = app.store.upstream_other(user, &name_of(want), now).await? else { return Ok(None) };
    let written = app.hooks.auth_states.unseal(&sealed).and_then(|value| serde_json::from_value::<Written>(value).ok());
    if let Some(written) = written {
        others.put(user, written.read(), now);
    }
    Ok(others.get(user, of, want, now, good))
}

/// Remembers a token of the last refresh, for the other hubs too. Who cannot be told asks for one of their own.
pub async fn remember(app: &App, user: UserId, of: &Kept, want: &Want, access: &Access) {
    let now = app.now();
    let other = Other::new(of, want.clone(), access.clone(), now);
    if app.store.is_shared()
        && other.lives(now)
        && let Err(error) = tell(app, user, &other).await
    {
        tracing::warn!(%user, "other hubs are not told of a token for an audience or scope: {error}");
    }
    app.upstream.others.put(user, other, now);
}

async fn tell(app: &App, user: UserId, other: &Other) -> Result<(), StoreError> {
    let Some(written) = Written::of(other) else { return Ok(()) };
    let Some(sealed) = app.hooks.auth_states.seal(&json!(written), other.got) else { return Ok(()) };
    let new = NewUpstreamOther {
        user,
        want: &name_of(&other.want),
        sealed: &sealed,
        got_at: written.got,
        expires_at: written.expires_at,
        most: MOST_OF_ONE,
    };
    app.store.put_upstream_other(new).await
}

impl Others {
    /// The token that was given for a wish, if it will do.
    fn get(&self, user: UserId, of: &Kept, want: &Want, now: Time, good: Good) -> Option<Access> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |other: &&Other| {
            let lives = !good.of_last_refresh || other.refresh == of.last_refresh();
            lives && other.want == *want && other.account == account_of(of) && other.is_good(now, good.at_least)
        };
        all.get(&user)?.iter().find(is_it).map(|other| other.access.clone())
    }

    /// Remembers a token. Where there are too many, the oldest gives way: of the person first.
    fn put(&self, user: UserId, other: Other, now: Time) {
        // Nobody knows whether one without an end has ended.
        if !other.lives(now) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().map(Vec::len).sum::<usize>() >= MOST {
            make_room(&mut all, now);
        }
        let own = all.entry(user).or_default();
        own.retain(|known| known.lives(now) && known.account == other.account && known.want != other.want);
        if own.len() >= MOST_OF_ONE as usize {
            own.remove(0);
        }
        own.push(other);
    }
}

/// Takes away what has ended; if that is nothing, all of whoever got theirs the longest ago.
fn make_room(all: &mut HashMap<UserId, Vec<Other>>, now: Time) {
    for own in all.values_mut() {
        own.retain(|known| known.lives(now));
    }
    all.retain(|_, own| !own.is_empty());
    if all.values().map(Vec::len).sum::<usize>() >= MOST {
        let oldest = all.iter().min_by_key(|(_, own)| own.last().map(|other| other.got)).map(|(user, _)| *user);
        oldest.and_then(|user| all.remove(&user));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hub_core::secret::Secret;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Time {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn kept(subject: &str) -> Kept {
        Kept::new(Vec::new(), json!({ "access_token": "a", "specola": { "provider": "iam", "sub": subject } })).unwrap()
    }

    fn access(name: &str, end: Option<i64>) -> Access {
        Access { token: Secret::new(name), expires_at: end.map(at), scope: Vec::new(), provider: "iam".to_owned() }
    }

    fn want(audience: usize) -> Want {
        Want { audience: Some(audience.to_string()), ..Want::default() }
    }

    fn lasting(seconds: i64) -> Good {
        Good { at_least: TimeDelta::seconds(seconds), of_last_refresh: false }
    }

    impl Others {
        fn remember(&self, user: UserId, of: &Kept, want: Want, access: Access, now: Time) {
            self.put(user, Other::new(of, want, access, now), now);
        }

        fn count(&self) -> usize {
            self.0.lock().unwrap().values().map(Vec::len).sum()
        }

        fn token(&self, user: i64, subject: &str, audience: usize, now: i64) -> Option<String> {
            let found = self.get(UserId(user), &kept(subject), &want(audience), at(now), lasting(10));
            found.map(|access| access.token.expose().to_owned())
        }
    }

    #[test]
    fn a_token_of_ones_own_wish_is_good_for_what_is_asked_or_half_of_its_life() {
        let others = Others::default();
        others.remember(UserId(1), &kept("s"), want(1), access("a", Some(100)), at(0));
        for (now, at_least, expected) in
            [(0, 60, true), (39, 60, true), (49, 86_400, true), (50, 86_400, false), (99, 0, true), (100, 0, false)]
        {
            let found = others.get(UserId(1), &kept("s"), &want(1), at(now), lasting(at_least));
            assert_eq!(found.is_some(), expected, "{now} {at_least}");
        }
        others.remember(UserId(1), &kept("s"), want(2), access("endless", None), at(0));
        assert_eq!(others.token(1, "s", 2, 0), None, "nobody knows whether it has ended");
    }

    #[test]
    fn what_is_written_for_other_hubs_is_read_as_it_was() {
        let own = Kept::new(Vec::new(), kept("s").rotated(None, at(0))).unwrap();
        let want = Want { scope: Some("openid".to_owned()), ..want(1) };
        let other = Other::new(&own, want.clone(), access("a", Some(100)), at(0));
        let text = json!(Written::of(&other).unwrap()).to_string();
        let read = serde_json::from_str::<Written>(&text).unwrap().read();
        assert_eq!(
            (&read.want, read.account, read.got, read.refresh),
            (&want, other.account, at(0), own.last_refresh())
        );
        assert_eq!((read.access.token.expose(), read.access.expires_at), ("a", Some(at(100))));
        assert!(Written::of(&Other::new(&own, want.clone(), access("endless", None), at(0))).is_none());
        let names = [want.clone(), Want { audience: None, ..want.clone() }, Want { scope: None, ..want }];
        let names: std::collections::BTreeSet<String> = names.iter().map(name_of).collect();
        assert!(names.len() == 3 && names.iter().all(|name| name.len() == 64));
    }

    #[test]
    fn a_token_that_a_later_refresh_has_ended_is_given_where_that_is_no_matter() {
        let others = Others::default();
        let own = Kept::new(Vec::new(), kept("s").rotated(None, at(0))).unwrap();
        others.remember(UserId(1), &own, want(1), access("a", Some(100)), at(0));
        let later = Kept::new(Vec::new(), own.rotated(None, at(1))).unwrap();
        for (of, of_last_refresh, expected) in [(&own, true, true), (&later, true, false), (&later, false, true)] {
            let good = Good { of_last_refresh, ..lasting(10) };
            assert_eq!(others.get(UserId(1), of, &want(1), at(2), good).is_some(), expected);
        }
    }

    #[test]
    fn who_gets_the_number_of_somebody_who_left_does_not_get_their_tokens() {
        let others = Others::default();
        others.remember(UserId(1), &kept("ada"), want(1), access("of ada", Some(100)), at(0));
        assert_eq!(others.token(1, "bob", 1, 1), None);
        others.remember(UserId(1), &kept("bob"), want(2), access("of bob", Some(100)), at(1));
        assert_eq!((others.token(1, "bob", 2, 2).as_deref(), others.count()), (Some("of bob"), 1));
    }

    #[test]
    fn however_many_are_wished_for_there_is_a_bound_for_each_and_for_all() {
        let others = Others::default();
        others.remember(UserId(0), &kept("quiet"), want(1), access("quiet", Some(1000)), at(0));
        for audience in 0..1000 {
            others.remember(UserId(1), &kept("greedy"), want(audience), access("greedy", Some(1000)), at(1));
        }
        assert_eq!(others.count(), MOST_OF_ONE as usize + 1);
        assert!(others.token(1, "greedy", 999, 2).is_some() && others.token(1, "greedy", 0, 2).is_none());
        assert_eq!(others.token(0, "quiet", 1, 2).as_deref(), Some("quiet"), "nobody else pays for it");
        for user in 2..500 {
            for audience in 0..MOST_OF_ONE as usize {
                others.remember(UserId(user), &kept("one"), want(audience), access("one", Some(1000)), at(user));
            }
        }
        assert!(others.count() <= MOST, "{}", others.count());
        assert!(others.token(0, "quiet", 1, 2).is_none() && others.token(499, "one", 0, 2).is_some());
    }

    #[test]
    fn where_there_is_no_room_what_has_ended_goes_first() {
        let others = Others::default();
        others.remember(UserId(-1), &kept("old"), want(1), access("old", Some(1000)), at(0));
        for number in 1..MOST {
            let user = i64::try_from(number / MOST_OF_ONE as usize).unwrap();
            others.remember(UserId(user), &kept("one"), want(number), access("one", Some(10)), at(1));
        }
        assert_eq!(others.count(), MOST);
        others.remember(UserId(-2), &kept("late"), want(1), access("late", Some(1000)), at(20));
        assert_eq!((others.count(), others.token(-1, "old", 1, 21).as_deref()), (2, Some("old")));
    }
}

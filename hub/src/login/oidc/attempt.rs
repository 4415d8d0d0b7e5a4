//! A login that has begun at a provider: what has to be known when it comes back, sealed in a cookie of its own, so that
//! logins in several tabs do not disturb each other and no database is asked.

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::cookie::CookieSecret;
use hub_core::fernet::KeyRing;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A login that takes longer has to begin anew.
pub const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// Logins that one browser has begun at the same time; beyond, the oldest is forgotten.
pub const MOST: usize = 4;
/// Where to go afterwards is not kept when it is longer: a browser takes 4096 bytes for a cookie.
pub const LONGEST_NEXT: usize = 1200;

/// The names of the cookies begin so.
const COOKIE: &str = "specola-login-";
/// So much of the state is in the name.
const ID: usize = 8;
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// What is kept of it. It holds secrets, so it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// Comes back with the answer; ties it to this browser.
    pub state: String,
    /// Comes back in the ID token; ties it to this login.
    pub nonce: String,
    /// Proves at the token endpoint that it is we who began (PKCE).
    pub verifier: String,
    /// Where the provider sends people back to; has to be told again with the code.
    pub redirect_uri: String,
    /// Where to go afterwards.
    pub next: Option<String>,
    /// Which choice of optional scopes was asked for, counted from 0.
    pub choice: usize,
    /// When it began, in seconds.
    pub begun: i64,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attempt(provider: {:?}, choice: {})", self.provider, self.choice)
    }
}

impl Attempt {
    /// Begins one.
    pub fn new(provider: &str, redirect_uri: &str, next: Option<String>, now: Time, random: &mut impl Rng) -> Self {
        let mut letters = |count: usize| {
            let pick = |_| LETTERS.get(random.random_range(0..LETTERS.len())).map_or('a', |&byte| char::from(byte));
            (0..count).map(pick).collect::<String>()
        };
        Self {
            provider: provider.to_owned(),
            state: letters(43),
            nonce: letters(43),
            verifier: letters(64),
            redirect_uri: redirect_uri.to_owned(),
            next: next.filter(|next| next.len() <= LONGEST_NEXT),
            choice: 0,
            begun: now.timestamp(),
        }
    }

    /// The same login begun anew with the next choice of scopes; nothing of the first can be used for it.
    pub fn again(&self, now: Time, random: &mut impl Rng) -> Self {
        let next = self.next.clone();
        Self { choice: self.choice + 1, ..Self::new(&self.provider, &self.redirect_uri, next, now, random) }
    }

    /// The name of its cookie.
    pub fn cookie(&self) -> String {
        cookie_of(&self.state)
    }

    fn is_over(&self, now: Time) -> bool {
        let age = now.timestamp() - self.begun;
        !(-60..=LONGEST.num_seconds()).contains(&age)
    }
}

/// The name of the cookie for a state, whatever the state is: the browser wrote it.
pub fn cookie_of(state: &str) -> String {
    let id: String = state.chars().filter(char::is_ascii_alphanumeric).take(ID).collect();
    format!("{COOKIE}{id}")
}

/// Whether a cookie is one of a login that has begun.
pub fn is_cookie(name: &str) -> bool {
    name.starts_with(COOKIE)
}

/// Seals and opens attempts.
pub struct Seal(KeyRing);

impl Seal {
    /// With a key made of the hub's cookie secret, so that every hub with that secret opens what another sealed.
    pub fn new(secret: &CookieSecret) -> Result<Self, hub_core::fernet::KeyError> {
        Ok(Self(KeyRing::parse(secret.derive("logins that have begun").expose())?))
    }

    /// The value of the cookie.
    pub fn close(&self, attempt: &Attempt, now: Time) -> String {
        let json = serde_json::to_vec(attempt).unwrap_or_default();
        String::from_utf8(self.0.seal(&json, now, &mut rand::rng())).unwrap_or_default()
    }

    /// What is in a cookie; `None` if it is not ours or too old.
    pub fn open(&self, value: &str, now: Time) -> Option<Attempt> {
        let opened = self.0.open(value.as_bytes())?;
        let attempt: Attempt = serde_json::from_slice(&opened.plain).ok()?;
        (!attempt.is_over(now)).then_some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn an_attempt_is_opened_by_who_sealed_it_and_not_for_ever() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let seal = Seal::new(&CookieSecret::parse(&"ab".repeat(32)).unwrap()).unwrap();
        let other = Seal::new(&CookieSecret::parse(&"cd".repeat(32)).unwrap()).unwrap();
        let attempt = Attempt::new("iam", "https://h/cb", Some("/hub/home".into()), now, &mut rand::rng());
        let value = seal.close(&attempt, now);
        assert_eq!(seal.open(&value, now), Some(attempt.clone()));
        assert_eq!(seal.open(&value, now + LONGEST), Some(attempt.clone()));
        assert_eq!(seal.open(&value, now + LONGEST + TimeDelta::seconds(1)), None);
        assert_eq!(other.open(&value, now), None);
        assert_eq!(seal.open(&value.replace(&value[40..44], "AAAA"), now), None);
        for secret in [&attempt.state, &attempt.nonce, &attempt.verifier] {
            assert!(!value.contains(secret.as_str()) && !format!("{attempt:?}").contains(secret.as_str()));
        }
        assert!(hub_core::pkce::is_well_formed(&attempt.verifier));
    }

    #[test]
    fn the_largest_attempt_fits_into_a_cookie() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let seal = Seal::new(&CookieSecret::generate(&mut rand::rng())).unwrap();
        let next = |length| Some("x".repeat(length));
        let (name, uri) = ("x".repeat(32), format!("https://{}/hub/oauth_callback", "x".repeat(253)));
        let attempt = Attempt::new(&name, &uri, next(LONGEST_NEXT), now, &mut rand::rng());
        assert!(attempt.next.is_some() && seal.close(&attempt, now).len() < 3800);
        assert_eq!(Attempt::new(&name, &uri, next(LONGEST_NEXT + 1), now, &mut rand::rng()).next, None);
    }

    #[test]
    fn another_try_shares_no_secret_with_the_first() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let first = Attempt::new("iam", "https://h/cb", Some("/x".into()), now, &mut rand::rng());
        let again = first.again(now, &mut rand::rng());
        assert_eq!((again.choice, &again.next), (1, &first.next));
        assert!(again.state != first.state && again.nonce != first.nonce && again.verifier != first.verifier);
        assert_ne!(again.cookie(), first.cookie());
        assert!(is_cookie(&cookie_of("a;b=c\r\n")) && cookie_of("a;b=c\r\n") == "specola-login-abc");
    }
}

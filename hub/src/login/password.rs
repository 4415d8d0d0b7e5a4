//! The method `password`: hashes in the hub's database, set by an administrator, an invitation or the person.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{Store, StoreError};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{LONGEST_PASSWORD, LoginError, Proof, Refusal, hash};
use crate::config::auth::PasswordConfig;

/// Without letters and digits that look alike.
const READABLE: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP: usize = 4;

/// The passwords in the hub's database.
#[derive(Debug)]
pub struct Passwords {
    minimum_length: usize,
    invite_lifetime: Duration,
    /// Compared with when there is no such user, so that nobody can tell by the time it takes.
    nobody: Secret,
    permits: Arc<Semaphore>,
}

/// Why a password was not set. `Display` is the sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// Too short.
    #[error("The password needs at least {0} characters.")]
    Short(usize),
    /// Too long.
    #[error("The password may have {LONGEST_PASSWORD} bytes at most.")]
    Long,
    /// As easy to guess as it gets.
    #[error("The password must not be the user name.")]
    Name,
    /// Nothing changed.
    #[error("The new password is the old one.")]
    Same,
    /// The link was used, is too old, or never was one.
    #[error("This invitation was used already or has expired. Ask for a new one.")]
    Invite,
    /// The database did not take it.
    #[error("The password could not be stored.")]
    Store(#[from] StoreError),
    /// It could not be hashed.
    #[error("The password could not be stored.")]
    Hash(String),
}

impl Passwords {
    /// Prepares the method; hashes once.
    pub fn new(config: &PasswordConfig) -> Result<Self, LoginError> {
        Ok(Self {
            minimum_length: config.minimum_length,
            invite_lifetime: config.invite_lifetime.duration(),
            nobody: hash::hash(&Secret::new("nobody has this password")).map_err(LoginError::Hash)?,
            permits: Arc::new(Semaphore::new(config.concurrent_checks.max(1))),
        })
    }

    /// The fewest characters of a new password, for forms.
    pub fn minimum_length(&self) -> usize {
        self.minimum_length
    }

    pub(super) async fn prove(&self, store: &Store, name: &str, password: &Secret) -> Proof {
        match self.look(store, name, password).await {
            Ok(Some(must_change)) => Proof::Proven { admin: None, must_change },
            Ok(None) => Proof::Disproven(Refusal::Wrong),
            Err(cause) => Proof::Unknown(cause),
        }
    }

    /// Whether the password is right; then, whether it must be changed.
    async fn look(&self, store: &Store, name: &str, password: &Secret) -> Result<Option<bool>, String> {
        let user = store.user(name).await.map_err(|error| error.to_string())?;
        let kept = match user {
            Some(user) => store.password(user.id).await.map_err(|error| error.to_string())?,
            None => None,
        };
        let against = kept.as_ref().map_or(&self.nobody, |kept| &kept.hash).clone();
        let password = password.clone();
        let right = self.on_a_thread(move || hash::verify(&password, &against)).await?;
        Ok(kept.filter(|_| right).map(|kept| kept.must_change))
    }

    /// Sets a password, as an administrator (`must_change`) or as the person.
    pub async fn set(
        &self,
        store: &Store,
        user: UserId,
        password: &Secret,
        must_change: bool,
        now: Time,
    ) -> Result<(), SetError> {
        let fresh = self.prepared(store, user, password).await?;
        Ok(store.set_password(user, &fresh, must_change, now).await?)
    }

    /// Sets a person's own new password; the old one is not taken again.
    pub async fn change(&self, store: &Store, user: UserId, password: &Secret, now: Time) -> Result<(), SetError> {
        if let Some(old) = store.password(user).await? {
            let (typed, against) = (password.clone(), old.hash);
            if self.on_a_thread(move || hash::verify(&typed, &against)).await.map_err(SetError::Hash)? {
                return Err(SetError::Same);
            }
        }
        self.set(store, user, password, false, now).await
    }

    /// Sets a password made by `one_time`, which has to be changed at the first login.
    pub async fn reset(&self, store: &Store, user: UserId, one_time: &Secret, now: Time) -> Result<(), SetError> {
        let password = one_time.clone();
        let fresh = self.on_a_thread(move || hash::hash(&password)).await.map_err(SetError::Hash)?;
        Ok(store.set_password(user, &fresh, true, now).await?)
    }

    /// Records an invitation to set a password, made by `invitation`; returns until when it is good.
    pub async fn invite(&self, store: &Store, user: UserId, invite: &Secret, now: Time) -> Result<Time, StoreError> {
        let lifetime = TimeDelta::from_std(self.invite_lifetime).unwrap_or(TimeDelta::MAX).min(TimeDelta::days(3650));
        let expires_at = now + lifetime;
        store.insert_invite(&invite_hash(invite), user, expires_at).await?;
        Ok(expires_at)
    }

    /// Whom an invitation is for and when it ends, while it can be used.
    pub async fn invited(
        &self,
        store: &Store,
        invite: &Secret,
        now: Time,
    ) -> Result<Option<(UserId, Time)>, StoreError> {
        store.invite(&invite_hash(invite), now).await
    }

    /// Uses an invitation up to set a password.
    pub async fn accept(
        &self,
        store: &Store,
        invite: &Secret,
        password: &Secret,
        now: Time,
    ) -> Result<UserId, SetError> {
        let hashed = invite_hash(invite);
        let (user, _) = store.invite(&hashed, now).await?.ok_or(SetError::Invite)?;
        // Everything that can be refused is refused before the invitation is used up.
        let fresh = self.prepared(store, user, password).await?;
        store.accept_invite(&hashed, &fresh, now).await?.ok_or(SetError::Invite)
    }

    async fn prepared(&self, store: &Store, user: UserId, password: &Secret) -> Result<Secret, SetError> {
        let name = store.user_by_id(user).await?.map(|user| user.name).unwrap_or_default();
        check(password.expose(), &name, self.minimum_length)?;
        let password = password.clone();
        self.on_a_thread(move || hash::hash(&password)).await.map_err(SetError::Hash)
    }

    /// Runs what takes long away from the threads that serve, a bounded number at once.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        // The permit goes along: a request that is given up does not end the work.
        let permit = self.permits.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|error| error.to_string())?
    }
}

/// Decides whether a new password will do.
fn check(password: &str, name: &str, minimum_length: usize) -> Result<(), SetError> {
    if password.chars().count() < minimum_length {
        return Err(SetError::Short(minimum_length));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(SetError::Long);
    }
    if !name.is_empty() && password.to_lowercase() == name.to_lowercase() {
        return Err(SetError::Name);
    }
    Ok(())
}

/// Makes a password to be read aloud and typed once: `k7mq-2rtx-hp4w-9bnd`, 79 bits.
pub fn one_time(random: &mut impl Rng) -> Secret {
    use rand::RngExt;
    let mut pick = || READABLE.get(random.random_range(0..READABLE.len())).map_or('x', |byte| char::from(*byte));
    let groups: Vec<String> = (0..GROUPS).map(|_| (0..GROUP).map(|_| pick()).collect()).collect();
    Secret::new(groups.join("-"))
}

/// Makes the token of an invitation, to be sent in a link: 43 characters, all good in URLs.
pub fn invitation(random: &mut impl Rng) -> Secret {
    token::generate_share_code(random)
}

/// Invitations are random enough for a plain hash, and have to be found by it.
fn invite_hash(invite: &Secret) -> Secret {
    Secret::new(format!("sha256:{}", hex::encode(Sha256::digest(invite.expose().as_bytes()))))
}

//! What a login method keeps about a person: encrypted in the database as JupyterHub does, in clear for hooks only.

use hub_core::clock::Time;
use hub_core::fernet::{KeyError, KeyRing, Opened};
use hub_core::id::UserId;
use hub_store::{Store, StoreError};
use serde_json::Value;

/// The state of one person. It holds tokens and the like, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthState(pub Value);

impl std::fmt::Debug for AuthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthState(…)")
    }
}

/// Reads and writes states, where there is a key.
#[derive(Default)]
pub struct AuthStates(Option<KeyRing>);

impl std::fmt::Debug for AuthStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuthStates(key: {})", self.0.is_some())
    }
}

impl AuthStates {
    /// `keys` as in `JUPYTERHUB_CRYPT_KEY`; without it nothing is read or written.
    pub fn new(keys: Option<&str>) -> Result<Self, KeyError> {
        Ok(Self(keys.filter(|keys| !keys.trim().is_empty()).map(KeyRing::parse).transpose()?))
    }

    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.0.is_some()
    }

    /// The state of a person; null when there is none, no key, or no key that fits, as in JupyterHub. One that an older
    /// key sealed is sealed with the first key, so that the older one can be given up after a while.
    pub async fn read(&self, store: &Store, user: UserId, now: Time) -> Result<Value, StoreError> {
        let (Some(keys), Some((sealed, opened))) = (&self.0, self.opened(store, user).await?) else {
            return Ok(Value::Null);
        };
        let Ok(state) = serde_json::from_slice(&opened.plain) else { return Ok(Value::Null) };
        if opened.is_old {
            let anew = keys.seal(&opened.plain, now, &mut rand::rng());
            store.replace_auth_state(user, &sealed, &anew).await?;
        }
        Ok(state)
    }

    /// The state of a person beside what it was decrypted from, for who wants to replace it.
    pub async fn open(&self, store: &Store, user: UserId) -> Result<Option<(Vec<u8>, Value)>, StoreError> {
        let opened = self.opened(store, user).await?;
        Ok(opened.and_then(|(sealed, opened)| Some((sealed, serde_json::from_slice(&opened.plain).ok()?))))
    }

    /// Decrypts what [`Self::seal`] made; `None` without a key that fits.
    pub fn unseal(&self, sealed: &[u8]) -> Option<Value> {
        let opened = self.0.as_ref()?.open(sealed)?;
        serde_json::from_slice(&opened.plain).ok()
    }

    /// Encrypts a state with the first key, where there is one.
    pub fn seal(&self, state: &Value, now: Time) -> Option<Vec<u8>> {
        self.0.as_ref().map(|keys| keys.seal(state.to_string().as_bytes(), now, &mut rand::rng()))
    }

    async fn opened(&self, store: &Store, user: UserId) -> Result<Option<(Vec<u8>, Opened)>, StoreError> {
        let Some(keys) = &self.0 else { return Ok(None) };
        let Some(sealed) = store.auth_state(user).await? else { return Ok(None) };
        let opened = keys.open(&sealed);
        if opened.is_none() {
            tracing::warn!(%user, "the auth_state kept in the database cannot be read with the present key");
        }
        Ok(opened.map(|opened| (sealed, opened)))
    }

    /// Keeps the state of a person, or takes it away. Without a key nothing is written.
    pub async fn write(
        &self,
        store: &Store,
        user: UserId,
        state: Option<&AuthState>,
        now: Time,
    ) -> Result<(), StoreError> {
        if !self.has_key() {
            return Ok(());
        }
        let sealed = state.and_then(|AuthState(state)| self.seal(state, now));
        store.set_auth_state(user, sealed.as_deref()).await?;
        Ok(())
    }
}

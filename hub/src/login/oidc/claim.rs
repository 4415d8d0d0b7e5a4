//! Completing the hub's client when the hub starts: its own address is added, its secret read, and both kept for a start
//! while the provider is away. Providers may give another registration access token each time: hubs on one database keep
//! theirs there, encrypted, or the second would know none that is good.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hub_core::clock::{Clock, SystemClock, Time};
use hub_core::secret::Secret;
use hub_store::{OpenError, OpenOptions as StoreOptions, Store};

use super::registration::{Registered, Registrar};
use super::trouble::Trouble;
use crate::config::infn::{Claim, PROVIDER};
use crate::config::{CRYPT_KEY, Config, ProviderConfig};
use crate::hook::auth_state::AuthStates;

/// The file in the data folder.
const FILE: &str = "oidc-client.json";
/// What it is in the database, before the client's name.
const FACT: &str = "oidc_client:";
/// A hub that has no secret from before waits so long for the provider.
const PATIENCE: Duration = Duration::from_secs(120);
/// Another hub may have been given the next token at this moment, and is about to keep it.
const OTHER_HUBS: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// Gets the secret of the provider's client before anything listens, where the configuration gives a registration access token in its place.
pub async fn complete(config: &mut Config) -> Result<()> {
    let Some(claim) = config.claim().cloned() else { return Ok(()) };
    let now = SystemClock.now();
    let place = Place::of(config, &claim.client_id, now).await?;
    let completed = complete_from(config, &claim, &place, now).await;
    place.close().await;
    completed
}

async fn complete_from(config: &mut Config, claim: &Claim, place: &Place, now: Time) -> Result<()> {
    let Some(provider) = config.auth.providers.iter_mut().find(|provider| provider.name == PROVIDER) else {
        return Ok(());
    };
    let issuer = provider.issuer().context("the provider has no issuer")?.to_owned();
    let begun = Instant::now();
    let client = loop {
        let kept = place.read().await?.and_then(|text| Registered::of_file(&text, &issuer, &claim.client_id));
        let trouble = match repaired(provider, &issuer, claim, kept.as_ref()).await {
            Ok(client) => break client,
            Err(trouble) => trouble,
        };
        match (&trouble, &kept) {
            (Trouble::Unreachable(_), Some(kept)) if kept.client_secret.is_some() => {
                tracing::warn!("the client {} is used as it was at the last start: {trouble}", claim.client_id);
                break kept.clone();
            }
            (Trouble::Unreachable(_), _) if begun.elapsed() < PATIENCE => {
                tracing::warn!("the secret of the client {} is not known yet: {trouble}", claim.client_id);
                tokio::time::sleep(PAUSE).await;
            }
            (Trouble::Denied { .. }, _) if place.is_shared() && begun.elapsed() < OTHER_HUBS => {
                tracing::warn!("another hub may know the token of the client {}: {trouble}", claim.client_id);
                tokio::time::sleep(PAUSE).await;
            }
            _ => return Err(anyhow!("cannot complete the client {} at {issuer}: {trouble}", claim.client_id)),
        }
    };
    let defaults = provider.preset.defaults();
    for scope in client.dropped(defaults.scope.iter().chain(defaults.optional_scope).copied()) {
        tracing::warn!("the client {} may not ask for the scope {scope}: register it at the provider", claim.client_id);
    }
    place.write(&client.to_file(&issuer), now).await?;
    tracing::info!("the client {} has the address {}", claim.client_id, claim.callback);
    provider.client_secret = client.client_secret;
    Ok(())
}

/// Where the client is kept from one start to the next.
enum Place {
    /// Of a hub that is alone with its database.
    File(PathBuf),
    /// Of hubs that share one. The file is that of before there was another place.
    Database { store: Store, states: AuthStates, fact: String, file: PathBuf },
}

impl Place {
    async fn of(config: &Config, client_id: &str, now: Time) -> Result<Self> {
        let file = config.hub.data_dir.join(FILE);
        let url = config.hub.database_url();
        if url.expose().starts_with("sqlite") {
            return Ok(Self::File(file));
        }
        let states = AuthStates::new(config.crypt_keys.as_ref().map(Secret::expose)).context(CRYPT_KEY)?;
        if !states.has_key() {
            return Err(anyhow!("a client that is completed is kept in the database, encrypted: set {CRYPT_KEY}"));
        }
        let store = loop {
            match Store::open(url.expose(), StoreOptions::new(now)).await {
                Err(OpenError::Store(error)) if error.may_pass() => {
                    tracing::warn!("the client {client_id} is kept in the database, which is waited for: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
                done => break done?,
            }
        };
        Ok(Self::Database { store, states, fact: format!("{FACT}{client_id}"), file })
    }

    fn is_shared(&self) -> bool {
        matches!(self, Self::Database { .. })
    }

    async fn read(&self) -> Result<Option<String>> {
        let (file, kept) = match self {
            Self::File(file) => (file, None),
            Self::Database { store, states, fact, file } => {
                let sealed = store.meta(fact).await?;
                (file, sealed.and_then(|sealed| states.unseal(sealed.as_bytes())))
            }
        };
        match kept {
            Some(kept) => Ok(kept.as_str().map(str::to_owned)),
            None => Ok(std::fs::read_to_string(file).ok()),
        }
    }

    async fn write(&self, text: &str, now: Time) -> Result<()> {
        match self {
            Self::File(file) => keep(file, text).with_context(|| format!("cannot write {}", file.display())),
            Self::Database { store, states, fact, .. } => {
                let sealed = states.seal(&text.into(), now).context("there is no key")?;
                Ok(store.set_meta(fact, &String::from_utf8(sealed)?).await?)
            }
        }
    }

    async fn close(&self) {
        if let Self::Database { store, .. } = self {
            store.close().await;
        }
    }
}

/// Tries with the token of the last start, which may have been changed since, and with the one that is configured.
async fn repaired(
    provider: &ProviderConfig,
    issuer: &str,
    claim: &Claim,
    kept: Option<&Registered>,
) -> Result<Registered, Trouble> {
    let registrar = Registrar::of(issuer, provider.ca_file.as_deref(), provider.timeout.duration()).await?;
    let before = kept.and_then(|kept| kept.access_token.as_ref()).filter(|token| !token.matches(claim.token.expose()));
    let mut outcome = Err(Trouble::Broken("no token".to_owned()));
    for token in before.into_iter().chain([&claim.token]) {
        outcome = registrar.repair(&claim.client_id, token, &claim.callback).await;
        if !matches!(outcome, Err(Trouble::Denied { .. })) {
            break;
        }
    }
    outcome
}

/// Replaces the file as a whole; only the hub's user may read it.
fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(beside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(beside);
    }
    written
}

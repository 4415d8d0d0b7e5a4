//! Completing the hub's client when the hub starts: its own address is added, its secret read, and both kept for a start
//! while the provider is away.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::registration::{Registered, Registrar};
use super::trouble::Trouble;
use crate::config::infn::{Claim, PROVIDER};
use crate::config::{Config, ProviderConfig};

/// The file in the data folder.
const FILE: &str = "oidc-client.json";
/// A hub that has no secret from before waits so long for the provider.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// Gets the secret of the provider's client before anything listens, where the configuration gives a registration access token in its place.
pub async fn complete(config: &mut Config) -> Result<()> {
    let Some(claim) = config.claim().cloned() else { return Ok(()) };
    let file = config.hub.data_dir.join(FILE);
    let Some(provider) = config.auth.providers.iter_mut().find(|provider| provider.name == PROVIDER) else {
        return Ok(());
    };
    let issuer = provider.issuer().context("the provider has no issuer")?.to_owned();
    let kept =
        std::fs::read_to_string(&file).ok().and_then(|text| Registered::of_file(&text, &issuer, &claim.client_id));
    let begun = Instant::now();
    let client = loop {
        let trouble = match repaired(provider, &issuer, &claim, kept.as_ref()).await {
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
            _ => return Err(anyhow!("cannot complete the client {} at {issuer}: {trouble}", claim.client_id)),
        }
    };
    let defaults = provider.preset.defaults();
    for scope in client.dropped(defaults.scope.iter().chain(defaults.optional_scope).copied()) {
        tracing::warn!("the client {} may not ask for the scope {scope}: register it at the provider", claim.client_id);
    }
    keep(&file, &client.to_file(&issuer)).with_context(|| format!("cannot write {}", file.display()))?;
    tracing::info!("the client {} has the address {}", claim.client_id, claim.callback);
    provider.client_secret = client.client_secret;
    Ok(())
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

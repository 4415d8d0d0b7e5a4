//! What of the configuration is another than at the last start, for the audit: names of options, never values.

use std::collections::{BTreeMap, BTreeSet};

use hub_store::StoreError;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::app::App;

/// The options of the configuration that are others than at the last start, by name. `None` when none is, or when this
/// is the first start that can tell.
///
/// What is remembered are digests under the key of the cookies, because options may be secrets that are short.
pub async fn since_last_start(app: &App) -> Result<Option<Vec<String>>, StoreError> {
    const NAME: &str = "config_digests";
    let key = app.cookie_secret.to_file();
    let sealed = |(name, digest): (&String, &[u8; 32])| {
        let seal = Sha256::new().chain_update(&key).chain_update(name).chain_update(digest).finalize();
        (name.clone(), hex::encode(seal).chars().take(16).collect())
    };
    let now: BTreeMap<String, String> = app.config.digests.iter().map(sealed).collect();
    let before: Option<BTreeMap<String, String>> =
        app.store.meta(NAME).await?.and_then(|text| serde_json::from_str(&text).ok());
    if before.as_ref() != Some(&now) {
        app.store.set_meta(NAME, &json!(now).to_string()).await?;
    }
    let Some(before) = before else { return Ok(None) };
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed: Vec<String> = names.into_iter().filter(|name| before.get(*name) != now.get(*name)).cloned().collect();
    Ok((!changed.is_empty()).then_some(changed))
}

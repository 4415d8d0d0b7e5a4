//! The authorities of the servers that run, as the database knows them: by their fingerprint alone.

use anyhow::{Result, bail};
use hub_store::Store;

use crate::config::Config;

/// The fact in the database; empty is plain HTTP.
const FACT: &str = "internal_ssl";

/// Looks whether servers that run can be spoken to by a hub with these authorities; empty is plain HTTP.
///
/// Errors: they have those of another folder, or of one that was lost.
pub async fn check(store: &Store, config: &Config, own: &str) -> Result<()> {
    let known = store.meta(FACT).await?.unwrap_or_default();
    if known == own || store.count_active_servers().await? == 0 {
        return Ok(());
    }
    let folder = config.hub.internal_certs_path();
    match (known.is_empty(), own.is_empty()) {
        (false, false) => bail!(
            "servers run whose certificates are of other authorities than those in {}: put the files of before there \
             (hub.internal_certs_location); where they are lost, set hub.internal_ssl = false, stop all servers, and set it again",
            folder.display()
        ),
        (true, _) => tracing::warn!(
            "servers run that speak plain HTTP, and hub.internal_ssl is set: they do not reach the hub any more; stop them"
        ),
        (_, true) => tracing::warn!(
            "servers run that speak TLS, and hub.internal_ssl is not set: they are not reached any more; stop them"
        ),
    }
    Ok(())
}

/// Says whose the servers are that start from now on.
pub async fn keep(store: &Store, own: &str) -> Result<()> {
    if store.meta(FACT).await?.unwrap_or_default() != own {
        store.set_meta(FACT, own).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hub_core::clock::Time;
    use hub_store::{OpenOptions, StartLimits};

    use super::*;

    #[tokio::test]
    async fn authorities_that_are_not_those_of_running_servers_are_refused_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let (now, mut config) = (Time::UNIX_EPOCH, Config::default());
        config.hub.data_dir = "/srv/mistyped".into();
        let store = Store::open(&url, OpenOptions::new(now)).await.unwrap();
        let fits = async |own: &str| check(&store, &config, own).await.map_err(|error| error.to_string());
        // Nothing runs: whatever it is, it is new.
        for own in ["one", "other", "", "one"] {
            assert_eq!(fits(own).await, Ok(()));
            keep(&store, own).await.unwrap();
        }
        let ann = store.create_user("ann", false, "0", now).await.unwrap();
        let server = store.create_server(ann.id, "", None, None, now).await.unwrap().unwrap();
        assert_eq!(fits("other").await, Ok(()), "it was never started");
        store.want_running(server.id, None, &serde_json::json!({}), StartLimits::default(), now).await.unwrap();
        assert_eq!(fits("one").await, Ok(()));
        let said = fits("other").await.unwrap_err();
        assert!(said.contains("/srv/mistyped/internal-ssl"), "{said}");
        // The way out: without, and with it again.
        assert_eq!(fits("").await, Ok(()));
        keep(&store, "").await.unwrap();
        assert_eq!(fits("other").await, Ok(()));
    }
}

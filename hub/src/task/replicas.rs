//! Several hubs on one database: each says that it is there, and none begins that could not work beside the others.

use anyhow::{Result, bail};
use hub_core::clock::Time;
use hub_core::cookie::CookieSecret;
use hub_core::secret::Secret;
use hub_store::{Hub, Store, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::SiteConfig;
use crate::keeper::absence::PERIOD;
use crate::keeper::signals::Signals;

/// One that was silent for longer is not there any more.
const SILENCE_SECONDS: u32 = 15;
/// What is left of hubs that died is kept for so long.
const KEPT_SECONDS: u32 = 24 * 3600;

/// What all hubs of a database have to have in common, so that what one has signed counts for all: tells two secrets apart,
/// and nothing of either. `authorities` are those of TLS between hubs, proxies and servers. `proxies` is the proof of proxies that may come to any hub; one beside its own hub comes to that alone.
pub fn shared(cookies: &CookieSecret, proxies: Option<&Secret>, authorities: Option<&Secret>) -> Value {
    let of_cookies = cookies.derive("what hubs have in common");
    let mut shared = json!({ "cookie_secret": short(of_cookies.expose()) });
    if let Some(proof) = proxies {
        shared["proxy_token"] = short(proof.expose()).into();
    }
    if let Some(authorities) = authorities {
        shared["internal_ssl"] = short(authorities.expose()).into();
    }
    shared
}

/// The same of sites, for `sites` beside it: a hub cannot look at what is at a site that it does not have. Their order tells where
/// servers are that name none.
pub fn sites(sites: &[SiteConfig]) -> Value {
    sites.iter().map(|site| site.name.as_str()).collect()
}

fn short(secret: &str) -> String {
    hex::encode(Sha256::digest(secret).get(..8).unwrap_or_default())
}

/// A hub among those that use the same database.
#[derive(Debug, Clone)]
pub struct Place {
    id: String,
    host: String,
    shared: Value,
    started: Time,
}

impl Place {
    /// `id` is the name under which the hub holds what only one may hold.
    pub fn new(id: &str, shared: Value, started: Time) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        Self { id: id.to_owned(), host, shared, started }
    }

    /// The fingerprint of its authorities; empty without any.
    pub fn authorities(&self) -> &str {
        self.shared.get("internal_ssl").and_then(Value::as_str).unwrap_or_default()
    }

    /// Looks whether this hub can work beside those that are there, and says that it is one of them. Tells whether it is
    /// alone.
    pub async fn join(&self, store: &Store) -> Result<bool> {
        let mut others = if store.is_shared() { store.hubs(SILENCE_SECONDS).await? } else { Vec::new() };
        others.retain(|other| other.id != self.id);
        others.iter().try_for_each(|other| fits(other, &self.shared))?;
        self.stay(store).await?;
        Ok(others.is_empty())
    }

    async fn stay(&self, store: &Store) -> Result<(), StoreError> {
        store.saw_hub(&self.id, &self.host, env!("CARGO_PKG_VERSION"), &self.shared, self.started).await
    }

    /// Says that the hub is there until it stops, and then that it is not any more.
    pub async fn hold(self, store: Store, signals: Signals, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            match self.stay(&store).await {
                Ok(()) => signals.absence().wrote(),
                Err(error) => tracing::warn!("other hubs do not hear of this one: {error}"),
            }
        }
        if let Err(error) = store.forget_hubs(&self.id, KEPT_SECONDS).await {
            tracing::debug!("other hubs hear later that this one has ended: {error}");
        }
    }
}

/// Says when proxies have been led to another address by the hubs that are there: they will all be led to this one now.
pub async fn tell_of_another_way(store: &Store, prefix: &str, own: &str) -> Result<(), StoreError> {
    let (_, routes) = store.routes_snapshot().await?;
    if let Some(there) = routes.iter().find(|route| route.prefix == prefix && route.target != own) {
        tracing::warn!(
            "other hubs of this database are reached at {}, this one at {own}, and proxies know one of them alone: \
             hub.hub_connect_url should be one address that leads to any of them",
            there.target
        );
    }
    Ok(())
}

fn fits(other: &Hub, shared: &Value) -> Result<()> {
    for (what, remedy) in [
        (
            "cookie_secret",
            "signs cookies with another key: hub.cookie_secret_file has to be the same file for all hubs",
        ),
        ("sites", "has other sites, or in another order: [[sites]] has to be the same for all hubs"),
        ("proxy_token", "has another token for proxies: proxy.token_file has to have the same content for all hubs"),
        (
            "internal_ssl",
            "has other authorities, or speaks plain HTTP: hub.internal_ssl and the files in hub.internal_certs_location have \
             to be the same for all hubs",
        ),
    ] {
        let (theirs, ours) = (other.shared.get(what), shared.get(what));
        // Who has no such proxies has no token for them; but who has no authorities hears nobody who has some.
        let matters = what == "internal_ssl" || theirs.is_some() && ours.is_some();
        if matters && theirs != ours {
            bail!(
                "the hub on {}, which uses the same database, {remedy} (or stop all hubs before it is changed)",
                other.host
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hub_store::OpenOptions;

    use super::*;

    #[test]
    fn hubs_with_other_secrets_do_not_work_beside_each_other_and_are_told_which() {
        let [one, other] = [(); 2].map(|()| CookieSecret::generate(&mut rand::rng()));
        let there = |cookies: &CookieSecret, proxies: &str| Hub {
            id: "a".to_owned(),
            host: "hub-0".to_owned(),
            version: "1".to_owned(),
            shared: shared(cookies, Some(&Secret::new(proxies)), Some(&Secret::new("ca"))),
            started_at: Time::UNIX_EPOCH,
            seen_at: Time::UNIX_EPOCH,
        };
        let own = shared(&one, Some(&Secret::new("token")), Some(&Secret::new("ca")));
        assert!(fits(&there(&one, "token"), &own).is_ok());
        let said = fits(&there(&other, "token"), &own).unwrap_err().to_string();
        assert!(said.contains("hub-0") && said.contains("hub.cookie_secret_file"), "{said}");
        let said = fits(&there(&one, "another"), &own).unwrap_err().to_string();
        assert!(said.contains("proxy.token_file"), "{said}");
        // Proxies beside their hubs need nothing in common, and a later version may share more, or less.
        assert!(fits(&there(&one, "another"), &shared(&one, None, Some(&Secret::new("ca")))).is_ok());
        let said =
            fits(&there(&one, "token"), &shared(&one, None, Some(&Secret::new("other")))).unwrap_err().to_string();
        assert!(said.contains("hub.internal_certs_location"), "{said}");
        let plain = shared(&one, None, None);
        for (theirs, ours) in [(&plain, &own), (&json!({}), &own), (&own, &plain)] {
            let said = fits(&Hub { shared: theirs.clone(), ..there(&one, "token") }, ours).unwrap_err().to_string();
            assert!(said.contains("hub.internal_ssl"), "{said}");
        }
        assert!(fits(&Hub { shared: json!({}), ..there(&one, "token") }, &plain).is_ok());
        assert!(!own.to_string().contains("token\":\"token"));
    }

    #[test]
    fn hubs_with_other_sites_do_not_work_beside_each_other() {
        let with = |names: &[&str]| json!({ "sites": sites(&names.iter().copied().map(SiteConfig::named).collect::<Vec<_>>()) });
        let there = |shared: Value| Hub {
            id: "a".to_owned(),
            host: "hub-0".to_owned(),
            version: "1".to_owned(),
            shared,
            started_at: Time::UNIX_EPOCH,
            seen_at: Time::UNIX_EPOCH,
        };
        for (theirs, ours, fit) in [
            (&[][..], &[][..], true),
            (&["cnaf", "bari"], &["cnaf", "bari"], true),
            (&["cnaf", "bari"], &["bari", "cnaf"], false),
            (&["cnaf"], &[], false),
            (&[], &["cnaf"], false),
        ] {
            let told = fits(&there(with(theirs)), &with(ours));
            assert_eq!(told.is_ok(), fit, "{theirs:?} {ours:?} {told:?}");
        }
        assert!(fits(&there(json!({})), &with(&["cnaf"])).is_ok(), "an earlier version says nothing");
    }

    #[tokio::test]
    async fn who_is_there_is_seen_until_it_says_that_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let store = Store::open(&url, OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap();
        // One hub alone may change its secrets.
        for secret in ["x", "y"] {
            let place = Place::new("one", json!({ "cookie_secret": secret }), Time::UNIX_EPOCH);
            assert!(place.join(&store).await.unwrap());
        }
        let there = store.hubs(SILENCE_SECONDS).await.unwrap();
        assert_eq!(
            there.iter().map(|hub| (hub.id.as_str(), &hub.shared["cookie_secret"])).collect::<Vec<_>>(),
            [("one", &json!("y"))]
        );
        store.forget_hubs("one", KEPT_SECONDS).await.unwrap();
        assert_eq!(store.hubs(SILENCE_SECONDS).await.unwrap(), []);
    }
}

//! Services and tokens of the configuration, brought into the database at start.
//!
//! What the configuration made and names no longer is deleted, tokens included. What the API made stays.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use hub_core::clock::Time;
use hub_core::id::{ServiceId, TokenId, UserId};
use hub_core::scope::Catalogue;
use hub_core::secret::Secret;
use hub_core::{name::UserName, token};
use hub_store::{Existing, Put, ServiceSpec, Store, StoreError, TokenOwner};

use super::spec::Wanted;
use super::tokens::{self, Chosen};
use crate::config::service::ServiceConfig;
use crate::config::{Config, HubConfig};
use crate::http::url::Paths;
use crate::task::routes;

/// Seconds, for a service that is only a name with a token.
const TIMEOUT: i32 = 30;

/// Refuses scopes that do not exist: a right that somebody misspelled must not be missed in silence.
pub fn check(hub: &HubConfig, catalogue: &Catalogue) -> Result<()> {
    for service in &hub.services {
        for scope in &service.oauth_client_allowed_scopes {
            let place = || format!("hub.services, service {:?}: {scope}", service.name);
            catalogue.parse(scope).with_context(place)?;
        }
    }
    Ok(())
}

/// Brings everything.
pub async fn sync(store: &Store, config: &Config, paths: &Paths, now: Time) -> Result<()> {
    let hub = &config.hub;
    store.delete_orphaned_service_clients().await?;
    let named = hub.services.iter().map(|service| &service.name);
    let wanted: BTreeSet<&String> = named.chain(hub.service_tokens.iter().map(|token| &token.name)).collect();
    for service in store.list_services().await? {
        if service.spec.from_config && !wanted.contains(&service.spec.name) {
            store.delete_service(service.id).await?;
            tracing::info!(service = service.spec.name, "not configured any more, deleted with its tokens");
        }
    }
    let mut kept = Vec::new();
    for service in &hub.services {
        let name = &service.name;
        kept.extend(one(store, service, paths, now).await.with_context(|| format!("service {name:?}"))?);
    }
    for given in &hub.service_tokens {
        let Some(secret) = &given.token else { continue };
        let owner = TokenOwner::Service(service_of(store, &given.name).await?);
        kept.extend(choose(store, owner, secret, &given.name, now).await?);
    }
    for given in &hub.api_tokens {
        let Some(secret) = &given.token else { continue };
        let owner = TokenOwner::User(person(store, config, &given.name, now).await?);
        kept.extend(choose(store, owner, secret, &given.name, now).await?);
    }
    routes::reconcile_services(store, paths).await?;
    let gone = store.delete_config_tokens_but(&kept).await?;
    if gone > 0 {
        tracing::info!(tokens = gone, "deleted tokens that the configuration does not name any more");
    }
    Ok(())
}

/// Brings one service; returns the token it has from the configuration.
async fn one(store: &Store, config: &ServiceConfig, paths: &Paths, now: Time) -> Result<Option<TokenId>> {
    let there = store.service(&config.name).await?;
    if there.as_ref().is_some_and(|there| !there.spec.from_config) {
        tracing::error!(service = config.name, "a service of this name was made through the API; it stays as it is");
        return Ok(None);
    }
    let wanted = Wanted::of_config(config, paths)?;
    let before = match &wanted.spec.oauth_client_id {
        Some(identifier) => store.oauth_client(identifier).await?.map(|client| client.secret),
        None => None,
    };
    let client = wanted.client(before.as_ref(), &mut rand::rng());
    let put = store.put_service(&wanted.spec, client.as_ref(), wanted.address.as_ref(), Existing::Change).await?;
    let Put::Done(id) = put else {
        tracing::error!(service = config.name, "its oauth_client_id is another service's; left out");
        return Ok(None);
    };
    if !config.is_managed() || wanted.api_token.is_some() {
        tokens::end(store, id).await?;
    }
    match &wanted.api_token {
        Some(secret) => Ok(choose(store, TokenOwner::Service(id), secret, &config.name, now).await?),
        None => Ok(None),
    }
}

async fn choose(
    store: &Store,
    owner: TokenOwner,
    secret: &Secret,
    name: &str,
    now: Time,
) -> Result<Option<TokenId>, StoreError> {
    match tokens::choose(store, owner, secret, now).await? {
        Chosen::Known(id) => Ok(Some(id)),
        Chosen::Taken => {
            tracing::error!(owner = name, "a configured token is somebody else's already; left out");
            Ok(None)
        }
    }
}

/// Finds or makes the service that only has a token.
async fn service_of(store: &Store, name: &str) -> Result<ServiceId, StoreError> {
    if let Some(service) = store.service(name).await? {
        return Ok(service.id);
    }
    let spec = ServiceSpec { name: name.to_owned(), timeout: TIMEOUT, from_config: true, ..ServiceSpec::default() };
    store.sync_service(&spec).await
}

/// Finds or makes the person.
async fn person(store: &Store, config: &Config, name: &str, now: Time) -> Result<UserId> {
    let name = UserName::normalise(name, &config.auth.username_map);
    let name = UserName::parse(&name).with_context(|| format!("hub.api_tokens: {name:?}"))?;
    if let Some(user) = store.user(name.as_str()).await? {
        return Ok(user.id);
    }
    let cookie_id = token::generate_id(&mut rand::rng());
    match store.create_user(name.as_str(), false, &cookie_id, now).await {
        // Another hub starts at the same time and was quicker.
        Err(StoreError::Conflict(context)) => {
            Ok(store.user(name.as_str()).await?.ok_or(StoreError::Conflict(context))?.id)
        }
        made => Ok(made?.id),
    }
}

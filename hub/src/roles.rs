//! Roles and groups of the configuration, brought into the database at start.
//!
//! Members are added, never taken away: what the API or an authenticator gave stays.

use hub_core::clock::Time;
use hub_core::name::UserName;
use hub_core::token;
use hub_store::{Group, Holder, NewRole, Store, StoreError, User};
use serde_json::{Value, json};

use crate::config::HubConfig;
use crate::config::hub::{GroupConfig, RoleConfig};

/// Creates and updates what `load_groups` and `load_roles` name, people included.
pub async fn sync(store: &Store, config: &HubConfig, now: Time) -> Result<(), StoreError> {
    for (name, wanted) in &config.load_groups {
        sync_group(store, name, wanted, now).await?;
    }
    for wanted in &config.load_roles {
        sync_role(store, wanted, now).await?;
    }
    Ok(())
}

async fn sync_group(store: &Store, name: &str, wanted: &GroupConfig, now: Time) -> Result<(), StoreError> {
    let group = group(store, name).await?;
    if !wanted.properties.is_empty() {
        let properties: Value = wanted.properties.clone().into_iter().collect();
        store.set_group_properties(group.id, &properties).await?;
    }
    let mut members = Vec::new();
    for name in &wanted.users {
        members.extend(user(store, name, now).await?.map(|user| user.id));
    }
    store.add_members(group.id, &members).await
}

async fn sync_role(store: &Store, wanted: &RoleConfig, now: Time) -> Result<(), StoreError> {
    let role = NewRole {
        name: wanted.name.clone(),
        description: Some(wanted.description.clone()),
        scopes: wanted.scopes.clone(),
        managed_by_auth: false,
    };
    let id = store.sync_role(&role).await?;
    for name in &wanted.users {
        if let Some(user) = user(store, name, now).await? {
            store.assign_role(Holder::User(user.id), id).await?;
        }
    }
    for name in &wanted.groups {
        store.assign_role(Holder::Group(group(store, name).await?.id), id).await?;
    }
    for name in &wanted.services {
        match store.service(name).await? {
            Some(service) => drop(store.assign_role(Holder::Service(service.id), id).await?),
            None => tracing::warn!(role = wanted.name, service = name, "there is no such service to give the role to"),
        }
    }
    Ok(())
}

async fn group(store: &Store, name: &str) -> Result<Group, StoreError> {
    match store.group(name).await? {
        Some(group) => Ok(group),
        None => store.create_group(name, &json!({})).await,
    }
}

/// Finds or makes a user; nobody for a name that no user can have.
async fn user(store: &Store, name: &str, now: Time) -> Result<Option<User>, StoreError> {
    if let Some(user) = store.user(name).await? {
        return Ok(Some(user));
    }
    if UserName::parse(name).is_err() {
        tracing::warn!(user = name, "nobody can have this name; left out");
        return Ok(None);
    }
    let cookie_id = token::generate_id(&mut rand::rng());
    store.create_user(name, false, &cookie_id, now).await.map(Some)
}

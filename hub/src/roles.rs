//! Roles and groups of the configuration, brought into the database at start.
//!
//! Members are added, never taken away: what the API or an authenticator gave stays.

use anyhow::Context;
use hub_core::clock::Time;
use hub_core::name::UserName;
use hub_core::scope::Catalogue;
use hub_core::{role, token};
use hub_store::{Group, Holder, NewRole, Store, StoreError, User};
use serde_json::{Value, json};

use crate::config::HubConfig;
use crate::config::hub::{GroupConfig, RoleConfig};

/// Refuses scopes that do not exist: a right that somebody misspelled must not be missed in silence.
pub fn check(config: &HubConfig, catalogue: &Catalogue) -> anyhow::Result<()> {
    for scope in &config.extra_user_scopes {
        catalogue.parse(scope).with_context(|| format!("hub.extra_user_scopes: {scope}"))?;
    }
    for role in &config.load_roles {
        for scope in &role.scopes {
            catalogue.parse(scope).with_context(|| format!("hub.load_roles, role {:?}: {scope}", role.name))?;
        }
    }
    Ok(())
}

/// Creates and updates what `load_groups` and `load_roles` name, people included.
pub async fn sync(store: &Store, config: &HubConfig, now: Time) -> Result<(), StoreError> {
    for (name, wanted) in &config.load_groups {
        sync_group(store, name, wanted, now).await?;
    }
    let everybody = NewRole {
        name: role::USER.name.to_owned(),
        description: Some(role::USER.description.to_owned()),
        scopes: role::USER
            .scopes
            .iter()
            .map(|scope| (*scope).to_owned())
            .chain(config.extra_user_scopes.clone())
            .collect(),
        managed_by_auth: false,
    };
    store.sync_role(&everybody).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::clock::{Clock, SystemClock};
    use hub_store::OpenOptions;

    #[tokio::test]
    async fn what_the_configuration_names_is_made_and_given() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let now = SystemClock.now();
        let store = Store::open(&url, OpenOptions::new(now)).await.unwrap();
        let mut config = HubConfig { extra_user_scopes: vec!["shares!user".into()], ..HubConfig::default() };
        let members = GroupConfig { users: vec!["ann".into(), "no/body".into()], ..GroupConfig::default() };
        config.load_groups.insert("physics".into(), members);
        config.load_roles.push(RoleConfig {
            name: "watchers".into(),
            description: "See everybody".into(),
            scopes: vec!["list:users".into()],
            users: vec!["bob".into()],
            groups: vec!["physics".into()],
            services: vec!["nobody's".into()],
        });
        // A second start finds everything as it is.
        for _ in 0..2 {
            sync(&store, &config, now).await.unwrap();
        }
        for name in ["ann", "bob"] {
            let user = store.user(name).await.unwrap().unwrap();
            let roles = store.roles_of_user(user.id).await.unwrap();
            let scopes: Vec<&str> = roles.iter().flat_map(|role| &role.scopes).map(String::as_str).collect();
            assert!(scopes.contains(&"list:users") && scopes.contains(&"shares!user"), "{name}: {scopes:?}");
        }
        assert!(store.user("no/body").await.unwrap().is_none());
        store.close().await;
    }

    #[test]
    fn a_misspelled_scope_is_refused() {
        let config = HubConfig { extra_user_scopes: vec!["read:user".into()], ..HubConfig::default() };
        let error = check(&config, &Catalogue::default()).unwrap_err();
        assert!(format!("{error:#}").contains("hub.extra_user_scopes: read:user"), "{error:#}");
    }
}

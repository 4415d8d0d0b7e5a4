//! The people named in the configuration, brought into the database when the hub starts, as JupyterHub does.
//!
//! `admin_users` exist and administer, `allowed_users` exist, `blocked_users` lose every right they had.

use hub_core::clock::Time;
use hub_core::name::UserName;
use hub_core::token;
use hub_store::{Holder, Store, StoreError, User};
use serde_json::{Value, json};

use crate::audit::{self, Act};
use crate::config::AuthConfig;

/// Makes the database agree with the lists. Names that cannot be names were refused with the configuration.
pub async fn sync(store: &Store, auth: &AuthConfig, now: Time) -> Result<(), StoreError> {
    let name = |name: &String| UserName::normalise(name, &auth.username_map);
    for admin in auth.admin_users.iter().map(name) {
        let user = ensure(store, &admin, true, now).await?;
        if !user.admin {
            store.set_admin(user.id, true).await?;
            audit::by_config(store, now, Act::AdminGrant, &admin, Value::Null).await;
        }
    }
    for allowed in auth.allowed_users.iter().map(name) {
        ensure(store, &allowed, false, now).await?;
    }
    Ok(())
}

/// Takes every right from who is blocked, and stops their servers. After the roles of the configuration: a block is the last word.
pub async fn block(store: &Store, auth: &AuthConfig, now: Time) -> Result<(), StoreError> {
    let name = |name: &String| UserName::normalise(name, &auth.username_map);
    for blocked in auth.blocked_users.iter().map(name) {
        if let Some(user) = store.user(&blocked).await? {
            strip(store, &user, now).await?;
        }
    }
    Ok(())
}

async fn ensure(store: &Store, name: &str, admin: bool, now: Time) -> Result<User, StoreError> {
    if let Some(user) = store.user(name).await? {
        return Ok(user);
    }
    match store.create_user(name, admin, &token::generate_id(&mut rand::rng()), now).await {
        // Another hub starts at the same time and was quicker.
        Err(StoreError::Conflict(context)) => store.user(name).await?.ok_or(StoreError::Conflict(context)),
        Ok(made) => {
            audit::by_config(store, now, Act::UserCreate, name, json!({ "admin": admin })).await;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

/// Takes every right away, so that sessions and tokens of before are worth nothing.
async fn strip(store: &Store, user: &User, now: Time) -> Result<(), StoreError> {
    store.set_admin(user.id, false).await?;
    if user.admin {
        audit::by_config(store, now, Act::AdminRevoke, &user.name, Value::Null).await;
    }
    store.set_groups(user.id, &[]).await?;
    let own = store.own_roles_of_users(&[user.id]).await?;
    for name in own.get(&user.id).into_iter().flatten() {
        if let Some(role) = store.role(name).await? {
            store.revoke_role(Holder::User(user.id), role.id).await?;
        }
    }
    store.set_cookie_id(user.id, &token::generate_id(&mut rand::rng())).await?;
    store.revoke_sessions_of(user.id, now).await?;
    for server in store.servers_of(&[user.id]).await? {
        // The keeper, once it runs, finds that it is to be stopped; one that is stopped stays so.
        store.want_stopped(server.id, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hub_core::life::Desired;
    use hub_store::{OpenOptions, StartLimits};

    use super::*;

    #[tokio::test]
    async fn the_lists_decide_who_exists_and_who_has_rights() {
        let folder = tempfile::tempdir().unwrap();
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let store = Store::open(&url, OpenOptions::new(now)).await.unwrap();
        let eve = store.create_user("eve", true, &"0".repeat(32), now).await.unwrap();
        let server = store.create_server(eve.id, "", None, None, now).await.unwrap().unwrap();
        store.want_running(server.id, None, &json!({}), StartLimits::default(), now).await.unwrap();
        let group = store.create_group("staff", &serde_json::json!({})).await.unwrap();
        store.add_members(group.id, &[eve.id]).await.unwrap();
        let list = |name: &str| [name.to_owned()].into();
        let auth = AuthConfig {
            admin_users: list("Ada"),
            allowed_users: list("grace"),
            blocked_users: list("eve"),
            ..AuthConfig::default()
        };
        for _ in 0..2 {
            sync(&store, &auth, now).await.unwrap();
            block(&store, &auth, now).await.unwrap();
            assert!(store.user("ada").await.unwrap().unwrap().admin);
            assert!(!store.user("grace").await.unwrap().unwrap().admin);
        }
        let blocked = store.user("eve").await.unwrap().unwrap();
        let server = store.server_by_id(server.id).await.unwrap().unwrap();
        assert_eq!(server.desired, Desired::Stopped);
        assert!(!blocked.admin && blocked.cookie_id != eve.cookie_id);
        assert!(store.groups_of(eve.id).await.unwrap().is_empty());
        assert!(store.roles_of_user(eve.id).await.unwrap().is_empty());
    }
}

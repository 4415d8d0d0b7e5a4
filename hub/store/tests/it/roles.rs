//! Roles and who holds them.

use crate::harness::{Database, at, both, user};
use hub_core::id::{RoleId, UserId};
use hub_store::{Holder, NewRole, ServiceSpec, Store, StoreError};
use serde_json::json;

fn new_role(name: &str, scopes: &[&str]) -> NewRole {
    NewRole {
        name: name.to_owned(),
        description: Some(format!("the role {name}")),
        scopes: scopes.iter().map(|scope| scope.to_string()).collect(),
        managed_by_auth: false,
    }
}

async fn names(store: &Store, user: UserId) -> Vec<String> {
    store.roles_of_user(user).await.unwrap().into_iter().map(|role| role.name).collect()
}

async fn a_new_database_has_the_default_roles(Database { store, .. }: Database) {
    let roles = store.list_roles().await.unwrap();
    let names: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["user", "admin", "server", "token"]);
    assert_eq!(roles[0].scopes, ["self"]);
    assert_eq!(roles[1].scopes.len(), 16);
}

async fn a_role_is_made_changed_and_deleted(Database { store, .. }: Database) {
    let id = store.sync_role(&new_role("reader", &["read:users"])).await.unwrap();
    assert_eq!(store.sync_role(&new_role("reader", &["list:users"])).await.unwrap(), id);
    let role = store.role("reader").await.unwrap().unwrap();
    assert_eq!((role.id, role.scopes.as_slice()), (id, &["list:users".to_owned()][..]));
    assert_eq!(role.description.as_deref(), Some("the role reader"));
    assert!(store.delete_role(id).await.unwrap());
    assert!(!store.delete_role(id).await.unwrap());
    assert_eq!(store.role("reader").await.unwrap(), None);
}

async fn a_user_has_its_own_roles_and_those_of_its_groups_once(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    let staff = store.create_group("staff", &json!({})).await.unwrap().id;
    store.add_members(staff, &[ann]).await.unwrap();
    let reader = store.sync_role(&new_role("reader", &["read:users"])).await.unwrap();
    assert!(store.assign_role(Holder::Group(staff), reader).await.unwrap());
    assert_eq!(names(&store, ann).await, ["user", "reader"]);
    assert!(store.assign_role(Holder::User(ann), reader).await.unwrap());
    assert!(!store.assign_role(Holder::User(ann), reader).await.unwrap());
    assert_eq!(names(&store, ann).await, ["user", "reader"]);
    assert_eq!(store.holders_of_role(reader).await.unwrap(), [Holder::User(ann), Holder::Group(staff)]);
    assert_eq!(store.roles_of_groups(&[staff]).await.unwrap()[&staff], ["reader"]);

    assert!(store.revoke_role(Holder::User(ann), reader).await.unwrap());
    assert!(!store.revoke_role(Holder::User(ann), reader).await.unwrap());
    let own = store.own_roles_of_users(&[ann, bea]).await.unwrap();
    assert_eq!((own[&ann].as_slice(), own[&bea].as_slice()), (&["user".to_owned()][..], &["user".to_owned()][..]));
    let all = store.roles_of_users(&[ann, bea]).await.unwrap();
    assert_eq!((all[&ann].len(), all[&bea].len()), (2, 1));
}

async fn the_admin_flag_and_the_role_admin_go_together(Database { store, .. }: Database) {
    let ann = store.create_user("ann", true, "c", at(0)).await.unwrap().id;
    let admin = store.role("admin").await.unwrap().unwrap().id;
    let is_admin = async || store.user_by_id(ann).await.unwrap().unwrap().admin;
    assert_eq!(names(&store, ann).await, ["user", "admin"]);
    store.set_admin(ann, false).await.unwrap();
    assert_eq!((names(&store, ann).await, is_admin().await), (vec!["user".to_owned()], false));
    store.assign_role(Holder::User(ann), admin).await.unwrap();
    assert!(is_admin().await);
    store.revoke_role(Holder::User(ann), admin).await.unwrap();
    assert!(!is_admin().await);
    let reader = store.sync_role(&new_role("reader", &[])).await.unwrap();
    store.assign_role(Holder::User(ann), reader).await.unwrap();
    assert!(!is_admin().await, "another role does not make an admin");
}

async fn a_service_holds_roles_too(Database { store, .. }: Database) {
    let spec = ServiceSpec { name: "cull".into(), admin: true, timeout: 30, ..ServiceSpec::default() };
    let cull = store.sync_service(&spec).await.unwrap();
    let reader = store.sync_role(&new_role("reader", &["list:users"])).await.unwrap();
    store.assign_role(Holder::Service(cull), reader).await.unwrap();
    let held = store.roles_of_service(cull).await.unwrap();
    assert_eq!(held.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["admin", "reader"]);
}

async fn a_role_or_holder_that_does_not_exist_is_missing(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let role = store.role("token").await.unwrap().unwrap().id;
    for given in [(Holder::User(ann), RoleId(999)), (Holder::User(UserId(999)), role)] {
        let assigned = store.assign_role(given.0, given.1).await;
        assert!(matches!(assigned, Err(StoreError::Missing(_))), "{given:?}: {assigned:?}");
    }
}

both!(
    a_new_database_has_the_default_roles,
    a_role_is_made_changed_and_deleted,
    a_user_has_its_own_roles_and_those_of_its_groups_once,
    the_admin_flag_and_the_role_admin_go_together,
    a_service_holds_roles_too,
    a_role_or_holder_that_does_not_exist_is_missing,
);

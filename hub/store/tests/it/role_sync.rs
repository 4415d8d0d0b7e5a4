//! Roles and their holders brought to what the configuration or an authenticator says.

use crate::harness::{Database, at, both, user};
use hub_core::id::{RoleId, UserId};
use hub_store::{Holder, Holders, NewRole, ServiceSpec, Store, StoreError};
use serde_json::json;

async fn role(store: &Store, name: &str, managed_by_auth: bool) -> RoleId {
    let scopes = vec!["read:users".to_owned()];
    store.sync_role(&NewRole { name: name.to_owned(), description: None, scopes, managed_by_auth }).await.unwrap()
}

async fn own(store: &Store, user: UserId) -> Vec<String> {
    store.own_roles_of_users(&[user]).await.unwrap().remove(&user).unwrap_or_default()
}

async fn a_list_of_holders_is_exact(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    let staff = store.create_group("staff", &json!({})).await.unwrap().id;
    let cull = ServiceSpec { name: "cull".into(), timeout: 30, ..ServiceSpec::default() };
    let cull = store.sync_service(&cull).await.unwrap();
    let reader = role(&store, "reader", false).await;
    for list in [Holders::Users(vec![ann]), Holders::Groups(vec![staff]), Holders::Services(vec![cull])] {
        store.set_holders(reader, &list, false).await.unwrap();
    }
    store.set_holders(reader, &Holders::Users(vec![bea]), false).await.unwrap();
    let held = store.holders_of_role(reader).await.unwrap();
    assert_eq!(held, [Holder::User(bea), Holder::Group(staff), Holder::Service(cull)], "each kind by itself");
    let missing = store.set_holders(reader, &Holders::Users(vec![ann, UserId(999)]), false).await;
    assert!(matches!(missing, Err(StoreError::Missing(_))), "{missing:?}");
    assert_eq!(store.holders_of_role(reader).await.unwrap(), held, "nothing half done");
}

async fn with_the_list_of_admins_goes_the_flag(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    store.set_admin(ann, true).await.unwrap();
    let admin = store.role("admin").await.unwrap().unwrap().id;
    store.set_holders(admin, &Holders::Users(vec![bea]), false).await.unwrap();
    let flag = async |id| store.user_by_id(id).await.unwrap().unwrap().admin;
    assert_eq!((flag(ann).await, flag(bea).await), (false, true));
    store.set_holders(admin, &Holders::Groups(vec![]), false).await.unwrap();
    assert!(flag(bea).await, "groups have no flag");
}

async fn a_flag_without_the_role_gives_it_or_goes(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    store.set_admin(ann, true).await.unwrap();
    let state = async || {
        let flag = store.user_by_id(ann).await.unwrap().unwrap().admin;
        (flag, own(&store, ann).await.contains(&"admin".to_owned()))
    };
    let lose_the_role = async || {
        let admin = store.role("admin").await.unwrap().unwrap();
        store.delete_role(admin.id).await.unwrap();
        role(&store, "admin", false).await;
    };
    lose_the_role().await;
    assert_eq!(state().await, (true, false));
    store.balance_admins(false, false).await.unwrap();
    assert_eq!(state().await, (true, true), "the flag counts where nobody was listed");
    lose_the_role().await;
    store.balance_admins(true, false).await.unwrap();
    assert_eq!(state().await, (false, false), "the list counts where there is one");
}

async fn roles_that_nobody_names_are_deleted_by_origin(Database { store, .. }: Database) {
    for (name, managed) in [("kept", false), ("mine", false), ("theirs", true)] {
        role(&store, name, managed).await;
    }
    assert_eq!(store.delete_roles_but(&["kept".to_owned()], false).await.unwrap(), ["mine"]);
    assert!(store.delete_roles_but(&["kept".to_owned()], false).await.unwrap().is_empty());
    assert_eq!(store.delete_roles_but(&[], true).await.unwrap(), ["theirs"]);
    let left: Vec<String> = store.list_roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(left, ["user", "admin", "server", "token", "kept"]);
}

async fn what_an_authenticator_gave_is_taken_away_but_for_some_roles(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let staff = store.create_group("staff", &json!({})).await.unwrap().id;
    let (one, two) = (role(&store, "one", true).await, role(&store, "two", true).await);
    for id in [one, two] {
        store.set_holders(id, &Holders::Users(vec![ann]), true).await.unwrap();
        store.set_holders(id, &Holders::Groups(vec![staff]), true).await.unwrap();
    }
    assert_eq!(store.delete_managed_assignments(&["one".to_owned()]).await.unwrap(), 3);
    assert_eq!(own(&store, ann).await, ["user", "one"]);
    assert_eq!(store.holders_of_role(two).await.unwrap(), []);
}

async fn at_a_login_a_person_has_these_roles_and_no_others(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    store.set_admin(ann, true).await.unwrap();
    let (one, two) = (role(&store, "one", true).await, role(&store, "two", true).await);
    store.set_roles_of_user(ann, &[one, two], &[]).await.unwrap();
    store.set_roles_of_user(bea, &[two], &[]).await.unwrap();
    assert_eq!(own(&store, ann).await, ["one", "two"]);
    assert!(!store.user_by_id(ann).await.unwrap().unwrap().admin, "with the role goes the flag");
    store.set_roles_of_user(ann, &[], &[]).await.unwrap();
    assert!(store.role("one").await.unwrap().is_none(), "nobody has it any more");
    assert!(store.role("two").await.unwrap().is_some(), "bea has it");
    store.set_roles_of_user(bea, &[], &["two".to_owned()]).await.unwrap();
    assert!(store.role("two").await.unwrap().is_some(), "the configuration names it");
    assert!(store.create_user("cleo", false, &"c".repeat(32), at(1)).await.is_ok());
}

both!(
    a_list_of_holders_is_exact,
    with_the_list_of_admins_goes_the_flag,
    a_flag_without_the_role_gives_it_or_goes,
    roles_that_nobody_names_are_deleted_by_origin,
    what_an_authenticator_gave_is_taken_away_but_for_some_roles,
    at_a_login_a_person_has_these_roles_and_no_others,
);

//! Where roles come from, and who holds them.

use crate::harness::{Database, both, user};
use hub_store::{Held, Holder, NewRole, Store};

async fn role(store: &Store, name: &str) -> hub_core::id::RoleId {
    let scopes = vec!["read:users".to_owned()];
    store.sync_role(&NewRole { name: name.into(), description: None, scopes, managed_by_auth: false }).await.unwrap()
}

async fn a_role_is_told_once_for_each_way_it_came(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (staff, team) = (
        store.create_group("staff", &serde_json::json!({})).await.unwrap(),
        store.create_group("a team", &serde_json::json!({})).await.unwrap(),
    );
    store.add_members(staff.id, &[ann]).await.unwrap();
    store.add_members(team.id, &[ann]).await.unwrap();
    let helper = role(&store, "helper").await;
    for holder in [Holder::User(ann), Holder::Group(staff.id), Holder::Group(team.id)] {
        store.assign_role(holder, helper).await.unwrap();
    }
    let of_login = role(&store, "of-login").await;
    store.set_holders(of_login, &hub_store::Holders::Users(vec![ann]), true).await.unwrap();
    let found = store.role_origins(ann).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|held| (held.role.name.as_str(), held.group.as_deref(), held.by_auth)).collect();
    let expected = [
        ("user", None, false),
        ("helper", None, false),
        ("of-login", None, true),
        ("helper", Some("a team"), false),
        ("helper", Some("staff"), false),
    ];
    assert_eq!(told, expected);
    assert_eq!(found[1].role.scopes, ["read:users"]);
    let bea = user(&store, "bea").await.id;
    assert_eq!(store.role_origins(bea).await.unwrap().len(), 1);
}

async fn holders_are_counted_and_named(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    user(&store, "bea").await;
    let group = store.create_group("staff", &serde_json::json!({})).await.unwrap();
    let helper = role(&store, "helper").await;
    store.assign_role(Holder::User(ann), helper).await.unwrap();
    store.assign_role(Holder::Group(group.id), helper).await.unwrap();
    let idle = role(&store, "idle").await;
    let held = store.holders_of_roles().await.unwrap();
    assert_eq!(held[&helper], Held { users: 1, groups: vec!["staff".into()], services: vec![] });
    assert!(!held.contains_key(&idle));
    let of_all = store.role("user").await.unwrap().unwrap().id;
    assert_eq!(held[&of_all].users, 2);
}

both!(a_role_is_told_once_for_each_way_it_came, holders_are_counted_and_named);

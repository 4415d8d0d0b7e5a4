//! Groups and their members.

use crate::harness::{Database, both, user};
use hub_core::id::{GroupId, UserId};
use hub_store::{GroupQuery, StoreError};
use serde_json::json;

async fn a_group_is_made_found_changed_and_deleted(Database { store, .. }: Database) {
    let staff = store.create_group("staff", &json!({"quota": 3})).await.unwrap();
    assert_eq!(store.group("staff").await.unwrap(), Some(staff.clone()));
    let again = store.create_group("staff", &json!({})).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert!(store.set_group_properties(staff.id, &json!({"a": [1]})).await.unwrap());
    assert_eq!(store.group("staff").await.unwrap().unwrap().properties, json!({"a": [1]}));
    assert!(store.delete_group(staff.id).await.unwrap());
    assert!(!store.delete_group(staff.id).await.unwrap());
    assert_eq!(store.group("staff").await.unwrap(), None);
}

async fn groups_are_listed_in_pages(Database { store, .. }: Database) {
    for name in ["one", "two", "three"] {
        store.create_group(name, &json!({})).await.unwrap();
    }
    let page = store.list_groups(&GroupQuery { offset: 1, limit: Some(1), only: None }).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.items.len(), page.total), ("two", 1, 3));
    let only = Some(vec!["three".to_owned(), "none".to_owned()]);
    let page = store.list_groups(&GroupQuery { offset: 0, limit: None, only }).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.total), ("three", 1));
}

async fn members_come_and_go(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    let staff = store.create_group("staff", &json!({})).await.unwrap().id;
    let empty = store.create_group("empty", &json!({})).await.unwrap().id;
    store.add_members(staff, &[bea, ann]).await.unwrap();
    store.add_members(staff, &[ann]).await.unwrap();
    let members = store.members_of(&[staff, empty]).await.unwrap();
    assert_eq!(members[&staff], ["ann", "bea"]);
    assert!(!members.contains_key(&empty));
    assert_eq!(store.groups_of(ann).await.unwrap(), ["staff"]);
    assert_eq!(store.remove_members(staff, &[ann, UserId(999)]).await.unwrap(), 1);
    let groups = store.groups_of_users(&[ann, bea]).await.unwrap();
    assert_eq!((groups.get(&ann), groups[&bea].as_slice()), (None, &["staff".to_owned()][..]));
    let nobody = store.add_members(staff, &[ann, UserId(999)]).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    assert_eq!(store.groups_of(ann).await.unwrap(), [""; 0], "a failed addition adds nobody");
    let nowhere = store.add_members(GroupId(999), &[ann]).await;
    assert!(matches!(nowhere, Err(StoreError::Missing(_))), "{nowhere:?}");
}

async fn the_groups_of_a_user_are_made_exactly_those_named(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    store.set_groups(ann, &names(&["b", "a"])).await.unwrap();
    store.set_groups(ann, &names(&["b", "c"])).await.unwrap();
    assert_eq!(store.groups_of(ann).await.unwrap(), ["b", "c"]);
    assert!(store.group("a").await.unwrap().is_some(), "a group stays when its last member leaves");
    store.set_groups(ann, &[]).await.unwrap();
    assert_eq!(store.groups_of(ann).await.unwrap(), [""; 0]);
}

async fn several_groups_are_made_with_their_members_or_none_is(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let names = ["b".to_owned(), "a".to_owned()];
    let made = store.create_groups(&names, &[ann]).await.unwrap();
    assert_eq!(made.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(store.groups_of(ann).await.unwrap(), ["a", "b"]);
    let again = store.create_groups(&["0".to_owned(), "b".to_owned(), "c".to_owned()], &[ann]).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let stranger = store.create_groups(&["d".to_owned()], &[ann, UserId(9999)]).await;
    assert!(matches!(stranger, Err(StoreError::Missing(_))), "{stranger:?}");
    assert_eq!(store.list_groups(&GroupQuery::default()).await.unwrap().total, 2);
}

async fn of_many_who_make_the_same_groups_at_once_one_does(Database { store, .. }: Database) {
    let tasks = (0..6).map(|turn| {
        let (store, mut names) = (store.clone(), ["a", "b", "c"].map(str::to_owned));
        names.rotate_left(turn % 3);
        tokio::spawn(async move { store.create_groups(&names, &[]).await })
    });
    let mut made = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error:?}"),
        }
    }
    assert_eq!((made, store.list_groups(&GroupQuery::default()).await.unwrap().total), (1, 3));
}

both!(
    several_groups_are_made_with_their_members_or_none_is,
    of_many_who_make_the_same_groups_at_once_one_does,
    a_group_is_made_found_changed_and_deleted,
    groups_are_listed_in_pages,
    members_come_and_go,
    the_groups_of_a_user_are_made_exactly_those_named,
);

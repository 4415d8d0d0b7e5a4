//! Groups and members in parts, and counted.

use crate::harness::{Database, both, user};
use serde_json::json;

async fn members_come_in_parts_and_are_counted(Database { store, .. }: Database) {
    let (one, none) =
        (store.create_group("one", &json!({})).await.unwrap(), store.create_group("none", &json!({})).await);
    let none = none.unwrap();
    for name in ["cid", "ann", "bea"] {
        store.add_members(one.id, &[user(&store, name).await.id]).await.unwrap();
    }
    let part = async |offset, limit| {
        let page = store.list_members(one.id, offset, limit).await.unwrap();
        (page.items.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(part(0, 2).await, (vec!["ann".to_owned(), "bea".to_owned()], 3));
    assert_eq!(part(2, 2).await, (vec!["cid".to_owned()], 3));
    assert_eq!(part(9, 2).await, (vec![], 3));
    let counts = store.count_members(&[one.id, none.id]).await.unwrap();
    assert_eq!((counts.get(&one.id), counts.get(&none.id)), (Some(&3), None));
}

async fn groups_come_in_order_of_name(Database { store, .. }: Database) {
    for name in ["c", "a", "b"] {
        store.create_group(name, &json!({})).await.unwrap();
    }
    let names = async |only: Option<&[String]>, offset, limit| {
        let page = store.groups_by_name(only, offset, limit).await.unwrap();
        (page.items.into_iter().map(|group| group.name).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(names(None, 0, 2).await, (vec!["a".to_owned(), "b".to_owned()], 3));
    assert_eq!(names(None, 2, 2).await, (vec!["c".to_owned()], 3));
    let only = ["c".to_owned(), "a".to_owned(), "gone".to_owned()];
    assert_eq!(names(Some(&only), 0, 9).await, (vec!["a".to_owned(), "c".to_owned()], 2));
    assert_eq!(names(Some(&[]), 0, 9).await, (vec![], 0));
}

both!(members_come_in_parts_and_are_counted, groups_come_in_order_of_name);

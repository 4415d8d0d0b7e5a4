//! One user at a time.

use crate::harness::{Database, at, both, server, user, want_running};
use hub_store::StoreError;
use serde_json::{Value, json};

async fn a_user_is_found_by_name_id_and_cookie(Database { store, .. }: Database) {
    let ann = store.create_user("ann", false, "0123456789abcdef0123456789abcdef", at(7)).await.unwrap();
    assert_eq!((ann.created, ann.last_activity, ann.admin), (Some(at(7)), None, false));
    assert_eq!(store.user("ann").await.unwrap(), Some(ann.clone()));
    assert_eq!(store.user_by_id(ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(store.user_by_cookie_id(&ann.cookie_id).await.unwrap(), Some(ann));
    assert_eq!(store.user("Ann").await.unwrap(), None);
    assert_eq!(store.user_by_cookie_id("").await.unwrap(), None);
}

async fn a_name_or_cookie_that_is_taken_is_a_conflict(Database { store, .. }: Database) {
    user(&store, "ann").await;
    let bea = user(&store, "bea").await;
    let same_name = store.create_user("ann", false, "other", at(0)).await;
    assert!(matches!(same_name, Err(StoreError::Conflict(_))), "{same_name:?}");
    let same_cookie = store.create_user("eve", false, "cookie-of-ann", at(0)).await;
    assert!(matches!(same_cookie, Err(StoreError::Conflict(_))), "{same_cookie:?}");
    let renamed = store.rename_user(bea.id, "ann").await;
    assert!(matches!(renamed, Err(StoreError::Conflict(_))), "{renamed:?}");
    assert_eq!(store.user("eve").await.unwrap(), None);
}

async fn a_user_changes_name_information_cookie_and_state(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await;
    assert!(store.rename_user(ann.id, "änn 'x\"").await.unwrap());
    assert!(store.set_user_info(ann.id, &json!({"mail": "ann@example.org"})).await.unwrap());
    assert!(store.set_cookie_id(ann.id, "new").await.unwrap());
    let renamed = store.user("änn 'x\"").await.unwrap().unwrap();
    assert_eq!((renamed.user_info, renamed.cookie_id.as_str()), (json!({"mail": "ann@example.org"}), "new"));
    assert!(store.set_user_info(ann.id, &Value::Null).await.unwrap());
    assert_eq!(store.user_by_id(ann.id).await.unwrap().unwrap().user_info, Value::Null);

    assert_eq!(store.auth_state(ann.id).await.unwrap(), None);
    assert!(store.set_auth_state(ann.id, Some(&[0, 255, 7])).await.unwrap());
    assert_eq!(store.auth_state(ann.id).await.unwrap(), Some(vec![0, 255, 7]));
    assert!(!store.replace_auth_state(ann.id, &[0, 255], &[9]).await.unwrap(), "another was written meanwhile");
    assert!(store.replace_auth_state(ann.id, &[0, 255, 7], &[9]).await.unwrap());
    assert_eq!(store.auth_state(ann.id).await.unwrap(), Some(vec![9]));
    assert!(store.set_auth_state(ann.id, None).await.unwrap());
    assert_eq!(store.auth_state(ann.id).await.unwrap(), None);
}

async fn activity_only_moves_forward(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await;
    assert!(store.touch_user(ann.id, at(50)).await.unwrap());
    assert!(!store.touch_user(ann.id, at(50)).await.unwrap());
    assert!(!store.touch_user(ann.id, at(49)).await.unwrap());
    assert_eq!(store.user("ann").await.unwrap().unwrap().last_activity, Some(at(50)));
}

async fn nobody_gets_another_name_whose_server_is_not_stopped(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await;
    let lab = server(&store, ann.id, "").await;
    want_running(&store, lab.id).await;
    assert!(!store.rename_user(ann.id, "anna").await.unwrap());
    crate::servers::bring_up(&store, lab.id).await;
    assert!(!store.rename_user(ann.id, "anna").await.unwrap());
    let bea = user(&store, "bea").await;
    assert!(store.rename_user(bea.id, "anna").await.unwrap(), "it is no matter of hers");
    assert_eq!(store.user_by_id(ann.id).await.unwrap().unwrap().name, "ann");
}

async fn nothing_is_left_of_a_deleted_user(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await;
    let lab = server(&store, ann.id, "").await;
    assert!(store.delete_user(ann.id).await.unwrap());
    assert!(!store.delete_user(ann.id).await.unwrap());
    assert_eq!(store.user("ann").await.unwrap(), None);
    assert_eq!(store.server_by_id(lab.id).await.unwrap(), None);
    assert!(!store.rename_user(ann.id, "bea").await.unwrap());
    assert!(!store.set_admin(ann.id, true).await.unwrap());
}

async fn a_name_longer_than_the_column_is_refused_by_postgresql(Database { store, .. }: Database) {
    let created = store.create_user(&"x".repeat(256), false, "c", at(0)).await;
    match store.dialect() {
        "postgresql" => assert!(matches!(created, Err(StoreError::Invalid(_))), "{created:?}"),
        // SQLite does not look at lengths; the edge has to.
        _ => assert!(created.is_ok()),
    }
}

both!(
    a_user_is_found_by_name_id_and_cookie,
    a_name_or_cookie_that_is_taken_is_a_conflict,
    a_user_changes_name_information_cookie_and_state,
    activity_only_moves_forward,
    nobody_gets_another_name_whose_server_is_not_stopped,
    nothing_is_left_of_a_deleted_user,
    a_name_longer_than_the_column_is_refused_by_postgresql,
);

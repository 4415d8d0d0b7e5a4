//! Numbers for the metrics.

use hub_store::StartLimits;
use serde_json::json;

use crate::harness::{Database, at, both, server, user, want_running};

async fn users_are_counted_by_when_they_were_active(Database { store, .. }: Database) {
    for (name, seconds) in [("ann", 10), ("bob", 20), ("cyd", 30)] {
        let user = user(&store, name).await;
        store.touch_user(user.id, at(seconds)).await.unwrap();
    }
    user(&store, "never").await;
    assert_eq!(store.count_users().await.unwrap(), 4);
    assert_eq!(store.count_active_users([at(25), at(20), at(1)]).await.unwrap(), [1, 2, 3]);
}

async fn only_servers_that_can_be_used_are_counted(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await;
    let lab = server(&store, ann.id, "").await;
    want_running(&store, lab.id).await;
    assert_eq!(store.count_ready_servers().await.unwrap(), 0);
}

async fn plans_are_counted_by_the_starts_of_their_servers(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await;
    for (name, image, starts) in [("a", "x", 2), ("b", "x", 1), ("c", "y", 1), ("d", "z", 0)] {
        let lab = server(store, ann.id, name).await;
        let plan = json!({ "image": image });
        store.want_running(lab.id, None, &plan, StartLimits::default(), at(1)).await.unwrap();
        database.hand(&format!("UPDATE specola_servers SET generation = {starts} WHERE spawner_id = {}", lab.id)).await;
    }
    let mut found = store.plans_by_starts().await.unwrap();
    found.sort_by_key(|(_, starts)| *starts);
    assert_eq!(found, [(Some(json!({ "image": "y" })), 1), (Some(json!({ "image": "x" })), 3)]);
}

both!(
    plans_are_counted_by_the_starts_of_their_servers,
    users_are_counted_by_when_they_were_active,
    only_servers_that_can_be_used_are_counted
);

//! Numbers for the metrics.

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

both!(users_are_counted_by_when_they_were_active, only_servers_that_can_be_used_are_counted);

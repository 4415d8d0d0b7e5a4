//! What is asked and written of many servers at once, and what must not be looked for among all of them.

use crate::harness::{Database, at, both, server, sqlite, user, want_running};
use crate::servers::bring_up;
use chrono::TimeDelta;
use hub_store::Running;
use sqlx::{Connection, Executor, Row};

async fn activity_of_very_many_is_recorded_at_once_whatever_order_it_is_told_in(Database { store, .. }: Database) {
    let mut seen = Vec::new();
    for number in 0..150 {
        let person = user(&store, &format!("person{number}")).await.id;
        seen.push((server(&store, person, "").await.id, at(number)));
    }
    store.touch_server(seen[9].0, at(1000)).await.unwrap();
    // Two hubs hear of the same servers from two proxies.
    let others: Vec<_> = seen.iter().rev().map(|(id, when)| (*id, *when + TimeDelta::seconds(1))).collect();
    for _ in 0..5 {
        let (one, other) = tokio::join!(store.touch_servers(&seen), store.touch_servers(&others));
        one.unwrap();
        other.unwrap();
    }
    for (number, (id, when)) in seen.iter().enumerate() {
        let expected = if number == 9 { at(1000) } else { *when + TimeDelta::seconds(1) };
        let server = store.server_by_id(*id).await.unwrap().unwrap();
        assert_eq!(server.last_activity, Some(expected));
        assert_eq!(store.user_by_id(server.user_id).await.unwrap().unwrap().last_activity, Some(expected));
    }
    store.touch_servers(&[]).await.unwrap();
}

async fn servers_with_an_address_are_found_by_the_names_of_their_users(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    let up = server(&store, ann, "").await.id;
    server(&store, ann, "stopped").await;
    let other = server(&store, bea, "").await.id;
    for id in [up, other] {
        want_running(&store, id).await;
    }
    bring_up(&store, up).await;
    let running = Running { id: up, user_name: "ann".into(), name: String::new(), last_activity: Some(at(2)) };
    let names = ["ann", "bea", "nobody"].map(str::to_owned);
    assert_eq!(store.running_servers(&names).await.unwrap(), [running]);
    assert_eq!(store.running_servers(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_deletion_looks_for_is_found_by_an_index() {
    let Database { url, directory: _directory, .. } = sqlite().await;
    let mut hand = sqlx::SqliteConnection::connect(&url.replace("sqlite:///", "sqlite://")).await.unwrap();
    for (table, column) in [("spawners", "server_id"), ("spawners", "oauth_client_id"), ("specola_servers", "token_id")]
    {
        let sql = format!("EXPLAIN QUERY PLAN UPDATE {table} SET {column} = NULL WHERE {column} = $1");
        let plan: String = hand.fetch_one(sqlx::AssertSqlSafe(sql)).await.unwrap().get("detail");
        assert!(plan.starts_with("SEARCH"), "{plan}");
    }
}

both!(
    activity_of_very_many_is_recorded_at_once_whatever_order_it_is_told_in,
    servers_with_an_address_are_found_by_the_names_of_their_users,
);

//! The audit: kept in order, found again, never changed.

use crate::harness::{Database, at, both};
use hub_store::{AuditQuery, NewAudit};
use serde_json::json;
use sqlx::{Connection, Executor};

fn act(seconds: i64, actor: &str, action: &str, object: &str) -> NewAudit {
    NewAudit {
        at: at(seconds),
        actor: actor.into(),
        action: action.into(),
        object: object.into(),
        detail: Some(json!({"address": "127.0.0.1"})),
    }
}

async fn acts_are_kept_in_their_order(Database { store, .. }: Database) {
    let start = act(1, "user:ann", "server.start", "server:ann/");
    let stop = act(1, "user:ann", "server.stop", "server:ann/");
    let first = store.append_audit(&start).await.unwrap();
    let second = store.append_audit(&stop).await.unwrap();
    assert_eq!(store.audit_since(0, 1).await.unwrap(), [(first, start)]);
    assert_eq!(store.audit_since(first, 9).await.unwrap(), [(second, stop)]);
}

async fn acts_are_found_by_who_what_whom_and_when(Database { store, .. }: Database) {
    for (seconds, actor, action, object) in [
        (1, "user:ann", "server.start", "server:ann/"),
        (2, "user:bob", "server.stop", "server:ann/"),
        (3, "user:bob", "serverless", "server:bob/"),
        (4, "hub", "server.stop", "server:bob/"),
    ] {
        store.append_audit(&act(seconds, actor, action, object)).await.unwrap();
    }
    let all = AuditQuery { limit: 9, ..AuditQuery::default() };
    for (query, expected) in [
        (all.clone(), &[4, 3, 2, 1][..]),
        (AuditQuery { actor: Some("user:bob".into()), ..all.clone() }, &[3, 2]),
        (AuditQuery { object: Some("server:ann/".into()), ..all.clone() }, &[2, 1]),
        (AuditQuery { actions: Some(vec!["server.stop".into()]), ..all.clone() }, &[4, 2]),
        (AuditQuery { actions: Some(vec!["server.stop".into(), "serverless".into()]), ..all.clone() }, &[4, 3, 2]),
        (AuditQuery { actions: Some(Vec::new()), ..all.clone() }, &[]),
        (AuditQuery { since: Some(at(2)), until: Some(at(4)), ..all.clone() }, &[3, 2]),
        (AuditQuery { actor: Some("user:bob".into()), actions: Some(vec!["server.stop".into()]), ..all.clone() }, &[2]),
        (AuditQuery { actor: Some("user:%".into()), ..all.clone() }, &[]),
    ] {
        let page = store.list_audit(&query).await.unwrap();
        let seconds: Vec<i64> = page.items.iter().map(|(_, act)| (act.at - at(0)).num_seconds()).collect();
        assert_eq!((seconds.as_slice(), page.total), (expected, expected.len() as i64), "{query:?}");
    }
    let second = store.list_audit(&AuditQuery { offset: 1, limit: 2, ..all }).await.unwrap();
    assert_eq!((second.items.len(), second.total, second.items[0].1.at), (2, 4, at(3)));
}

async fn nothing_changes_an_act_and_only_the_mark_lets_old_ones_go(database: Database) {
    let store = &database.store;
    for seconds in [1, 5, 9] {
        store.append_audit(&act(seconds, "user:ann", "login", "user:ann")).await.unwrap();
    }
    for sql in [
        "UPDATE specola_audit SET actor = 'nobody'",
        "DELETE FROM specola_audit",
        "DELETE FROM specola_audit WHERE id = 1",
    ] {
        let error = by_hand(&database.url, sql).await.unwrap_err();
        assert!(error.contains("only appended to"), "{sql}: {error}");
    }
    assert_eq!(store.purge_audit(at(5)).await.unwrap(), 1);
    assert_eq!(store.purge_audit(at(2)).await.unwrap(), 0);
    assert!(by_hand(&database.url, "DELETE FROM specola_audit").await.is_err());
    let page = store.list_audit(&AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(page.items.iter().map(|(_, act)| act.at).collect::<Vec<_>>(), [at(9), at(5)]);
}

/// As somebody with the database's password.
async fn by_hand(url: &str, sql: &'static str) -> Result<(), String> {
    let done = match url.strip_prefix("sqlite:///") {
        Some(path) => {
            let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
            connection.execute(sql).await.map(drop)
        }
        None => {
            let (name, socket) = url.trim_start_matches("postgresql://postgres@/").split_once("?host=").unwrap();
            let options = sqlx::postgres::PgConnectOptions::new().socket(socket).username("postgres").database(name);
            sqlx::PgConnection::connect_with(&options).await.unwrap().execute(sql).await.map(drop)
        }
    };
    done.map_err(|error| error.to_string())
}

both!(
    acts_are_kept_in_their_order,
    acts_are_found_by_who_what_whom_and_when,
    nothing_changes_an_act_and_only_the_mark_lets_old_ones_go,
);

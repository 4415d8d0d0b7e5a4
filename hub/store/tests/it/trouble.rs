//! Databases in trouble: locked, damaged, away.

use crate::harness::{Database, at, impatient, postgresql, sqlite, user};
use crate::open::outside;
use hub_store::{Store, StoreError};
use sqlx::{Connection, Executor};
use std::time::Instant;

#[tokio::test]
async fn a_locked_sqlite_database_is_busy_for_writers_and_open_to_readers() {
    let Database { store, url, directory } = sqlite().await;
    user(&store, "ann").await;
    store.close().await;
    let store = Store::open(&url, impatient()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("hub.sqlite"));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let began = Instant::now();
    let single = store.set_meta("a", "b").await;
    assert!(matches!(single, Err(StoreError::Busy(_))), "{single:?}");
    assert!(single.unwrap_err().is_temporary());
    let several = store.create_user("bea", false, "c", at(0)).await;
    assert!(matches!(several, Err(StoreError::Busy(_))), "{several:?}");
    assert!(began.elapsed().as_secs() < 5, "it waits for the busy timeout and no longer");
    assert!(store.user("ann").await.unwrap().is_some());
    other.execute("COMMIT").await.unwrap();
    store.create_user("bea", false, "c", at(0)).await.unwrap();
}

#[tokio::test]
async fn a_row_in_anothers_transaction_makes_postgresql_busy() {
    let Some(Database { store, url, .. }) = postgresql().await else { return };
    let ann = user(&store, "ann").await;
    store.close().await;
    let store = Store::open(&url, impatient()).await.unwrap();
    let (name, socket) = url.split_once("@/").and_then(|(_, rest)| rest.split_once("?host=")).unwrap();
    let options = sqlx::postgres::PgConnectOptions::new().socket(socket).username("postgres").database(name);
    let mut other = sqlx::PgConnection::connect_with(&options).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("UPDATE users SET name = name").await.unwrap();
    let error = store.rename_user(ann.id, "bea").await;
    assert!(matches!(error, Err(StoreError::Busy(_))), "{error:?}");
    other.execute("ROLLBACK").await.unwrap();
    assert!(store.rename_user(ann.id, "bea").await.unwrap());
}

#[tokio::test]
async fn postgresql_that_breaks_a_connection_is_unreachable_then_there_again() {
    let Some(Database { store, url, .. }) = postgresql().await else { return };
    user(&store, "ann").await;
    let (name, _) = url.split_once("@/").and_then(|(_, rest)| rest.split_once("?host=")).unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid()";
    outside(&url, end).await;
    assert!(store.user("ann").await.unwrap().is_some(), "a dead connection of {name} is noticed before it is used");
}

#[tokio::test]
async fn a_wrong_value_in_a_column_is_damage_and_no_panic() {
    let Database { store, url, directory: _directory } = sqlite().await;
    let ann = user(&store, "ann").await;
    outside(&url, "UPDATE users SET created = 'yesterday'").await;
    let error = store.user("ann").await;
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
    outside(&url, "UPDATE users SET created = NULL, user_info = '{\"x\": NaN}'").await;
    assert_eq!(store.user_by_id(ann.id).await.unwrap().unwrap().user_info, serde_json::Value::Null);
    outside(&url, "UPDATE roles SET scopes = '{\"not\": \"a list\"}'").await;
    let error = store.roles_of_user(ann.id).await;
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
}

#[tokio::test]
async fn a_nul_byte_is_refused_by_postgresql_and_kept_by_sqlite() {
    let Some(Database { store, .. }) = postgresql().await else { return };
    let error = store.user("a\0b").await;
    assert!(matches!(error, Err(StoreError::Invalid(_))), "{error:?}");
    let Database { store, directory: _directory, .. } = sqlite().await;
    assert_eq!(store.user("a\0b").await.unwrap(), None);
}

/// Handlers and tasks of a server move between threads while they wait for the database. Compiling is the test;
/// functions with arguments by reference are those where the compiler may refuse.
#[tokio::test]
async fn store_calls_can_be_made_from_any_task() {
    let Database { store, directory: _directory, .. } = sqlite().await;
    let task = tokio::spawn(async move {
        let (id, holder) = (hub_core::id::SpawnerId(1), "hub".to_owned());
        store.purge_expired(at(0)).await?;
        store.list_users(&hub_store::UserQuery::default()).await?;
        store.list_groups(&hub_store::GroupQuery::default()).await?;
        store.touch_servers(&[(id, at(0))]).await?;
        store.claim(id, &holder, at(0), chrono::TimeDelta::zero()).await?;
        store.set_groups(hub_core::id::UserId(1), &[]).await?;
        store.purge_routes(0).await?;
        store.routes_since(0).await?;
        Ok::<_, StoreError>(())
    });
    task.await.unwrap().unwrap();
}

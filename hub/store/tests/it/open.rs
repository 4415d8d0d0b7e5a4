//! Opening: new databases, those of others, and those that must not be touched.

use crate::harness::{Database, at, both, impatient, options, server, sqlite, sqlite_url, user, want_running};
use hub_core::life::{Desired, Phase};
use hub_store::{OpenError, Store, StoreError};
use sqlx::{Connection, Executor};
use std::path::Path;
use tempfile::TempDir;

/// Runs statements behind the store's back, as another program would.
pub async fn outside(url: &str, statements: &str) {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    if let Some(path) = url.strip_prefix("sqlite:///") {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        connection.execute(sqlx::raw_sql(statements)).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let (name, socket) = url.split_once("@/").and_then(|(_, rest)| rest.split_once("?host=")).unwrap();
        let options = sqlx::postgres::PgConnectOptions::new().socket(socket).username("postgres").database(name);
        let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
        connection.execute(sqlx::raw_sql(statements)).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn an_opened_database_keeps_everything_over_a_second_opening(Database { store, url, .. }: Database) {
    let epoch = store.epoch().await.unwrap();
    assert!(epoch.len() == 32 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit()), "{epoch}");
    let ann = user(&store, "ann").await;
    let lab = server(&store, ann.id, "").await;
    want_running(&store, lab.id).await;
    let lab = crate::servers::bring_up(&store, lab.id).await;
    // A start counts as activity.
    let ann = store.user_by_id(ann.id).await.unwrap().unwrap();
    store.set_meta("colour", "red").await.unwrap();
    store.set_meta("colour", "green").await.unwrap();
    store.close().await;
    let store = Store::open(&url, options()).await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), epoch);
    assert_eq!(store.meta("colour").await.unwrap().as_deref(), Some("green"));
    assert_eq!(store.meta("taste").await.unwrap(), None);
    assert_eq!(store.user("ann").await.unwrap(), Some(ann));
    assert_eq!(store.server_by_id(lab.id).await.unwrap(), Some(lab));
    store.ping().await.unwrap();
}

async fn hubs_that_open_a_new_database_at_once_all_succeed(database: Database) {
    let url = match database.store.dialect() {
        "sqlite" => format!("sqlite:///{}", database.directory.path().join("new.sqlite").display()),
        _ => crate::postgres::new_database().unwrap(),
    };
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { Store::open(&url, options()).await.unwrap() }
            })
        })
        .collect();
    let mut epochs = Vec::new();
    for task in tasks {
        epochs.push(task.await.unwrap().epoch().await.unwrap());
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
}

async fn other_versions_are_refused_with_the_remedy(Database { store, url, .. }: Database) {
    store.close().await;
    let refused = async |statement: &str| {
        outside(&url, statement).await;
        Store::open(&url, options()).await.err().expect("a refusal")
    };
    let older = refused("UPDATE alembic_version SET version_num = '4621fec11365'").await;
    assert!(matches!(older, OpenError::OlderSchema { .. }), "{older:?}");
    assert!(older.to_string().contains("jupyterhub upgrade-db"), "{older}");
    let unknown = refused("UPDATE alembic_version SET version_num = 'ffffffffffff'").await;
    assert!(matches!(unknown, OpenError::UnknownSchema { .. }), "{unknown:?}");
    let none = refused("DELETE FROM alembic_version").await;
    assert!(matches!(none, OpenError::NoVersion), "{none:?}");
    let newer = "INSERT INTO alembic_version VALUES ('f460b0348206');
                 UPDATE specola_meta SET value = '99' WHERE name IN ('schema_version', 'schema_needs')";
    let newer = refused(newer).await;
    assert!(matches!(newer, OpenError::NewerSpecola { found: 99, .. }), "{newer:?}");
    let odd = refused("UPDATE specola_meta SET value = 'x' WHERE name = 'schema_version'").await;
    assert!(matches!(odd, OpenError::Store(StoreError::Corrupt(_))), "{odd:?}");
}

async fn a_hub_works_on_what_a_newer_one_has_only_added_to(Database { store, url, .. }: Database) {
    user(&store, "ann").await;
    assert_eq!(store.meta("schema_needs").await.unwrap().as_deref(), Some("1"), "all steps so far only add");
    store.close().await;
    let newer = "UPDATE specola_meta SET value = '99' WHERE name = 'schema_version';
                 UPDATE specola_meta SET value = '7' WHERE name = 'schema_needs';
                 ALTER TABLE specola_servers ADD COLUMN of_a_newer_version TEXT;
                 CREATE TABLE specola_of_a_newer_version (id BIGINT PRIMARY KEY)";
    outside(&url, newer).await;
    let store = Store::open(&url, options()).await.unwrap();
    let ann = store.user("ann").await.unwrap().unwrap();
    let lab = server(&store, ann.id, "").await;
    want_running(&store, lab.id).await;
    crate::servers::bring_up(&store, lab.id).await;
    let left = [store.meta("schema_version").await.unwrap(), store.meta("schema_needs").await.unwrap()];
    assert_eq!(left, [Some("99".to_owned()), Some("7".to_owned())], "what the newer one noted stays");
}

async fn a_server_that_jupyterhub_left_running_is_adopted(Database { store, url, .. }: Database) {
    let ann = user(&store, "ann").await;
    store.close().await;
    let left = "INSERT INTO servers (id, proto, ip, port, base_url, cookie_name)
                    VALUES (70, 'http', '127.0.0.1', 5000, '/user/ann/', 'cookie');
                INSERT INTO spawners (id, user_id, server_id, name, state) VALUES (80, USER, 70, '', '{\"pid\": 7}');
                INSERT INTO spawners (id, user_id, name) VALUES (81, USER, 'idle');
                INSERT INTO api_tokens (id, user_id, hashed, prefix, client_id, note)
                    VALUES (90, USER, 'h', 'h', 'jupyterhub', 'Server at /user/ann/')";
    outside(&url, &left.replace("USER", &ann.id.to_string())).await;
    let store = Store::open(&url, options()).await.unwrap();
    let lab = store.server(ann.id, "").await.unwrap().unwrap();
    assert_eq!((lab.phase, lab.desired, lab.due_at), (Phase::Ready, Desired::Running, Some(at(0))));
    assert_eq!((lab.url.as_deref(), lab.state), (Some("http://127.0.0.1:5000"), Some(serde_json::json!({"pid": 7}))));
    let idle = store.server(ann.id, "idle").await.unwrap().unwrap();
    assert_eq!((idle.phase, idle.desired, idle.due_at), (Phase::Stopped, Desired::Stopped, None));

    store.want_stopped(lab.id, at(1)).await.unwrap();
    store.claim(lab.id, "hub-1", at(1), chrono::TimeDelta::seconds(9)).await.unwrap().unwrap();
    assert!(store.begin_stop(lab.id, "hub-1", lab.generation, at(9), at(2)).await.unwrap());
    assert!(store.finish(lab.id, "hub-1", lab.generation, None, at(3)).await.unwrap());
    let tokens = store.tokens_of(hub_store::TokenOwner::User(ann.id), at(3)).await.unwrap();
    assert_eq!(tokens.len(), 0, "the token that JupyterHub gave it is revoked");
}

async fn what_jupyterhub_did_while_it_had_the_database_is_followed(Database { store, url, .. }: Database) {
    let ann = user(&store, "ann").await;
    let mut labs = Vec::new();
    for name in ["stopped", "moved", "same"] {
        let lab = server(&store, ann.id, name).await.id;
        want_running(&store, lab).await;
        labs.push(crate::servers::bring_up(&store, lab).await);
    }
    let started = server(&store, ann.id, "started").await;
    store.close().await;
    let work = "UPDATE spawners SET server_id = NULL WHERE name = 'stopped';
                UPDATE servers SET port = 5001 WHERE id = (SELECT server_id FROM spawners WHERE name = 'moved');
                INSERT INTO servers (id, proto, ip, port, base_url) VALUES (77, 'http', '', 5002, '/');
                UPDATE spawners SET server_id = 77 WHERE name = 'started'";
    outside(&url, work).await;
    let store = Store::open(&url, options()).await.unwrap();
    let look = async |name| store.server(ann.id, name).await.unwrap().unwrap();
    let stopped = look("stopped").await;
    assert_eq!((stopped.phase, stopped.desired, stopped.url), (Phase::Stopped, Desired::Stopped, None));
    let moved = look("moved").await;
    assert_eq!(
        (moved.phase, moved.url.as_deref(), moved.due_at),
        (Phase::Ready, Some("http://127.0.0.1:5001"), Some(at(0)))
    );
    assert!(moved.generation > labs[1].generation, "what ran before is another generation");
    let now = look("started").await;
    assert_eq!(
        (now.phase, now.desired, now.url.as_deref()),
        (Phase::Ready, Desired::Running, Some("http://127.0.0.1:5002"))
    );
    assert_eq!(now.id, started.id);
    assert_eq!(look("same").await, labs[2]);
}

async fn bad_rows_are_impossible(Database { store, url, .. }: Database) {
    let ann = user(&store, "ann").await;
    let lab = server(&store, ann.id, "").await.id;
    store.close().await;
    for wrong in [
        "phase = 'asleep'",
        "phase = 'ready'",
        "desired = 'maybe'",
        "generation = -1",
        "held_by = 'hub-1'",
        "desired = 'running', failure = 'x'",
        "url = 'http://x:1'",
    ] {
        let statement = format!("UPDATE specola_servers SET {wrong} WHERE spawner_id = {lab}");
        let task = tokio::spawn({
            let url = url.clone();
            async move { outside(&url, &statement).await }
        });
        assert!(task.await.is_err(), "{wrong}");
    }
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_refused_sqlite_file_is_left_as_it_was() {
    let directory = TempDir::new().unwrap();
    let url = sqlite_url(&directory);
    let older = "CREATE TABLE alembic_version (version_num VARCHAR(32)); CREATE TABLE users (id INTEGER);
                 INSERT INTO alembic_version VALUES ('4621fec11365')";
    outside(&url, older).await;
    let before = files(directory.path());
    let refused = Store::open(&url, options()).await.err();
    assert!(matches!(refused, Some(OpenError::OlderSchema { .. })), "{refused:?}");
    assert!(files(directory.path()) == before, "no byte and no file more");

    std::fs::write(
        directory.path().join("hub.sqlite"),
        "this is not a database, but longer than a header of one ".repeat(9),
    )
    .unwrap();
    let before = files(directory.path());
    let refused = Store::open(&url, options()).await.err();
    assert!(matches!(refused, Some(OpenError::Store(StoreError::Corrupt(_)))), "{refused:?}");
    assert!(files(directory.path()) == before);
}

#[tokio::test]
async fn a_refused_postgresql_database_gets_no_table() {
    let Some(url) = crate::postgres::new_database() else { return };
    outside(&url, "CREATE TABLE users (id INTEGER)").await;
    let refused = Store::open(&url, options()).await.err();
    assert!(matches!(refused, Some(OpenError::NoVersion)), "{refused:?}");
    // Fails if they exist.
    outside(&url, "CREATE TABLE specola_meta (id INTEGER); CREATE TABLE spawners (id INTEGER)").await;
}

#[tokio::test]
async fn a_sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let database = sqlite().await;
    for name in ["hub.sqlite", "hub.sqlite-wal"] {
        let mode = std::fs::metadata(database.directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_closed_sqlite_database_is_one_file() {
    let database = sqlite().await;
    user(&database.store, "ann").await;
    database.store.close().await;
    let names: Vec<_> = files(database.directory.path()).into_iter().map(|file| file.0).collect();
    assert_eq!(names, ["hub.sqlite"]);
}

#[tokio::test]
async fn a_place_that_is_not_there_is_unreachable() {
    for url in [
        "sqlite:////nonexistent/hub.sqlite",
        "postgresql://me@/hub?host=/nonexistent",
        "postgresql://me@127.0.0.1:1/hub",
    ] {
        let error = Store::open(url, impatient()).await.err();
        assert!(matches!(error, Some(OpenError::Store(StoreError::Unreachable(_)))), "{url}: {error:?}");
    }
    let error = Store::open("mysql://me@host/hub", options()).await.err();
    assert!(matches!(error, Some(OpenError::Unsupported(_))), "{error:?}");
}

both!(
    an_opened_database_keeps_everything_over_a_second_opening,
    hubs_that_open_a_new_database_at_once_all_succeed,
    other_versions_are_refused_with_the_remedy,
    a_hub_works_on_what_a_newer_one_has_only_added_to,
    a_server_that_jupyterhub_left_running_is_adopted,
    what_jupyterhub_did_while_it_had_the_database_is_followed,
    bad_rows_are_impossible,
);

//! A new database of either kind for each test, and a hand in it that is not the hub's.

use std::sync::Arc;
use std::time::Duration;

use hub_core::clock::Time;
use hub_store::{Leases, OpenOptions, Store};
use sqlx::{ConnectOptions, Connection, Executor};
use tempfile::TempDir;

/// Makes a test of each function named, on each database.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::database::sqlite()).await;
            }
        )+}
        mod on_postgresql {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(database) = crate::database::postgresql() {
                    super::$name(database).await;
                }
            }
        )+}
    };
}
pub(crate) use both;

/// Where a database is.
#[derive(Clone)]
pub struct Database {
    pub url: String,
    /// Removed with the test.
    _directory: Arc<TempDir>,
}

pub fn sqlite() -> Database {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite:///{}", directory.path().join("hub.sqlite").display());
    Database { url, _directory: Arc::new(directory) }
}

pub fn postgresql() -> Option<Database> {
    Some(Database { url: crate::postgres::new_database()?, _directory: Arc::new(TempDir::new().unwrap()) })
}

/// Some seconds after the instant at which all tests begin.
pub fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

impl Database {
    /// Makes another one of the same kind, for a test that needs several.
    pub fn another(&self) -> Self {
        match self.url.starts_with("sqlite:") {
            true => sqlite(),
            false => postgresql().unwrap(),
        }
    }

    /// Opens it as a hub does, with less patience for a lock.
    pub async fn open(&self) -> Store {
        let options = OpenOptions {
            busy_timeout: Duration::from_millis(300),
            connections: 4,
            leases: Leases::ByCaller,
            ..OpenOptions::new(at(0))
        };
        let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
        loop {
            match Store::open(&self.url, options.clone()).await {
                Ok(store) => return store,
                // Another hub of the same test may be writing.
                Err(hub_store::OpenError::Store(error)) if error.is_temporary() => {
                    assert!(std::time::Instant::now() < deadline, "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Runs statements as an operator's hand or another program does.
    pub async fn hand(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self.url.strip_prefix("sqlite:///") {
            Some(path) => sqlite_connection(path).await.execute(sql).await.map(drop).unwrap(),
            None => postgres_connection(&self.url).await.execute(sql).await.map(drop).unwrap(),
        }
    }

    /// Keeps everybody from writing until the guard is let go.
    pub async fn lock(&self) -> Lock {
        Lock(match self.url.strip_prefix("sqlite:///") {
            Some(path) => {
                let mut connection = sqlite_connection(path).await;
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Locked::Sqlite(connection)
            }
            None => {
                let mut connection = postgres_connection(&self.url).await;
                connection.execute("BEGIN").await.unwrap();
                connection.execute("LOCK TABLE specola_servers IN EXCLUSIVE MODE").await.unwrap();
                Locked::Postgres(connection)
            }
        })
    }
}

async fn sqlite_connection(path: &str) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    options.connect().await.unwrap()
}

async fn postgres_connection(url: &str) -> sqlx::PgConnection {
    // As `postgres.rs` writes it; sqlx alone does not take a URL without a host.
    let (name, folder) = url.strip_prefix("postgresql://postgres@/").unwrap().split_once("?host=").unwrap();
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass().username("postgres").database(name);
    options.socket(folder).connect().await.unwrap()
}

/// Holds a lock on the database.
pub struct Lock(Locked);

enum Locked {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Lock {
    pub async fn release(self) {
        match self.0 {
            Locked::Sqlite(connection) => connection.close().await.unwrap(),
            Locked::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

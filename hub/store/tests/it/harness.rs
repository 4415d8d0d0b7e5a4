//! What the tests share: a new database of either kind, a time to count from, and things to put into it.

use hub_core::clock::Time;
use hub_core::id::{SpawnerId, UserId};
use hub_core::secret::Secret;
use hub_store::{HUB_CLIENT, Leases, NewToken, OpenOptions, Server, StartLimits, Store, TokenOwner, User, WantRunning};
use serde_json::json;
use sqlx::{Connection, Executor, Row};
use std::time::Duration;
use tempfile::TempDir;

/// An open database, and where it is.
pub struct Database {
    pub store: Store,
    pub url: String,
    /// Removed with the test.
    pub directory: TempDir,
}

impl Database {
    /// Runs a statement as another program does.
    pub async fn hand(&self, sql: &str) {
        self.text(sql).await;
    }

    /// The one text that a query finds.
    pub async fn cell(&self, sql: &str) -> String {
        self.text(sql).await.unwrap()
    }

    async fn text(&self, sql: &str) -> Option<String> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self.url.strip_prefix("sqlite:///") {
            Some(path) => {
                let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
                let row = connection.fetch_optional(sql).await.unwrap();
                row.map(|row| row.get(0))
            }
            None => {
                let row = self.connection().await.fetch_optional(sql).await.unwrap();
                row.map(|row| row.get(0))
            }
        }
    }

    /// A connection of another program, to PostgreSQL.
    pub async fn connection(&self) -> sqlx::PgConnection {
        let (name, socket) = self.url.strip_prefix("postgresql://postgres@/").unwrap().split_once("?host=").unwrap();
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass().socket(socket).username("postgres");
        sqlx::PgConnection::connect_with(&options.database(name)).await.unwrap()
    }
}

/// Makes a test of each function named, on each database.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::harness::sqlite().await).await;
            }
        )+}
        mod on_postgresql {$(
            #[tokio::test]
            async fn $name() {
                if let Some(database) = crate::harness::postgresql().await {
                    super::$name(database).await;
                }
            }
        )+}
    };
}
pub(crate) use both;

/// Some seconds after the instant at which all tests begin.
pub fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_800_000_000 + seconds, 250_000_000).unwrap()
}

pub fn options() -> OpenOptions {
    OpenOptions { connections: 3, leases: Leases::ByCaller, ..OpenOptions::new(at(0)) }
}

/// As `options`, for a test that waits for an error.
pub fn impatient() -> OpenOptions {
    OpenOptions { busy_timeout: Duration::from_secs(1), ..options() }
}

pub fn sqlite_url(directory: &TempDir) -> String {
    format!("sqlite:///{}", directory.path().join("hub.sqlite").display())
}

pub async fn sqlite() -> Database {
    let directory = TempDir::new().unwrap();
    let url = sqlite_url(&directory);
    Database { store: Store::open(&url, options()).await.unwrap(), url, directory }
}

pub async fn postgresql() -> Option<Database> {
    let url = crate::postgres::new_database()?;
    let store = Store::open(&url, options()).await.unwrap();
    Some(Database { store, url, directory: TempDir::new().unwrap() })
}

pub async fn user(store: &Store, name: &str) -> User {
    store.create_user(name, false, &format!("cookie-of-{name}"), at(0)).await.unwrap()
}

pub async fn server(store: &Store, user: UserId, name: &str) -> Server {
    store.create_server(user, name, None, None, at(0)).await.unwrap().unwrap()
}

/// A token of a user that never expires; its hash is made of the text given.
pub fn new_token(owner: TokenOwner, hashed: &str) -> NewToken {
    NewToken {
        owner,
        hashed: Secret::new(format!("sha512:1:5a17:{hashed}")),
        prefix: hashed.chars().take(4).collect(),
        client_id: HUB_CLIENT.to_owned(),
        session_id: None,
        note: "a note".to_owned(),
        scopes: vec!["inherit".to_owned()],
        expires_at: None,
        now: at(0),
    }
}

pub async fn want_running(store: &Store, id: SpawnerId) {
    let answer = store.want_running(id, None, &json!({}), StartLimits::default(), at(1)).await.unwrap();
    assert_eq!(answer, WantRunning::Accepted);
}

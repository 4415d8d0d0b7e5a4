//! Opening and closing a database.

use crate::candidate::looking;
use crate::database::{Pool, Tx};
use crate::error::{OpenError, Result, StoreError};
use crate::postgres::{Server, Use};
use crate::schema;
use crate::url::{self, Target};
use crate::value::params;
use crate::writer::Writer;
use hub_core::clock::Time;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A database with JupyterHub's tables and Specola's. A clone shares its connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: Pool,
    /// SQLite's write-ahead log.
    pub(crate) log: Option<Arc<PathBuf>>,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The present instant, for what opening has to record.
    pub now: Time,
    /// How long a statement waits for another writer or for a free connection.
    pub busy_timeout: Duration,
    /// Connections that read (SQLite, besides the one that writes), or all connections (PostgreSQL).
    pub connections: u32,
    /// How long PostgreSQL may be silent: a statement that takes longer has failed, and its connection is not used again.
    pub patience: Duration,
    /// Whose clock leases, turns, deadlines and what is due are measured by.
    pub leases: Leases,
}

/// Whose clock counts where several hubs compare instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// That of the database, where hubs on several machines share one (PostgreSQL). On SQLite the caller's.
    ByDatabase,
    /// The caller's: for a test that moves time.
    ByCaller,
}

impl OpenOptions {
    /// Five seconds for a lock, ten for an answer, and ten connections.
    pub fn new(now: Time) -> Self {
        Self {
            now,
            busy_timeout: Duration::from_secs(5),
            connections: 10,
            patience: Duration::from_secs(10),
            leases: Leases::ByDatabase,
        }
    }
}

/// The numbers that guard the making of tables, and what a start brings into them, among hubs that start at once; any
/// constants do.
const SCHEMA_LOCK: i64 = 0x5bec_01a0;
const START_LOCK: i64 = 0x5bec_01a1;

/// Held while no other hub on the same PostgreSQL holds one.
pub struct Alone {
    _lock: Option<Tx>,
}

impl Store {
    /// Opens a database by its SQLAlchemy URL. A new one gets all tables, one of JupyterHub 6.1 gets Specola's
    /// besides; one that cannot be used is refused before anything in it, or beside its file, is changed.
    pub async fn open(url: &str, options: OpenOptions) -> Result<Self, OpenError> {
        let (pool, log) = match url::parse(url)? {
            Target::Sqlite(path) => {
                check_file(&path, &options).await?;
                let mut log = path.clone().into_os_string();
                log.push("-wal");
                (sqlite_pool(&path, &options).await?, Some(Arc::new(log.into())))
            }
            Target::Postgres(servers) => (Pool::Postgres(Server::open(servers, &options, Use::Serve).await?), None),
        };
        let store = Self { pool, log };
        match store.prepare_database(options.now).await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Waits until no other hub does what must not be done by two at once. `Busy` when one does it for long.
    pub async fn alone(&self) -> Result<Alone> {
        if !self.is_shared() {
            return Ok(Alone { _lock: None });
        }
        let mut tx = self.pool.begin().await?;
        // Nothing happens on this connection meanwhile. Not for ever: a hub that vanishes must not keep the others.
        tx.execute("SET LOCAL idle_in_transaction_session_timeout = '10min'", params![]).await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", params![START_LOCK]).await?;
        Ok(Alone { _lock: Some(tx) })
    }

    /// Waits for what runs, then closes every connection. SQLite's write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Which database this is: `sqlite` or `postgresql`.
    pub fn dialect(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite { .. } => "sqlite",
            Pool::Postgres(_) => "postgresql",
        }
    }

    /// Asks the database for an answer, for a health check.
    pub async fn ping(&self) -> Result<()> {
        self.pool.row("SELECT 1 AS one", params![]).await.map(drop)
    }

    async fn prepare_database(&self, now: Time) -> Result<(), OpenError> {
        self.ping().await?;
        let mut tx = self.pool.patient().begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.execute("SELECT pg_advisory_xact_lock($1)", params![SCHEMA_LOCK]).await?;
        }
        let survey = schema::survey(&mut tx).await?;
        let missing = schema::judge(&survey)?;
        if let Some(version) = survey.newer() {
            tracing::info!(version, "a newer Specola has used this database, and leaves it open for this one");
        }
        schema::complete(&mut tx, &missing).await?;
        crate::meta::ensure_epoch(&mut tx).await?;
        crate::role::ensure_default_roles(&mut tx).await?;
        crate::oauth::ensure_hub_client(&mut tx).await?;
        crate::adopt::adopt(&mut tx, now).await?;
        crate::token::note_highest_id(&mut tx).await?;
        tx.commit().await?;
        Ok(self.number_routes().await?)
    }
}

/// Looks into an existing SQLite file without leaving a trace of the look.
async fn check_file(path: &Path, options: &OpenOptions) -> Result<(), OpenError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    // An immutable database is read without locks and without a log beside it. That is only right when no log is
    // there, which may hold changes that are not in the file yet.
    let connect = looking(path, !beside(path, "-wal").exists()).busy_timeout(options.busy_timeout);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(connect);
    let begun = pool.begin().await.map_err(|error| StoreError::new("look into the file", error))?;
    let mut tx = Tx::Sqlite(begun.into());
    let survey = schema::survey(&mut tx).await;
    drop(tx);
    pool.close().await;
    schema::judge(&survey?).map(drop)
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the file for its owner alone: it holds hashes and cookie ids. SQLite gives the log beside it the same mode.
/// What goes wrong here goes wrong for SQLite too, which then tells it in its own words.
fn make_private(path: &Path) {
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

async fn sqlite_pool(path: &Path, options: &OpenOptions) -> Result<Pool> {
    make_private(path);
    let connect = SqliteConnectOptions::new().filename(path).busy_timeout(options.busy_timeout).foreign_keys(true);
    let write = connect
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = |size| {
        SqlitePoolOptions::new()
            .max_connections(size)
            .acquire_timeout(options.busy_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    // SQLite does not wait where another process changes a new file to its write-ahead log.
    const PAUSE: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    let writer = loop {
        let opened = pool(1).connect_with(write.clone()).await;
        match opened.map_err(|error| StoreError::new("open the file", error)) {
            Err(StoreError::Busy(_)) if waited < options.busy_timeout => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            done => break done?,
        }
    };
    let readers = pool(options.connections.max(1)).connect_lazy_with(connect.read_only(true));
    Ok(Pool::Sqlite { writer: Writer::new(writer, options.busy_timeout), readers })
}

/// Opens a database of PostgreSQL to look at it, or to change all of it.
pub(crate) async fn postgres_pool(servers: Vec<PgConnectOptions>, options: &OpenOptions) -> Result<Pool> {
    Ok(Pool::Postgres(Server::open(servers, options, Use::Work).await?))
}

/// Reads a column of the row that an `INSERT … RETURNING` gives back.
pub(crate) fn returned<T: crate::row::FromCell>(row: Option<crate::row::Row>, column: &'static str) -> Result<T> {
    row.ok_or_else(|| StoreError::Corrupt("an inserted row was not returned".to_owned()))?.get(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sqlite_database_that_may_not_grow_is_full_and_recovers() {
        let directory = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:///{}", directory.path().join("hub.sqlite").display());
        let store = Store::open(&url, OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap();
        // A page limit gives the same answer as a full disk, and needs no file system of its own.
        store.pool.write_rows("PRAGMA max_page_count = 1", params![]).await.unwrap();
        let text = "x".repeat(100_000);
        let error = store.set_meta("big", &text).await;
        assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");
        assert_eq!(store.meta("big").await.unwrap(), None);
        store.pool.write_rows("PRAGMA max_page_count = 1000000", params![]).await.unwrap();
        store.set_meta("big", &text).await.unwrap();
    }
}

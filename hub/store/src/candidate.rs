//! A database that another hub made, opened to be looked at: nothing in it, and nothing beside its file, changes.

use crate::database::{Pool, Tx};
use crate::error::{OpenError, Result, StoreError};
use crate::migration;
use crate::schema::{self, Survey};
use crate::store::{OpenOptions, beside, postgres_pool};
use crate::url::{self, Target};
use crate::value::params;
use crate::writer::Writer;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

/// How many faults of a file SQLite is asked for.
const FAULTS: usize = 10;

/// A look at a database, all of one instant.
pub struct Candidate {
    pool: Pool,
    pub(crate) tx: Tx,
    survey: Survey,
    revision: String,
    file: Option<PathBuf>,
}

/// Somebody else who is connected to a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The database user.
    pub user: String,
    /// What the program calls itself; empty for JupyterHub.
    pub application: String,
    /// From where; empty for this machine.
    pub address: String,
}

impl Candidate {
    /// Opens a database of JupyterHub 4, 5 or 6.1, by its SQLAlchemy URL. Others are refused with the remedy.
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        match url::parse(url)? {
            Target::Sqlite(path) => Self::of_file(&path, options).await,
            Target::Postgres(servers) => {
                let pool = postgres_pool(servers, options).await?;
                let mut tx = pool.begin().await?;
                tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", params![]).await?;
                Self::begin(pool, tx, None).await
            }
        }
    }

    pub(crate) async fn of_file(path: &Path, options: &OpenOptions) -> Result<Self, OpenError> {
        let about = std::fs::metadata(path);
        if !about.as_ref().is_ok_and(|about| about.is_file() && about.len() > 0) {
            return Err(OpenError::Nothing(format!("there is no database {}", path.display())));
        }
        let connect = looking(path, is_quiet(path));
        let connect = connect.busy_timeout(options.busy_timeout);
        let readers = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(connect);
        let begun = readers.begin().await.map_err(|error| StoreError::new("look into the file", error))?;
        let pool = Pool::Sqlite { writer: Writer::new(readers.clone(), options.busy_timeout), readers };
        Self::begin(pool, Tx::Sqlite(begun.into()), Some(path.to_owned())).await
    }

    async fn begin(pool: Pool, mut tx: Tx, file: Option<PathBuf>) -> Result<Self, OpenError> {
        let survey = schema::survey(&mut tx).await?;
        match schema::judge(&survey) {
            Ok(_) | Err(OpenError::OlderSchema { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(revision) = survey.alembic.clone().filter(|_| survey.has("users")) else {
            return Err(OpenError::Nothing("the database has no tables of JupyterHub".to_owned()));
        };
        Ok(Self { pool, tx, survey, revision, file })
    }

    /// The revision of its schema, and the JupyterHub it belongs to.
    pub fn schema(&self) -> (&str, &'static str) {
        (&self.revision, migration::release(&self.revision))
    }

    /// Whether the schema has to be brought to that of JupyterHub 6.1.
    pub fn is_older(&self) -> bool {
        self.revision != schema::ALEMBIC_HEAD
    }

    /// Whether Specola has had this database before.
    pub fn knows_specola(&self) -> bool {
        self.survey.specola.is_some()
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(crate) fn has(&self, table: &str) -> bool {
        self.survey.has(table)
    }

    /// The names of all groups.
    pub async fn groups(&mut self) -> Result<Vec<String>> {
        let rows = self.tx.rows("SELECT name FROM groups ORDER BY name", params![]).await?;
        rows.iter().map(|row| row.get("name")).collect()
    }

    /// What is wrong with it, as sentences: columns that are missing, damage, rows that refer to nothing.
    pub async fn faults(&mut self) -> Result<Vec<String>> {
        let sqlite = matches!(self.tx, Tx::Sqlite(_));
        let sql = if sqlite {
            "SELECT m.name AS place, p.name AS name FROM sqlite_master m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table'"
        } else {
            "SELECT CAST(table_name AS text) AS place, CAST(column_name AS text) AS name
             FROM information_schema.columns WHERE table_schema = current_schema()"
        };
        let rows = self.tx.rows(sql, params![]).await?;
        let found: Vec<(String, String)> =
            rows.iter().map(|row| Ok((row.get("place")?, row.get("name")?))).collect::<Result<_>>()?;
        let is_missing =
            |(table, name): &(&str, &str)| !found.iter().any(|(place, other)| place == table && other == name);
        let missing = migration::columns_at(&self.revision).into_iter().filter(is_missing);
        let mut faults: Vec<String> =
            missing.map(|(table, name)| format!("the column {table}.{name} is missing")).collect();
        if sqlite {
            faults.extend(self.damage().await?);
        }
        Ok(faults)
    }

    async fn damage(&mut self) -> Result<Vec<String>> {
        let rows = self.tx.rows(format!("PRAGMA integrity_check({FAULTS})"), params![]).await?;
        let said: Vec<String> = rows.iter().map(|row| row.get("integrity_check")).collect::<Result<_>>()?;
        let mut faults: Vec<String> = said.into_iter().filter(|text| text != "ok").collect();
        let sql = "SELECT \"table\" AS name, COUNT(*) AS count FROM pragma_foreign_key_check GROUP BY \"table\"";
        for row in self.tx.rows(sql, params![]).await? {
            let (name, count) = (row.get::<String>("name")?, row.get::<i64>("count")?);
            faults.push(format!("{count} rows of {name} refer to rows that are gone"));
        }
        Ok(faults)
    }

    /// Who else is connected to a PostgreSQL database; nobody is seen on SQLite.
    pub async fn connected(&mut self) -> Result<Vec<Connected>> {
        if matches!(self.tx, Tx::Sqlite(_)) {
            return Ok(Vec::new());
        }
        let sql = "SELECT CAST(usename AS text) AS name, application_name AS application,
                   COALESCE(host(client_addr), '') AS address FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let rows = self.tx.rows(sql, params![]).await?;
        let connected = rows.iter().map(|row| {
            let user = row.get::<Option<String>>("name")?.unwrap_or_default();
            let application = row.get::<Option<String>>("application")?.unwrap_or_default();
            Ok(Connected { user, application, address: row.get("address")? })
        });
        connected.collect()
    }

    /// Lets go of the database.
    pub async fn close(self) {
        drop(self.tx);
        self.pool.close().await;
    }
}

/// How a file is opened to be looked at. The journal of a program that was killed in the midst of a change is still to
/// be rolled back; SQLite does that before the first look, and needs to write for it.
pub(crate) fn looking(path: &Path, immutable: bool) -> SqliteConnectOptions {
    let read_only = !beside(path, "-journal").exists();
    SqliteConnectOptions::new().filename(path).read_only(read_only).immutable(immutable && read_only)
}

/// Whether a file has to be opened as immutable, to be read without a trace: one that is written with a log, and has
/// none. A file of JupyterHub's, without such logs, is read under its usual locks.
fn is_quiet(path: &Path) -> bool {
    // https://www.sqlite.org/fileformat.html: bytes 18 and 19 are 2 with a write-ahead log.
    let mut head = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.ends_with(&[2, 2]) && !beside(path, "-wal").exists()
}

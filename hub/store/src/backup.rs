//! Copies of a database before its schema is changed, and the way back to them.

use crate::database::Tx;
use crate::error::{OpenError, Result, StoreError};
use crate::migration::{self, LATER_TABLES};
use crate::schema;
use crate::store::{OpenOptions, Store, beside, postgres_pool};
use crate::url::{self, Target};
use crate::value::params;
use hub_core::clock::Time;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlitePool};
use std::fmt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a database is kept as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backup {
    /// A whole SQLite database.
    File(PathBuf),
    /// Tables in the same PostgreSQL database: this, an underscore, and the table's name.
    Tables(String),
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Tables(prefix) => prefix.fmt(f),
        }
    }
}

/// What the names of backup tables begin with.
const PREFIX: &str = "specola_backup_";

/// How many backups of one second are told apart.
const TRIES: u32 = 10;

/// Copies an SQLite database to a new file beside it, under JupyterHub's own name for such a copy:
/// `jupyterhub.sqlite.2026-11-23-093000`. It is on the disk when this returns.
pub(crate) async fn copy_file(pool: &SqlitePool, path: &Path, now: Time) -> Result<Backup> {
    let failed = |error: std::io::Error| StoreError::new("write the backup", sqlx::Error::Io(error));
    let (file, copy) = (0..TRIES)
        .find_map(|number| create(path, now, number).transpose())
        .transpose()
        .map_err(failed)?
        .ok_or_else(|| failed(std::io::ErrorKind::AlreadyExists.into()))?;
    let sql = format!("VACUUM INTO '{}'", copy.display().to_string().replace('\'', "''"));
    let written = sqlx::raw_sql(AssertSqlSafe(sql).into_sql_str()).execute(pool).await;
    if let Err(error) = written {
        let _ = std::fs::remove_file(&copy);
        return Err(StoreError::new("write the backup", error));
    }
    file.sync_all().map_err(failed)?;
    Ok(Backup::File(copy))
}

/// Makes an empty file for its owner alone; `None` when there is one of that name.
fn create(path: &Path, now: Time, number: u32) -> std::io::Result<Option<(std::fs::File, PathBuf)>> {
    let more = if number == 0 { String::new() } else { format!(".{number}") };
    let copy = beside(path, &format!(".{}{more}", now.format("%Y-%m-%d-%H%M%S")));
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy) {
        Ok(file) => Ok(Some((file, copy))),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies tables of a PostgreSQL database, within the transaction that changes them.
pub(crate) async fn copy_tables(tx: &mut Tx, tables: &[&str], now: Time) -> Result<Backup> {
    let prefix = format!("{PREFIX}{}", now.format("%Y%m%d_%H%M%S"));
    for table in tables {
        tx.execute(format!("CREATE TABLE {prefix}_{table} AS TABLE {table}"), params![]).await?;
    }
    Ok(Backup::Tables(prefix))
}

impl Store {
    /// Puts a backup in the place of a database that was upgraded, so that the JupyterHub it came from can go on.
    /// What Specola itself kept in the database is gone then. `name` is what `Backup` shows.
    pub async fn restore(url: &str, name: &str, options: &OpenOptions) -> Result<(), OpenError> {
        match url::parse(url)? {
            Target::Sqlite(path) => restore_file(&path, Path::new(name), options).await,
            Target::Postgres(servers) => {
                let pool = postgres_pool(servers, options).await?;
                let mut tx = pool.begin().await?;
                let restored = restore_tables(&mut tx, name).await;
                if restored.is_ok() {
                    tx.commit().await?;
                } else {
                    drop(tx);
                }
                pool.close().await;
                restored
            }
        }
    }
}

async fn restore_file(path: &Path, copy: &Path, options: &OpenOptions) -> Result<(), OpenError> {
    let failed = |error: std::io::Error| StoreError::new("put the backup in place", sqlx::Error::Io(error));
    crate::candidate::Candidate::of_file(copy, options).await?.close().await;
    // The copy of the copy takes the place in one step; the backup itself stays.
    let fresh = beside(path, ".restored");
    std::fs::copy(copy, &fresh).and_then(|_| std::fs::File::open(&fresh)?.sync_all()).map_err(failed)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error).into()),
            _ => {}
        }
    }
    Ok(std::fs::rename(&fresh, path).map_err(failed)?)
}

async fn restore_tables(tx: &mut Tx, prefix: &str) -> Result<(), OpenError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let survey = schema::survey(tx).await?;
    let has = |table: &str| survey.has(table);
    let version = format!("{prefix}_alembic_version");
    if !prefix.starts_with(PREFIX) || !prefix.chars().all(plain) || !has(&version) {
        return Err(OpenError::Nothing(format!("there is no backup {prefix:?} in this database")));
    }
    let row = tx.row(format!("SELECT version_num FROM {version}"), params![]).await?;
    let revision: String = row.ok_or_else(|| StoreError::Corrupt(format!("{version} is empty")))?.get("version_num")?;
    for table in survey.tables.iter().filter(|name| name.starts_with("specola_") && !name.starts_with(PREFIX)) {
        tx.execute(format!("DROP TABLE {table} CASCADE"), params![]).await?;
    }
    let saved: Vec<&str> =
        schema::JUPYTERHUB_TABLES.into_iter().filter(|table| has(&format!("{prefix}_{table}"))).collect();
    for table in LATER_TABLES.into_iter().filter(|table| has(table) && !saved.contains(table)) {
        tx.execute(format!("DROP TABLE {table} CASCADE"), params![]).await?;
    }
    tx.execute(format!("TRUNCATE {}", saved.join(", ")), params![]).await?;
    for column in migration::from_revision(&revision).iter().flat_map(|migration| migration.columns) {
        tx.execute(column.drop(), params![]).await?;
    }
    fill(tx, prefix, &saved, &revision).await
}

/// Fills the emptied tables from their copies, those first that others refer to.
async fn fill(tx: &mut Tx, prefix: &str, saved: &[&str], revision: &str) -> Result<(), OpenError> {
    let columns = migration::columns_at(revision);
    let mut ordered: Vec<&str> = Vec::new();
    columns.iter().for_each(|(table, _)| {
        if ordered.last() != Some(table) {
            ordered.push(table)
        }
    });
    for table in ordered.into_iter().filter(|table| saved.contains(table)) {
        let own = columns.iter().filter(|(of, _)| *of == table);
        let names = own.map(|(_, name)| migration::quoted(name)).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {table} ({names}) SELECT {names} FROM {prefix}_{table}");
        tx.execute(sql, params![]).await?;
    }
    Ok(())
}

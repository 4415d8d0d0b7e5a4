//! Databases of JupyterHub 4 and 5, brought to the schema of 6.1 in one transaction, with a backup before it.
//!
//! The backup of an SQLite file is a file beside it; that of a PostgreSQL database is a copy of JupyterHub's tables in
//! the same schema, which needs no program and no right that the upgrade itself does not need.

use crate::backup::{self, Backup};
use crate::database::Tx;
use crate::error::{OpenError, Result, StoreError};
use crate::migration::{self, LATER_TABLES};
use crate::schema::{self, ALEMBIC_HEAD};
use crate::store::{OpenOptions, Store, postgres_pool};
use crate::url::{self, Target};
use crate::value::params;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::path::Path;

/// What an upgrade has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The revision it began with.
    pub from: String,
    /// Where the database is as it was.
    pub backup: Backup,
}

impl Store {
    /// Brings a database of JupyterHub 4 or 5 to the schema of 6.1; `None` for one that has it. However it ends, the
    /// database is as it was, or wholly new. Fails as `Busy` while another program writes to it.
    pub async fn upgrade(url: &str, options: &OpenOptions) -> Result<Option<Upgraded>, OpenError> {
        match url::parse(url)? {
            Target::Sqlite(path) => upgrade_file(&path, options).await,
            Target::Postgres(servers) => {
                let pool = postgres_pool(servers, options).await?;
                let mut tx = pool.begin().await?;
                let upgraded = upgrade_postgres(&mut tx, options).await;
                // The pool closes once its connections are back.
                if let Ok(Some(_)) = upgraded {
                    tx.commit().await?;
                } else {
                    drop(tx);
                }
                pool.close().await;
                upgraded
            }
        }
    }
}

async fn upgrade_file(path: &Path, options: &OpenOptions) -> Result<Option<Upgraded>, OpenError> {
    // The journal mode stays as it is: the file belongs to JupyterHub until this is through.
    let connect = SqliteConnectOptions::new().filename(path).busy_timeout(options.busy_timeout).foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_lazy_with(connect);
    // Nobody else can write from here on, so that what is upgraded is what was copied.
    let begun = pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| StoreError::new("lock the file", error))?;
    let mut tx = Tx::Sqlite(begun.into());
    let upgraded = async {
        let Some(from) = revision(&mut tx).await? else { return Ok(None) };
        let backup = backup::copy_file(&pool, path, options.now).await?;
        migrate(&mut tx, &from).await?;
        Ok(Some(Upgraded { from, backup }))
    };
    let upgraded = upgraded.await;
    if let Ok(Some(_)) = upgraded {
        tx.commit().await?;
    } else {
        drop(tx);
    }
    pool.close().await;
    upgraded
}

async fn upgrade_postgres(tx: &mut Tx, options: &OpenOptions) -> Result<Option<Upgraded>, OpenError> {
    let Some(from) = revision(tx).await? else { return Ok(None) };
    // Waits for whoever works on a table, and fails as busy when that takes too long.
    let survey = schema::survey(tx).await?;
    let present: Vec<&str> = schema::JUPYTERHUB_TABLES.into_iter().filter(|table| survey.has(table)).collect();
    tx.execute(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", present.join(", ")), params![]).await?;
    let backup = backup::copy_tables(tx, &present, options.now).await?;
    migrate(tx, &from).await?;
    Ok(Some(Upgraded { from, backup }))
}

/// The revision to upgrade from; `None` where there is nothing to do.
async fn revision(tx: &mut Tx) -> Result<Option<String>, OpenError> {
    match schema::judge(&schema::survey(tx).await?) {
        Ok(_) => Ok(None),
        Err(OpenError::OlderSchema { found, .. }) => Ok(Some(found)),
        Err(error) => Err(error),
    }
}

async fn migrate(tx: &mut Tx, from: &str) -> Result<()> {
    let sqlite = matches!(tx, Tx::Sqlite(_));
    for migration in migration::from_revision(from) {
        for column in migration.columns {
            tx.execute(column.add(sqlite), params![]).await?;
        }
        if let Some(fill) = migration.fill {
            tx.execute(fill, params![]).await?;
        }
    }
    let survey = schema::survey(tx).await?;
    for table in LATER_TABLES.into_iter().filter(|table| !survey.has(table)) {
        schema::create_table(tx, table).await?;
    }
    tx.execute("UPDATE alembic_version SET version_num = $1", params![ALEMBIC_HEAD]).await.map(drop)
}

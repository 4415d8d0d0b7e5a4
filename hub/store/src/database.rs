//! Connections, transactions, and the one place where a statement meets either database.
//!
//! Statements are written in PostgreSQL's dialect. SQLite runs the same text but for `= ANY($n)`, which it lacks
//! (see `sqlite_text`). Rows are always fetched to the end, because SQLite completes a statement with `RETURNING`
//! only then.

use crate::error::{Result, StoreError};
use crate::postgres::{Lent, Server};
use crate::row::Row;
use crate::store::Leases;
use crate::value::Value;
use crate::version;
use crate::writer::{Write, Writer};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::borrow::Cow;
use tokio::time::timeout;

/// A cheap clone around the pools of one database.
#[derive(Clone)]
pub(crate) enum Pool {
    /// SQLite allows one writer: it has a connection of its own, and waiting for it happens in memory (`writer`).
    Sqlite {
        writer: Writer,
        readers: sqlx::SqlitePool,
    },
    Postgres(Server),
}

/// A write transaction. Dropped without `commit`, it is rolled back.
pub(crate) enum Tx {
    Sqlite(Write),
    Postgres(Lent),
}

/// The text of a statement: a constant, or one put together from constants.
pub(crate) type Sql = Cow<'static, str>;

/// Runs a statement on any executor of either database.
macro_rules! fetch {
    (sqlite $executor:expr, $sql:expr, $params:expr) => {{
        let query = sqlx::query(sql_str(sqlite_text($sql)));
        $params.into_iter().fold(query, |query, value| value.bind_sqlite(query)).fetch_all($executor).await
    }};
    (postgres $lent:expr, $sql:expr, $params:expr) => {{
        let query = sqlx::query(sql_str($sql));
        let query = $params.into_iter().fold(query, |query, value| value.bind_postgres(query));
        let patience = $lent.patience;
        match $lent.connection() {
            Ok(connection) => {
                let done = timeout(patience, query.fetch_all(connection)).await;
                $lent.judge(done)
            }
            Err(error) => Err(error),
        }
    }};
}

macro_rules! execute {
    (sqlite $executor:expr, $sql:expr, $params:expr) => {{
        let query = sqlx::query(sql_str(sqlite_text($sql)));
        let query = $params.into_iter().fold(query, |query, value| value.bind_sqlite(query));
        query.execute($executor).await.map(|done| done.rows_affected())
    }};
    (postgres $lent:expr, $sql:expr, $params:expr) => {{
        let query = sqlx::query(sql_str($sql));
        let query = $params.into_iter().fold(query, |query, value| value.bind_postgres(query));
        let patience = $lent.patience;
        match $lent.connection() {
            Ok(connection) => {
                let done = timeout(patience, query.execute(connection)).await;
                $lent.judge(done).map(|done| done.rows_affected())
            }
            Err(error) => Err(error),
        }
    }};
}

/// Runs one statement on a connection of PostgreSQL that is taken for it.
macro_rules! lent {
    ($server:expr, $run:ident, $sql:expr, $params:expr) => {
        match $server.lend().await {
            Ok(mut lent) => $run!(postgres lent, $sql, $params),
            Err(error) => Err(error),
        }
    };
}

impl Pool {
    /// Rows of a statement that changes nothing.
    pub(crate) async fn rows(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into();
        let told = sql.clone();
        match self {
            Self::Sqlite { readers, .. } => fetch!(sqlite readers, sql, params).map(sqlite_rows),
            Self::Postgres(server) => lent!(server, fetch, sql, params).map(postgres_rows),
        }
        .map_err(|error| self.error(&told, error))
    }

    /// The first row of a statement that changes nothing.
    pub(crate) async fn row(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Rows returned by one statement that writes, as a transaction of its own.
    pub(crate) async fn write_rows(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into();
        let told = sql.clone();
        let written = match self {
            Self::Sqlite { writer, .. } => {
                writer.alone(async |tx| fetch!(sqlite tx, sql, params).map(sqlite_rows)).await
            }
            Self::Postgres(server) => lent!(server, fetch, sql, params).map(postgres_rows),
        };
        version::written();
        written.map_err(|error| self.error(&told, error))
    }

    /// The row returned by one statement that writes, as a transaction of its own.
    pub(crate) async fn write_row(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.write_rows(sql, params).await?.into_iter().next())
    }

    /// Runs one statement as a transaction of its own; returns how many rows it changed.
    pub(crate) async fn execute(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into();
        let told = sql.clone();
        let written = match self {
            Self::Sqlite { writer, .. } => writer.alone(async |tx| execute!(sqlite tx, sql, params)).await,
            Self::Postgres(server) => lent!(server, execute, sql, params),
        };
        version::written();
        written.map_err(|error| self.error(&told, error))
    }

    /// Begins a write transaction.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        match self {
            Self::Sqlite { writer, .. } => writer.begin().await.map(Tx::Sqlite),
            Self::Postgres(server) => server.begin().await.map(Tx::Postgres),
        }
        .map_err(|error| self.error("begin", error))
    }

    /// The database's own clock, as an expression that compares with times as they are kept.
    pub(crate) fn now(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
            Self::Postgres(_) => "(clock_timestamp() AT TIME ZONE 'UTC')",
        }
    }

    /// So many seconds from now by the database's own clock; `argument` is such as `$3`, a whole number.
    pub(crate) fn in_seconds(&self, argument: &'static str) -> String {
        match self {
            Self::Sqlite { .. } => format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', {argument} || ' seconds')"),
            Self::Postgres(_) => {
                format!("({} + CAST({argument} AS double precision) * INTERVAL '1 second')", self.now())
            }
        }
    }

    /// The same database, with more time for each statement: for work on many rows.
    pub(crate) fn patient(&self) -> Self {
        match self {
            Self::Sqlite { .. } => self.clone(),
            Self::Postgres(server) => Self::Postgres(server.patient()),
        }
    }

    /// The present instant where hubs compare it, as an expression: leases, turns, and what is due. `now` is the argument
    /// that has the caller's. Clocks of two machines may differ by more than a lease lasts, so that of a shared database
    /// counts; that of the statement's beginning, which an index can be searched by.
    pub(crate) fn present(&self, now: &'static str) -> &'static str {
        match self {
            Self::Postgres(server) if server.leases == Leases::ByDatabase => {
                "(statement_timestamp() AT TIME ZONE 'UTC')"
            }
            _ => now,
        }
    }

    /// Another instant where hubs compare it: as far from `present` as the argument `at` is from the argument `now`.
    pub(crate) fn relative(&self, now: &'static str, at: &'static str) -> Cow<'static, str> {
        match self.present(now) {
            own if own == now => at.into(),
            by_database => format!("({by_database} + ({at} - {now}))").into(),
        }
    }

    /// Closes every connection once what runs on it is done.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(server) => server.close().await,
        }
    }

    /// A pool that has lost its server did not time out because it is busy.
    fn error(&self, doing: &str, error: sqlx::Error) -> StoreError {
        match (self, StoreError::new(doing, error)) {
            (Self::Postgres(server), StoreError::Busy(context))
                if matches!(context.source, sqlx::Error::PoolTimedOut) && server.is_away() =>
            {
                StoreError::Unreachable(context)
            }
            (_, error) => error,
        }
    }
}

impl Tx {
    pub(crate) async fn rows(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into();
        let told = sql.clone();
        match self {
            Self::Sqlite(tx) => match tx.connection() {
                Ok(connection) => fetch!(sqlite connection, sql, params).map(sqlite_rows),
                Err(error) => Err(error),
            },
            Self::Postgres(lent) => fetch!(postgres lent, sql, params).map(postgres_rows),
        }
        .map_err(|error| StoreError::new(&told, error))
    }

    pub(crate) async fn row(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    pub(crate) async fn execute(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into();
        let told = sql.clone();
        match self {
            Self::Sqlite(tx) => match tx.connection() {
                Ok(connection) => execute!(sqlite connection, sql, params),
                Err(error) => Err(error),
            },
            Self::Postgres(lent) => execute!(postgres lent, sql, params),
        }
        .map_err(|error| StoreError::new(&told, error))
    }

    /// Runs several statements without arguments.
    pub(crate) async fn script(&mut self, sql: Sql) -> Result<()> {
        let told = sql.clone();
        match self {
            Self::Sqlite(tx) => match tx.connection() {
                Ok(connection) => sqlx::raw_sql(sql_str(sql)).execute(connection).await.map(drop),
                Err(error) => Err(error),
            },
            Self::Postgres(lent) => lent.run(sqlx::raw_sql(sql_str(sql))).await,
        }
        .map_err(|error| StoreError::new(&told, error))
    }

    pub(crate) async fn commit(self) -> Result<()> {
        let committed = match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(lent) => lent.commit().await,
        };
        version::written();
        committed.map_err(|error| StoreError::new("commit", error))
    }
}

fn sqlite_rows(rows: Vec<sqlx::sqlite::SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn postgres_rows(rows: Vec<sqlx::postgres::PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

/// Every statement is made of constants of this package; values are always arguments.
fn sql_str(sql: Sql) -> SqlStr {
    match sql {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

/// SQLite has no arrays: a list is bound as JSON text, and `= ANY($n)` becomes a look into it.
fn sqlite_text(sql: Sql) -> Sql {
    const ANY: &str = "= ANY($";
    if !sql.contains(ANY) {
        return sql;
    }
    let mut parts = sql.split(ANY);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(')').unwrap_or((part, ""));
        text.push_str(&format!("IN (SELECT value FROM json_each(${number})){rest}"));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_argument_has_a_form_on_sqlite() {
        let text = sqlite_text("DELETE FROM a WHERE b = ANY($1) AND c = $2 OR d = ANY($13)".into());
        assert_eq!(
            text,
            "DELETE FROM a WHERE b IN (SELECT value FROM json_each($1)) AND c = $2 OR d IN (SELECT value FROM json_each($13))"
        );
        assert!(matches!(sqlite_text("SELECT 1".into()), Cow::Borrowed(_)));
    }
}

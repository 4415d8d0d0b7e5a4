//! What a statement gives back: a row whose columns are read by name and checked for their kind.

use crate::error::{Result, StoreError};
use crate::value::parse_datetime;
use hub_core::clock::Time;
use hub_core::id::{Generation, GroupId, RoleId, ServiceId, ShareCodeId, ShareId, SpawnerId, TokenId, UserId};
use hub_core::life::{Desired, Phase};
use hub_core::secret::Secret;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, TypeInfo, ValueRef};

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// One value of a row, before it is known what it should be.
pub(crate) enum Cell {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Time(Time),
    Blob(Vec<u8>),
}

impl Row {
    /// Reads a column. A value of the wrong kind means that something else wrote this database.
    pub(crate) fn get<T: FromCell>(&self, column: &'static str) -> Result<T> {
        let cell = match self {
            Self::Sqlite(row) => sqlite_cell(row, column),
            Self::Postgres(row) => postgres_cell(row, column),
        };
        let cell = cell.map_err(|error| StoreError::new(column, error))?;
        T::from_cell(cell).ok_or_else(|| StoreError::Corrupt(format!("the column {column} holds an unexpected value")))
    }

    /// Reads JSON that people or JupyterHub's hooks may have filled. Python writes `NaN` and lone surrogates, which
    /// are not JSON: such a value counts as null, because one odd row must not spoil a whole list.
    pub(crate) fn json(&self, column: &'static str) -> Result<serde_json::Value> {
        let Some(text) = self.get::<Option<String>>(column)? else { return Ok(serde_json::Value::Null) };
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(column, %error, "a column does not hold JSON; taken as null");
            serde_json::Value::Null
        }))
    }

    /// Reads JSON as `json`, with null as `None`.
    pub(crate) fn json_option(&self, column: &'static str) -> Result<Option<serde_json::Value>> {
        Ok(Some(self.json(column)?).filter(|value| !value.is_null()))
    }

    /// Reads a list of scopes. They are rights: what cannot be read is an error.
    pub(crate) fn scopes(&self, column: &'static str) -> Result<Vec<String>> {
        let text = self.get::<Option<String>>(column)?.unwrap_or_else(|| "null".to_owned());
        serde_json::from_str::<Option<Vec<String>>>(&text)
            .map(Option::unwrap_or_default)
            .map_err(|_| StoreError::Corrupt(format!("the column {column} holds no list of scopes")))
    }
}

fn sqlite_cell(row: &SqliteRow, column: &str) -> Result<Cell, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    let decode = |error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error };
    let kind = value.type_info().name().to_owned();
    if value.is_null() {
        return Ok(Cell::Null);
    }
    match kind.as_str() {
        "INTEGER" => <i64 as Decode<sqlx::Sqlite>>::decode(value).map(Cell::Int),
        "TEXT" => <String as Decode<sqlx::Sqlite>>::decode(value).map(Cell::Text),
        "BLOB" => <Vec<u8> as Decode<sqlx::Sqlite>>::decode(value).map(Cell::Blob),
        other => Err(format!("a value of type {other} was not expected").into()),
    }
    .map_err(decode)
}

fn postgres_cell(row: &PgRow, column: &str) -> Result<Cell, sqlx::Error> {
    use sqlx::Postgres;
    let value = row.try_get_raw(column)?;
    let decode = |error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error };
    let kind = value.type_info().name().to_owned();
    if value.is_null() {
        return Ok(Cell::Null);
    }
    match kind.as_str() {
        "INT4" => <i32 as Decode<Postgres>>::decode(value).map(|int| Cell::Int(int.into())),
        "INT8" => <i64 as Decode<Postgres>>::decode(value).map(Cell::Int),
        "BOOL" => <bool as Decode<Postgres>>::decode(value).map(Cell::Bool),
        "TEXT" | "VARCHAR" | "NAME" => <String as Decode<Postgres>>::decode(value).map(Cell::Text),
        "TIMESTAMP" => {
            <chrono::NaiveDateTime as Decode<Postgres>>::decode(value).map(|time| Cell::Time(time.and_utc()))
        }
        "BYTEA" => <Vec<u8> as Decode<Postgres>>::decode(value).map(Cell::Blob),
        other => Err(format!("a value of type {other} was not expected").into()),
    }
    .map_err(decode)
}

/// A Rust type that a column can hold. `None` when the cell is of another kind.
pub(crate) trait FromCell: Sized {
    fn from_cell(cell: Cell) -> Option<Self>;
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

impl FromCell for i64 {
    fn from_cell(cell: Cell) -> Option<Self> {
        if let Cell::Int(value) = cell { Some(value) } else { None }
    }
}

impl FromCell for bool {
    fn from_cell(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Bool(value) => Some(value),
            Cell::Int(value) => Some(value != 0),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell) -> Option<Self> {
        if let Cell::Text(value) = cell { Some(value) } else { None }
    }
}

impl FromCell for Secret {
    fn from_cell(cell: Cell) -> Option<Self> {
        String::from_cell(cell).map(Self::new)
    }
}

impl FromCell for Time {
    fn from_cell(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Time(value) => Some(value),
            Cell::Text(text) => parse_datetime(&text).map(|time| time.and_utc()),
            _ => None,
        }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell) -> Option<Self> {
        if let Cell::Blob(value) = cell { Some(value) } else { None }
    }
}

impl FromCell for Phase {
    fn from_cell(cell: Cell) -> Option<Self> {
        Some(match String::from_cell(cell)?.as_str() {
            "stopped" => Self::Stopped,
            "starting" => Self::Starting,
            "waiting" => Self::Waiting,
            "routing" => Self::Routing,
            "ready" => Self::Ready,
            "stopping" => Self::Stopping,
            _ => return None,
        })
    }
}

impl FromCell for Desired {
    fn from_cell(cell: Cell) -> Option<Self> {
        Some(match String::from_cell(cell)?.as_str() {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            _ => return None,
        })
    }
}

macro_rules! ids_from_cell {
    ($($id:ty),+) => {$(
        impl FromCell for $id {
            fn from_cell(cell: Cell) -> Option<Self> {
                i64::from_cell(cell).map(Self)
            }
        }
    )+};
}
ids_from_cell!(UserId, GroupId, RoleId, ServiceId, SpawnerId, TokenId, ShareId, ShareCodeId, Generation);

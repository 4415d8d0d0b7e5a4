//! What a statement takes: the few kinds of values both databases share, each with its form on either.

use chrono::NaiveDateTime;
use hub_core::clock::Time;
use hub_core::id::{GroupId, RoleId, ServiceId, ShareCodeId, ShareId, SpawnerId, TokenId, UserId};
use hub_core::life::{Desired, Phase};
use hub_core::secret::Secret;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite};

/// One argument of a statement. Every kind knows its type also when it is null, which PostgreSQL insists on.
#[derive(Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bool(Option<bool>),
    Time(Option<Time>),
    Blob(Option<Vec<u8>>),
    /// For `= ANY($n)`.
    Ints(Vec<i64>),
    /// For `= ANY($n)`.
    Texts(Vec<String>),
}

/// Arguments of a statement, `$1` first.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::value::Value::from($value)),*] };
}
pub(crate) use params;

/// SQLAlchemy's form of a naive UTC datetime on SQLite, always with six digits, so that text order is time order.
pub(crate) fn datetime_text(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Reads what SQLAlchemy writes on SQLite: no fraction, or one of up to nine digits.
pub(crate) fn parse_datetime(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

impl Value {
    pub(crate) fn bind_sqlite<'q>(
        self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        match self {
            Self::Int(value) => query.bind(value),
            Self::Text(value) => query.bind(value),
            Self::Bool(value) => query.bind(value),
            Self::Time(value) => query.bind(value.map(datetime_text)),
            Self::Blob(value) => query.bind(value),
            Self::Ints(values) => query.bind(serde_json::Value::from(values).to_string()),
            Self::Texts(values) => query.bind(serde_json::Value::from(values).to_string()),
        }
    }

    pub(crate) fn bind_postgres<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
        match self {
            Self::Int(value) => query.bind(value),
            Self::Text(value) => query.bind(value),
            Self::Bool(value) => query.bind(value),
            Self::Time(value) => query.bind(value.map(|time| time.naive_utc())),
            Self::Blob(value) => query.bind(value),
            Self::Ints(values) => query.bind(values),
            Self::Texts(values) => query.bind(values),
        }
    }
}

macro_rules! from {
    ($($kind:ident: $($type:ty => $make:expr),+;)+) => {$($(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$kind(Some($make(value)))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map($make))
            }
        }
    )+)+};
}

from! {
    Int:
        i64 => |value| value,
        i32 => i64::from,
        u32 => i64::from,
        UserId => |id: UserId| id.0,
        GroupId => |id: GroupId| id.0,
        RoleId => |id: RoleId| id.0,
        ServiceId => |id: ServiceId| id.0,
        SpawnerId => |id: SpawnerId| id.0,
        TokenId => |id: TokenId| id.0,
        ShareId => |id: ShareId| id.0,
        ShareCodeId => |id: ShareCodeId| id.0,
        hub_core::id::Generation => |generation: hub_core::id::Generation| generation.0;
    Text:
        &str => str::to_owned,
        &String => String::clone,
        String => |value| value,
        &Secret => |secret: &Secret| secret.expose().to_owned(),
        &serde_json::Value => |value: &serde_json::Value| value.to_string(),
        &Vec<String> => scopes_text,
        &[String] => scopes_text,
        Phase => |phase| phase_name(phase).to_owned(),
        Desired => |desired| desired_name(desired).to_owned();
    Bool:
        bool => |value| value;
    Time:
        Time => |value| value;
    Blob:
        &[u8] => <[u8]>::to_vec;
}

impl From<Vec<i64>> for Value {
    fn from(values: Vec<i64>) -> Self {
        Self::Ints(values)
    }
}

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self::Texts(values)
    }
}

macro_rules! from_ids {
    ($($type:ty),+) => {$(
        impl From<&[$type]> for Value {
            fn from(ids: &[$type]) -> Self {
                Self::Ints(ids.iter().map(|id| id.0).collect())
            }
        }
    )+};
}
from_ids!(UserId, GroupId, SpawnerId);

/// A list of scopes as the JSON text of JupyterHub's `JSONList` columns.
fn scopes_text(scopes: &(impl AsRef<[String]> + ?Sized)) -> String {
    serde_json::Value::from(scopes.as_ref()).to_string()
}

/// The name of a phase in its column.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Stopped => "stopped",
        Phase::Starting => "starting",
        Phase::Waiting => "waiting",
        Phase::Routing => "routing",
        Phase::Ready => "ready",
        Phase::Stopping => "stopping",
    }
}

/// The name of a wish in its column.
pub(crate) fn desired_name(desired: Desired) -> &'static str {
    match desired {
        Desired::Running => "running",
        Desired::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datetime_is_written_with_six_digits_and_read_with_any() {
        let time = hub_core::clock::Time::from_timestamp(1_700_000_000, 120_000_000).unwrap();
        assert_eq!(datetime_text(time), "2023-11-14 22:13:20.120000");
        for text in ["2023-11-14 22:13:20.12", "2023-11-14 22:13:20.120000", "2023-11-14T22:13:20.120"] {
            assert_eq!(parse_datetime(text), Some(time.naive_utc()), "{text}");
        }
        assert!(parse_datetime("2023-11-14 22:13:20").is_some());
        assert_eq!(parse_datetime("yesterday"), None);
    }
}

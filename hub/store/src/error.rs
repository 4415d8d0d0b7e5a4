//! What can go wrong with a database, told apart by what helps. The text is for logs, never for a client.

use sqlx::error::{DatabaseError, ErrorKind};
use std::borrow::Cow;
use std::fmt;

/// A store call that failed. `Busy` may be tried again; the others need a hand or a different input.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer held the database for longer than the busy timeout, or every connection is in use.
    #[error("the database is busy: {0}")]
    Busy(Context),
    /// The disk, the quota or the file size limit of the database is used up.
    #[error("the database has no room left: {0}")]
    Full(Context),
    /// No connection could be made, or it broke.
    #[error("the database cannot be reached: {0}")]
    Unreachable(Context),
    /// The database, or its file, may not be written.
    #[error("the database is read-only: {0}")]
    ReadOnly(Context),
    /// A unique name or key is taken.
    #[error("it exists already: {0}")]
    Conflict(Context),
    /// The row refers to one that is gone, or never was.
    #[error("it refers to something that does not exist: {0}")]
    Missing(Context),
    /// The database does not accept this value: too long, out of range, a NUL byte, a broken rule.
    #[error("the database refuses the value: {0}")]
    Invalid(Context),
    /// The database holds something that neither JupyterHub nor Specola writes, or its file is damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// Anything else: a fault of this program or of the database.
    #[error("the database failed: {0}")]
    Other(Context),
}

/// The statement that failed and what the database said.
#[derive(Debug)]
pub struct Context {
    /// What was tried: the statement, shortened, or a word like `connect`.
    pub doing: String,
    /// The driver's error.
    pub source: sqlx::Error,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (while running: {})", self.source, self.doing)
    }
}

/// What every store function returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How much of a statement an error shows, in characters.
const SHOWN: usize = 120;

impl StoreError {
    /// Sorts a driver's error by what helps against it.
    pub(crate) fn new(doing: &str, source: sqlx::Error) -> Self {
        let make = kind(&source);
        let doing = doing.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        make(Context { doing, source })
    }

    /// Whether the same call may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unreachable(_))
    }

    /// Whether a database server may do it later without anybody's changing the configuration: it is away, busy, or a
    /// standby that may be promoted. A wrong password or name of a database is nothing to wait for.
    pub fn may_pass(&self) -> bool {
        let context = match self {
            Self::Busy(context) | Self::Unreachable(context) | Self::ReadOnly(context) => context,
            _ => return false,
        };
        match &context.source {
            sqlx::Error::Database(error) => {
                error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
                    && !matches!(error.code().as_deref(), Some("28000" | "28P01" | "3D000"))
            }
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => false,
            _ => true,
        }
    }
}

/// What a driver's error tells, for all who have to hear of it: it cannot be cloned itself.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    code: String,
    message: String,
}

impl Failed {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
        // SQLite's word for what went wrong below it.
        Self { code: code.unwrap_or_else(|| "10".to_owned()), message: error.to_string() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

impl DatabaseError for Failed {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.as_str().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

type Make = fn(Context) -> StoreError;

fn corrupt(context: Context) -> StoreError {
    StoreError::Corrupt(context.to_string())
}

fn kind(source: &sqlx::Error) -> Make {
    match source {
        sqlx::Error::Database(error) => match error.code() {
            // SQLSTATE has five characters; SQLite's extended codes are shorter numbers below 10000.
            Some(code) if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => postgres_kind(&code),
            Some(code) => sqlite_kind(code.parse().unwrap_or_default()),
            None => StoreError::Other,
        },
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unreachable,
        _ => StoreError::Other,
    }
}

/// Whether an error tells that its connection is of no more use, or leads to a server that has changed under it: other
/// connections of that age lead to the same one.
pub(crate) fn ends_connections(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| match &*code {
            // 0A000: statements that were prepared before the tables changed, as on every connection of that age.
            "25006" | "25P03" | "25P04" | "0A000" => true,
            "57014" => false,
            code => matches!(code.get(..2), Some("08" | "57" | "58")),
        }),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// https://www.sqlite.org/rescode.html; the low byte of an extended code is the primary one.
fn sqlite_kind(code: i64) -> Make {
    match (code, code & 0xff) {
        (787 | 3091, _) => StoreError::Missing,
        (1555 | 2067 | 2579, _) => StoreError::Conflict,
        (_, 5 | 6) => StoreError::Busy,
        (_, 8) => StoreError::ReadOnly,
        (_, 11 | 26) => corrupt,
        (_, 13) => StoreError::Full,
        (_, 10 | 14) => StoreError::Unreachable,
        (_, 18..=20) => StoreError::Invalid,
        _ => StoreError::Other,
    }
}

/// https://www.postgresql.org/docs/current/errcodes-appendix.html
fn postgres_kind(code: &str) -> Make {
    match code {
        "23505" => StoreError::Conflict,
        "23503" => StoreError::Missing,
        "25006" => StoreError::ReadOnly,
        "53100" => StoreError::Full,
        "55P03" | "57014" => StoreError::Busy,
        "28000" | "28P01" | "3D000" => StoreError::Unreachable,
        // Left in a transaction for too long, or a server that is just starting or stopping.
        "25P03" | "25P04" | "55000" => StoreError::Unreachable,
        // A snapshot that is too old, or a plan made before a hub of another version changed the tables: the next try
        // makes a new one, on another connection.
        "72000" | "0A000" => StoreError::Busy,
        "XX001" | "XX002" => corrupt,
        _ => match code.get(..2) {
            Some("08" | "57" | "58") => StoreError::Unreachable,
            Some("40" | "53") => StoreError::Busy,
            Some("22" | "23") => StoreError::Invalid,
            _ => StoreError::Other,
        },
    }
}

/// A database that could not be opened. Nothing in it was changed, unless the error is `Store`.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one of a database.
    #[error("the database URL is not valid: {0}")]
    Url(String),
    /// JupyterHub supports it, Specola does not.
    #[error("{0} databases are not supported: use sqlite:/// or postgresql://")]
    Unsupported(String),
    /// JupyterHub 4 or 5 made it, or one of the first of 6.
    #[error(
        "the database has the schema {found} of an older JupyterHub, {expected} is needed: `specola adopt --yes` \
         brings it there and makes a backup first (so does `jupyterhub upgrade-db` of JupyterHub 6.1)"
    )]
    OlderSchema { found: String, expected: &'static str },
    /// A JupyterHub from before 4 made it.
    #[error(
        "the database has the schema {found} of a JupyterHub older than 4, from which the way leads through \
         JupyterHub itself: back it up, run `jupyterhub upgrade-db` of JupyterHub 6.1 on it, then start again"
    )]
    AncientSchema { found: String },
    /// There is nothing to take over.
    #[error("{0}")]
    Nothing(String),
    /// A JupyterHub that this version does not know made it.
    #[error(
        "the database has the schema {found}, which this version does not know ({expected} is needed): use a newer \
         Specola, or restore a backup made with JupyterHub 6.1"
    )]
    UnknownSchema { found: String, expected: &'static str },
    /// It has JupyterHub's tables, and no version.
    #[error(
        "the database has JupyterHub's tables but no schema version: back it up, run `jupyterhub upgrade-db` of \
         JupyterHub 6.1 on it, then start again"
    )]
    NoVersion,
    /// A newer Specola has used it.
    #[error(
        "a newer Specola has used this database (its own tables are at version {found}, this one knows {known}): \
         use that version again, or restore a backup"
    )]
    NewerSpecola { found: i64, known: i64 },
    /// It could not be reached, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(make: Make) -> String {
        let error = make(Context { doing: "SELECT 1".to_owned(), source: sqlx::Error::RowNotFound });
        let text = format!("{error:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_a_database_reports_is_sorted_by_what_helps() {
        for (code, kind) in [
            (5, "Busy"),
            (261, "Busy"),
            (517, "Busy"),
            (13, "Full"),
            (14, "Unreachable"),
            (266, "Unreachable"),
            (8, "ReadOnly"),
            (11, "Corrupt"),
            (26, "Corrupt"),
            (2067, "Conflict"),
            (1555, "Conflict"),
            (787, "Missing"),
            (275, "Invalid"),
            (1, "Other"),
        ] {
            assert_eq!(name(sqlite_kind(code)), kind, "{code}");
        }
        for (code, kind) in [
            ("40001", "Busy"),
            ("40P01", "Busy"),
            ("55P03", "Busy"),
            ("53300", "Busy"),
            ("53100", "Full"),
            ("57P01", "Unreachable"),
            ("57P03", "Unreachable"),
            ("25P03", "Unreachable"),
            ("25P04", "Unreachable"),
            ("55000", "Unreachable"),
            ("40003", "Busy"),
            ("72000", "Busy"),
            ("0A000", "Busy"),
            ("08006", "Unreachable"),
            ("28P01", "Unreachable"),
            ("25006", "ReadOnly"),
            ("23505", "Conflict"),
            ("23503", "Missing"),
            ("23514", "Invalid"),
            ("22001", "Invalid"),
            ("XX001", "Corrupt"),
            ("XX002", "Corrupt"),
            ("XX000", "Other"),
            ("42P01", "Other"),
        ] {
            assert_eq!(name(postgres_kind(code)), kind, "{code}");
        }
        for error in [sqlx::Error::Protocol("an answer that is none".to_owned()), sqlx::Error::BeginFailed] {
            assert_eq!(name(super::kind(&error)), "Unreachable", "{error}");
            assert!(ends_connections(&error), "{error}");
        }
        assert!(!ends_connections(&sqlx::Error::RowNotFound));
    }
}

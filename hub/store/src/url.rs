//! Database URLs as JupyterHub's `db_url` writes them, in SQLAlchemy's form.

use crate::error::OpenError;
use sqlx::postgres::PgConnectOptions;
use std::borrow::Cow;
use std::path::PathBuf;

/// Which database a URL names.
#[derive(Debug)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// Reads `sqlite:///relative`, `sqlite:////absolute`, `postgresql://…`; a driver after `+` is ignored.
/// No error repeats the URL: it may hold a password.
pub(crate) fn parse(url: &str) -> Result<Target, OpenError> {
    let invalid = |why: &str| OpenError::Url(why.to_owned());
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| invalid("it must begin with sqlite:/// or postgresql://"))?;
    match scheme.split_once('+').map_or(scheme, |(dialect, _)| dialect) {
        "sqlite" => {
            let path = rest.strip_prefix('/').ok_or_else(|| invalid("a path follows after sqlite:///"))?;
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            match path {
                "" | ":memory:" => Err(invalid("a database in memory would be lost with the process: name a file")),
                path => Ok(Target::Sqlite(PathBuf::from(path))),
            }
        }
        "postgresql" | "postgres" => {
            let options = format!("postgres://{}", without_empty_host(rest)).parse::<PgConnectOptions>();
            // The driver's own words can quote parts of the URL.
            let options = options.map_err(|_| invalid("not of the form postgresql://user:password@host:port/name"))?;
            Ok(Target::Postgres(Box::new(options.application_name("specola"))))
        }
        other => Err(OpenError::Unsupported(other.to_owned())),
    }
}

/// SQLAlchemy knows `user:password@/name?host=/socket`; a URL proper has no user without a host, so it becomes
/// `/name?host=/socket&user=…&password=…`.
fn without_empty_host(rest: &str) -> Cow<'_, str> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some(who) = authority.strip_suffix('@') else { return Cow::Borrowed(rest) };
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    // A plus is a space in a query, and nothing special before the host.
    let literal = |text: &str| text.replace('+', "%2B").replace('&', "%26");
    let mark = if path.contains('?') { '&' } else { '?' };
    let mut url = format!("{path}{mark}user={}", literal(user));
    if !password.is_empty() {
        url.push_str(&format!("&password={}", literal(password)));
    }
    Cow::Owned(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn sqlite_paths_are_relative_or_absolute() {
        for (url, expected) in [
            ("sqlite:///jupyterhub.sqlite", "jupyterhub.sqlite"),
            ("sqlite:////srv/hub.sqlite", "/srv/hub.sqlite"),
            ("sqlite+pysqlite:///a.sqlite?timeout=5", "a.sqlite"),
        ] {
            let target = parse(url).unwrap();
            assert!(matches!(&target, Target::Sqlite(path) if path == Path::new(expected)), "{url}: {target:?}");
        }
    }

    #[test]
    fn postgresql_may_name_a_driver_a_socket_and_encoded_characters() {
        let Target::Postgres(options) = parse("postgresql+psycopg2://us%40er:p%2Fw@db.example:5433/hub").unwrap()
        else {
            panic!("not PostgreSQL");
        };
        assert_eq!(options.get_username(), "us@er");
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 5433));
        assert_eq!(options.get_database(), Some("hub"));
        let Target::Postgres(options) = parse("postgresql:///hub?host=/run/pg&user=me").unwrap() else {
            panic!("not PostgreSQL");
        };
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/run/pg")));
        assert_eq!(options.get_database(), Some("hub"));
        let Target::Postgres(options) = parse("postgresql://a+b:p+w@/hub?host=/run/pg").unwrap() else {
            panic!("not PostgreSQL");
        };
        assert_eq!((options.get_username(), options.get_database()), ("a+b", Some("hub")));
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/run/pg")));
    }

    #[test]
    fn what_cannot_be_a_database_is_refused_without_repeating_it() {
        for url in ["hub.sqlite", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://u:secret@h:port/d"] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.starts_with("the database URL is not valid"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = parse("mysql+pymysql://u:secret@h/d").unwrap_err().to_string();
        assert_eq!(error, "mysql databases are not supported: use sqlite:/// or postgresql://");
    }
}

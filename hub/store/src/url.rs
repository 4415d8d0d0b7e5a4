//! Database URLs as JupyterHub's `db_url` writes them, in SQLAlchemy's form.

use crate::error::OpenError;
use sqlx::postgres::PgConnectOptions;
use std::borrow::Cow;
use std::path::PathBuf;

/// Which database a URL names.
#[derive(Debug)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    /// At least one; of several, one is the primary.
    Postgres(Vec<PgConnectOptions>),
}

/// Reads `sqlite:///relative`, `sqlite:////absolute`, `postgresql://…`; a driver after `+` is ignored. Several servers are
/// written as libpq (`host1,host2:5433`) or SQLAlchemy (`?host=host1&host=host2:5433`) have it.
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
            let servers = each_server(rest).into_iter().map(|rest| {
                let options = format!("postgres://{}", without_empty_host(&rest)).parse::<PgConnectOptions>();
                options.map(|options| options.application_name("specola"))
            });
            // The driver's own words can quote parts of the URL.
            let servers = servers.collect::<Result<_, _>>();
            Ok(Target::Postgres(
                servers.map_err(|_| invalid("not of the form postgresql://user:password@host:port/name"))?,
            ))
        }
        other => Err(OpenError::Unsupported(other.to_owned())),
    }
}

/// The same for each of several servers; which is looked for is always one that can be written to.
fn each_server(rest: &str) -> Vec<String> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let (who, hosts) = match authority.rsplit_once('@') {
        Some((who, hosts)) => (format!("{who}@"), hosts),
        None => (String::new(), authority),
    };
    let (mut asked, mut ports, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("host", value)) => asked.extend(value.split(',')),
            Some(("port", value)) => ports.extend(value.split(',')),
            Some(("target_session_attrs", _)) => {}
            _ => others.push(pair),
        }
    }
    let query = |first: Vec<String>| {
        let all: Vec<String> = first.into_iter().chain(others.iter().map(|other| (*other).to_owned())).collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    };
    if asked.is_empty() {
        let port = |number: usize| ports.get(number).or(ports.first()).map(|port| format!("port={port}"));
        let each =
            |(number, host): (usize, &str)| format!("{who}{host}{path}{}", query(port(number).into_iter().collect()));
        return hosts.split(',').enumerate().map(each).collect();
    }
    let each = |(number, host): (usize, &&str)| {
        let port = ports.get(number).or(ports.first()).copied();
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !host.starts_with('/') && !host.contains(':') => (host, Some(port)),
            _ => (*host, port),
        };
        let port = port.map(|port| format!("port={port}"));
        format!("{who}{hosts}{path}{}", query(std::iter::once(format!("host={host}")).chain(port).collect()))
    };
    asked.iter().enumerate().map(each).collect()
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

    fn servers(url: &str) -> Vec<PgConnectOptions> {
        let Target::Postgres(servers) = parse(url).unwrap() else { panic!("not PostgreSQL") };
        servers
    }

    fn only(url: &str) -> PgConnectOptions {
        let mut servers = servers(url);
        assert_eq!(servers.len(), 1, "{url}");
        servers.remove(0)
    }

    #[test]
    fn several_servers_are_written_as_libpq_or_sqlalchemy_have_it() {
        let places = |url: &str| -> Vec<String> {
            let of = |server: &PgConnectOptions| match server.get_socket() {
                Some(socket) => socket.display().to_string(),
                None => format!("{}:{}", server.get_host(), server.get_port()),
            };
            let all = servers(url);
            assert!(
                all.iter().all(|server| server.get_database() == Some("hub") && server.get_username() == "me"),
                "{url}"
            );
            all.iter().map(of).collect()
        };
        for (url, expected) in [
            (
                "postgresql://me:pw@a.example,b.example:5433/hub?target_session_attrs=read-write",
                vec!["a.example:5432", "b.example:5433"],
            ),
            ("postgresql://me@a,b,c/hub?port=1,2,3", vec!["a:1", "b:2", "c:3"]),
            ("postgresql+psycopg2://me:pw@/hub?host=a:1&host=b", vec!["a:1", "b:5432"]),
            ("postgresql:///hub?host=a,b&port=5433&user=me", vec!["a:5433", "b:5433"]),
            ("postgresql://me@/hub?host=/run/one&host=/run/two", vec!["/run/one", "/run/two"]),
            ("postgresql://me@[::1]:5433,b/hub", vec!["[::1]:5433", "b:5432"]),
        ] {
            assert_eq!(places(url), expected, "{url}");
        }
    }

    #[test]
    fn postgresql_may_name_a_driver_a_socket_and_encoded_characters() {
        let options = only("postgresql+psycopg2://us%40er:p%2Fw@db.example:5433/hub");
        assert_eq!(options.get_username(), "us@er");
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 5433));
        assert_eq!(options.get_database(), Some("hub"));
        let options = only("postgresql:///hub?host=/run/pg&user=me");
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/run/pg")));
        assert_eq!(options.get_database(), Some("hub"));
        let options = only("postgresql://a+b:p+w@/hub?host=/run/pg");
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

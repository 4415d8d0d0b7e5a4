//! The line in the log for each request: for people as JupyterHub writes it, for machines as fields with names that stay.
//!
//! What a client chose is cut, and without control characters; what may be a secret is not there.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage, HttpRequest};
use serde_json::{Map, Value};
use tracing::Level;

use super::Problem;
use super::caller::Asker;
use super::origin::Origin;
use crate::app::App;
use crate::config::log::LogFormat;

/// An answer that took longer is logged even if nobody would care otherwise.
const SLOW: Duration = Duration::from_secs(1);
/// So much of a name and of an address goes into the log, in characters.
const LOGGED_NAME: usize = 64;
const LOGGED_URI: usize = 512;
/// So many headers of a request that failed, and so much of each.
const HEADERS: usize = 32;
const LOGGED_HEADER: usize = 256;

/// A name with one of these in it, of a parameter or of a header, has a value that is not told.
const SECRET: [&str; 7] = ["token", "auth", "key", "code", "state", "xsrf", "cookie"];

macro_rules! write_at {
    ($level:expr, $response:expr, $app:expr, $took:expr) => {
        if tracing::enabled!(target: "specola::request", $level) {
            let line = Line::of($response, $app, $took);
            match $app.config.log.format {
                LogFormat::Text => tracing::event!(target: "specola::request", $level, "{}", line.text()),
                LogFormat::Json => tracing::event!(
                    target: "specola::request",
                    $level,
                    method = line.method,
                    path = line.path,
                    status = line.status,
                    user = line.user,
                    address = line.address,
                    milliseconds = line.milliseconds,
                    location = line.location,
                    reference = line.reference,
                    headers = line.headers,
                    "{}",
                    line.text()
                ),
            }
        }
    };
}

/// Logs a request that was answered.
pub fn record(response: &ServiceResponse<BoxBody>, app: &App, took: Duration) {
    let (request, status) = (response.request(), response.status());
    let level = level(status, is_quiet(request, app), took);
    // The macro wants its level written out; and nothing is put together for a line that nobody reads.
    match level {
        Level::ERROR => write_at!(Level::ERROR, response, app, took),
        Level::WARN => write_at!(Level::WARN, response, app, took),
        Level::INFO => write_at!(Level::INFO, response, app, took),
        _ => write_at!(Level::DEBUG, response, app, took),
    }
}

/// How loud: what went wrong is heard; what everybody's browser asks for all the time is not.
fn level(status: StatusCode, quiet: bool, took: Duration) -> Level {
    match status {
        _ if status.is_server_error() => Level::ERROR,
        _ if status.is_client_error() => Level::WARN,
        StatusCode::NOT_MODIFIED if took < SLOW => Level::DEBUG,
        _ if quiet && took < SLOW => Level::DEBUG,
        _ => Level::INFO,
    }
}

fn is_quiet(request: &HttpRequest, app: &App) -> bool {
    let rest = request.path().strip_prefix(&app.paths.hub).unwrap_or_default();
    rest.starts_with("static/") || matches!(rest, "health" | "api/health" | "health/ready" | "metrics" | "api/metrics")
}

/// What is told of a request.
struct Line {
    method: String,
    path: String,
    status: u16,
    user: String,
    address: String,
    milliseconds: f64,
    location: Option<String>,
    reference: Option<String>,
    headers: Option<String>,
}

impl Line {
    fn of(response: &ServiceResponse<BoxBody>, app: &App, took: Duration) -> Self {
        let (request, status) = (response.request(), response.status());
        let extensions = request.extensions();
        let location = response.headers().get("location").and_then(|location| location.to_str().ok());
        let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
        let unexpected =
            status.is_server_error() && !matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            method: shorten(request.method().as_str(), LOGGED_NAME),
            path: safe_uri(request.path(), request.uri().query()),
            status: status.as_u16(),
            user: shorten(extensions.get::<Asker>().map_or("", |asker| &asker.name), LOGGED_NAME),
            address: Origin::of(request, app).address,
            milliseconds: (took.as_secs_f64() * 100_000.0).round() / 100.0,
            location: location.filter(|_| status.is_redirection()).map(|location| {
                let (path, query) =
                    location.split_once('?').map_or((location, None), |(path, query)| (path, Some(query)));
                safe_uri(path, query)
            }),
            reference: problem.and_then(Problem::reference),
            headers: unexpected.then(|| safe_headers(request.headers())),
        }
    }

    /// JupyterHub's line: `200 GET /hub/api/users (alice@10.0.0.1) 3.21ms`.
    fn text(&self) -> String {
        let Self { method, path, status, user, address, milliseconds, .. } = self;
        let location = self.location.as_ref().map(|location| format!(" -> {location}")).unwrap_or_default();
        let headers = self.headers.as_ref().map(|headers| format!(" {headers}")).unwrap_or_default();
        format!("{status} {method} {path}{location} ({user}@{address}) {milliseconds:.2}ms{headers}")
    }
}

/// The address of a request without what must not be in a log: values that may be secrets, control characters, length.
fn safe_uri(path: &str, query: Option<&str>) -> String {
    let path = safe_path(path);
    let Some(query) = query else { return shorten(path, LOGGED_URI) };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if is_secret(key) => format!("{key}=[secret]"),
            // An address within an address has parameters of its own.
            Some((key, value)) if value.contains("%3D") || value.contains('=') => {
                let inner = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
                let secret =
                    inner.split(['&', '?']).any(|pair| pair.split_once('=').is_some_and(|(key, _)| is_secret(key)));
                if secret { format!("{key}=[secret]") } else { pair.to_owned() }
            }
            _ => pair.to_owned(),
        })
        .collect();
    shorten(&format!("{path}?{}", pairs.join("&")), LOGGED_URI)
}

/// What is asked for below `/authorizations` is a token or a cookie.
fn safe_path(path: &str) -> &str {
    const SECRETS: &str = "/api/authorizations/";
    path.find(SECRETS).and_then(|at| path.get(..at + SECRETS.len())).unwrap_or(path)
}

fn is_secret(name: &str) -> bool {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

/// The headers of a request that failed, as JSON.
fn safe_headers(headers: &HeaderMap) -> String {
    let told = headers.iter().take(HEADERS).map(|(name, value)| {
        let value =
            if is_secret(name.as_str()) { "[secret]".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        (shorten(name.as_str(), LOGGED_NAME), Value::String(shorten(&value, LOGGED_HEADER)))
    });
    Value::Object(told.collect::<Map<String, Value>>()).to_string()
}

fn shorten(text: &str, longest: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_not_told() {
        for (path, query, told) in [
            ("/hub/api", None, "/hub/api"),
            ("/hub/login", Some("next=%2Fhub%2Fhome&a=b"), "/hub/login?next=%2Fhub%2Fhome&a=b"),
            (
                "/x",
                Some("token=s3cret&_xsrf=s3cret&State=s3cret&a"),
                "/x?token=[secret]&_xsrf=[secret]&State=[secret]&a",
            ),
            ("/x", Some("%74oken=s3cret"), "/x?%74oken=[secret]"),
            ("/x", Some("next=%2Fcb%3Fcode%3Ds3cret"), "/x?next=[secret]"),
            ("/hub/api/authorizations/token/s3cret", None, "/hub/api/authorizations/"),
        ] {
            let uri = safe_uri(path, query);
            assert_eq!(uri, told);
            assert!(!uri.contains("s3cret"));
        }
        assert_eq!(safe_uri(&format!("/{}\u{1b}[2J", "x".repeat(9000)), None).len(), LOGGED_URI);
    }

    #[test]
    fn secrets_in_headers_are_not_told() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-xsrftoken", "x-api-key", "user-agent"] {
            headers.insert(name.parse().unwrap(), "s3cret".parse().unwrap());
        }
        let told: Value = serde_json::from_str(&safe_headers(&headers)).unwrap();
        assert_eq!(told["user-agent"], "s3cret");
        assert_eq!(told.to_string().matches("s3cret").count(), 1, "{told}");
    }

    #[test]
    fn what_went_wrong_is_loud_and_what_is_asked_all_the_time_is_not() {
        let fast = Duration::from_millis(3);
        for (status, quiet, took, expected) in [
            (200, false, fast, Level::INFO),
            (302, false, fast, Level::INFO),
            (304, false, fast, Level::DEBUG),
            (200, true, fast, Level::DEBUG),
            (200, true, SLOW, Level::INFO),
            (404, true, fast, Level::WARN),
            (503, false, fast, Level::ERROR),
        ] {
            assert_eq!(level(StatusCode::from_u16(status).unwrap(), quiet, took), expected, "{status}");
        }
    }
}

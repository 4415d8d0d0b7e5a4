//! The REST API of configurable-http-proxy: `/api/routes`.
//!
//! Differs where it hangs or fails without need: a request to `/api/routes` with DELETE or with a broken escape is
//! answered, the token is looked at before the body, bodies have a bound in size and time, and a target that cannot be
//! used is refused.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{Chp, Door};
use crate::{
    lobby::{self, Lobby, Visit},
    metrics::count,
    path::prefix_key,
    route::Route,
    secure::Secure,
    state::Shared,
    stream::Stream,
    target::Target,
    wire::{self, Line},
};

/// Connections served at once.
const CONNECTIONS: usize = 256;
/// Bytes of a route.
const BODY: usize = 1024 * 1024;
/// For a route to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Names the numbering of changes.
const EPOCH: &str = "api";
/// What a path may not hold as it is.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Answers until the drain.
pub(super) async fn serve(shared: Arc<Shared>, door: Door, secure: Option<Arc<Secure>>) {
    let lobby = Lobby::new(CONNECTIONS);
    let builder = lobby::builder(&shared.limits());
    let accepting = async {
        loop {
            let Some((stream, _)) = door.next().await else { continue };
            let visit = Arc::new(lobby.enter());
            let (context, secure, builder) = (Arc::clone(&shared), secure.clone(), builder.clone());
            let handshake = shared.limits().tls_handshake;
            shared.tasks.spawn(async move {
                let drain = Arc::clone(&context.drain);
                let serving = async {
                    let stream = match (stream, secure) {
                        (Stream::Tcp(socket), Some(secure)) => match secure.accept(socket, handshake).await {
                            Ok(stream) => Stream::Tls(Box::new(stream)),
                            Err(problem) => {
                                tracing::debug!(%problem, "no handshake with the API");
                                return;
                            }
                        },
                        (stream, _) => stream,
                    };
                    serve_on(context, builder, stream, Arc::clone(&visit)).await;
                };
                drain.until(visit.until(serving)).await;
            });
        }
    };
    shared.drain.until(accepting).await;
}

async fn serve_on(shared: Arc<Shared>, builder: http1::Builder, stream: Stream, visit: Arc<Visit>) {
    let service = service_fn(move |request| {
        visit.asks();
        let context = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(told(&context, request).await) }
    });
    // Whoever asks sees a broken connection by itself.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Serves one connection that is there already.
#[cfg(feature = "fuzzing")]
pub(crate) async fn serve_one(shared: Arc<Shared>, stream: Stream) {
    serve_on(shared, http1::Builder::new(), stream, Arc::new(Lobby::new(1).enter())).await;
}

/// Answers, and says so in the log as configurable-http-proxy does.
async fn told(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Reply { status, text, is_json } = match &shared.chp {
        Some(chp) => answer(shared, chp, request).await,
        None => reply(StatusCode::NOT_FOUND, ""),
    };
    shared.meter.api(status);
    let code = status.as_u16();
    match code {
        400.. => tracing::warn!("{code} {method} {path} {}", String::from_utf8_lossy(&text)),
        _ => tracing::info!("{code} {method} {path} "),
    }
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    if is_json {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

async fn answer(shared: &Arc<Shared>, chp: &Chp, request: Request<Incoming>) -> Reply {
    let path = request.uri().path();
    let Some(rest) = path.strip_prefix("/api/routes").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return reply(StatusCode::NOT_FOUND, "Not Found");
    };
    if !matches!(*request.method(), Method::GET | Method::POST | Method::DELETE) {
        return reply(StatusCode::METHOD_NOT_ALLOWED, "Method not supported");
    }
    if !authorized(request.headers(), chp.options.token.as_deref()) {
        return reply(StatusCode::FORBIDDEN, "");
    }
    let Ok(decoded) = percent_decode_str(rest).decode_utf8() else {
        return reply(StatusCode::BAD_REQUEST, "The path is not UTF-8");
    };
    let path = clean(&decoded);
    match *request.method() {
        Method::GET if rest.is_empty() || rest == "/" => list(shared, chp, request.uri().query()),
        Method::GET => match find(shared, chp, &path) {
            Some(route) => object(&Value::Object(data(chp, &route))),
            None => reply(StatusCode::NOT_FOUND, ""),
        },
        Method::POST => {
            let patience = shared.limits().upload_idle.min(BODY_TIME);
            match tokio::time::timeout(patience, Limited::new(request.into_body(), BODY).collect()).await {
                Ok(Ok(body)) => post(shared, chp, &path, &body.to_bytes()).await,
                Err(_) => reply(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
                Ok(Err(_)) => reply(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large or did not arrive"),
            }
        }
        // The default route is at `/api/routes/`. Without a path nothing is named, and configurable-http-proxy hangs.
        _ if rest.is_empty() => reply(StatusCode::NOT_FOUND, ""),
        _ => delete(shared, chp, &path).await,
    }
}

/// Whether the token is right. All are looked at as long as the right one.
fn authorized(headers: &HeaderMap, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        scheme.eq_ignore_ascii_case("token").then(|| rest.trim())
    });
    given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(token.as_bytes())))
}

/// A decoded path with a slash before and none behind.
fn clean(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/').strip_suffix('/').unwrap_or(path.trim_start_matches('/')))
}

/// The prefix of a decoded path: with host routing the first segment is the host.
fn prefix(chp: &Chp, path: &str) -> String {
    let escaped = utf8_percent_encode(path, ESCAPED).to_string();
    let whole = if escaped.ends_with('/') { escaped } else { format!("{escaped}/") };
    match chp.options.host_routing {
        true if whole != "/" => whole.trim_start_matches('/').to_owned(),
        _ => whole,
    }
}

/// The decoded path of a prefix.
fn spelled(prefix: &str) -> String {
    clean(&percent_decode_str(prefix).decode_utf8_lossy())
}

fn find(shared: &Shared, chp: &Chp, path: &str) -> Option<Arc<Route>> {
    let key = prefix_key(&prefix(chp, path)).ok()?;
    shared.routes.load().table.get(&key).cloned()
}

/// What was posted, and when it was last used.
fn data(chp: &Chp, route: &Route) -> Map<String, Value> {
    let wire = route.wire();
    let mut data = wire.data.clone();
    data.insert("target".to_owned(), wire.target.clone().into());
    if chp.options.host_routing && !wire.prefix.starts_with('/') {
        let host = wire.prefix.split('/').next().unwrap_or_default();
        data.entry("host").or_insert_with(|| host.into());
    }
    data.insert("last_activity".to_owned(), time(route).to_rfc3339_opts(SecondsFormat::Millis, true).into());
    data
}

fn time(route: &Route) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(route.last_activity()).unwrap_or_default()
}

fn list(shared: &Shared, chp: &Chp, query: Option<&str>) -> Reply {
    let before = match asked_before(query.unwrap_or_default()) {
        Ok(before) => before,
        Err(text) => return reply(StatusCode::BAD_REQUEST, format!("Invalid datestamp '{text}' must be ISO8601.")),
    };
    count(&shared.meter.route_get);
    let routes = shared.routes.load();
    let wanted = routes.table.iter().filter(|route| before.is_none_or(|before| time(route) < before));
    let all: Map<String, Value> =
        wanted.map(|route| (spelled(&route.prefix()), Value::Object(data(chp, route)))).collect();
    object(&Value::Object(all))
}

/// The time that a query names, if it does. Errors: what it names instead.
fn asked_before(query: &str) -> Result<Option<DateTime<Utc>>, String> {
    let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
    let named = |name| pairs().find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty());
    let Some(value) = named("inactiveSince").or_else(|| named("inactive_since")) else { return Ok(None) };
    let text = percent_decode_str(value).decode_utf8_lossy().into_owned();
    parse_time(&text).map(Some).ok_or(text)
}

/// The forms of ISO 8601 that JavaScript reads, less years of another length; without a zone it is that of Greenwich.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let mut text = text.trim().to_owned();
    // Day and time may be parted by a space, which a query writes as a plus.
    if text.get(10..11).is_some_and(|between| matches!(between, " " | "+")) {
        text.replace_range(10..11, "T");
    }
    // And a plus may have become a space on its way.
    let text = text.replace(' ', "+");
    let zoned = |form| DateTime::parse_from_str(&text, form).ok();
    let local = |form| NaiveDateTime::parse_from_str(&text, form).ok();
    let day = |rest| NaiveDate::parse_from_str(&format!("{text}{rest}"), "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    if let Some(time) = zoned("%Y-%m-%dT%H:%M:%S%.f%#z").or_else(|| zoned("%Y-%m-%dT%H:%M%#z")) {
        return Some(time.to_utc());
    }
    let whole = local("%Y-%m-%dT%H:%M:%S%.f").or_else(|| local("%Y-%m-%dT%H:%M"));
    whole.or_else(|| ["", "-01", "-01-01"].into_iter().find_map(day)).map(|time| time.and_utc())
}

async fn post(shared: &Arc<Shared>, chp: &Chp, path: &str, body: &[u8]) -> Reply {
    let mut data = match serde_json::from_slice(body) {
        Ok(Value::Object(data)) => data,
        Ok(_) => return reply(StatusCode::BAD_REQUEST, "Must specify 'target' as string"),
        Err(problem) => return reply(StatusCode::BAD_REQUEST, format!("Body not valid JSON: {problem}")),
    };
    let Some(Value::String(target)) = data.remove("target") else {
        return reply(StatusCode::BAD_REQUEST, "Must specify 'target' as string");
    };
    data.remove("last_activity");
    if let Err(problem) = Target::with_path(&target) {
        return reply(StatusCode::BAD_REQUEST, problem.to_string());
    }
    let prefix = prefix(chp, path);
    if !prefix_key(&prefix).is_ok_and(|key| crate::table::Table::fits(&key)) {
        return reply(StatusCode::BAD_REQUEST, "This path cannot be routed");
    }
    tracing::info!("Adding route {path} -> {target}");
    count(&shared.meter.route_add);
    let route = wire::Route { prefix, target, data };
    change(shared, chp, vec![route], Vec::new()).await;
    tracing::info!(
        "Route added {path} -> {}",
        find(shared, chp, path).map(|route| route.wire().target.clone()).unwrap_or_default()
    );
    reply(StatusCode::CREATED, "")
}

async fn delete(shared: &Arc<Shared>, chp: &Chp, path: &str) -> Reply {
    // Routes that are not there count too.
    count(&shared.meter.route_delete);
    if find(shared, chp, path).is_none() {
        return reply(StatusCode::NOT_FOUND, "");
    }
    tracing::info!("Removing route {path}");
    change(shared, chp, Vec::new(), vec![prefix(chp, path)]).await;
    reply(StatusCode::NO_CONTENT, "")
}

/// Changes the table before the answer, so that the next request sees it.
async fn change(shared: &Arc<Shared>, chp: &Chp, put: Vec<wire::Route>, delete: Vec<String>) {
    let _one = chp.changing.lock().await;
    let revision = shared.routes.load().revision + 1;
    shared.apply(&Line::Change { epoch: EPOCH.to_owned(), revision, put, delete });
}

/// An empty table, or one with the default target.
pub(crate) fn begin(shared: &Arc<Shared>, default_target: Option<&str>) -> anyhow::Result<()> {
    let route = match default_target {
        None => None,
        Some(target) => {
            Target::with_path(target).context("the default target")?;
            tracing::info!("Adding route / -> {target}");
            tracing::info!("Route added / -> {target}");
            Some(wire::Route { prefix: "/".to_owned(), target: target.to_owned(), data: Map::new() })
        }
    };
    shared.apply(&Line::Snapshot { epoch: EPOCH.to_owned(), revision: 0, routes: route.into_iter().collect() });
    Ok(())
}

/// What is answered. The log has the text of a refusal.
struct Reply {
    status: StatusCode,
    text: Bytes,
    is_json: bool,
}

fn object(value: &Value) -> Reply {
    Reply { is_json: true, ..reply(StatusCode::OK, value.to_string()) }
}

fn reply(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    Reply { status, text: text.into(), is_json: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_kept_unescaped_with_one_slash_before() {
        for (given, expected) in
            [("", "/"), ("/", "/"), ("/user/b@r x/", "/user/b@r x"), ("//user", "/user"), ("/é", "/é")]
        {
            assert_eq!(clean(given), expected, "{given}");
        }
        assert_eq!(spelled("/user/b%40r%20x/"), "/user/b@r x");
        assert_eq!(spelled("ex.com/sub/"), "/ex.com/sub");
    }

    #[test]
    fn only_the_token_opens() {
        let map = |value: &'static str| [(AUTHORIZATION, HeaderValue::from_static(value))].into_iter().collect();
        assert!(authorized(&map("token secret"), Some("secret")));
        assert!(authorized(&map("Token  secret"), Some("secret")));
        for wrong in ["token secre", "secret", "token", "token secret x", "Bearer secret"] {
            assert!(!authorized(&map(wrong), Some("secret")), "{wrong}");
        }
        assert!(!authorized(&HeaderMap::new(), Some("secret")));
        assert!(authorized(&HeaderMap::new(), None));
    }

    #[test]
    fn times_are_read_as_javascript_reads_them() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.000Z",
            "2026-01-02T04:04:05+01:00",
            "2026-01-02T04:04:05 01:00",
            "2026-01-02T02:04:05-0100",
            "2026-01-02 03:04:05",
            "2026-01-02+03:04:05",
            "2026-01-02 04:04:05.000+01:00",
            "2026-01-02T03:04:05",
        ] {
            assert_eq!(parse_time(text).unwrap().to_rfc3339(), "2026-01-02T03:04:05+00:00", "{text}");
        }
        for text in ["2026", "2026-01", "2026-01-01", "2026-01-01T00:00", "2026-01-01T00:00Z", "2026-01-01T01:00+01:00"]
        {
            assert_eq!(parse_time(text).unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00", "{text}");
        }
        for text in ["endoftheworld", "", "2026-13-01", "2026-02-30", "x".repeat(20).as_str(), "2026-01-0\u{e9}T"] {
            assert!(parse_time(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_first_time_that_is_named_counts_and_its_old_name_last() {
        let day = |day| parse_time(&format!("2026-01-{day}"));
        for (query, expected) in [
            ("", Ok(None)),
            ("inactiveSince", Ok(None)),
            ("inactiveSince=&x=%zz", Ok(None)),
            ("inactiveSince=2026-01-01&inactiveSince=2026-01-02", Ok(day("01"))),
            ("inactive_since=2026-01-02&inactiveSince=2026-01-01", Ok(day("01"))),
            ("inactiveSince=&inactive_since=2026-01-02", Ok(day("02"))),
            ("inactive_since=never%20", Err("never ".to_owned())),
        ] {
            assert_eq!(asked_before(query), expected, "{query}");
        }
    }
}

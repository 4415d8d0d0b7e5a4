//! What every answer gets: headers, the page for an error, and a line in the log.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};

use super::Problem;
use super::caller::Asker;
use super::etag;
use super::origin::Origin;
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::page;

/// An answer that took longer is logged even if nobody would care otherwise.
const SLOW: std::time::Duration = std::time::Duration::from_secs(1);

/// So much of a name and of an address goes into the log, in characters.
const LOGGED_NAME: usize = 64;
const LOGGED_URI: usize = 512;

/// Dresses an answer.
pub async fn dress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begin = Instant::now();
    let app = request.app_data::<web::Data<App>>().cloned();
    let mut response = match next.call(request).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => return Err(error),
    };
    let Some(app) = app else { return Ok(response) };
    let is_api = is_api(response.request().path(), &app);
    if is_api {
        response = etag::mark(as_json(response));
    } else if wants_page(&response) {
        response = as_page(response, &app).await;
    }
    headers(response.headers_mut(), &app, is_api);
    log(&response, &app, begin);
    Ok(response)
}

fn is_api(path: &str, app: &App) -> bool {
    let rest = path.strip_prefix(&app.paths.hub).unwrap_or_default();
    (rest == "api" || rest.starts_with("api/")) && rest != "api/oauth2/authorize"
}

/// What the framework itself refuses (a body that is too large or breaks off) is told as all other errors are.
fn as_json(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let by_framework = response.response().error().is_some_and(|error| error.as_error::<Problem>().is_none());
    if !by_framework {
        return response;
    }
    let problem = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "The body of the request is too large"),
        status if status.is_client_error() => Problem::bare(status),
        status => {
            response.response().error().map_or(Problem::bare(status), |error| Problem::internal("request", error))
        }
    };
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem.error_response())
}

fn wants_page(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    let has_text = response.headers().get("content-type").is_some();
    let by_problem = response.response().error().is_some();
    (status.is_client_error() || status.is_server_error()) && (by_problem || !has_text)
}

async fn as_page(response: ServiceResponse<BoxBody>, app: &App) -> ServiceResponse<BoxBody> {
    let (request, old) = response.into_parts();
    let problem = old.error().and_then(|error| error.as_error::<Problem>());
    let made = page::error::refused(&request, app, old.status(), problem).await;
    let mut new = match made {
        Ok(new) => new,
        Err(_) => return ServiceResponse::new(request, old),
    };
    if let Some(retry) = old.headers().get("retry-after") {
        new.headers_mut().insert(HeaderName::from_static("retry-after"), retry.clone());
    }
    ServiceResponse::new(request, new)
}

fn headers(headers: &mut HeaderMap, app: &App, is_api: bool) {
    let mut set = |name: &'static str, value: HeaderValue| {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    };
    set("x-jupyterhub-version", HeaderValue::from_static(JUPYTERHUB_VERSION));
    set("x-content-type-options", HeaderValue::from_static("nosniff"));
    set("referrer-policy", HeaderValue::from_static("same-origin"));
    let report = format!("frame-ancestors 'none'; report-uri {}security/csp-report", app.paths.hub);
    let sources = if is_api {
        "default-src 'none'"
    } else {
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'"
    };
    if let Ok(policy) = HeaderValue::from_str(&format!("{report}; {sources}")) {
        set("content-security-policy", policy);
    }
    if is_api {
        set("access-control-allow-headers", HeaderValue::from_static("accept, content-type, authorization"));
    }
}

fn log(response: &ServiceResponse<BoxBody>, app: &App, begin: Instant) {
    let (request, status) = (response.request(), response.status());
    let took = begin.elapsed();
    let quiet = request.path().starts_with(&app.paths.hub("static/")) || request.path().ends_with("/health");
    if status.is_server_error() {
        tracing::error!("{}", line(request, app, status.as_u16(), took));
    } else if status.is_client_error() {
        tracing::warn!("{}", line(request, app, status.as_u16(), took));
    } else if quiet && took < SLOW {
        tracing::debug!("{}", line(request, app, status.as_u16(), took));
    } else if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!("{}", line(request, app, status.as_u16(), took));
    }
}

/// JupyterHub's line: `200 GET /hub/api/users (alice@10.0.0.1) 3.21ms`.
fn line(request: &HttpRequest, app: &App, status: u16, took: std::time::Duration) -> String {
    let extensions = request.extensions();
    let caller = shorten(extensions.get::<Asker>().map_or("", |asker| &asker.name), LOGGED_NAME);
    let address = Origin::of(request, app).address;
    let millis = took.as_secs_f64() * 1000.0;
    format!("{status} {} {} ({caller}@{address}) {millis:.2}ms", request.method(), safe_uri(request))
}

/// The address of a request without what must not be in a log: values that may be secrets, control characters, length.
fn safe_uri(request: &HttpRequest) -> String {
    let path = safe_path(request.path());
    let Some(query) = request.uri().query() else { return shorten(path, LOGGED_URI) };
    let secret = |key: &str| ["token", "auth", "key", "code", "state", "xsrf"].iter().any(|word| key.contains(word));
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if secret(&key.to_lowercase()) => format!("{key}=[secret]"),
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

fn shorten(text: &str, longest: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(longest).collect()
}

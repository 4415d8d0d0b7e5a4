//! What every answer gets: headers, the page for an error, and a line in the log.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};

use super::Problem;
use super::{etag, record};
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::metrics::handlers::{self, Handler};
use crate::{metrics, page};

/// Dresses an answer.
pub async fn dress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begin = Instant::now();
    let app = request.app_data::<web::Data<App>>().cloned();
    if let Some(app) = &app
        && let Some(answer) = astray(&request, app)
    {
        let mut response = request.into_response(answer);
        headers(response.headers_mut(), app, false);
        return Ok(response);
    }
    let answered = if asks_only(&request, app.as_ref()) {
        next.call(request).await
    } else {
        // On its own: what was begun is ended and recorded, though the client hangs up half-way.
        match actix_web::rt::spawn(next.call(request)).await {
            Ok(answered) => answered,
            Err(error) => Err(Problem::internal("request", error).into()),
        }
    };
    let mut response = match answered {
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
    record::record(&response, &app, begin.elapsed());
    let handler = response.request().app_data::<Handler>().unwrap_or(&handlers::OUTSIDE).0;
    metrics::request(response.request().method(), handler, response.status(), begin.elapsed());
    Ok(response)
}

/// What somebody gets who asks for the hub at a host of a user's or a service's: the way to its own. Pages of those
/// hosts are not the hub's, and what they ask for must not look as if it were.
fn astray(request: &ServiceRequest, app: &App) -> Option<HttpResponse> {
    let hosts = app.paths.hosts.as_ref()?;
    let host = request.headers().get("host")?.to_str().ok()?;
    if !hosts.is_below(host) {
        return None;
    }
    if !request.method().is_safe() {
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, "The hub is at another host").error_response());
    }
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str());
    Some(HttpResponse::Found().insert_header(("Location", format!("{}{here}", hosts.origin()))).finish())
}

/// Whether a request changes nothing: reading from the API. Pages are read with effects, such as a start.
fn asks_only(request: &ServiceRequest, app: Option<&web::Data<App>>) -> bool {
    request.method().is_safe() && app.is_none_or(|app| is_api(request.path(), app))
}

fn is_api(path: &str, app: &App) -> bool {
    let rest = path.strip_prefix(&app.paths.hub).unwrap_or_default();
    (rest == "api" || rest.starts_with("api/")) && !matches!(rest, "api/oauth2/authorize" | "api/metrics")
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

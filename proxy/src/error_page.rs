//! What a client sees when there is no answer to pass on: the hub's page, or our own.

use std::{fmt::Write, io, sync::Arc, time::Duration};

use anyhow::anyhow;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
    response,
};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    body::{Download, Exchange, Upload},
    chp, dial, relay,
    rewound::Rewound,
    route::Route,
    state::Shared,
};

/// What is told to a client. The cause is for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    /// Why there is no connection.
    pub(crate) cause: Option<io::ErrorKind>,
}

impl Fault {
    pub(crate) const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, cause: None }
    }

    pub(crate) fn because(self, cause: io::ErrorKind) -> Self {
        Self { cause: Some(cause), ..self }
    }
}

/// What of the request decides how a fault is told. Cheap to take from every request.
pub(crate) struct Asked {
    method: Method,
    uri: Uri,
    accept: Option<HeaderValue>,
}

impl Asked {
    pub(crate) fn new<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            accept: request.headers().get(ACCEPT).cloned(),
        }
    }

    /// Whether a program asks, who is better told in JSON.
    pub(crate) fn api(&self) -> bool {
        let accept = self.accept.as_ref().and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        !accept.contains("text/html") && (accept.contains("json") || self.uri.path().contains("/api/"))
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn url(&self) -> &str {
        self.uri.path_and_query().map_or("/", |url| url.as_str())
    }
}

/// Our own answer: JSON for programs, a small page for people.
pub(crate) fn own(fault: Fault, api: bool) -> Response<Download> {
    let status = fault.status;
    let (kind, text) = if api {
        let message = serde_json::json!({"status": status.as_u16(), "message": fault.text});
        ("application/json", message.to_string())
    } else {
        ("text/html; charset=utf-8", page(fault))
    };
    dressed(status, HeaderValue::from_static(kind), Download::own(text))
}

/// The hub's page with our status when the hub has one in time, else our own.
pub(crate) async fn told(shared: &Arc<Shared>, fault: Fault, asked: &Asked) -> Response<Download> {
    if let Some(chp) = &shared.chp {
        return Box::pin(chp::error::page(shared, chp, fault, asked)).await;
    }
    if asked.api() || asked.method == Method::HEAD {
        return own(fault, asked.api());
    }
    let routes = shared.routes.load();
    let hub = routes.hub.as_ref().or(shared.fallback.as_ref()).cloned();
    drop(routes);
    let Some(hub) = hub else { return own(fault, false) };
    let patience = shared.limits().error_page;
    match tokio::time::timeout(patience, of_hub(shared, &hub, fault.status, asked.url())).await {
        Ok(Some(page)) => page,
        _ => own(fault, false),
    }
}

/// As configurable-http-proxy with `--error-target`: `GET {hub}/error/503?url=…`, our status, its page.
async fn of_hub(shared: &Arc<Shared>, hub: &Arc<Route>, status: StatusCode, url: &str) -> Option<Response<Download>> {
    let prefix = hub.prefix();
    let base = if prefix.starts_with('/') { prefix.trim_end_matches('/') } else { "" };
    let base = if base.ends_with("/hub") { base.to_owned() } else { format!("{base}/hub") };
    let url = utf8_percent_encode(url, NON_ALPHANUMERIC);
    let (parts, body) = fetch(shared, hub, format!("{base}/error/{}?url={url}", status.as_u16())).await.ok()?;
    if !parts.status.is_success() && parts.status != status {
        return None;
    }
    let kind = parts.headers.get(CONTENT_TYPE)?.clone();
    Some(passed_on(status, kind, &parts, body))
}

/// Asks the server of a route, over a connection that is kept, as those for requests are: faults may come in floods.
pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    route: &Arc<Route>,
    url: String,
) -> anyhow::Result<(response::Parts, Bytes)> {
    let request = Request::get(url).header(HOST, &route.target().authority).body(Upload::Empty)?;
    let lease = match relay::idle(shared, route).await.map_err(|fault| anyhow!(fault.text))? {
        Some(lease) => lease,
        None => dial::drive(shared, route, Rewound::new(dial::open(shared, route).await?, Bytes::new())).await?,
    };
    // In an exchange, so that the connection is cut when time is over.
    let route = Arc::clone(route);
    let mut exchange = Exchange { route, lease: None, uploaded: None, counts: false, silence: None, _turn: None };
    let (parts, body) = exchange.lease.insert(lease).sender.send_request(request).await?.into_parts();
    let body =
        Limited::new(body, shared.limits().error_page_bytes).collect().await.map_err(anyhow::Error::from_boxed)?;
    exchange.finish();
    Ok((parts, body.to_bytes()))
}

/// A page of somebody else, with our status.
pub(crate) fn passed_on(
    status: StatusCode,
    kind: HeaderValue,
    parts: &response::Parts,
    body: Bytes,
) -> Response<Download> {
    let mut page = dressed(status, kind, Download::own(body));
    if let Some(encoding) = parts.headers.get(CONTENT_ENCODING) {
        page.headers_mut().insert(CONTENT_ENCODING, encoding.clone());
    }
    page
}

pub(crate) fn dressed(status: StatusCode, kind: HeaderValue, body: Download) -> Response<Download> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let again = match status {
        StatusCode::SERVICE_UNAVAILABLE => Some("2"),
        StatusCode::TOO_MANY_REQUESTS => Some("1"),
        _ => None,
    };
    if let Some(seconds) = again {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}

/// A page that needs nothing else. Nothing of the request is in it.
fn page(fault: Fault) -> String {
    const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;\
        min-height:100vh;color:#1f2328;background:#f6f8fa}main{max-width:32rem;padding:2rem}\
        h1{font-size:1.5rem;margin:0 0 .5rem}p{margin:.5rem 0}\
        @media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}a{color:#79c0ff}}";
    let status = fault.status;
    let title = status.canonical_reason().unwrap_or("Error");
    let mut page = String::with_capacity(1024);
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{code} {title}</title><style>{STYLE}</style></head><body><main>\
         <h1>{code} {title}</h1><p>{text}</p>",
        code = status.as_u16(),
        text = fault.text,
    );
    if status.is_server_error() {
        page.push_str("<p><a href=\"\">Try again</a></p>");
    }
    page.push_str("</main></body></html>");
    page
}

/// The answer of the health check.
pub(crate) fn healthy() -> Response<Download> {
    let mut response = Response::new(Download::Own(Some(Bytes::from_static(b"{\"status\":\"OK\"}"))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// How long an upstream may ignore `Expect: 100-continue` before it gets the body anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

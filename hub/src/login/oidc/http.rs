//! Requests to identity providers: bounded in time and size, over TLS with the system's certificates and the operator's.
//!
//! Redirects are not followed: an endpoint of a provider answers itself, and a secret goes nowhere else.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::trouble::Trouble;
use super::way::Way;

/// The largest answer. A person in thousands of groups has a userinfo of some hundred kilobytes.
const LARGEST: usize = 2 << 20;
/// So much of an answer that is not understood goes into the log.
const SHOWN: usize = 120;

/// Asks one provider.
pub struct Client {
    pool: Pool<HttpsConnector<Way>, Full<Bytes>>,
    limit: Duration,
    accept: &'static str,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client(limit: {:?})", self.limit)
    }
}

/// What came back, whatever the status.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Client {
    /// Trusts the system's certificates and those in the file, and goes through the proxy that `HTTPS_PROXY` names, but to
    /// the hosts in `NO_PROXY`. The error says which file cannot be used.
    pub fn new(ca_file: Option<&Path>, limit: Duration) -> Result<Self, String> {
        Self::through(Matcher::from_env(), ca_file, limit)
    }

    /// The same with proxies that somebody else has chosen.
    pub fn through(proxies: Matcher, ca_file: Option<&Path>, limit: Duration) -> Result<Self, String> {
        // A machine without authorities can still ask a provider whose own certificate is in the file, or that has none.
        let tls = specola_proxy::tls::authorities(ca_file).and_then(specola_proxy::tls::believing);
        let tls = tls.map_err(|error| format!("ca_file: {error:#}"))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let connector = connector.wrap_connector(Way::new(proxies));
        // A connection a request: an idle one may be dead, and no request of a login is sent twice.
        let pool = Pool::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { pool, limit, accept: "application/json" })
    }

    /// The same for answers of another kind than JSON.
    pub fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// Gets a URL, with an access token or without.
    pub async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Answer, Trouble> {
        let mut request = Request::get(url);
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, secret_header(format!("Bearer {token}"))?);
        }
        self.send(request, Bytes::new()).await
    }

    /// Gets a URL whose answer has to be a JSON object, with 200.
    pub async fn get_object(&self, url: &str) -> Result<Value, Trouble> {
        self.get(url, None).await?.object(url)
    }

    /// Posts a form; `basic` is what stands behind `Basic `.
    pub async fn post(&self, url: &str, form: &[(&str, &str)], basic: Option<&str>) -> Result<Answer, Trouble> {
        let mut request = Request::post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(basic) = basic {
            request = request.header(header::AUTHORIZATION, secret_header(format!("Basic {basic}"))?);
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(request, body.into()).await
    }

    /// Sends a JSON object, with a token or without.
    pub async fn send_object(
        &self,
        method: Method,
        url: &str,
        object: &Value,
        bearer: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let mut request = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, secret_header(format!("Bearer {token}"))?);
        }
        self.send(request, object.to_string().into()).await
    }

    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Answer, Trouble> {
        let request = request.header(header::ACCEPT, self.accept).header(header::USER_AGENT, "specola");
        let request = request.body(Full::new(body)).map_err(|error| Trouble::Broken(format!("an address: {error}")))?;
        let exchange = async {
            let answer = self.pool.request(request).await.map_err(|error| Trouble::Unreachable(causes(&error)))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| Trouble::Unreachable(format!("it broke off: {error}")))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(self.limit, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Unreachable(format!("no answer within {:?}", self.limit))),
        }
    }
}

impl Answer {
    /// The body as a JSON object, of an answer with 200. `what` names what was asked for.
    pub fn object(&self, what: &str) -> Result<Value, Trouble> {
        if self.is_out_of_order() {
            return Err(Trouble::Unreachable(format!("{what} answers {}", self.status)));
        }
        if self.status != StatusCode::OK {
            return Err(Trouble::Broken(format!("{what} answers {}", self.status)));
        }
        match serde_json::from_slice(&self.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(Trouble::Broken(format!("{what} is no JSON object but {:?}", self.excerpt()))),
        }
    }

    /// Whether it means that the provider does not work at present.
    pub fn is_out_of_order(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The beginning of a body that was not understood, for the log.
    fn excerpt(&self) -> String {
        callout::excerpt(&self.body, SHOWN)
    }
}

fn secret_header(value: String) -> Result<header::HeaderValue, Trouble> {
    let value = header::HeaderValue::from_str(&value);
    let mut value = value.map_err(|_| Trouble::Broken("a token with characters that no header can carry".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The causes of an error in one line: the outermost says only that there was one.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

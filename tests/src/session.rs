//! An HTTP session with cookies, as a person's browser or a script with a token has it. Not a browser: it follows
//! redirects only when told, and runs no scripts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use url::Url;

use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Session {
    origin: Url,
    /// By path and name, as a browser tells cookies apart.
    cookies: BTreeMap<(String, String), String>,
    /// The header that stands in place of cookies.
    authorization: Option<String>,
    accept: Option<String>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

pub enum Body {
    Empty,
    Json(Value),
    /// Said to be JSON, whatever it is.
    Raw(&'static str),
    /// As `Raw`, of any bytes.
    Bytes(Vec<u8>),
    Form(Vec<(String, String)>),
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} with {:?}", self.status, self.text()))
    }

    pub fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION)?.to_str().ok()
    }

    /// Itself when the status is one of those expected, an error with the body otherwise.
    pub fn expect(self, statuses: &[u16]) -> Result<Answer> {
        if !statuses.contains(&self.status.as_u16()) {
            let text: String = self.text().chars().take(2000).collect();
            bail!("status {} in place of {statuses:?}: {text}", self.status);
        }
        Ok(self)
    }
}

impl Session {
    /// A session without cookies or token. The origin is like `http://127.0.0.1:8000`.
    pub fn new(origin: &str) -> Result<Session> {
        Session::with_authorities(origin, RootCertStore::empty())
    }

    /// The same over TLS, believing the certificates of a file and no others.
    pub fn trusting(origin: &str, file: &Path) -> Result<Session> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        Session::with_authorities(origin, roots)
    }

    fn with_authorities(origin: &str, roots: RootCertStore) -> Result<Session> {
        let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let tls = tls.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Session { origin: origin.parse()?, cookies: BTreeMap::new(), authorization: None, accept: None, client })
    }

    /// One more session with the same hub, with an API token and no cookies.
    pub fn with_token(&self, token: &str) -> Session {
        self.authorized(&format!("token {token}"))
    }

    /// The same session, its cookies included, with another hub behind the same address.
    pub fn at(&self, origin: &str) -> Result<Session> {
        Ok(Session { origin: origin.parse()?, ..self.clone() })
    }

    /// The same with any `Authorization` header.
    pub fn authorized(&self, header: &str) -> Session {
        Session { cookies: BTreeMap::new(), authorization: Some(header.to_owned()), ..self.clone() }
    }

    /// The same session asking for a kind of answer.
    pub fn accepting(&self, kind: &str) -> Session {
        Session { accept: Some(kind.to_owned()), ..self.clone() }
    }

    /// A session logged in through the form of the log-in page.
    pub async fn logged_in(origin: &str, name: &str, password: &str) -> Result<Session> {
        let mut session = Session::new(origin)?;
        session.log_in(name, password).await?.expect(&[302, 303])?;
        Ok(session)
    }

    /// Fills in the form of the log-in page and sends it.
    pub async fn log_in(&mut self, name: &str, password: &str) -> Result<Answer> {
        self.get("/hub/login").await?.expect(&[200])?;
        let fields = [("username", name), ("password", password)];
        self.submit("/hub/login?next=", &fields).await
    }

    pub fn origin(&self) -> &Url {
        &self.origin
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|((_, other), _)| other == name).map(|(_, value)| value.as_str())
    }

    /// How many cookies have a name that begins so.
    pub fn cookies_named(&self, start: &str) -> usize {
        self.cookies.keys().filter(|(_, name)| name.starts_with(start)).count()
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, Body::Empty).await
    }

    /// A form as a page would send it, with the hub's `_xsrf`.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let xsrf = self.cookie_for("/hub/", "_xsrf").context("no _xsrf cookie")?.to_owned();
        let own = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let form = own.chain([("_xsrf".to_owned(), xsrf)]).collect();
        self.send(Method::POST, path, Body::Form(form)).await
    }

    /// A request to the REST API: `path` is what follows `/hub/api`.
    pub async fn api(&mut self, method: Method, path: &str, body: Body) -> Result<Answer> {
        self.send(method, &format!("/hub/api{path}"), body).await
    }

    /// Gets a page and what it redirects to, as far as a page that does not.
    pub async fn follow(&mut self, path: &str) -> Result<(Url, Answer)> {
        let mut url = self.origin.join(path)?;
        for _ in 0..20 {
            let target = url[url::Position::BeforePath..].to_owned();
            let answer = self.get(&target).await?;
            match answer.location() {
                Some(location) if answer.status.is_redirection() => url = url.join(location)?,
                _ => return Ok((url, answer)),
            }
        }
        bail!("{path} redirects without end, last to {url}")
    }

    /// Makes an API token with all rights of the person logged in.
    pub async fn new_token(&mut self, name: &str) -> Result<String> {
        let answer =
            self.api(Method::POST, &format!("/users/{name}/tokens"), Body::Json(json!({"note": "test"}))).await?;
        let model = answer.expect(&[201])?.json()?;
        Ok(model["token"].as_str().context("a token in the answer")?.to_owned())
    }

    /// Asks for the default server of a person and waits until it is ready.
    pub async fn start_server(&mut self, name: &str) -> Result<()> {
        self.api(Method::POST, &format!("/users/{name}/server"), Body::Empty).await?.expect(&[201, 202])?;
        self.server_ready(name).await
    }

    pub async fn server_ready(&mut self, name: &str) -> Result<()> {
        until("ready server", PATIENCE, async || {
            let model = self.api(Method::GET, &format!("/users/{name}"), Body::Empty).await?.expect(&[200])?.json()?;
            Ok((model["servers"][""]["ready"] == true).then_some(()))
        })
        .await
    }

    /// Asks for the default server to stop and waits until it has.
    pub async fn stop_server(&mut self, name: &str) -> Result<()> {
        self.api(Method::DELETE, &format!("/users/{name}/server"), Body::Empty).await?.expect(&[202, 204])?;
        self.server_stopped(name).await
    }

    pub async fn server_stopped(&mut self, name: &str) -> Result<()> {
        until("stopped server", PATIENCE, async || {
            let model = self.api(Method::GET, &format!("/users/{name}"), Body::Empty).await?.expect(&[200])?.json()?;
            let servers = model["servers"].as_object().is_none_or(|servers| servers.is_empty());
            Ok((servers && model["pending"].is_null()).then_some(()))
        })
        .await
    }

    /// Sends one request and keeps the cookies of the answer. With a token no cookie is sent.
    pub async fn send(&mut self, method: Method, path: &str, body: Body) -> Result<Answer> {
        let url = self.origin.join(path)?;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(kind) = &self.accept {
            request = request.header(header::ACCEPT, kind);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        } else {
            let here = url.path();
            let held = self.cookies.iter().filter(|((path, _), _)| covers(path, here));
            let line: Vec<String> = held.map(|((_, name), value)| format!("{name}={value}")).collect();
            if !line.is_empty() {
                request = request.header(header::COOKIE, line.join("; "));
            }
            if let Some(xsrf) = self.cookie_for(here, "_xsrf").filter(|_| here.contains("/api/")) {
                request = request.header("X-XSRFToken", xsrf).header("Sec-Fetch-Mode", "cors");
            }
        }
        let (kind, bytes) = match body {
            Body::Empty => (None, Bytes::new()),
            Body::Json(value) => (Some("application/json"), value.to_string().into()),
            Body::Raw(text) => (Some("application/json"), text.into()),
            Body::Bytes(bytes) => (Some("application/json"), bytes.into()),
            Body::Form(fields) => {
                let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                (Some("application/x-www-form-urlencoded"), text.into())
            }
        };
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request.body(Full::new(bytes))?));
        let (parts, body) = answer.await.with_context(|| format!("no answer from {url}"))??.into_parts();
        self.keep_cookies(&url, &parts.headers);
        let body = body.collect().await.with_context(|| format!("the body of {url}"))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    fn cookie_for(&self, here: &str, name: &str) -> Option<&str> {
        let held = self.cookies.iter().filter(|((path, other), _)| other == name && covers(path, here));
        held.max_by_key(|((path, _), _)| path.len()).map(|(_, value)| value.as_str())
    }

    fn keep_cookies(&mut self, url: &Url, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: BTreeMap<String, &str> = parts
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
            let path = attributes.get("path").copied().unwrap_or_else(|| url.path()).to_owned();
            let value = value.trim_matches('"');
            let gone = value.is_empty() || attributes.get("max-age").is_some_and(|age| *age == "0");
            if gone {
                self.cookies.remove(&(path, name.to_owned()));
            } else {
                self.cookies.insert((path, name.to_owned()), value.to_owned());
            }
        }
    }
}

/// Whether a cookie with this path is sent to a page (RFC 6265, 5.1.4).
fn covers(cookie: &str, page: &str) -> bool {
    page.strip_prefix(cookie).is_some_and(|rest| cookie.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

//! The hub, asked for the access token and for keys of object stores, and told how the lab is.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::keys::Keys;

/// How long the hub may take: it may have to ask the provider.
const PATIENCE: Duration = Duration::from_secs(40);
/// Where tokens are.
const TOKEN: &str = "/user/access-token";
/// Where the hub is told how the lab is.
const STATUS: &str = "/user/lab-status";
/// Longer answers are not of a hub.
const LARGEST: usize = 4 << 20;

/// Where the hub is, and what this lab is recognised by.
pub struct Hub {
    url: String,
    token: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// The token.
    pub access_token: String,
    /// For how many seconds it is good, where that is known.
    pub expires_in: Option<u64>,
    /// By which the hub is asked for the next one; older hubs give none.
    #[serde(skip)]
    pub tag: Option<String>,
}

/// An object store, as far as programs have to know it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Storage {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// Whether buckets stand in the path of an address.
    pub path_style: bool,
    /// What it is verified with, as PEM, beside what the system trusts.
    pub certificates: Option<String>,
}

#[derive(Deserialize)]
struct Storages {
    storage: Vec<Storage>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Refusal {
    /// The status of the answer; 0 where there was none.
    #[serde(default)]
    pub status: u16,
    /// A word for machines.
    pub code: Option<String>,
    /// A sentence for the person.
    #[serde(default)]
    pub message: Option<String>,
    /// Where to go to mend it.
    pub link: Option<String>,
}

impl Refusal {
    /// Without an answer of the hub.
    pub fn saying(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }
}

impl Hub {
    /// The hub that started this lab.
    pub fn of_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = variable("JUPYTERHUB_API_URL").context("JUPYTERHUB_API_URL is not set")?;
        let token = variable("JUPYTERHUB_API_TOKEN").context("JUPYTERHUB_API_TOKEN is not set")?;
        let builder = HttpsConnectorBuilder::new();
        let connector = match crate::tls::of_environment(variable).context("what this lab shows to the hub")? {
            Some(config) => builder.with_tls_config(config),
            None => match builder.with_native_roots() {
                Ok(connector) => connector,
                // A small image may know no authorities; a hub without TLS needs none.
                Err(_) => HttpsConnectorBuilder::new().with_tls_config(without_authorities()?),
            },
        };
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token, client })
    }

    /// A fresh token, or why there is none.
    pub async fn token(&self) -> std::result::Result<Token, Refusal> {
        let token = self.ask(TOKEN, None).await?.map(Answer::into_token);
        token.unwrap_or_else(|| Err(Refusal::saying("the hub's answer is empty")))
    }

    /// The token that takes the place of one at hand, as soon as there is another, or nothing after some time.
    pub async fn next(&self, tag: &str, wait: Duration) -> std::result::Result<Option<Token>, Refusal> {
        self.ask(TOKEN, Some((tag, wait.as_secs()))).await?.map(Answer::into_token).transpose()
    }

    /// Keys of a storage, or why there are none.
    pub async fn keys(&self, storage: &str) -> std::result::Result<Keys, Refusal> {
        let keys: Keys = self.get(&format!("/user/storage/{storage}/credentials")).await?;
        if keys.left().is_zero() { Err(Refusal::saying("the hub's keys have ended")) } else { Ok(keys) }
    }

    /// What storages there are.
    pub async fn storage(&self) -> std::result::Result<Vec<Storage>, Refusal> {
        self.get("/user/storage").await.map(|Storages { storage }| storage)
    }

    /// Tells how this lab is.
    pub async fn report(&self, status: &Value) -> std::result::Result<(), Refusal> {
        let request = Request::put(format!("{}{STATUS}", self.url)).header(header::CONTENT_TYPE, "application/json");
        let told = async {
            let (status, _, body) = self.send(request, Bytes::from(status.to_string())).await?;
            Ok::<_, anyhow::Error>(if status.is_success() { Ok(()) } else { Err(refusal(status, &body)) })
        };
        within(told).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> std::result::Result<T, Refusal> {
        let answer = self.ask(path, None).await?;
        answer.map_or_else(|| Err(Refusal::saying("the hub's answer is empty")), |answer| answer.read())
    }

    /// Asks; `next` is the mark of what is at hand, and for how many seconds the hub may wait with another. Nothing: there
    /// is no other.
    async fn ask(&self, path: &str, next: Option<(&str, u64)>) -> std::result::Result<Option<Answer>, Refusal> {
        within(self.exchange(path, next)).await
    }

    async fn exchange(
        &self,
        path: &str,
        next: Option<(&str, u64)>,
    ) -> Result<std::result::Result<Option<Answer>, Refusal>> {
        let mut request = Request::get(format!("{}{path}", self.url));
        if let Some((tag, wait)) = next {
            request = request.header(header::IF_NONE_MATCH, tag).header("prefer", format!("wait={wait}"));
        }
        let (status, tag, body) = self.send(request, Bytes::new()).await?;
        match status {
            StatusCode::OK => Ok(Ok(Some(Answer { body, tag }))),
            StatusCode::NOT_MODIFIED if next.is_some() => Ok(Ok(None)),
            _ => Ok(Err(refusal(status, &body))),
        }
    }

    /// Sends a request; gives status, mark and body of the answer.
    async fn send(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Option<String>, Bytes)> {
        let request = request
            .header(header::AUTHORIZATION, format!("token {}", self.token))
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))?;
        let answer = self.client.request(request).await.context("the hub is not reached")?;
        let status = answer.status();
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the hub's answer breaks off: {error}"))?.to_bytes();
        Ok((status, tag, body))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    Refusal { status: status.as_u16(), ..refusal }
}

/// Waits for the hub no longer than is sensible.
async fn within<T>(
    answer: impl Future<Output = Result<std::result::Result<T, Refusal>>>,
) -> std::result::Result<T, Refusal> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(Refusal::saying(format!("{error:#}"))),
        Err(_) => Err(Refusal::saying("the hub does not answer")),
    }
}

/// What the hub gave.
struct Answer {
    body: Bytes,
    tag: Option<String>,
}

impl Answer {
    fn read<T: DeserializeOwned>(&self) -> std::result::Result<T, Refusal> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| Refusal::saying(format!("the hub's answer is not understood: {error}")))
    }

    fn into_token(self) -> std::result::Result<Token, Refusal> {
        let token: Token = self.read()?;
        if token.access_token.is_empty() {
            return Err(Refusal::saying("the hub's answer is empty"));
        }
        Ok(Token { tag: self.tag, ..token })
    }
}

fn without_authorities() -> Result<rustls::ClientConfig> {
    use rustls::{ClientConfig, RootCertStore, crypto::ring};
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    Ok(config
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

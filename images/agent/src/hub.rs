//! The hub, asked for the access token.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// How long the hub may take: it may have to ask the provider.
const PATIENCE: Duration = Duration::from_secs(40);
/// Longer answers are not of a hub.
const LARGEST: usize = 256 * 1024;

/// Where the hub is, and what this lab is recognised by.
pub struct Hub {
    url: String,
    token: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// The token.
    pub access_token: String,
    /// For how many seconds it is good, where that is known.
    pub expires_in: Option<u64>,
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

impl Hub {
    /// The hub that started this lab.
    pub fn of_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = variable("JUPYTERHUB_API_URL").context("JUPYTERHUB_API_URL is not set")?;
        let token = variable("JUPYTERHUB_API_TOKEN").context("JUPYTERHUB_API_TOKEN is not set")?;
        let connector = HttpsConnectorBuilder::new().with_native_roots();
        let connector = match connector {
            Ok(connector) => connector.https_or_http().enable_http1().build(),
            // A small image may know no authorities; a hub without TLS needs none.
            Err(_) => HttpsConnectorBuilder::new()
                .with_tls_config(without_authorities()?)
                .https_or_http()
                .enable_http1()
                .build(),
        };
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { url: format!("{}/user/access-token", url.trim_end_matches('/')), token, client })
    }

    /// A fresh token, or why there is none.
    pub async fn ask(&self) -> std::result::Result<Token, Refusal> {
        match tokio::time::timeout(PATIENCE, self.exchange()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Refusal { message: Some(format!("{error:#}")), ..Refusal::default() }),
            Err(_) => Err(Refusal { message: Some("the hub does not answer".to_owned()), ..Refusal::default() }),
        }
    }

    async fn exchange(&self) -> Result<std::result::Result<Token, Refusal>> {
        let request = Request::get(&self.url)
            .header(header::AUTHORIZATION, format!("token {}", self.token))
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())?;
        let answer = self.client.request(request).await.context("the hub is not reached")?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the hub's answer breaks off: {error}"))?.to_bytes();
        if status == StatusCode::OK {
            let token: Token = serde_json::from_slice(&body).context("the hub's answer holds no token")?;
            ensure!(!token.access_token.is_empty(), "the hub's answer holds no token");
            return Ok(Ok(token));
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Err(Refusal { status: status.as_u16(), ..refusal }))
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

//! Asks a server that runs whether it answers over HTTP.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hub_core::secret::Secret;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use specola_proxy::wire;

use crate::internal_ssl::InternalSsl;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server said to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It answered with a status below 500. Holds its `X-JupyterHub-Version`, if it told one.
    Answers { version: Option<String> },
    /// It cannot be reached, breaks off, or answers with 500 or more; the text says which.
    NotYet(String),
    /// It speaks, but not HTTP.
    Garbage(String),
}

/// Asks servers, one question at a time, on connections of their own.
#[derive(Clone)]
pub struct Prober {
    plain: Client<HttpConnector, Empty<Bytes>>,
    /// Made with the first question that needs it: the authorities of the machine take a while to read.
    secured: Arc<OnceLock<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>>,
    client_ca: Option<PathBuf>,
    internal_ssl: Option<Arc<InternalSsl>>,
}

impl Default for Prober {
    fn default() -> Self {
        Self::trusting(None)
    }
}

impl Prober {
    /// One that, where an address begins with `https`, also believes the authorities in a file (PEM).
    pub fn trusting(client_ca: Option<PathBuf>) -> Self {
        let plain = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
        Self { plain, secured: Arc::default(), client_ca, internal_ssl: None }
    }

    /// One that shows the hub's own certificate to who asks, and believes the hub's own authorities too.
    pub fn showing(internal_ssl: &Arc<InternalSsl>) -> Self {
        Self { internal_ssl: Some(Arc::clone(internal_ssl)), ..Self::default() }
    }

    /// Asks `{url}api`, where `url` ends in the server's prefix. Redirects count as answers.
    pub async fn ask(&self, url: &str) -> Reply {
        self.ask_at(&format!("{url}api")).await
    }

    /// Asks an address as it is.
    pub async fn ask_at(&self, url: &str) -> Reply {
        match self.answer(Request::get(url), url).await {
            Err(reply) => reply,
            Ok(answer) => judge(&answer),
        }
    }

    /// As `ask`, with the address of a server at proxies of ours, which say that it was the server who has answered. `host` is
    /// that by which they find it, where it has one of its own.
    pub async fn ask_through(&self, url: &str, host: Option<&str>, proof: &Secret) -> Reply {
        let url = &format!("{url}api");
        let mut request = Request::get(url).header(wire::PROOF_HEADER, proof.expose());
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        match self.answer(request, url).await {
            Err(reply) => reply,
            Ok(answer) if answer.headers().get(wire::LED_TO_HEADER).is_some_and(|led_to| led_to == "user") => {
                judge(&answer)
            }
            Ok(_) => Reply::NotYet("the proxies of its site do not lead to it".to_owned()),
        }
    }

    async fn answer(&self, request: Builder, url: &str) -> Result<Response<Incoming>, Reply> {
        let request = request.body(Empty::new());
        let request = request.map_err(|error| Reply::NotYet(format!("its address {url} is not valid: {error}")))?;
        let asked = tokio::time::timeout(PATIENCE, self.send(request)).await;
        asked.unwrap_or_else(|_| Err(Reply::NotYet(format!("no answer within {} s", PATIENCE.as_secs()))))
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Reply> {
        if request.uri().scheme_str() != Some("https") {
            return self.plain.request(request).await.map_err(|error| failure(&error));
        }
        let client = match self.secured.get() {
            Some(client) => client,
            None => {
                let config = match &self.internal_ssl {
                    Some(ssl) => ssl.client(),
                    None => specola_proxy::tls::client_config(self.client_ca.as_deref()),
                };
                let config = config.map_err(|error| Reply::NotYet(format!("{error:#}")))?;
                let connector =
                    HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
                let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
                self.secured.get_or_init(|| client)
            }
        };
        client.request(request).await.map_err(|error| failure(&error))
    }
}

fn judge(answer: &Response<Incoming>) -> Reply {
    if answer.status().is_server_error() {
        return Reply::NotYet(format!("it answered with status {}", answer.status().as_u16()));
    }
    let version = answer.headers().get("x-jupyterhub-version").and_then(|value| value.to_str().ok());
    Reply::Answers { version: version.map(str::to_owned) }
}

fn failure(error: &hyper_util::client::legacy::Error) -> Reply {
    let source = std::error::Error::source(error);
    let parse = source.and_then(|cause| cause.downcast_ref::<hyper::Error>()).is_some_and(hyper::Error::is_parse);
    let text = source.map_or_else(|| error.to_string(), ToString::to_string);
    if parse { Reply::Garbage(text) } else { Reply::NotYet(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answering(reply: &'static [u8]) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/user/a/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = peer.read(&mut request).await;
                let _ = peer.write_all(reply).await;
            }
        });
        url
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_its_version_is_read() {
        let url = answering(
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(Prober::default().ask(&url).await, Reply::Answers { version: Some("6.1.1".into()) });
    }

    #[tokio::test]
    async fn a_server_error_is_not_yet_an_answer() {
        let url = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
        assert!(matches!(Prober::default().ask(&url).await, Reply::NotYet(_)));
    }

    #[tokio::test]
    async fn something_that_is_not_http_is_told_apart() {
        let url = answering(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(matches!(Prober::default().ask(&url).await, Reply::Garbage(_)));
    }

    #[tokio::test]
    async fn proxies_are_asked_for_the_host_of_the_user_where_there_is_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/user/a/");
        for (host, expected) in [(Some("a.hub.example"), "a.hub.example"), (None, &*address.to_string())] {
            let heard = async {
                let (mut peer, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 1024];
                let read = peer.read(&mut request).await.unwrap();
                String::from_utf8_lossy(&request[..read]).to_lowercase()
            };
            let (prober, proof) = (Prober::default(), Secret::new("5f"));
            let (_, heard) = tokio::join!(prober.ask_through(&url, host, &proof), heard);
            assert!(heard.contains(&format!("\r\nhost: {expected}\r\n")), "{heard}");
            assert_eq!(heard.matches("host:").count(), 1, "{heard}");
        }
    }

    #[tokio::test]
    async fn through_proxies_only_the_servers_own_answer_counts() {
        let asked = async |answer: &'static [u8]| {
            let url = answering(answer).await;
            Prober::default().ask_through(&url, None, &Secret::new("5f")).await
        };
        let of_server = asked(b"HTTP/1.1 200 OK\r\nX-Specola-Led-To: user\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(of_server, Reply::Answers { version: None });
        for not_yet in [
            &b"HTTP/1.1 503 Away\r\nX-Specola-Led-To: user\r\nContent-Length: 0\r\n\r\n"[..],
            // The hub's own page, and somebody who is no proxy of ours.
            b"HTTP/1.1 200 OK\r\nX-Specola-Led-To: hub\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(matches!(asked(not_yet).await, Reply::NotYet(_)));
        }
    }
}

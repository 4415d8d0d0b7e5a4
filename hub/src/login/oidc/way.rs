//! The way to an identity provider: straight, or through an HTTP proxy of the institute's, as `HTTPS_PROXY` and `NO_PROXY` say.
//!
//! What is asked over TLS goes through a tunnel (`CONNECT`), so that the proxy sees the host and nothing else. What is not is
//! on this machine, and goes straight.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections.
#[derive(Clone)]
pub struct Way {
    straight: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Way {
    /// Goes through these proxies, where they are for the host.
    pub fn new(proxies: Matcher) -> Self {
        let mut straight = HttpConnector::new();
        straight.enforce_http(false);
        Self { straight, proxies: Arc::new(proxies) }
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.straight.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let is_secured = to.scheme_str() == Some("https");
        let Some(proxy) = self.proxies.intercept(&to).filter(|_| is_secured) else {
            let connecting = self.straight.call(to);
            return Box::pin(async move { connecting.await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.straight.clone());
        if let Some(password) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(password.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async move { connecting.await.map_err(|error| format!("the proxy {}: {error}", proxy.uri()).into()) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::http::Client;
    use super::super::listener::Listener;
    use super::super::trouble::Trouble;
    use super::*;

    #[tokio::test]
    async fn what_goes_over_tls_goes_through_the_proxy_but_to_whom_it_is_not_for() {
        let proxy = Listener::new(vec![("iam.example:443", 407, serde_json::json!({}))]).await;
        let provider = Listener::new(vec![("/x", 200, serde_json::json!({ "a": 1 }))]).await;
        let address = proxy.origin.replace("http://", "http://hub:s3cret@");
        let matcher = Matcher::builder().all(address).no("inside.example,127.0.0.1").build();
        let client = Client::through(matcher, None, Duration::from_secs(5)).unwrap();
        // This one refuses; that is told, without its password.
        let Err(Trouble::Unreachable(what)) = client.get_object("https://iam.example/x").await else {
            panic!("refused")
        };
        assert!(what.contains("proxy") && !what.contains("s3cret"), "{what}");
        let asked = proxy.asked("iam.example:443");
        assert!(asked[0].starts_with("CONNECT iam.example:443 HTTP/1.1"), "{asked:?}");
        assert!(asked[0].to_lowercase().contains("proxy-authorization: basic ahvionmzy3jlda=="), "{asked:?}");
        // Straight: what it is not for, and what is not over TLS.
        client.get_object("https://inside.example/x").await.unwrap_err();
        assert_eq!(client.get_object(&format!("{}/x", provider.origin)).await.unwrap()["a"], 1);
        assert_eq!(proxy.asked("").len(), 1);
    }
}

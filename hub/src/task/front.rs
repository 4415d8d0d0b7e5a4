//! Takes the routes of servers out of the configurable-http-proxy that stands in front of a hub driven by INFN's variables:
//! an older hub left them there, and they would lead past this one, to servers that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::infn::Front;

/// So long it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries, and for one request.
const PAUSE: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);
/// A list of routes is not longer, in bytes.
const LARGEST: usize = 16 << 20;

/// Runs until it is done, or told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(front) = app.config.front() else { return };
    let begun = Instant::now();
    loop {
        match clear(front).await {
            Ok(0) => return,
            Ok(number) => {
                tracing::info!("{number} routes of an older hub are taken out of the proxy in front ({})", front.url);
                return;
            }
            Err(error) if begun.elapsed() >= PATIENCE => {
                tracing::warn!("the proxy in front ({}) may have routes of an older hub: {error:#}", front.url);
                return;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Takes out every route but the one for everything else. Returns how many there were.
async fn clear(front: &Front) -> Result<usize> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
    let all = ask(&client, front, Method::GET, "").await?;
    let routes: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&all).context("a list of routes")?;
    let of_servers: Vec<&String> = routes.keys().filter(|path| !path.trim_matches('/').is_empty()).collect();
    for path in &of_servers {
        ask(&client, front, Method::DELETE, &escaped(path)).await?;
    }
    Ok(of_servers.len())
}

async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, front: &Front, method: Method, path: &str) -> Result<Bytes> {
    let token = format!("token {}", front.token.expose());
    let request = Request::builder().method(method).uri(format!("{}/api/routes{path}", front.url));
    let request = request.header(header::AUTHORIZATION, token).body(Empty::new())?;
    let asked = async {
        let answer = client.request(request).await?;
        ensure!(answer.status().is_success(), "it answered with status {}", answer.status().as_u16());
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes())
    };
    tokio::time::timeout(ANSWER, asked).await.context("no answer")?
}

/// A path as it stands in an address.
fn escaped(path: &str) -> String {
    let parts = path.split('/').map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_and_its_slashes_stay() {
        assert_eq!(escaped("/user/a@b c/é"), "/user/a%40b%20c/%C3%A9");
    }
}

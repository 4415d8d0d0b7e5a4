//! Keys for the programs in the lab, at an address of this machine: AWS's container credentials provider.
//!
//! Other users of the machine reach the address too, and so does every page in a browser that runs on it. So each request
//! has to bring the agent's own token, and to name this address as its host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::hub::Refusal;
use crate::keys::KeyRing;

/// So many connections at a time.
const MOST: usize = 128;
/// How long a request's head may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The address at which keys are served, where it has to be known beforehand: beside executors, whose programs are told
/// address and token by whoever made the pod.
const LISTEN: &str = "SPECOLA_STORAGE_LISTEN";

/// Whether this is the agent of an executor: its server has one of its own, which tells the hub how it stands.
pub fn is_beside_an_executor() -> bool {
    std::env::var(LISTEN).is_ok_and(|address| !address.is_empty())
}

/// Where keys are served.
pub struct Counter {
    listener: TcpListener,
    address: SocketAddr,
    token: String,
    rings: Vec<Arc<KeyRing>>,
}

impl Counter {
    /// Takes an address. Nobody is served before [`Self::run`].
    pub async fn open(rings: Vec<Arc<KeyRing>>) -> Result<Self> {
        let (wanted, token) = if is_beside_an_executor() {
            given()?
        } else {
            let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
            (SocketAddr::from(([127, 0, 0, 1], 0)), token)
        };
        let listener = TcpListener::bind(wanted).await.context("no address for keys")?;
        let address = listener.local_addr().context("no address for keys")?;
        Ok(Self { listener, address, token, rings })
    }

    /// Where the keys of a storage are.
    pub fn url(&self, storage: &str) -> String {
        format!("http://{}/credentials/{storage}", self.address)
    }

    /// What each request has to bring as `Authorization`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Serves until it is aborted.
    pub async fn run(self) {
        let room = Arc::new(Semaphore::new(MOST));
        let counter = Arc::new(self);
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let stream = match counter.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Such as too many open files: others have to close theirs first.
                    eprintln!("specola-lab-agent: a program is not heard: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let counter = counter.clone();
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(|request| {
                    let counter = counter.clone();
                    async move { Ok::<_, std::convert::Infallible>(counter.answer(&request).await) }
                });
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // Who hangs up has its own reasons.
                let _ = served.await;
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (host, token) = (text(header::HOST), text(header::AUTHORIZATION));
        let port = self.address.port();
        if host != self.address.to_string() && !host.eq_ignore_ascii_case(&format!("localhost:{port}")) {
            return refuse(StatusCode::FORBIDDEN, "foreign_host", "this is no address of that name");
        }
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return refuse(StatusCode::FORBIDDEN, "wrong_token", "the token is not the one of this lab");
        }
        if request.method() != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "keys are got, and nothing else");
        }
        let name = request.uri().path().strip_prefix("/credentials/");
        let Some(ring) = self.rings.iter().find(|ring| name == Some(ring.name.as_str())) else {
            return refuse(StatusCode::NOT_FOUND, "not_found", "there is no such storage");
        };
        match ring.take().await {
            Ok(keys) => answer(StatusCode::OK, &json!(keys)),
            Err(Refusal { status, code, message, .. }) => {
                // A hub that is away is no fault of the request.
                let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 400);
                let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let code = code.as_deref().unwrap_or("unreachable");
                refuse(status, code, message.as_deref().unwrap_or("the hub gives no keys"))
            }
        }
    }
}

/// Address and token, as they were chosen for this pod.
fn given() -> Result<(SocketAddr, String)> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let address: SocketAddr = variable(LISTEN).parse().with_context(|| format!("{LISTEN} is no address"))?;
    ensure!(address.ip().is_loopback(), "{LISTEN} has to be an address of this machine alone");
    let token = variable(crate::ask::TOKEN);
    // Anybody in the pod could guess a short one.
    ensure!(token.len() >= 32, "{} is no token", crate::ask::TOKEN);
    Ok((address, token))
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    answer(status, &json!({ "code": code, "message": message }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

//! The servers in pods: one listener for all, each known by the address that it was asked at. A pod that is gone has no
//! address, and connections to it end. Each tells the headers that it was asked with.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use crate::serve::{Answer, answer};

const VERSION: HeaderName = HeaderName::from_static("x-jupyterhub-version");

/// All servers.
pub(crate) struct Labs {
    pub port: u16,
    version: HeaderValue,
    next: AtomicU32,
    up: Mutex<Up>,
}

#[derive(Default)]
struct Up {
    by_address: HashMap<IpAddr, Arc<Lab>>,
    by_uid: HashMap<String, IpAddr>,
}

/// One server.
struct Lab {
    /// What it says of itself.
    said: Value,
    prefix: String,
    /// When its pod was said to run, and when somebody asked it first.
    begun: SystemTime,
    first: OnceLock<SystemTime>,
    stop: CancellationToken,
}

impl Labs {
    /// Listens at a port of all addresses; 0 is any that is free. It is `version` of JupyterHub that servers tell of.
    pub async fn listen(port: u16, version: &str, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        let labs = Arc::new(Self {
            port: listener.local_addr()?.port(),
            version: HeaderValue::from_str(version)?,
            next: AtomicU32::new(0),
            up: Mutex::default(),
        });
        let served = Arc::clone(&labs);
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                // One that has gone again is no reason to end.
                if let Ok((stream, _)) = listener.accept().await {
                    served.answer(stream);
                }
            }
        }));
        Ok(labs)
    }

    /// From now on the server of this pod answers. Returns its address.
    pub fn open(&self, pod: &Value) -> String {
        // None of 127.0.0.0/16, where others listen.
        let number = (1 << 16) + self.next.fetch_add(1, Ordering::Relaxed) % ((1 << 24) - (2 << 16));
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 0).to_bits() + number);
        let metadata = &pod["metadata"];
        let variable = |name: &str| {
            let variables = pod["spec"]["containers"][0]["env"].as_array();
            let found = variables.into_iter().flatten().find(|variable| variable["name"] == name);
            found.and_then(|variable| variable["value"].as_str()).unwrap_or_default().to_owned()
        };
        let lab = Lab {
            said: json!({
                "pod": metadata["name"], "pod_uid": metadata["uid"], "namespace": metadata["namespace"],
                "address": address, "user": variable("JUPYTERHUB_USER"), "server": variable("JUPYTERHUB_SERVER_NAME"),
            }),
            prefix: variable("JUPYTERHUB_SERVICE_PREFIX"),
            begun: SystemTime::now(),
            first: OnceLock::new(),
            stop: CancellationToken::new(),
        };
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        up.by_address.insert(address.into(), Arc::new(lab));
        up.by_uid.insert(metadata["uid"].as_str().unwrap_or_default().to_owned(), address.into());
        address.to_string()
    }

    /// The server of a pod does not answer any more; connections with it end.
    pub fn close(&self, uid: &str) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = up.by_uid.remove(uid).and_then(|address| up.by_address.remove(&address)) {
            lab.stop.cancel();
        }
    }

    /// When the server of a pod was said to run, and when it was asked first, in seconds of Unix time.
    pub fn times(&self, uid: &str) -> Option<(f64, Option<f64>)> {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = up.by_address.get(up.by_uid.get(uid)?)?;
        Some((seconds(&lab.begun), lab.first.get().map(seconds)))
    }

    fn at(&self, address: IpAddr) -> Option<Arc<Lab>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner).by_address.get(&address).cloned()
    }

    /// A connection to an address where nobody is ends here.
    fn answer(&self, stream: TcpStream) {
        let Some(lab) = stream.local_addr().ok().and_then(|address| self.at(address.ip())) else { return };
        let version = self.version.clone();
        lab.first.get_or_init(SystemTime::now);
        tokio::spawn(lab.stop.clone().run_until_cancelled_owned(async move {
            let service = hyper::service::service_fn(|request| {
                let mut response = lab.respond(request);
                response.headers_mut().insert(VERSION, version.clone());
                async { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How a client leaves is its own affair.
            let _ = connection.with_upgrades().await;
        }));
    }
}

impl Lab {
    /// Says whose server it is, or sends back what comes over a websocket, the name of the pod first.
    fn respond(&self, mut request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        if !path.starts_with(&self.prefix) {
            return answer(404, &json!({ "message": format!("not below {}", self.prefix) }));
        }
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
            let mut said = self.said.clone();
            said["path"] = json!(path);
            let headers =
                request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            said["headers"] = headers.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
            return answer(200, &said);
        };
        let (upgrade, name) = (hyper::upgrade::on(&mut request), self.said["pod"].as_str().unwrap_or_default());
        let hello = Message::text(name);
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            let mut next = Some(hello);
            while let Some(message) = next {
                if socket.send(message).await.is_err() {
                    return;
                }
                next = loop {
                    match socket.next().await {
                        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => break Some(message),
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break None,
                    }
                };
            }
        }));
        let mut response = Response::new(Full::new(Bytes::new()).boxed());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, key);
        }
        response
    }
}

fn seconds(time: &SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

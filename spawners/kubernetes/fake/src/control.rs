//! The same for another process: JSON over HTTP.
//!
//! | Request | What it does |
//! |---|---|
//! | `POST /fail` `{"of", "times", "how"}` | lets requests go wrong: see `Fault` |
//! | `POST /mend` | lets nothing go wrong any more |
//! | `POST /cut` | cuts all watches |
//! | `POST /forget` | forgets what has changed so far: who comes back to a watch gets 410 |
//! | `POST /silence` `true` or `false` | lets watches say nothing, or speak again |
//! | `POST /away` `true` or `false` | the API server does not listen, with all connections cut, or is back |
//! | `POST /idle` `true` or `false` | the kubelet does nothing, or goes on |
//! | `POST /put` `{"kind", "object"}` | puts an object there |
//! | `POST /change` `{"kind", "namespace", "name", "by"}` | changes one by a merge patch, as a kubelet does |
//! | `POST /take` `{"kind", "namespace", "name"}` | takes one away |
//! | `GET /asked` | how many requests there were, by verb and resource |
//! | `GET /asked?PREFIX` | how many there were that begin so, such as `POST%20/api/v1/namespaces/labs/pods` |
//! | `GET /pods` | each with namespace, name, uid, labels, phase, address, whether it is being deleted, when it was said to run, and when its server was asked first |
//! | `GET /objects/KIND` | all of them as they are |

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fault::Fault;
use crate::serve::{Answer, Server, answer};
use crate::store::{Key, merge};

/// Which object is meant.
#[derive(Deserialize)]
struct Named {
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
    /// How it is to be changed.
    #[serde(default)]
    by: Value,
}

#[derive(Deserialize)]
struct Put {
    kind: String,
    object: Value,
}

impl Named {
    fn key(self) -> Key {
        (self.kind, self.namespace, self.name)
    }
}

pub(crate) async fn listen(server: Arc<Server>, listener: TcpListener) {
    loop {
        // One that has gone again is no reason to end.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let served = Arc::clone(&server);
        server.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let server = Arc::clone(&served);
                async move { Ok::<_, Infallible>(respond(&server, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

async fn respond(server: &Server, request: Request<Incoming>) -> Answer {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match method {
        Method::GET => match uri.path() {
            "/asked" => answer(200, &asked(server, uri.query())),
            "/pods" => answer(200, &pods(server)),
            path => match path.strip_prefix("/objects/") {
                Some(kind) => {
                    let (objects, _) = server.store.list(kind, |_| true);
                    answer(200, &json!(objects.iter().map(AsRef::as_ref).collect::<Vec<&Value>>()))
                }
                None => answer(404, &json!("see control.rs")),
            },
        },
        Method::POST => match act(server, uri.path(), &body) {
            Ok(()) => answer(200, &Value::Null),
            Err(error) => answer(400, &json!(error.to_string())),
        },
        _ => answer(405, &json!("GET or POST")),
    }
}

fn act(server: &Server, path: &str, body: &[u8]) -> anyhow::Result<()> {
    match path {
        "/fail" => server.faults.add([of::<Fault>(body)?]),
        "/mend" => server.faults.clear(),
        "/cut" => server.cut_watches(),
        "/forget" => server.store.forget(),
        "/silence" => drop(server.silent.send_replace(of(body)?)),
        "/away" => drop(server.away.send_replace(of(body)?)),
        "/idle" => drop(server.idle.send_replace(of(body)?)),
        "/put" => {
            let put: Put = of(body)?;
            server.put(&put.kind, put.object);
        }
        "/change" => {
            let mut named: Named = of(body)?;
            let by = named.by.take();
            let key = named.key();
            let changed = server.change(&key, |object| merge(object, &by));
            anyhow::ensure!(changed.is_some(), "{key:?} is not there");
        }
        "/take" => server.remove(&of::<Named>(body)?.key(), None),
        _ => anyhow::bail!("see control.rs"),
    }
    Ok(())
}

fn of<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(body)?)
}

fn asked(server: &Server, of: Option<&str>) -> Value {
    match of {
        Some(of) => json!(server.asked(&percent_encoding::percent_decode_str(of).decode_utf8_lossy())),
        None => json!(server.counts()),
    }
}

fn pods(server: &Server) -> Value {
    let (pods, _) = server.store.list("pods", |_| true);
    let shown = pods.iter().map(|pod| {
        let metadata = &pod["metadata"];
        let times = server.labs.as_ref().zip(metadata["uid"].as_str()).and_then(|(labs, uid)| labs.times(uid));
        json!({
            "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
            "labels": metadata["labels"], "phase": pod["status"]["phase"], "address": pod["status"]["podIP"],
            "leaving": !metadata["deletionTimestamp"].is_null(),
            "running_since": times.map(|(begun, _)| begun), "first_asked": times.and_then(|(_, first)| first),
        })
    });
    json!(shown.collect::<Vec<Value>>())
}

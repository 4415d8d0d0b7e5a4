//! A hub that speaks the route stream on a unix socket, as far as a proxy can tell.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use specola_proxy::wire::{Ack, Activity, Doubt, Line, Route, Verdict};
use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle};

use crate::client::until;

pub const TOKEN: &str = "secret";

type Out = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Default)]
pub struct Told {
    pub acks: Vec<Ack>,
    pub activity: HashMap<String, String>,
    /// Query strings of stream requests.
    pub streams: Vec<String>,
    pub refused: usize,
    pub doubts: Vec<Doubt>,
    /// What is said of doubted routes.
    pub confirms: bool,
}

struct Table {
    epoch: String,
    revision: u64,
    routes: BTreeMap<String, Route>,
    changes: Vec<Line>,
    proxies: Vec<mpsc::UnboundedSender<Line>>,
}

pub struct Hub {
    pub path: PathBuf,
    pub told: Arc<Mutex<Told>>,
    table: Arc<Mutex<Table>>,
    heartbeat: Duration,
    task: Option<JoinHandle<()>>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hub {
    pub fn start(folder: &Path) -> Self {
        let table =
            Table { epoch: "one".into(), revision: 1, routes: BTreeMap::new(), changes: vec![], proxies: vec![] };
        let mut hub = Self {
            path: folder.join("hub.sock"),
            told: Arc::default(),
            table: Arc::new(Mutex::new(table)),
            heartbeat: Duration::from_millis(100),
            task: None,
        };
        hub.resume();
        hub
    }

    /// Ends like a killed process: all connections break, the socket file stays.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.table.lock().unwrap().proxies.clear();
    }

    /// Starts again with the same routes and epoch.
    pub fn resume(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).unwrap();
        let (table, told, heartbeat) = (Arc::clone(&self.table), Arc::clone(&self.told), self.heartbeat);
        self.task = Some(tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (table, told) = (Arc::clone(&table), Arc::clone(&told));
                let service = service_fn(move |request| {
                    let (table, told) = (Arc::clone(&table), Arc::clone(&told));
                    async move { Ok::<_, Infallible>(answer(request, &table, &told, heartbeat).await) }
                });
                open.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        }));
    }

    /// Starts again with another epoch, as a hub that lost its numbering.
    pub fn resume_anew(&mut self, epoch: &str) {
        {
            let mut table = self.table.lock().unwrap();
            table.epoch = epoch.to_owned();
            table.revision = 1;
            table.changes.clear();
        }
        self.resume();
    }

    /// Changes routes and gives the revision.
    pub fn change(&self, put: Vec<Route>, delete: &[&str]) -> u64 {
        let mut table = self.table.lock().unwrap();
        table.revision += 1;
        for prefix in delete {
            table.routes.remove(*prefix);
        }
        for route in &put {
            table.routes.insert(route.prefix.clone(), route.clone());
        }
        let delete = delete.iter().map(|prefix| (*prefix).to_owned()).collect();
        let line = Line::Change { epoch: table.epoch.clone(), revision: table.revision, put, delete };
        table.changes.push(line.clone());
        table.proxies.retain(|proxy| proxy.send(line.clone()).is_ok());
        table.revision
    }

    /// Changes routes and waits until the proxy has acknowledged them.
    pub async fn set(&self, put: Vec<Route>, delete: &[&str]) {
        let revision = self.change(put, delete);
        self.acknowledged(revision).await;
    }

    pub async fn acknowledged(&self, revision: u64) {
        let epoch = self.table.lock().unwrap().epoch.clone();
        until("the acknowledgement", async || {
            let told = self.told.lock().unwrap();
            told.acks.iter().any(|ack| ack.epoch == epoch && ack.revision >= revision)
        })
        .await;
    }

    pub fn revision(&self) -> u64 {
        self.table.lock().unwrap().revision
    }

    /// Sends a snapshot of the same table over the open stream.
    pub fn snapshot_again(&self) -> u64 {
        let mut table = self.table.lock().unwrap();
        table.revision += 1;
        let line = table.snapshot();
        table.proxies.retain(|proxy| proxy.send(line.clone()).is_ok());
        table.revision
    }
}

impl Table {
    fn snapshot(&self) -> Line {
        Line::Snapshot {
            epoch: self.epoch.clone(),
            revision: self.revision,
            routes: self.routes.values().cloned().collect(),
        }
    }

    fn since(&self, epoch: &str, since: u64) -> Vec<Line> {
        if epoch != self.epoch || since > self.revision {
            return vec![self.snapshot()];
        }
        let later = |line: &&Line| matches!(line, Line::Change { revision, .. } if *revision > since);
        self.changes.iter().filter(later).cloned().collect()
    }
}

async fn answer(
    request: Request<Incoming>,
    table: &Arc<Mutex<Table>>,
    told: &Arc<Mutex<Told>>,
    heartbeat: Duration,
) -> Response<Out> {
    let (parts, body) = request.into_parts();
    if parts.headers.get("authorization").is_none_or(|value| value != &format!("token {TOKEN}")[..]) {
        told.lock().unwrap().refused += 1;
        return reply(StatusCode::FORBIDDEN);
    }
    match parts.uri.path() {
        "/routes/stream" => {
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let response = stream_of(&query, table, heartbeat);
            told.lock().unwrap().streams.push(query);
            response
        }
        "/routes/ack" => {
            let body = body.collect().await.unwrap().to_bytes();
            told.lock().unwrap().acks.push(serde_json::from_slice(&body).unwrap());
            reply(StatusCode::NO_CONTENT)
        }
        "/activity" => {
            let body = body.collect().await.unwrap().to_bytes();
            let activity: Activity = serde_json::from_slice(&body).unwrap();
            let moved = activity.routes.into_iter().map(|(prefix, route)| (prefix, route.last_activity));
            told.lock().unwrap().activity.extend(moved);
            reply(StatusCode::NO_CONTENT)
        }
        "/routes/doubt" => {
            let body = body.collect().await.unwrap().to_bytes();
            let mut told = told.lock().unwrap();
            told.doubts.push(serde_json::from_slice(&body).unwrap());
            let verdict = serde_json::to_vec(&Verdict { confirmed: told.confirms }).unwrap();
            Response::new(Full::new(Bytes::from(verdict)).boxed_unsync())
        }
        _ => reply(StatusCode::NOT_FOUND),
    }
}

fn stream_of(query: &str, table: &Arc<Mutex<Table>>, heartbeat: Duration) -> Response<Out> {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    };
    let (sender, receiver) = mpsc::unbounded_channel();
    {
        let mut table = table.lock().unwrap();
        let first = match (value("epoch"), value("since")) {
            (Some(epoch), Some(since)) => table.since(&epoch, since.parse().unwrap()),
            _ => vec![table.snapshot()],
        };
        for line in first {
            sender.send(line).unwrap();
        }
        table.proxies.push(sender);
    }
    let table = Arc::clone(table);
    let lines = stream::unfold((receiver, table), move |(mut receiver, table)| async move {
        let line = match tokio::time::timeout(heartbeat, receiver.recv()).await {
            Ok(line) => line?,
            Err(_) => {
                let table = table.lock().unwrap();
                Line::Heartbeat { epoch: table.epoch.clone(), revision: table.revision }
            }
        };
        let mut text = serde_json::to_vec(&line).unwrap();
        text.push(b'\n');
        Some((Ok(Frame::data(Bytes::from(text))), (receiver, table)))
    });
    Response::builder()
        .header("content-type", "application/x-ndjson")
        .body(StreamBody::new(lines).boxed_unsync())
        .unwrap()
}

fn reply(status: StatusCode) -> Response<Out> {
    Response::builder().status(status).body(Full::new(Bytes::new()).boxed_unsync()).unwrap()
}

pub fn route(prefix: &str, target: &str) -> Route {
    Route { prefix: prefix.to_owned(), target: target.to_owned(), data: Default::default() }
}

pub fn user_route(prefix: &str, target: &str) -> Route {
    let data = [("user".to_owned(), "a".into())].into_iter().collect();
    Route { data, ..route(prefix, target) }
}

pub fn hub_route(prefix: &str, target: &str) -> Route {
    let data = [("hub".to_owned(), true.into())].into_iter().collect();
    Route { data, ..route(prefix, target) }
}

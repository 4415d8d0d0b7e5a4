//! What configurable-http-proxy counts, under its names.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::Door;
use crate::{activity::lock, state::Shared};

/// Connections served at once; more wait.
const CONNECTIONS: usize = 16;

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Counts {
    route_get: AtomicU64,
    route_add: AtomicU64,
    route_delete: AtomicU64,
    sockets: AtomicU64,
    web: AtomicU64,
    proxied: Mutex<BTreeMap<u16, u64>>,
    api: Mutex<BTreeMap<u16, u64>>,
}

impl Counts {
    pub(super) fn route_get(&self) {
        self.route_get.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn route_add(&self) {
        self.route_add.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn route_delete(&self) {
        self.route_delete.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn api(&self, status: u16) {
        *lock(&self.api).entry(status).or_default() += 1;
    }

    /// Counts a request to a target and its answer.
    pub(crate) fn proxied(&self, socket: bool, status: u16) {
        let kind = if socket { &self.sockets } else { &self.web };
        kind.fetch_add(1, Ordering::Relaxed);
        *lock(&self.proxied).entry(status).or_default() += 1;
    }

    fn text(&self, shared: &Shared) -> String {
        let mut text = String::new();
        let plain = [
            ("api_route_get", "Count of API route get requests", &self.route_get),
            ("api_route_add", "Count of API route add requests", &self.route_add),
            ("api_route_delete", "Count of API route delete requests", &self.route_delete),
            ("requests_ws", "Count of websocket requests", &self.sockets),
            ("requests_web", "Count of web requests", &self.web),
        ];
        for (name, help, count) in plain {
            let count = count.load(Ordering::Relaxed);
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
        }
        let labelled = [
            ("requests_proxy", "Count of proxy requests", &self.proxied),
            ("requests_api", "Count of API requests", &self.api),
        ];
        for (name, help, counts) in labelled {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (status, count) in lock(counts).iter() {
                let _ = writeln!(text, "{name}{{status=\"{status}\"}} {count}");
            }
        }
        let gauges = [
            ("routes", "Routes in the table", shared.routes.load().table.len()),
            ("tunnels", "Open websockets", shared.counts.tunnels.load(Ordering::Relaxed)),
        ];
        for (name, help, value) in gauges {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        text
    }
}

/// Answers `/metrics` until the drain.
pub(super) async fn serve(shared: Arc<Shared>, door: Door) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(shared.limits().header_read).keep_alive(false);
    let accepting = async {
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            let Some((stream, _)) = door.next().await else { continue };
            let context = Arc::clone(&shared);
            let service = service_fn(move |request| {
                let answer = answer(&context, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let drain = Arc::clone(&shared.drain);
            shared.tasks.spawn(async move {
                // Whoever asks sees a broken connection by itself.
                let _ = drain.until(connection).await;
                drop(permit);
            });
        }
    };
    shared.drain.until(accepting).await;
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match &shared.chp {
        Some(chp) if request.uri().path() == "/metrics" => {
            *response.body_mut() = Full::new(chp.counts.text(shared).into());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

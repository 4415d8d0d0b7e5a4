//! The local control socket: status and stop, for the owner of the process alone.

use std::{
    convert::Infallible,
    fs::Permissions,
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream as StdStream,
    },
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, UPGRADE},
};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::{
    hand_over,
    lobby::{self, Lobby},
    metrics,
    state::Shared,
    wire::Status,
};

/// Connections served at once.
const CONNECTIONS: usize = 16;

/// The bound socket; its file goes with it.
pub(crate) struct Admin {
    listener: UnixListener,
    file: SocketFile,
    /// Where the file is to be.
    place: PathBuf,
}

/// What the status tells beside the shared state.
pub(crate) struct View {
    pub(crate) addresses: Vec<std::net::SocketAddr>,
    pub(crate) program: Option<String>,
}

impl Admin {
    /// Binds beside and renames into place, so that the path never names a socket with wider rights.
    /// A file left by a proxy that was killed is replaced, a living proxy's only by the one that takes over, and not
    /// before that one serves.
    pub(crate) fn bind(path: PathBuf, takes_over: bool) -> anyhow::Result<Self> {
        if !takes_over && StdStream::connect(&path).is_ok() {
            bail!("a proxy is already running at {}", path.display());
        }
        let bound = || -> io::Result<Self> {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}", std::process::id()));
            let beside = path.with_file_name(name);
            remove(&beside)?;
            let listener = UnixListener::bind(&beside)?;
            let inode = std::fs::metadata(&beside)?.ino();
            let file = SocketFile { path: beside, inode };
            std::fs::set_permissions(&file.path, Permissions::from_mode(0o600))?;
            let mut admin = Self { listener, file, place: path.clone() };
            if !takes_over {
                admin.take_place()?;
            }
            Ok(admin)
        };
        bound().with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// Puts the socket where it is looked for.
    pub(crate) fn take_place(&mut self) -> io::Result<()> {
        std::fs::rename(&self.file.path, &self.place)?;
        self.file.path.clone_from(&self.place);
        Ok(())
    }

    /// Serves until the proxy has ended; the file goes when the result is dropped.
    pub(crate) fn start(self, shared: &Arc<Shared>, view: View, stop: CancellationToken) -> Serving {
        let Self { listener, file, .. } = self;
        let shared = Arc::clone(shared);
        let task = tokio::spawn(accept(shared, listener, Arc::new(view), stop));
        Serving { task, _file: file }
    }
}

pub(crate) struct Serving {
    task: tokio::task::JoinHandle<()>,
    _file: SocketFile,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A newer proxy may have put its own socket here.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
        _ => Ok(()),
    }
}

async fn accept(shared: Arc<Shared>, listener: UnixListener, view: Arc<View>, stop: CancellationToken) {
    let lobby = Lobby::new(CONNECTIONS);
    let mut builder = lobby::builder(&shared.limits());
    builder.keep_alive(false);
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (shared, view, stop) = (Arc::clone(&shared), Arc::clone(&view), stop.clone());
        let visit = Arc::new(lobby.enter());
        let asking = Arc::clone(&visit);
        let service = service_fn(move |request| {
            asking.asks();
            let answer = answer(&shared, &view, &stop, request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
        tokio::spawn(async move {
            // Whoever asks sees a broken connection by itself.
            let _ = visit.until(connection).await;
        });
    }
}

fn answer(
    shared: &Arc<Shared>,
    view: &View,
    stop: &CancellationToken,
    mut request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/status") => match serde_json::to_vec(&status(shared, view)) {
            Ok(text) => reply(StatusCode::OK, text.into()),
            Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
        },
        (&Method::GET, "/metrics") => {
            let mut response = reply(StatusCode::OK, metrics::text(shared).into());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        (&Method::POST, "/stop") => {
            stop.cancel();
            reply(StatusCode::ACCEPTED, Bytes::new())
        }
        (&Method::POST, "/hand-over") if request.headers().get(UPGRADE).is_some_and(|to| to == hand_over::PROTOCOL) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(hand_over::hand_over(Arc::clone(shared), upgrade, stop.clone()));
            let mut response = reply(StatusCode::SWITCHING_PROTOCOLS, Bytes::new());
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static(hand_over::PROTOCOL));
            response
        }
        (_, "/status" | "/metrics" | "/stop" | "/hand-over") => reply(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        _ => reply(StatusCode::NOT_FOUND, Bytes::new()),
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn status(shared: &Shared, view: &View) -> Status {
    let routes = shared.routes.load();
    let tunnels = shared.counts.tunnels.load(Ordering::Relaxed);
    let sharing_tunnels = shared.counts.sharing_tunnels.load(Ordering::Relaxed);
    let alone = tunnels.saturating_sub(sharing_tunnels);
    let held = shared.room.taken().saturating_sub(shared.room.further());
    Status {
        pid: std::process::id(),
        proxy: shared.identity.clone(),
        listen: view.addresses.clone(),
        tls: shared.secure.is_some(),
        certificate_ends: shared.secure.as_ref().and_then(|secure| Some(secure.keyring.ends()?.to_rfc3339())),
        mark: shared.mark.clone(),
        epoch: routes.epoch.clone(),
        revision: routes.revision,
        routes: routes.table.len(),
        connections: held.saturating_sub(alone),
        tunnels,
        sharing_tunnels,
        requests: shared.counts.requests.load(Ordering::Relaxed),
        linked: shared.counts.linked.load(Ordering::Relaxed),
        draining: shared.drain.is_set(),
        program: view.program.clone(),
    }
}

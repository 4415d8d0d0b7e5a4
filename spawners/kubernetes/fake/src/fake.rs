//! The fake, as tests have it.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};

use anyhow::Context;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control;
use crate::fault::{Fault, How};
use crate::kubelet::Pace;
use crate::lab::Labs;
use crate::question::AMONG_EXECUTORS;
use crate::serve::Server;

/// What the chart gives the hub a right to. Whoever asks for more is refused, as by a real cluster.
const RIGHTS: &str = include_str!("../../../../deploy/helm/files/rights.json");
const OF_EXECUTORS: &str = include_str!("../../../../deploy/helm/files/executors.json");

/// How a fake is.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long pods take.
    pub pace: Pace,
    /// Where the API server listens; without it at any free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// Whether somebody answers in the place of servers, at addresses of 127.0.0.0/8: the version of JupyterHub that they
    /// tell of.
    pub labs: Option<String>,
    /// The port of all servers; 0 is any that is free.
    pub lab_port: u16,
}

/// An API server. All ends when it is dropped.
pub struct Fake {
    /// Where it listens.
    pub address: SocketAddr,
    server: Arc<Server>,
    _guard: DropGuard,
}

impl Fake {
    /// Listens from now on.
    pub async fn begin(options: Options) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let labs = match &options.labs {
            Some(version) => {
                let listening = Labs::listen(options.lab_port, version, stop.clone()).await;
                Some(listening.context("the port of servers")?)
            }
            None => None,
        };
        let mut rights: Value = serde_json::from_str(RIGHTS).context("the chart's rights")?;
        rights[AMONG_EXECUTORS] = serde_json::from_str(OF_EXECUTORS).context("the chart's role among executors")?;
        let server = Arc::new(Server::new(rights, options.pace, labs, stop));
        let listen = options.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening at {listen}"))?;
        let address = listener.local_addr()?;
        let served = Arc::clone(&server);
        server.spawn(async move { served.listen(listener, address).await });
        Ok(Self { address, server, _guard: guard })
    }

    /// Answers another process at an address of its own, from now on. Returns it.
    pub async fn control(&self, listen: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening at {listen}"))?;
        let (address, server) = (listener.local_addr()?, Arc::clone(&self.server));
        self.server.spawn(async move { control::listen(server, listener).await });
        Ok(address)
    }

    /// What clients read to find it. `namespace` is the one of those that name none.
    pub fn kubeconfig(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "fake", "user": {} }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake", "namespace": namespace } }],
        })
    }

    /// The port of all servers, if somebody answers in their place.
    pub fn lab_port(&self) -> Option<u16> {
        self.server.labs.as_ref().map(|labs| labs.port)
    }

    /// From now on the hub has its rights in its own namespace, and where this role is bound.
    pub fn bound_by(&self, home: &str, role: &str) {
        *self.server.role.lock().unwrap_or_else(PoisonError::into_inner) = Some((home.to_owned(), role.to_owned()));
    }

    /// Lets requests go wrong.
    pub fn fail(&self, fault: Fault) {
        self.server.faults.add([fault]);
    }

    /// Lets requests go wrong after so many of their kind that do not.
    pub fn fail_after(&self, spared: usize, fault: Fault) {
        self.server.faults.add([Fault::new(fault.of.clone(), spared, How::Passes), fault]);
    }

    /// Lets nothing go wrong any more.
    pub fn mend(&self) {
        self.server.faults.clear();
    }

    /// How many requests there were that begin so.
    pub fn asked(&self, of: &str) -> usize {
        self.server.asked(of)
    }

    /// Cuts all watches.
    pub fn cut(&self) {
        self.server.cut_watches();
    }

    /// Forgets what has changed so far, as a server does after a while.
    pub fn forget(&self) {
        self.server.store.forget();
    }

    /// Remembers what there is, for lists that are stale.
    pub fn remember(&self) {
        self.server.store.remember();
    }

    /// How many requests for what is in a cache there were (`resourceVersion=0`) that begin so.
    pub fn asked_of_cache(&self, of: &str) -> usize {
        self.server.asked(&format!("CACHED {of}"))
    }

    /// Lets watches say nothing, or speak again.
    pub fn silence(&self, silent: bool) {
        self.server.silent.send_replace(silent);
    }

    /// Puts something there, as somebody else does.
    pub fn put(&self, kind: &str, object: Value) {
        self.server.put(kind, object);
    }

    /// Something that is there, whoever may see it.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.server.store.get(&key).map(|object| Value::clone(&object))
    }

    /// All objects of a kind.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.server.store.list(kind, |_| true).0.iter().map(|object| Value::clone(object)).collect()
    }

    /// Changes something, as a kubelet does.
    pub fn change(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        self.server.change(&(kind.to_owned(), namespace.to_owned(), name.to_owned()), change);
    }

    /// Takes something away, as somebody else does.
    pub fn take(&self, kind: &str, namespace: &str, name: &str) {
        self.server.remove(&(kind.to_owned(), namespace.to_owned(), name.to_owned()), None);
    }
}

impl Server {
    /// Serves whoever comes. While it is away it does not listen, and those who were there are cut off.
    async fn listen(self: Arc<Self>, listener: TcpListener, address: SocketAddr) {
        let (mut listener, mut away) = (Some(listener), self.away.subscribe());
        loop {
            let Some(open) = &listener else {
                // The sender is the server's own.
                let _ = away.wait_for(|away| !away).await;
                match TcpListener::bind(address).await {
                    Ok(again) => listener = Some(again),
                    Err(error) => {
                        eprintln!("{address} cannot be had again: {error}");
                        return;
                    }
                }
                continue;
            };
            tokio::select! {
                _ = away.wait_for(|away| *away) => listener = None,
                accepted = open.accept() => if let Ok((stream, _)) = accepted {
                    self.converse(stream);
                },
            }
        }
    }

    fn converse(self: &Arc<Self>, stream: TcpStream) {
        let (server, mut away) = (Arc::clone(self), self.away.subscribe());
        self.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.serve(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = away.wait_for(|away| *away) => {}
                // How a client leaves is its own affair.
                _ = connection => {}
            }
        });
    }

    pub(crate) fn cut_watches(&self) {
        self.cut.send_modify(|cut| *cut += 1);
    }

    pub(crate) fn put(&self, kind: &str, object: Value) {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        self.store.put(&(kind.to_owned(), text("namespace"), text("name")), object);
    }
}

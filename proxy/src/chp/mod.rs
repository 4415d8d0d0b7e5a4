//! What configurable-http-proxy does and Specola's own proxy does not: routes by a REST API, and changes to requests on
//! their way. Everything else is the same code.

mod api;
pub(crate) mod error;
mod rewrite;
mod socket;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use http::{HeaderName, HeaderValue};
use serde_json::Map;
use tokio::sync::Mutex;

use crate::{
    activity::Ledger,
    reload::Reload,
    route::Route,
    secure::{Secure, TlsOptions},
    state::Shared,
    target::{Target, TargetError},
    wire,
};
pub(crate) use api::begin;
#[cfg(feature = "fuzzing")]
pub(crate) use api::serve_one as serve_api;
pub(crate) use rewrite::Rewrite;
pub(crate) use socket::Door;

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At an address.
    Tcp(SocketAddr),
    /// At a unix socket, which takes the rights that the process's mask leaves.
    Unix(PathBuf),
}

/// The command line of configurable-http-proxy, as far as it changes what is done.
#[derive(Clone, Debug)]
pub struct ChpOptions {
    /// The REST API.
    pub api: Vec<Listen>,
    /// What callers of it must know; None lets everybody in.
    pub token: Option<String>,
    /// TLS of the REST API.
    pub api_tls: Option<TlsOptions>,
    /// Where metrics are told.
    pub metrics: Option<Listen>,
    /// A server that makes error pages: asked for `/404?url=…` below this address.
    pub error_target: Option<String>,
    /// A folder with error pages: `404.html`, `503.html`, `error.html`.
    pub error_path: Option<PathBuf>,
    /// The first segment of a route is a host.
    pub host_routing: bool,
    /// The path of a target is put before that of a request.
    pub prepend_path: bool,
    /// The prefix of the route stays in the path of a request.
    pub include_prefix: bool,
    /// Upstreams are told of the client in `X-Forwarded-…`.
    pub x_forward: bool,
    /// `Location` of the target becomes that of the proxy.
    pub auto_rewrite: bool,
    /// `Host` becomes that of the target.
    pub change_origin: bool,
    /// `Location` of the target gets this scheme.
    pub protocol_rewrite: Option<String>,
    /// Set in every request to a target.
    pub custom_headers: Vec<(HeaderName, HeaderValue)>,
}

impl ChpOptions {
    /// What the command line means without options, and without an API.
    pub fn plain(token: Option<String>) -> Self {
        Self {
            api: Vec::new(),
            token,
            api_tls: None,
            metrics: None,
            error_target: None,
            error_path: None,
            host_routing: false,
            prepend_path: true,
            include_prefix: true,
            x_forward: true,
            auto_rewrite: false,
            change_origin: false,
            protocol_rewrite: None,
            custom_headers: Vec::new(),
        }
    }
}

/// The part of a running proxy that these options are for.
pub(crate) struct Chp {
    pub(crate) options: ChpOptions,
    pub(crate) rewrite: Rewrite,
    /// Leads to the server that makes error pages; nobody else is led there.
    pub(crate) errors: Option<Arc<Route>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Chp {
    /// Errors: the server of error pages has no address that can be used.
    pub(crate) fn new(options: ChpOptions, ledger: &Arc<Ledger>, pool_size: usize) -> anyhow::Result<Self> {
        let errors = options.error_target.as_ref().map(|text| {
            let wire = wire::Route { prefix: "/".to_owned(), target: text.clone(), data: Map::new() };
            Ok::<_, TargetError>(Route::leading_to(Target::with_path(text)?, wire, Arc::clone(ledger), pool_size))
        });
        let errors = errors.transpose().context("the server of error pages")?.map(Arc::new);
        Ok(Self { rewrite: Rewrite::new(&options), options, errors, changing: Mutex::default() })
    }
}

/// The doors of the API and of the metrics, bound.
pub(crate) struct Doors {
    api: Vec<Door>,
    api_secure: Option<Arc<Secure>>,
    metrics: Option<Door>,
}

impl Doors {
    /// Binds them. Errors: one is taken, or the API's certificate is of no use.
    pub(crate) fn bind(options: &ChpOptions, reload: &Reload) -> anyhow::Result<Self> {
        let api_tls = options.api_tls.clone();
        let api_secure = api_tls.map(|tls| Secure::new(tls, reload.follow())).transpose()?.map(Arc::new);
        let api = options.api.iter().map(Door::bind).collect::<Result<_, _>>()?;
        let metrics = options.metrics.as_ref().map(Door::bind).transpose()?;
        Ok(Self { api, api_secure, metrics })
    }

    /// The addresses of the API.
    pub(crate) fn api_addresses(&self) -> Vec<SocketAddr> {
        self.api.iter().filter_map(Door::address).collect()
    }

    /// The address of the metrics.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(Door::address)
    }

    pub(crate) fn start(self, shared: &Arc<Shared>) {
        if let Some(secure) = &self.api_secure {
            secure.start(shared, None);
        }
        for door in self.api {
            shared.tasks.spawn(api::serve(Arc::clone(shared), door, self.api_secure.clone()));
        }
        if let Some(door) = self.metrics {
            shared.tasks.spawn(crate::metrics::serve(Arc::clone(shared), door));
        }
    }
}

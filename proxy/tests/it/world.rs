//! A hub and a proxy, started for one test.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use specola_proxy::{HubLink, Limits, Options, Proxy, wire::Route};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::hub::{Hub, TOKEN};

pub struct World {
    pub address: SocketAddr,
    pub redirect: Option<SocketAddr>,
    pub api: Vec<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub hub: Hub,
    pub folder: TempDir,
    pub stop: CancellationToken,
    pub task: Option<JoinHandle<()>>,
    pub options: Options,
}

/// A proxy and its hub, with these routes acknowledged.
pub async fn world(routes: Vec<Route>) -> World {
    world_with(routes, |_| {}).await
}

pub async fn world_with(routes: Vec<Route>, adjust: impl FnOnce(&mut Options)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let mut options = Options {
        workers: 2,
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        hub: HubLink::Unix(hub.path.clone()),
        token: TOKEN.to_owned(),
        snapshot: Some(folder.path().join("routes")),
        identity: "p 1".to_owned(),
        limits: Limits { activity_interval: Duration::from_millis(20), ..Limits::default() },
        admin_socket: Some(folder.path().join("admin.sock")),
        ..Options::default()
    };
    adjust(&mut options);
    let revision = hub.change(routes, &[]);
    let mut world = World {
        address: options.listen[0],
        redirect: None,
        api: Vec::new(),
        metrics: None,
        hub,
        folder,
        stop: CancellationToken::new(),
        task: None,
        options,
    };
    world.start().await;
    if world.options.hub != HubLink::None {
        world.hub.acknowledged(revision).await;
    }
    world
}

impl World {
    /// Starts a proxy with the same options.
    pub async fn start(&mut self) {
        let proxy = Proxy::bind(self.options.clone()).await.unwrap();
        self.address = proxy.addresses()[0];
        self.redirect = proxy.redirect_address();
        (self.api, self.metrics) = proxy.chp_addresses();
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.task = Some(tokio::spawn(async move { proxy.serve(stop).await.unwrap() }));
    }

    /// Asks the proxy to stop and waits for its end.
    pub async fn end(&mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    pub fn admin(&self) -> PathBuf {
        self.options.admin_socket.clone().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

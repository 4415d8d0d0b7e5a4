//! What a cluster without kube-proxy lacks, by the endpoints that the real one keeps: an address for each service, at which
//! whoever connects comes to one of its pods. And a way from pods to what is on this machine alone.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value};
use tests::kubernetes::{Cluster, kubeconfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Addresses by the name of a port, which each service here has but one of.
type Endpoints = Arc<RwLock<HashMap<String, Vec<String>>>>;

/// Follows endpoints and leads connections until it is dropped.
pub(super) struct Services {
    endpoints: Endpoints,
    follower: Child,
    reader: Option<JoinHandle<()>>,
    ways: JoinSet<()>,
}

impl Services {
    pub(super) fn new(cluster: &Cluster) -> Result<Services> {
        let endpoints = Endpoints::default();
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", &kubeconfig().context("a cluster")?, "--namespace", &cluster.namespace]);
        command.args(["get", "endpoints", "--watch", "--output=json"]);
        let mut follower = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let told = follower.stdout.take().context("its output")?;
        let heard = endpoints.clone();
        let reader = std::thread::spawn(move || {
            for object in Deserializer::from_reader(told).into_iter::<Value>().map_while(Result::ok) {
                let mut all = heard.write().unwrap_or_else(PoisonError::into_inner);
                match object["items"].as_array() {
                    Some(items) => items.iter().for_each(|item| drop(all.insert(name(item), addresses(item)))),
                    None => drop(all.insert(name(&object), addresses(&object))),
                }
            }
        });
        Ok(Services { endpoints, follower, reader: Some(reader), ways: JoinSet::new() })
    }

    /// Opens a port of an address of this machine's that leads to a service; gives the port.
    pub(super) async fn open(&mut self, at: &str, service: &str) -> Result<u16> {
        let (endpoints, service) = (self.endpoints.clone(), service.to_owned());
        self.lead(at, move |turn| {
            let all = endpoints.read().unwrap_or_else(PoisonError::into_inner);
            let there = all.get(&service).filter(|there| !there.is_empty())?;
            there.get(turn % there.len()).cloned()
        })
        .await
    }

    /// The same, that leads to one place of this machine's.
    pub(super) async fn pass(&mut self, at: &str, to: String) -> Result<u16> {
        self.lead(at, move |_| Some(to.clone())).await
    }

    /// Whoever comes goes where the choice says, or is turned away.
    async fn lead(&mut self, at: &str, choice: impl Fn(usize) -> Option<String> + Send + 'static) -> Result<u16> {
        let listener = TcpListener::bind((at, 0)).await?;
        let port = listener.local_addr()?.port();
        self.ways.spawn(async move {
            let mut streams = JoinSet::new();
            let mut turn = 0_usize;
            while let Ok((mut near, _)) = listener.accept().await {
                while streams.try_join_next().is_some() {}
                turn = turn.wrapping_add(1);
                if let Some(to) = choice(turn) {
                    streams.spawn(async move {
                        if let Ok(mut far) = TcpStream::connect(to).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    });
                }
            }
        });
        Ok(port)
    }

    /// How many pods a service leads to.
    pub(super) fn count(&self, service: &str) -> usize {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(service).map_or(0, Vec::len)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.follower.kill();
        let _ = self.follower.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Where the pods of a service are that may be sent to.
fn addresses(object: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let port = &subset["ports"][0]["port"];
        for address in subset["addresses"].as_array().into_iter().flatten() {
            all.extend(address["ip"].as_str().map(|ip| format!("{ip}:{port}")));
        }
    }
    all
}

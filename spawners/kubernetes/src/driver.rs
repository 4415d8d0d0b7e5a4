//! The driver: the verbs of `Spawner`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod as Object;
use kube::Api;
use kube::api::{ListParams, LogParams};
use serde_json::{Value, json};
use spawners::{
    Abilities, Identity, News, OwnSite, Owned, Plan, Record, RenameError, Renaming, Sight, Spawner, StartError,
    Started, Stop, Unreachable,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::events::Events;
use crate::make::{self, CONTAINER};
use crate::pod::{self, Doing, Pod};
use crate::together::Together;
use crate::{label, start};

/// What a pod can have. Folders of the hub's machine are none of its node's.
pub const ABILITIES: Abilities = Abilities { binds: false, mounts: false, tls: true, ..Abilities::ALL };

/// So many bytes of a log are read at most.
const LARGEST_LOG: i64 = 1 << 20;

/// Servers as pods. Clones share everything.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    parts: Arc<Parts>,
}

/// What the verbs have in common.
#[derive(Debug)]
pub(crate) struct Parts {
    pub config: Config,
    pub cluster: Arc<Cluster>,
    pub cache: Cache,
    pub events: Events,
    /// Who waits to know which claims are theirs.
    pub together: Together,
    /// Done once the services that there are were looked at.
    pub services: OnceCell<()>,
}

impl Kubernetes {
    /// Makes a driver. The cluster is not asked yet: it may be down, and come. The error is the option, and what of it is
    /// not understood.
    pub fn new(config: Config) -> Result<Self, String> {
        Self::check(&config)?;
        let cluster = Arc::new(Cluster::new(&config));
        let (cache, events) = (Cache::default(), Events::default());
        let (together, services) = (Together::default(), OnceCell::new());
        Ok(Self { parts: Arc::new(Parts { config, cluster, cache, events, together, services }) })
    }

    /// Checks a configuration. The error is the option, and what is wrong with it.
    pub fn check(config: &Config) -> Result<(), String> {
        make::check(config)
    }
}

impl Parts {
    /// Begins to watch the pods of this hub.
    pub(crate) fn begin(&self) {
        self.cache.begin(&self.cluster, &self.config);
        if self.config.events_enabled {
            self.events.begin(&self.cluster, &self.config);
        }
    }

    /// A pod, asked for.
    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Result<Option<Pod>, Unreachable> {
        let found: Option<Object> = self.cluster.find(namespace, name).await.map_err(|fault| fault.unreachable())?;
        Ok(found.map(Pod))
    }

    /// The pod of this very start, asked for. Its state leads to what KubeSpawner made, which carries no label of ours.
    async fn find(&self, server: &Identity, state: &Value) -> Result<Option<Pod>, Unreachable> {
        if let Some((namespace, name)) = pod::known(state) {
            if let Some(pod) = self.get(namespace, name).await?
                && (pod.is_of(server) || pod.was_made_by_kubespawner_for(server))
            {
                return Ok(Some(pod));
            }
            // It is not there, and nothing else of it was told either.
            if self.cache.is_synced() && !self.cache.knows(server.spawner) {
                return Ok(None);
            }
        }
        Ok(self.family(server).await?.into_iter().find(|pod| pod.is_of(server)))
    }

    /// The pods of all starts of a server, asked for.
    pub(crate) async fn family(&self, server: &Identity) -> Result<Vec<Pod>, Unreachable> {
        let client = self.cluster.client().await?;
        let pods: Api<Object> = if self.config.enable_user_namespaces {
            Api::all(client)
        } else {
            Api::namespaced(client, self.cluster.namespace().await?)
        };
        let selector = ListParams::default().labels(&label::selector_of(&server.marker()));
        let listed = self.cluster.ask(pods.list(&selector)).await.map_err(|fault| fault.unreachable())?;
        Ok(listed.items.into_iter().map(Pod).filter(|pod| !pod.is_executor()).collect())
    }

    /// The end of what the server in a pod wrote.
    pub(crate) async fn tail(&self, pod: &Pod, lines: usize) -> Result<String, Unreachable> {
        let api: Api<Object> = self.cluster.of(pod.namespace()).await?;
        let parameters = LogParams {
            container: Some(CONTAINER.to_owned()),
            tail_lines: Some(i64::try_from(lines).unwrap_or(i64::MAX)),
            limit_bytes: Some(LARGEST_LOG),
            ..LogParams::default()
        };
        match self.cluster.ask(api.logs(pod.name(), &parameters)).await {
            Ok(log) => Ok(log),
            // It has not run, or has gone.
            Err(fault) if matches!(fault.status(), Some(400 | 404)) => Ok(String::new()),
            Err(fault) => Err(fault.unreachable()),
        }
    }

    /// The name by which what KubeSpawner made is reached, where that is how servers are.
    fn by_name<'a>(&self, state: &'a Value) -> Option<&'a str> {
        let name = state.get("dns_name").and_then(Value::as_str).filter(|name| !name.is_empty());
        name.filter(|_| self.config.shape.services_enabled)
    }
}

/// A pod's state, as KubeSpawner keeps it.
fn state_of(pod: &Pod) -> Value {
    json!({ "pod_name": pod.name(), "namespace": pod.namespace() })
}

fn unheard() -> Unreachable {
    Unreachable::new(anyhow::anyhow!("the machine of the server is not heard of"))
}

#[async_trait]
impl Spawner for Kubernetes {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn abilities(&self) -> Abilities {
        ABILITIES
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        start::start(&self.parts, plan, state, record).await
    }

    /// What the watch tells of a server that runs is believed; all else is asked for, since the watch may be late.
    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        self.parts.begin();
        if let Some(pod) = self.parts.cache.of(server)
            && pod.doing() == Doing::Running
        {
            self.parts.make_sure_of_service(&pod).await?;
            return pod.sight(None).ok_or_else(unheard);
        }
        match self.parts.find(server, state).await? {
            Some(pod) => {
                if pod.doing() == Doing::Running {
                    self.parts.make_sure_of_service(&pod).await?;
                }
                pod.sight(self.parts.by_name(state)).ok_or_else(unheard)
            }
            None => Ok(Sight::Absent),
        }
    }

    /// Its executors end with the wish, since nothing leads them any more.
    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        if let Some(pod) = self.parts.find(server, state).await? {
            self.parts.end(&pod, how.force).await?;
        }
        if let Err(error) = self.parts.clear_executors(server, false).await {
            tracing::warn!(user = server.user, "its executors are left to the next survey: {error}");
        }
        Ok(())
    }

    /// Its claim goes with a server that is deleted for good, if it is its alone; not before its pods, which have it.
    async fn forget(&self, server: &Identity, _state: &Value) -> Result<(), Unreachable> {
        for pod in self.parts.family(server).await? {
            self.parts.end(&pod, false).await?;
        }
        // What keeps executors keeps neither papers nor storage: it is told last.
        let cleared = self.parts.clear_executors(server, true).await;
        if let Some(pod) = self.parts.family(server).await?.first() {
            return Err(Unreachable::new(anyhow::anyhow!("the pod {} has not gone yet", pod.name())));
        }
        if self.parts.config.internal_ssl {
            self.parts.drop_secret(server).await?;
        }
        let forgotten = self.parts.forget_account(server).await;
        self.parts.discard(server).await?;
        cleared.and(forgotten)
    }

    async fn rename(&self, renaming: &Renaming<'_>) -> Result<(), RenameError> {
        self.parts.rename(renaming).await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        self.parts.begin();
        self.parts.cache.synced(self.parts.config.retry_timeout).await?;
        let pods = self.parts.cache.all();
        if let Err(error) = self.parts.sweep_executors(&pods).await {
            tracing::warn!("executors without servers are not looked for: {error}");
        }
        // Another site may be in the same cluster, and what is there is not this one's to list.
        let own = self.parts.config.site.as_ref();
        let pods = pods.into_iter().filter(|pod| OwnSite::has(own, pod.site()));
        let owned = pods.filter_map(|pod| Some(Owned { identity: pod.identity()?, state: state_of(&pod) }));
        Ok(owned.filter(|owned| owned.identity.hub == self.parts.config.hub).collect())
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        let mut nudges = self.parts.cache.nudges();
        self.parts.begin();
        loop {
            let server = tokio::select! {
                () = stop.cancelled() => return,
                server = nudges.recv() => server,
            };
            let told = match server {
                Ok(server) => News::Look(server),
                Err(RecvError::Lagged(_)) => News::Missed,
                Err(RecvError::Closed) => return,
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
    }

    fn heard(&self) -> Option<Duration> {
        Some(self.parts.cluster.heard.ago())
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        match self.parts.find(server, state).await? {
            Some(pod) => self.parts.tail(&pod, lines).await,
            None => Ok(String::new()),
        }
    }
}

//! The driver: the verbs of `Spawner`.

use std::sync::Arc;

use async_trait::async_trait;
use bollard::models::ContainerSummaryStateEnum;
use hub_core::id::Generation;
use hub_core::secret::Secret;
use serde_json::{Value, json};
use spawners::{
    Abilities, Identity, News, OwnSite, Owned, Plan, Record, Sight, Spawner, StartError, Started, Stop, Unreachable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::command::Known;
use crate::config::Config;
use crate::container::Container;
use crate::engine::Engine;
use crate::pull::Pulls;
use crate::risk::Risk;
use crate::stop::Asked;
use crate::{label, make, start, watch};

/// The variable with a server's token.
const TOKEN: &str = "JUPYTERHUB_API_TOKEN";

/// A container can have all there is to have.
pub const ABILITIES: Abilities = Abilities { mounts: false, ..Abilities::ALL };

/// Servers as containers. Clones share everything.
#[derive(Debug, Clone)]
pub struct Docker {
    pub(crate) parts: Arc<Parts>,
}

/// What the verbs have in common.
#[derive(Debug)]
pub(crate) struct Parts {
    pub config: Config,
    pub engine: Arc<Engine>,
    pub pulls: Pulls,
    pub known: Known,
    pub asked: Asked,
}

impl Docker {
    /// Makes a driver. The engine is not asked yet: it may be down, and come. The error says what of the
    /// configuration is not understood.
    pub fn new(config: Config) -> Result<Self, String> {
        Self::check(&config)?;
        let engine = Arc::new(Engine::new(config.endpoint.clone()));
        let parts = Parts { config, engine, pulls: Pulls::default(), known: Known::default(), asked: Asked::default() };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Checks a configuration. The error is the option, and what is wrong with it.
    pub fn check(config: &Config) -> Result<(), String> {
        Self::risks(config).map(drop)
    }

    /// What a configuration gives servers that is worth a second look. The error is that of [`Docker::check`].
    pub fn risks(config: &Config) -> Result<Vec<Risk>, String> {
        if !config.endpoint.is_understood() {
            return Err(format!("host: {:?} is neither unix:///path nor tcp://host:port", config.endpoint.host));
        }
        make::check(config)
    }
}

impl Parts {
    /// The container of this very start. Its state leads to what DockerSpawner made, which carries no label.
    pub(crate) async fn find(&self, server: &Identity, state: &Value) -> Result<Option<Container>, Unreachable> {
        let known = ["object_id", "container_id", "object_name"]
            .iter()
            .find_map(|key| state.get(key).and_then(Value::as_str).filter(|id| !id.is_empty()));
        if let Some(id) = known
            && let Some(container) = self.engine.inspect(id).await?.map(Container)
        {
            match container.identity() {
                Some(_) if container.is_of(server) => return Ok(Some(container)),
                None if container.was_made_by_dockerspawner_for(server) => return Ok(Some(container)),
                _ => {}
            }
        }
        for container in self.family(server).await? {
            if container.is_of(server) {
                return Ok(Some(container));
            }
        }
        Ok(None)
    }

    /// The containers of all starts of a server.
    pub(crate) async fn family(&self, server: &Identity) -> Result<Vec<Container>, Unreachable> {
        let mut family = Vec::new();
        for listed in self.engine.list(label::filter_of(&server.marker())).await? {
            let Some(id) = listed.id else { continue };
            let container = self.engine.inspect(&id).await?.map(Container);
            family.extend(container.filter(|container| {
                container.identity().is_some_and(|identity| identity.marker().same_server(&server.marker()))
            }));
        }
        Ok(family)
    }
}

/// What is remembered of a container, as DockerSpawner remembers it.
pub(crate) fn state(id: &str, name: &str) -> Value {
    json!({ "object_id": id, "object_name": name })
}

#[async_trait]
impl Spawner for Docker {
    fn kind(&self) -> &'static str {
        "docker"
    }

    fn abilities(&self) -> Abilities {
        ABILITIES
    }

    async fn start(&self, plan: &Plan, _state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        start::start(&self.parts, plan, record).await
    }

    async fn kept_token(&self, server: &Identity) -> Result<Option<Secret>, Unreachable> {
        if self.parts.config.remove {
            return Ok(None);
        }
        let kept = self.parts.family(server).await?.into_iter();
        let kept = kept.filter(|container| container.is_of(server)).find(Container::is_kept);
        Ok(kept.and_then(|container| container.variable(TOKEN).map(Secret::new)))
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        match self.parts.find(server, state).await? {
            Some(container) => self.parts.sight(&container).await,
            None => Ok(Sight::Absent),
        }
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        match self.parts.find(server, state).await? {
            Some(container) => self.parts.end(&container, how.force).await,
            None => Ok(()),
        }
    }

    /// Volumes outlive their server: what is in them is the person's.
    async fn forget(&self, server: &Identity, _state: &Value) -> Result<(), Unreachable> {
        for container in self.parts.family(server).await? {
            if container.is_at_rest() {
                self.parts.engine.remove(container.id(), false).await.map_err(Unreachable::new)?;
            } else {
                self.parts.end(&container, false).await?;
            }
        }
        Ok(())
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        let (hub, site) = (&self.parts.config.hub, self.parts.config.site.as_ref());
        let listed = self.parts.engine.list(label::filter(hub)).await?;
        let owned = listed.into_iter().filter_map(|listed| {
            // Another site may have the same engine.
            let labels =
                listed.labels.filter(|labels| OwnSite::has(site, labels.get(label::SITE).map(String::as_str)))?;
            let mut identity = label::identity(&labels).filter(|identity| identity.hub == *hub)?;
            if labels.contains_key(label::KEPT) {
                if listed.state != Some(ContainerSummaryStateEnum::RUNNING) {
                    return None;
                }
                // It runs for the latest start, or for one that is over: whoever compares knows which by the row.
                identity.generation = Generation(i64::MAX);
            }
            let name = listed.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
            Some(Owned { identity, state: state(&listed.id?, name.trim_start_matches('/')) })
        });
        Ok(owned.collect())
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        watch::watch(&self.parts.engine, &self.parts.config.hub, news, stop).await;
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        match self.parts.find(server, state).await? {
            Some(container) => self.parts.engine.tail(container.id(), lines).await.map_err(Unreachable::new),
            None => Ok(String::new()),
        }
    }
}

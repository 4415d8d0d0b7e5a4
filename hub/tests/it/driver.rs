//! The scripted driver, with the address of a real lab, and an eye on what it is given.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hub_core::id::{Generation, SpawnerId};
use serde_json::Value;
use spawners::fake::{Fake, World};
use spawners::{
    Abilities, Identity, News, Owned, Plan, Record, Sight, Spawner, StartError, Started, Stop, Unreachable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct Driver {
    fake: Fake,
    /// The address of everything that is up.
    url: String,
    plans: Arc<Mutex<Vec<Plan>>>,
}

impl Driver {
    pub fn new(world: &World, url: &str) -> Self {
        Self { fake: Fake::new(world), url: url.to_owned(), plans: Arc::default() }
    }

    /// The plan of the last start of a server.
    pub fn plan_of(&self, server: SpawnerId) -> Option<Plan> {
        self.plans.lock().unwrap().iter().rfind(|plan| plan.identity.spawner == server).cloned()
    }

    /// The token that the start of a generation was given.
    pub fn token_of(&self, generation: Generation) -> Option<String> {
        let plans = self.plans.lock().unwrap();
        let plan = plans.iter().rfind(|plan| plan.identity.generation == generation)?;
        plan.environment.iter().find(|(name, _)| name == "JUPYTERHUB_API_TOKEN").map(|(_, value)| value.clone())
    }
}

#[async_trait]
impl Spawner for Driver {
    fn kind(&self) -> &'static str {
        self.fake.kind()
    }

    fn abilities(&self) -> Abilities {
        self.fake.abilities()
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        self.plans.lock().unwrap().push(plan.clone());
        self.fake.start(plan, state, record).await
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        Ok(match self.fake.look(server, state).await? {
            Sight::Up { .. } => Sight::Up { url: self.url.clone() },
            other => other,
        })
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        self.fake.stop(server, state, how).await
    }

    async fn forget(&self, server: &Identity, state: &Value) -> Result<(), Unreachable> {
        self.fake.forget(server, state).await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        self.fake.list_owned().await
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        self.fake.watch(news, stop).await;
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        self.fake.logs(server, state, lines).await
    }
}

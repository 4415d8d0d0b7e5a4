//! What an engine tells of itself, in the words of its API: for those who look at a machine rather than at servers.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::config::Endpoint;
use crate::engine::Engine;

impl Endpoint {
    /// Which version it has (`/version`). An error says why it does not answer within that time.
    pub async fn version(&self, patience: Duration) -> Result<Value> {
        let engine = Engine::new(self.clone());
        let asked = async { Ok::<_, anyhow::Error>(serde_json::to_value(engine.client()?.version().await?)?) };
        within(patience, asked).await
    }

    /// How it is set up, and what it can do (`/info`). An error says why it does not answer within that time.
    pub async fn info(&self, patience: Duration) -> Result<Value> {
        let engine = Engine::new(self.clone());
        let asked = async { Ok::<_, anyhow::Error>(serde_json::to_value(engine.client()?.info().await?)?) };
        within(patience, asked).await
    }
}

async fn within(patience: Duration, asked: impl Future<Output = Result<Value>>) -> Result<Value> {
    let answer = tokio::time::timeout(patience, asked).await;
    answer.with_context(|| format!("no answer within {} s", patience.as_secs()))?
}

//! What a server is told of its person's object stores: where they are, and where keys are to be had.

use anyhow::Result;
use hub_core::secret::Secret;
use hub_store::Server;
use spawners::Plan;

use super::Inner;
use crate::storage::{Offer, environment};

impl Inner {
    /// Adds the variables; what the configuration sets itself stays.
    pub(crate) async fn tell_storage(&self, plan: &mut Plan, server: &Server, token: &Secret) -> Result<()> {
        if self.recipe.storage.is_empty() || self.recipe.is_collaboration(&server.user_name) {
            return Ok(());
        }
        let groups = self.store.groups_of(server.user_id).await?;
        let offers: Vec<&Offer> = self.recipe.storage.iter().filter(|offer| offer.role_of(&groups).is_some()).collect();
        for (name, value) in environment::variables(&offers, &self.recipe.api_url, token) {
            // Programs of AWS believe none of the hub's own authorities. The lab agent does, and has an address for them.
            if self.settings.internal_ssl.is_some() && name.starts_with("AWS_CONTAINER_") {
                continue;
            }
            if !plan.environment.iter().any(|(known, _)| *known == name) {
                plan.environment.push((name, value));
            }
        }
        Ok(())
    }
}

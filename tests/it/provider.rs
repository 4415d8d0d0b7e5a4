//! The provider of the tests itself: that it is what its switches say, so that a test of the hub can trust it.

mod dialects;
mod faults;
mod flow;
mod refresh;
mod registration;
mod switches;

use anyhow::Result;
use serde_json::json;
use tests::provider::{Client, Installed, Provider, Visitor};

const CALLBACK: &str = "http://127.0.0.1:9/hub/oauth_callback";
const SCOPE: &str = "openid profile email offline_access";

/// A provider with one client that has everything IAM offers, and anna, who is in two groups.
struct Ground {
    provider: Provider,
    client: Client,
    anna: Visitor,
}

impl Ground {
    async fn new(installed: &Installed) -> Result<Ground> {
        let provider = Provider::start(installed).await?;
        let scope = format!("{SCOPE} address wlcg.groups eduperson_entitlement");
        let client = provider.register("hub", &[CALLBACK], &scope).await?;
        provider.set_user("anna", json!({"groups": ["users", "users/cygno"]})).await?;
        let anna = Visitor::new(&provider, "anna")?;
        Ok(Ground { provider, client, anna })
    }
}

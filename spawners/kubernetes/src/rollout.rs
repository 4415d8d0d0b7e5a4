//! Waits until a daemon set has a pod that is ready on every machine it is for: what fetches images beforehand is such a set.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// On how many machines of how many it is ready, once the cluster has counted for what is asked of it now.
fn ready(set: &DaemonSet) -> Option<(i32, i32)> {
    let status = set.status.as_ref()?;
    let counted = status.observed_generation.unwrap_or(0) >= set.metadata.generation.unwrap_or(0);
    // What runs still, but as it was before, does not count.
    let current = status.number_ready.min(status.updated_number_scheduled.unwrap_or(0));
    counted.then_some((current, status.desired_number_scheduled))
}

/// Waits, and tells how far it is when that changes. A cluster that cannot be asked is asked again; without an end, so it is
/// for the caller to give up.
///
/// `host` is the address of the API server, when it is not the one that is found. Errors: there is no cluster to ask.
pub async fn daemon_set_ready(
    host: Option<&str>,
    namespace: Option<&str>,
    name: &str,
    mut tell: impl FnMut(String),
) -> Result<()> {
    let mut config = kube::Config::infer().await.context("no cluster is known")?;
    if let Some(host) = host {
        config.cluster_url = host.parse().with_context(|| format!("{host} is no address"))?;
    }
    let client = Client::try_from(config).context("no cluster is known")?;
    let sets: Api<DaemonSet> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    let mut before = String::new();
    loop {
        let said = match sets.get(name).await {
            Ok(set) => match ready(&set) {
                Some((ready, all)) if ready >= all => return Ok(()),
                Some((ready, all)) => format!("{name}: {ready} of {all} machines"),
                None => format!("{name}: not counted yet"),
            },
            Err(kube::Error::Api(said)) => format!("{name}: {}", said.message),
            Err(error) => format!("{name}: {error}"),
        };
        if said != before {
            tell(said.clone());
            before = said;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(generation: i64, status: Value) -> Option<(i32, i32)> {
        let set = json!({ "metadata": { "name": "s", "generation": generation }, "spec": { "selector": {}, "template": {} }, "status": status });
        ready(&serde_json::from_value(set).unwrap())
    }

    #[test]
    fn a_daemon_set_is_ready_when_all_its_machines_have_what_is_asked_for_now() {
        let status = |observed: i64, desired: i32, updated: i32, ready: i32| {
            json!({
                "observedGeneration": observed, "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
                "numberReady": ready, "currentNumberScheduled": desired, "numberMisscheduled": 0,
            })
        };
        assert_eq!(of(1, status(1, 3, 3, 2)), Some((2, 3)));
        assert_eq!(of(1, status(1, 3, 3, 3)), Some((3, 3)));
        assert_eq!(of(1, status(1, 0, 0, 0)), Some((0, 0)), "no machine is one for it");
        assert_eq!(of(2, status(1, 3, 3, 3)), None, "that was about what was asked before");
        assert_eq!(of(2, status(2, 3, 1, 3)), Some((1, 3)), "two run still as they were");
        assert_eq!(
            of(
                1,
                json!({ "desiredNumberScheduled": 0, "numberReady": 0, "currentNumberScheduled": 0, "numberMisscheduled": 0 })
            ),
            None
        );
    }
}

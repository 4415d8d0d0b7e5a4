//! The daemon set that fetches images on all machines before anybody waits for them. The chart makes it; which images, the hub
//! says, in the order in which a machine fetches them.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Container;
use kube::Api;
use kube::api::{Patch, PatchParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use spawners::Unreachable;

use crate::cluster::Cluster;
use crate::config::Config;

/// Which daemon set fetches images, and which it fetches beside those of servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullerConfig {
    /// `NAME`, or `NAMESPACE/NAME`. Its first container is the pattern of all.
    pub daemon_set: String,
    /// Images that no option names, such as those that hooks choose.
    #[serde(default)]
    pub extra_images: Vec<String>,
}

/// The daemon set.
#[derive(Debug)]
pub struct ImagePuller {
    cluster: Cluster,
    namespace: Option<String>,
    name: String,
}

impl ImagePuller {
    /// The cluster, which is that of the driver's configuration, is not asked yet.
    pub fn new(config: &Config, puller: &PullerConfig) -> Self {
        let (namespace, name) = match puller.daemon_set.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, puller.daemon_set.as_str()),
        };
        Self { cluster: Cluster::new(config), namespace, name: name.to_owned() }
    }

    /// Has it fetch these images, the first first. Returns whether it had to be changed.
    pub async fn fetch(&self, images: &[String]) -> Result<bool, Unreachable> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace,
            None => self.cluster.namespace().await?,
        };
        let api: Api<DaemonSet> = self.cluster.of(namespace).await?;
        let set = self.cluster.insist(|| api.get(&self.name)).await.map_err(|fault| fault.unreachable())?;
        let there = set.spec.and_then(|spec| spec.template.spec).map(|pod| pod.containers).unwrap_or_default();
        let Some(wanted) = containers(&there, images) else { return Ok(false) };
        // Of several hubs all say the same.
        let change = Patch::Merge(json!({ "spec": { "template": { "spec": { "containers": wanted } } } }));
        let parameters = PatchParams::default();
        let changed = self.cluster.insist(|| api.patch(&self.name, &parameters, &change)).await;
        changed.map(|_| true).map_err(|fault| fault.unreachable())
    }
}

/// A container for each image, if that is not what there is. Names are those that the chart gives.
fn containers(there: &[Container], images: &[String]) -> Option<Vec<Container>> {
    let pattern = there.first()?;
    if images.is_empty() || there.iter().map(|one| one.image.as_ref()).eq(images.iter().map(Some)) {
        return None;
    }
    let of = |image: &String| {
        let mut number = hex::encode(Sha256::digest(image));
        number.truncate(8);
        Container { name: format!("image-{number}"), image: Some(image.clone()), ..pattern.clone() }
    };
    Some(images.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_follow_the_images_and_their_order() {
        let image = |name: &str| name.to_owned();
        let one: Container =
            serde_json::from_value(json!({ "name": "image-x", "image": "a", "command": ["sleep"] })).unwrap();
        let there = [one];
        assert_eq!(containers(&there, &[image("a")]), None);
        assert_eq!(containers(&there, &[]), None, "no image at all is a mistake");
        let made = containers(&there, &[image("b"), image("a")]).unwrap();
        assert_eq!(made.iter().map(|one| one.image.as_deref().unwrap()).collect::<Vec<_>>(), ["b", "a"]);
        assert!(made.iter().all(|one| one.command == there[0].command));
        // sha256sum "a" | trunc 8, as the chart has it.
        assert_eq!(made[1].name, "image-ca978112");
        assert_eq!(containers(&made, &[image("b"), image("a")]), None);
        assert!(containers(&made, &[image("a"), image("b")]).is_some(), "the order counts");
    }
}

//! The hub's rights in the namespaces of people, which it binds in each of them: of the whole cluster it only sees what there
//! is, makes namespaces, and gives itself this one role.

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Resource};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cluster::Fault;
use crate::driver::Parts;
use crate::executors;
use crate::label;
use crate::lay;

/// What the binding's name begins with. Another role, or another hub, has another binding: none can be changed.
const NAME: &str = "specola-hub";
/// How long the cluster may take until a new binding counts everywhere.
const SETTLED: Duration = Duration::from_secs(10);
/// How often it is tried meanwhile.
const SOON: Duration = Duration::from_millis(100);

/// Which role the hub gives itself in namespaces of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceBinding {
    /// A cluster role, which the hub may `bind`.
    pub role: String,
    /// Who the hub is for the cluster, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub hub_user: String,
}

impl NamespaceBinding {
    fn of(&self, namespace: &str) -> Result<RoleBinding, String> {
        let group = "rbac.authorization.k8s.io";
        let whose = Sha256::digest(format!("{} {}", self.role, self.hub_user));
        let name = format!("{NAME}-{}", hex::encode(whose.get(..4).unwrap_or_default()));
        lay::read(&json!({
            "metadata": { "name": name, "namespace": namespace },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": self.role },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": self.hub_user }],
        }))
    }
}

/// Whether it was refused for a right that is missing. A quota or a policy of the cluster refuses with the same status.
fn is_lacking(fault: &Fault) -> bool {
    let Fault::Said(said) = fault else { return false };
    said.code == 403 && said.message.contains(" cannot ") && said.message.contains(" in API group ")
}

impl Parts {
    /// Gives the hub its rights in a namespace, unless it has them by configuration.
    pub(crate) async fn bind(&self, namespace: &str) -> Result<(), Fault> {
        let Some(binding) = &self.config.user_namespace_binding else { return Ok(()) };
        let wanted =
            binding.of(namespace).map_err(|what| Fault::Unheard(spawners::Unreachable(anyhow::anyhow!(what))))?;
        let api: Api<RoleBinding> = self.cluster.of(namespace).await.map_err(Fault::Unheard)?;
        let parameters = PostParams::default();
        match self.cluster.insist(|| api.create(&parameters, &wanted)).await {
            Err(fault) if fault.status() != Some(409) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Asks as [`crate::cluster::Cluster::insist`] does, in a namespace of somebody's. Where the hub lacks the right, its binding is
    /// made anew, if the namespace is one that it made. In one that is gone nothing is there.
    pub(crate) async fn within<T, F, R>(&self, namespace: &str, mut request: R) -> Result<T, Fault>
    where
        R: FnMut() -> F,
        F: Future<Output = kube::Result<T>>,
    {
        let (begun, mut bound) = (Instant::now(), false);
        loop {
            let fault = match self.cluster.insist(&mut request).await {
                Err(fault) if self.config.user_namespace_binding.is_some() && is_lacking(&fault) => fault,
                answered => return answered,
            };
            if !bound {
                if !self.is_own(namespace).await? {
                    return Err(fault);
                }
                self.bind(namespace).await?;
                bound = true;
            }
            if begun.elapsed() >= SETTLED {
                return Err(fault);
            }
            tokio::time::sleep(SOON).await;
        }
    }

    /// Looks something up in such a namespace that may not be there.
    pub(crate) async fn find_within<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = self.cluster.of(namespace).await.map_err(Fault::Unheard)?;
        match self.within(namespace, || api.get_opt(name)).await {
            Err(fault) if fault.status() == Some(404) => Ok(None),
            found => found,
        }
    }

    /// Whether the hub made a namespace. Errors: it is not there, or the cluster cannot be asked.
    async fn is_own(&self, namespace: &str) -> Result<bool, Fault> {
        // In those for executors it has what it needs, and nothing else.
        if executors::is_namespace(namespace) {
            return Ok(false);
        }
        let api: Api<Namespace> = Api::all(self.cluster.client().await.map_err(Fault::Unheard)?);
        let Some(found) = self.cluster.insist(|| api.get_opt(namespace)).await? else {
            let message = format!("namespaces {namespace:?} not found");
            return Err(Fault::Said(Box::new(Status { code: 404, message, ..Status::default() })));
        };
        Ok(found.metadata.labels.is_some_and(|labels| labels.get(label::HUB) == Some(&self.config.hub)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_told_from_what_else_the_cluster_refuses() {
        let said = |code, message: &str| {
            is_lacking(&Fault::Said(Box::new(Status { code, message: message.to_owned(), ..Status::default() })))
        };
        let lacking = "pods is forbidden: User \"system:serviceaccount:labs:hub\" cannot create resource \"pods\" in API \
                       group \"\" in the namespace \"labs-ada\"";
        assert!(said(403, lacking));
        assert!(!said(403, "pods \"jupyter-ada\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1"));
        assert!(!said(403, "pods \"jupyter-ada\" is forbidden: violates PodSecurity \"restricted:latest\""));
        assert!(!said(404, lacking));
    }
}

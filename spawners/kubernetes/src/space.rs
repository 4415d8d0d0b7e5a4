//! The namespace of a person, where everybody has one of their own.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim as Claim};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spawners::{Identity, StartError};

use crate::config::Config;
use crate::driver::Parts;
use crate::label;
use crate::lay;
use crate::make::{Recipe, unclear};
use crate::refusal;
use crate::shape::Items;
use crate::tie::Tie;

/// The name of the network policy.
const POLICY: &str = "specola-servers";

/// Who reaches servers in people's namespaces, and whom they reach, as a network policy says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NamespacePolicy {
    /// Who reaches them: `NetworkPolicyIngressRule`. Without any: nobody.
    pub ingress: Items,
    /// Whom they reach: `NetworkPolicyEgressRule`. Without any: nobody.
    pub egress: Items,
}

impl NamespacePolicy {
    /// The policy of all servers of a hub in one namespace. The error names what Kubernetes does not know.
    fn of(&self, namespace: &str, hub: &str) -> Result<NetworkPolicy, String> {
        let rules = |items: &Items| items.iter().cloned().map(Value::Object).collect::<Value>();
        lay::read(&json!({
            "metadata": { "name": POLICY, "namespace": namespace },
            "spec": {
                "podSelector": { "matchLabels": { label::HUB: hub } },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": rules(&self.ingress),
                "egress": rules(&self.egress),
            },
        }))
    }
}

/// Checks what is configured. The error is the option, and what is wrong.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let policy = config.user_namespace_network_policy.as_ref().map(|policy| policy.of("a", &config.hub));
    policy.transpose().map(drop).map_err(|what| format!("user_namespace_network_policy: {what}"))
}

impl Parts {
    /// Makes the person's namespace, with the hub's rights in it, and what bounds the servers there.
    pub(crate) async fn furnish(&self, recipe: &Recipe, server: &Identity) -> Result<(), StartError> {
        self.take(recipe, server).await?;
        self.bind(&recipe.namespace).await.map_err(|fault| refusal::of(fault, "bind the hub's role"))?;
        match &self.config.user_namespace_network_policy {
            Some(policy) => self.bound(&policy.of(&recipe.namespace, &server.hub).map_err(unclear)?).await,
            None => Ok(()),
        }
    }

    /// Has the network policy be as it is configured now.
    async fn bound(&self, wanted: &NetworkPolicy) -> Result<(), StartError> {
        let namespace = wanted.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<NetworkPolicy> = self.cluster.of(namespace).await?;
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(wanted));
        match self.within(namespace, || api.patch(POLICY, &parameters, &patch)).await {
            Ok(_) => return Ok(()),
            Err(fault) if fault.status() == Some(404) => {}
            Err(fault) => return Err(refusal::of(fault, "change a network policy")),
        }
        let parameters = PostParams::default();
        match self.within(namespace, || api.create(&parameters, wanted)).await {
            Ok(_) => Ok(()),
            // Another server of the person was quicker.
            Err(fault) if fault.status() == Some(409) => Ok(()),
            Err(fault) => Err(refusal::of(fault, "make a network policy")),
        }
    }

    /// Makes the namespace, unless it is there. One that is somebody else's, or the cluster's own, is not taken, whatever
    /// people are called.
    async fn take(&self, recipe: &Recipe, server: &Identity) -> Result<(), StartError> {
        let wanted = recipe.space(&self.config, server)?;
        let api: Api<Namespace> = Api::all(self.cluster.client().await?);
        let parameters = PostParams::default();
        match self.cluster.insist(|| api.create(&parameters, &wanted)).await {
            Ok(_) => return Ok(()),
            Err(fault) if fault.status() == Some(409) => {}
            Err(fault) => return Err(refusal::of(fault, "make a namespace")),
        }
        let looked = self.cluster.insist(|| api.get(&recipe.namespace)).await;
        let found = looked.map_err(|fault| refusal::of(fault, "look at a namespace"))?;
        match Tie::of(&found.metadata, server) {
            Tie::Own | Tie::Named => Ok(()),
            // KubeSpawner writes nobody's name on one.
            Tie::Open if self.has_claims_of(&recipe.namespace, server).await? => Ok(()),
            Tie::Open | Tie::Foreign | Tie::Misnamed => {
                tracing::error!(
                    namespace = recipe.namespace,
                    user = server.user,
                    "it is not theirs by what is written on it"
                );
                Err(StartError::refused(
                    "namespace_of_another",
                    "The namespace that this server would be in is not known to be yours. Ask the people who run this hub.",
                ))
            }
        }
    }

    async fn has_claims_of(&self, namespace: &str, server: &Identity) -> Result<bool, StartError> {
        let api: Api<Claim> = self.cluster.of(namespace).await?;
        let claims = self.cluster.list(&api).await.map_err(|fault| refusal::of(fault, "list claims"))?;
        Ok(claims.iter().any(|claim| Tie::of(&claim.metadata, server).is_theirs()))
    }
}

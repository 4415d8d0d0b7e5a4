//! The namespace of a person, where everybody has one of their own.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim as Claim};
use kube::Api;
use kube::api::PostParams;
use spawners::{Identity, StartError};

use crate::driver::Parts;
use crate::make::Recipe;
use crate::refusal;
use crate::tie::Tie;

impl Parts {
    /// Makes the person's namespace, unless it is there. One that is somebody else's, or the cluster's own, is not taken,
    /// whatever people are called.
    pub(crate) async fn furnish(&self, recipe: &Recipe, server: &Identity) -> Result<(), StartError> {
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

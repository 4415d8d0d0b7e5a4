//! The end of a claim, with the server or the person that it is of, unless somebody else refers to it.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim as Claim, Pod as Object};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use serde_json::{Value, json};
use spawners::{Identity, Unreachable};

use crate::driver::Parts;
use crate::label;
use crate::make::{self, ClaimNames};
use crate::pod::Pod;
use crate::tie::Tie;

impl Parts {
    /// Deletes the claim of a server that is deleted for good, if it is its alone and nobody uses it. With the default
    /// server goes the person, and what else is theirs.
    pub(crate) async fn discard(&self, server: &Identity) -> Result<(), Unreachable> {
        let hub_namespace = self.cluster.namespace().await?;
        let Some((namespace, names)) = make::own_claim(&self.config, server, hub_namespace) else {
            tracing::info!(
                user = server.user,
                server = server.server,
                "its claim is shared with other servers, and stays"
            );
            return Ok(());
        };
        for claim in self.going(server, &namespace, &names).await? {
            if self.config.shape.delete_pvc {
                self.remove_claim(&namespace, &claim).await?;
            } else {
                self.let_go(&namespace, &claim, server).await?;
            }
        }
        Ok(())
    }

    /// The claims that go with a server.
    async fn going(&self, server: &Identity, namespace: &str, names: &ClaimNames) -> Result<Vec<Claim>, Unreachable> {
        let mut going = Vec::new();
        for name in [Some(&names.usual), names.legacy.as_ref()].into_iter().flatten() {
            let claim: Option<Claim> = self.cluster.find(namespace, name).await.map_err(|fault| fault.unreachable())?;
            going.extend(claim.filter(|claim| Tie::of(&claim.metadata, server).is_theirs()));
        }
        let api: Api<Claim> = self.cluster.of(namespace).await?;
        let account = server.account.as_deref().filter(|_| server.server.is_empty());
        let selector = match account {
            Some(account) => label::selector_of_account(&server.hub, account),
            None => label::selector_of(&server.marker()),
        };
        let parameters = ListParams::default().labels(&selector);
        let listed = self.cluster.insist(|| api.list(&parameters)).await.map_err(|fault| fault.unreachable())?;
        for claim in listed.items {
            let is_known = going.iter().any(|known: &Claim| known.metadata.uid == claim.metadata.uid);
            let was_had = claim.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(label::SPAWNER));
            if is_known {
                continue;
            }
            if account.is_some() && was_had {
                going.push(claim);
            } else {
                // It may be the home of other servers, under a name of before.
                tracing::warn!(claim = claim.metadata.name, user = server.user, "not known to be its alone, and stays");
            }
        }
        Ok(going)
    }

    async fn remove_claim(&self, namespace: &str, claim: &Claim) -> Result<(), Unreachable> {
        let name = claim.metadata.name.clone().unwrap_or_default();
        if self.is_used(namespace, &name).await? {
            tracing::warn!(claim = name, "a pod still refers to it, and it stays");
            return Ok(());
        }
        let api: Api<Claim> = self.cluster.of(namespace).await?;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: claim.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.within(namespace, || api.delete(&name, &parameters)).await {
            Ok(_) => tracing::info!(claim = name, "deleted with its server"),
            Err(fault) if matches!(fault.status(), Some(404 | 409)) => {}
            Err(fault) => return Err(fault.unreachable()),
        }
        Ok(())
    }

    /// Leaves a claim to whoever has the name next, as an operator wants it who keeps claims.
    async fn let_go(&self, namespace: &str, claim: &Claim, server: &Identity) -> Result<(), Unreachable> {
        if Tie::of(&claim.metadata, server) != Tie::Own {
            return Ok(());
        }
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let labels = json!({ label::USER: Value::Null, label::SPAWNER: Value::Null });
        match self.write_on_claim(namespace, name, json!({ "labels": labels })).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.status() == Some(404) => Ok(()),
            Err(fault) => Err(fault.unreachable()),
        }
    }

    /// Whether any pod of the namespace has it, whoever made it. One that is remembered may have gone a moment ago and is
    /// asked for; that none has it is asked of all that there are.
    async fn is_used(&self, namespace: &str, claim: &str) -> Result<bool, Unreachable> {
        let has = |pod: &Pod| pod.claims().any(|name| name == claim);
        for known in self.cache.all().iter().filter(|pod| pod.namespace() == namespace && has(pod)) {
            let pod: Option<Object> =
                self.cluster.find(namespace, known.name()).await.map_err(|fault| fault.unreachable())?;
            if pod.is_some_and(|pod| has(&Pod(pod))) {
                return Ok(true);
            }
        }
        let api: Api<Object> = self.cluster.of(namespace).await?;
        let pods = self.cluster.list(&api).await.map_err(|fault| fault.unreachable())?;
        Ok(pods.into_iter().map(Pod).any(|pod| has(&pod)))
    }
}

//! The claim for a server's storage: found or made before a start, and kept by a stop.

use hub_core::id::Generation;
use k8s_openapi::api::core::v1::PersistentVolumeClaim as Claim;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use spawners::{Identity, StartError};

use crate::cluster::Fault;
use crate::driver::Parts;
use crate::label;
use crate::make::{self, ClaimNames, Recipe};
use crate::name;
use crate::refusal;
use crate::tie::Tie;

/// A claim that a server is to have.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Its name.
    pub name: String,
    /// It has to be made.
    pub missing: bool,
    /// Only a name tells yet whose it is.
    unmarked: bool,
}

impl Parts {
    /// Which claim a server has: the one by its name, the one it had when it was called otherwise, or one to be made.
    pub(crate) async fn choose(
        &self,
        recipe: &Recipe,
        server: &Identity,
        state: &Value,
    ) -> Result<Option<Chosen>, StartError> {
        let Some(names) = &recipe.claim else { return Ok(None) };
        // A server that starts for the first time mostly has none. Whether there is one is learnt where it is made.
        let is_new = is_first(server) && state.as_object().is_none_or(Map::is_empty);
        let mut usual = None;
        if !is_new {
            usual = self.claim(&recipe.namespace, &names.usual).await?;
            if let Some(chosen) = had(usual.as_ref(), server) {
                return chosen.map(Some);
            }
        }
        if let Some(other) = self.by_another_name(recipe, names, server, state).await? {
            if is_new {
                // The usual one comes first.
                usual = self.claim(&recipe.namespace, &names.usual).await?;
            }
            return had(usual.as_ref(), server).unwrap_or_else(|| found(&other, server)).map(Some);
        }
        match usual {
            Some(claim) => Err(of_another(&claim, server)),
            None => Ok(Some(Chosen { name: names.usual.clone(), missing: true, unmarked: false })),
        }
    }

    /// The claim of a server that is not called as it would be now.
    async fn by_another_name(
        &self,
        recipe: &Recipe,
        names: &ClaimNames,
        server: &Identity,
        state: &Value,
    ) -> Result<Option<Claim>, StartError> {
        if recipe.shape.remember_pvc_name
            && let Some(claim) = self.remembered(recipe, server, state).await?
        {
            tracing::info!(claim = claim.metadata.name, "a server keeps the claim it has");
            return Ok(Some(claim));
        }
        if let Some(legacy) = &names.legacy
            && let Some(claim) = self.claim(&recipe.namespace, legacy).await?
            // Of before is what KubeSpawner made; another's name may have looked like this one.
            && tie(&claim, server).is_theirs()
        {
            tracing::info!(claim = legacy, "a server has its claim under the name of before");
            return Ok(Some(claim));
        }
        Ok(None)
    }

    /// The claim that a server had under another name: by its state, or by what is written on the claim.
    async fn remembered(&self, recipe: &Recipe, server: &Identity, state: &Value) -> Result<Option<Claim>, StartError> {
        let noted = state.get("pvc_name").and_then(Value::as_str).filter(|name| name::is_object_name(name));
        if let Some(noted) = noted
            && let Some(claim) = self.claim(&recipe.namespace, noted).await?
            && tie(&claim, server).may_have()
        {
            return Ok(Some(claim));
        }
        // All that are theirs: the server's own first, then what all their servers have, which whichever came first made.
        if let Some(account) = &server.account {
            let theirs = self.together.claims(&self.cluster, &server.hub, &recipe.namespace, account).await;
            let theirs = theirs.map_err(|fault| refusal::of(fault, "list claims"))?;
            let mut own = theirs.iter().filter(|claim| label::name_it(claim.metadata.labels.as_ref(), server));
            if let (Some(claim), None) = (own.next(), own.next()) {
                return Ok(Some(claim.clone()));
            }
            if let [claim] = theirs.as_slice()
                && make::is_common(&self.config, server, self.cluster.namespace().await?)
            {
                return Ok(Some(claim.clone()));
            }
        }
        // Made before accounts were written on claims.
        if is_first(server) {
            return Ok(None);
        }
        let mut own = self.claims(&recipe.namespace, &label::selector_of(&server.marker())).await?;
        // A database may give the number of a server that is gone to another one.
        own.retain(|claim| tie(claim, server) != Tie::Foreign);
        if let [claim] = own.as_slice() {
            return if tie(claim, server).may_have() {
                Ok(Some(claim.clone()))
            } else {
                Err(of_another(claim, server))
            };
        }
        Ok(None)
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<Claim>, StartError> {
        self.cluster.find(namespace, name).await.map_err(|fault| refusal::of(fault, "look at a claim"))
    }

    async fn claims(&self, namespace: &str, selector: &str) -> Result<Vec<Claim>, StartError> {
        let api: Api<Claim> = self.cluster.of(namespace).await?;
        // From what the API server remembers: the store itself would have to be gone through for it, with all claims of the
        // namespace. A claim that was made a moment ago has the name that is looked for, or is noted in the state.
        let parameters = ListParams::default().labels(selector).match_any();
        let listed = self.cluster.insist(|| api.list(&parameters)).await;
        Ok(listed.map_err(|fault| refusal::of(fault, "list claims"))?.items)
    }

    /// Makes a claim that is missing. One that is there is as good.
    pub(crate) async fn ensure(&self, recipe: &Recipe, server: &Identity, chosen: &Chosen) -> Result<(), StartError> {
        if chosen.unmarked {
            self.adopt(&recipe.namespace, server, &chosen.name).await;
        }
        if !chosen.missing {
            return Ok(());
        }
        let wanted = recipe.storage(server, &chosen.name)?;
        let api: Api<Claim> = self.cluster.of(&recipe.namespace).await?;
        let parameters = PostParams::default();
        let fault = match self.within(&recipe.namespace, || api.create(&parameters, &wanted)).await {
            Ok(_) => return Ok(()),
            Err(fault) => fault,
        };
        // Whatever keeps one from being made, such as a quota that is used up, does not take away what is there.
        if fault.status().is_some()
            && let Some(claim) = self.claim(&recipe.namespace, &chosen.name).await?
        {
            if !tie(&claim, server).may_have() {
                return Err(of_another(&claim, server));
            }
            if found(&claim, server)?.unmarked {
                self.adopt(&recipe.namespace, server, &chosen.name).await;
            }
            return Ok(());
        }
        Err(refusal::of(fault, "make a claim"))
    }

    /// Writes on a claim whose it is, so that nobody new of the same name gets it. A start does not depend on it.
    async fn adopt(&self, namespace: &str, server: &Identity, claim: &str) {
        let labels = json!(label::of_owner(server));
        if let Err(fault) = self.write_on_claim(namespace, claim, json!({ "labels": labels })).await {
            let error = fault.unreachable();
            tracing::warn!(claim, user = server.user, "only a name tells whose claim it is: {error}");
        }
    }

    /// Changes what is written on a claim. What is null goes.
    pub(crate) async fn write_on_claim(&self, namespace: &str, claim: &str, words: Value) -> Result<(), Fault> {
        let api: Api<Claim> = self.cluster.of(namespace).await.map_err(Fault::Unheard)?;
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(json!({ "metadata": words })));
        self.within(namespace, || api.patch(claim, &parameters, &patch)).await.map(drop)
    }
}

fn tie(claim: &Claim, server: &Identity) -> Tie {
    Tie::of(&claim.metadata, server)
}

/// Whether no start came before this one.
fn is_first(server: &Identity) -> bool {
    server.generation <= Generation(1) && server.account.is_some()
}

/// A claim that is there, if the server may have it.
fn had(claim: Option<&Claim>, server: &Identity) -> Option<Result<Chosen, StartError>> {
    claim.filter(|claim| tie(claim, server).may_have()).map(|claim| found(claim, server))
}

fn found(claim: &Claim, server: &Identity) -> Result<Chosen, StartError> {
    check(claim)?;
    let unmarked = tie(claim, server) == Tie::Named && server.account.is_some();
    Ok(Chosen { name: claim.metadata.name.clone().unwrap_or_default(), missing: false, unmarked })
}

/// Two people's names may have become one, or one have had it after the other.
fn of_another(claim: &Claim, server: &Identity) -> StartError {
    tracing::error!(claim = claim.metadata.name, user = server.user, "the claim was made for somebody else");
    StartError::refused(
        "claim_of_another",
        "The storage that this server would have is somebody else's. Ask the people who run this hub.",
    )
}

/// Whether a claim can be had.
fn check(claim: &Claim) -> Result<(), StartError> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(StartError::failed(
            "claim_leaves",
            "The storage of this server is being removed. Try again later.",
        ));
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Lost") {
        return Err(StartError::failed(
            "claim_lost",
            "The storage of this server is lost. Ask the people who run this hub.",
        ));
    }
    Ok(())
}

//! A person gets another name: their claims stay theirs, and are nobody's who comes after them under the old one.

use std::collections::BTreeSet;

use hub_core::id::{Generation, SpawnerId};
use k8s_openapi::api::core::v1::PersistentVolumeClaim as Claim;
use kube::Api;
use serde_json::{Value, json};
use spawners::{Identity, RenameError, Renaming};

use crate::cluster::Fault;
use crate::driver::Parts;
use crate::label;
use crate::make::{self, ClaimNames};
use crate::refusal;
use crate::slug;
use crate::tie::Tie;

/// What a server of theirs may have, under the old name.
struct Place {
    server: Identity,
    namespace: String,
    names: ClaimNames,
}

impl Parts {
    /// Writes on all claims of a person whose they are. Refused where they are in a namespace that is the old name's.
    pub(crate) async fn rename(&self, renaming: &Renaming<'_>) -> Result<(), RenameError> {
        let hub_namespace = self.cluster.namespace().await?;
        let place = |server: &Identity| {
            let (namespace, names) = make::claim_of(&self.config, server, hub_namespace)?;
            Some(Place { server: server.clone(), namespace, names })
        };
        let servers = self.servers(renaming);
        let before: Vec<Place> = servers.iter().filter_map(place).collect();
        let after = servers.iter().map(|server| Identity { user: renaming.name.to_owned(), ..server.clone() });
        let after: BTreeSet<String> = after.filter_map(|server| Some(place(&server)?.namespace)).collect();
        let namespaces: BTreeSet<&str> = before.iter().map(|place| place.namespace.as_str()).collect();
        for namespace in namespaces {
            let claims = self.all_claims(namespace).await?;
            if after.contains(namespace) {
                for claim in &claims {
                    self.follow(renaming, &before, namespace, claim).await?;
                }
            } else if claims.iter().any(|claim| self.tie(renaming, claim).may_have()) {
                return Err(RenameError::Refused(format!(
                    "{} has storage in the namespace {namespace} of the cluster, which cannot be given another name",
                    renaming.user
                )));
            }
        }
        Ok(())
    }

    /// Their servers, and the default one that everybody may have.
    fn servers(&self, renaming: &Renaming<'_>) -> Vec<Identity> {
        let mut servers = renaming.servers.to_vec();
        if servers.iter().all(|server| !server.server.is_empty()) {
            servers.push(Identity {
                hub: self.config.hub.clone(),
                spawner: SpawnerId(0),
                generation: Generation(0),
                user: renaming.user.to_owned(),
                server: String::new(),
                account: Some(renaming.account.to_owned()),
            });
        }
        servers
    }

    async fn all_claims(&self, namespace: &str) -> Result<Vec<Claim>, RenameError> {
        let api: Api<Claim> = self.cluster.of(namespace).await?;
        match self.cluster.list(&api).await {
            Ok(claims) => Ok(claims),
            // A hub that makes no claims needs no right to see any.
            Err(fault) if fault.status() == Some(403) && !self.config.shape.storage_pvc_ensure => Ok(Vec::new()),
            Err(fault) => Err(refused(fault, "list claims")),
        }
    }

    fn tie(&self, renaming: &Renaming<'_>, claim: &Claim) -> Tie {
        Tie::to(&claim.metadata, &self.config.hub, Some(renaming.account), renaming.user)
    }

    /// Writes on one claim whose it is, and the new name, if it is theirs.
    async fn follow(
        &self,
        renaming: &Renaming<'_>,
        before: &[Place],
        namespace: &str,
        claim: &Claim,
    ) -> Result<(), RenameError> {
        let (tie, name) = (self.tie(renaming, claim), claim.metadata.name.as_deref().unwrap_or_default());
        let has = |place: &&Place| {
            place.namespace == namespace && (place.names.usual == name || place.names.legacy.as_deref() == Some(name))
        };
        let of_server = before.iter().find(has);
        let labels = claim.metadata.labels.as_ref();
        let hub = labels.and_then(|labels| labels.get(label::HUB)).map(String::as_str);
        let is_theirs = match tie {
            Tie::Own => true,
            // Another hub may have somebody of this name too.
            Tie::Named => of_server.is_some() || hub.is_none_or(|hub| hub == self.config.hub),
            Tie::Open => of_server.is_some_and(|place| !make::is_everybodys(&self.config, &place.server, namespace)),
            Tie::Foreign | Tie::Misnamed => false,
        };
        if !is_theirs {
            return Ok(());
        }
        let mut words = json!({
            "labels": {
                label::HUB: self.config.hub,
                label::USER: renaming.account,
                label::USERNAME: slug::label(renaming.name),
            },
            "annotations": { label::USERNAME: renaming.name },
        });
        let is_had = hub == Some(&self.config.hub) && labels.is_some_and(|labels| labels.contains_key(label::SPAWNER));
        if let Some(place) = of_server.filter(|place| !is_had && place.server.spawner != SpawnerId(0)) {
            words["labels"][label::SPAWNER] = Value::from(place.server.spawner.to_string());
        }
        match self.write_on_claim(namespace, name, words).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.status() == Some(404) => Ok(()),
            Err(fault) if tie == Tie::Own => {
                let error = fault.unreachable();
                tracing::warn!(claim = name, "it is theirs, and has the name of before on it: {error}");
                Ok(())
            }
            Err(fault) => Err(refused(fault, "write on a claim")),
        }
    }
}

fn refused(fault: Fault, doing: &str) -> RenameError {
    match fault {
        Fault::Said(said) => {
            tracing::warn!(status = said.code, "{doing}: {}", refusal::excerpt(&said.message));
            RenameError::Refused(format!(
                "The cluster does not let the hub {doing}, so that storage would be left behind"
            ))
        }
        Fault::Unheard(unreachable) => unreachable.into(),
    }
}

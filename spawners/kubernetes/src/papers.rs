//! TLS of servers: key and certificate in a secret that the pod mounts. It is made before the pod, which cannot begin without
//! it, and belongs to the pod once there is one, with which it goes. What a start that was cut off leaves is replaced by the
//! next start, and goes with the server at the latest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hub_core::id::Generation;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use spawners::tls::FILES;
use spawners::{Identity, Plan, SaveError, StartError, Unreachable};

use crate::cluster::Fault;
use crate::config::Config;
use crate::driver::Parts;
use crate::label;
use crate::lay;
use crate::make::{self, Recipe};
use crate::pod::Pod;
use crate::refusal;

/// The volume's name, as KubeSpawner has it.
const VOLUME: &str = "jupyterhub-internal-certs";
/// How long an older secret of the name may take to go.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often it is tried again.
const SOON: Duration = Duration::from_millis(100);

/// The variables that lead to the files.
pub(crate) fn variables(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    let folder = config.secret_mount_path.trim_end_matches('/');
    FILES.map(|(variable, file)| (variable, format!("{folder}/{file}"))).into_iter()
}

/// The volume with the files, and where it is in the server.
pub(crate) fn volume(config: &Config, secret: &str) -> (Value, Value) {
    let volume = json!({ "name": VOLUME, "secret": { "secretName": secret } });
    (volume, json!({ "name": VOLUME, "mountPath": config.secret_mount_path, "readOnly": true }))
}

impl Recipe {
    /// The secret of a server that is to have one. Each call makes another key.
    pub(crate) fn secret(&self, plan: &Plan) -> Result<Option<Secret>, StartError> {
        let (Some(certify), Some(name)) = (&plan.certify, &self.secret) else { return Ok(None) };
        let papers = certify.certify(&self.hosts()).map_err(failed)?;
        let data: BTreeMap<String, ByteString> = papers
            .files()
            .iter()
            .map(|(_, file, text)| ((*file).to_owned(), ByteString(text.as_bytes().to_vec())))
            .collect();
        let [labels, annotations] = self.written_beside(&plan.identity);
        let mut secret: Secret = lay::read(&json!({
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": labels,
                "annotations": annotations,
            },
            "type": "Opaque",
        }))
        .map_err(failed)?;
        secret.data = Some(data);
        Ok(Some(secret))
    }
}

fn failed(what: String) -> StartError {
    tracing::error!("no certificate for a server: {what}");
    StartError::failed(
        "no_certificate",
        "The server could not be given a certificate. Ask the people who run this hub.",
    )
}

impl Parts {
    /// Makes the secret of a start, in place of one that an older start left.
    pub(crate) async fn put_secret(&self, recipe: &Recipe, plan: &Plan) -> Result<(), StartError> {
        let Some(wanted) = recipe.secret(plan)? else { return Ok(()) };
        let name = wanted.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Secret> = self.cluster.of(&recipe.namespace).await?;
        let (parameters, deadline) = (PostParams::default(), Instant::now() + PATIENCE);
        loop {
            let fault = match self.within(&recipe.namespace, || api.create(&parameters, &wanted)).await {
                Ok(_) => return Ok(()),
                Err(fault) => fault,
            };
            if fault.status() != Some(409) || Instant::now() >= deadline {
                return Err(refusal::of(fault, "make a secret"));
            }
            let found: Result<Option<Secret>, Fault> = self.find_within(&recipe.namespace, name).await;
            let Some(found) = found.map_err(|fault| refusal::of(fault, "look at a secret"))? else { continue };
            let of = generation_of(&found, &plan.identity);
            if of.is_some_and(|generation| generation > plan.identity.generation) {
                // This start comes too late, and the pod that comes needs the other one.
                return Err(SaveError::Overtaken.into());
            }
            if of.is_none() {
                tracing::error!(secret = name, namespace = recipe.namespace, "the name of the secret is taken");
                let sentence = format!(
                    "There is another secret with the name {name} in the cluster. Ask the people who run this hub."
                );
                return Err(StartError::refused("name_taken", sentence));
            }
            self.remove_secret(&recipe.namespace, &found).await?;
            tokio::time::sleep(SOON).await;
        }
    }

    /// Lets the secret go with its pod; not that of a newer start, which another pod is to have.
    pub(crate) async fn tie_secret(&self, recipe: &Recipe, server: &Identity, pod: &Pod) -> Result<(), StartError> {
        let Some(name) = &recipe.secret else { return Ok(()) };
        let found: Result<Option<Secret>, Fault> = self.find_within(&recipe.namespace, name).await;
        let found = found.map_err(|fault| refusal::of(fault, "look at a secret"))?;
        let of = found.as_ref().and_then(|found| generation_of(found, server));
        if of.is_some_and(|generation| generation > server.generation) {
            return Err(SaveError::Overtaken.into());
        }
        // The very one that was looked at: another that has its name by now is refused.
        let uid = found.and_then(|found| found.metadata.uid);
        let api: Api<Secret> = self.cluster.of(&recipe.namespace).await?;
        let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid() });
        let parameters = PatchParams::default();
        let change = Patch::Merge(json!({ "metadata": { "uid": uid, "ownerReferences": [owner] } }));
        match self.within(&recipe.namespace, || api.patch(name, &parameters, &change)).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(refusal::of(fault, "change a secret")),
        }
    }

    /// Takes away what there is of a server's secret, but for one of a start that is newer than `server`'s.
    pub(crate) async fn drop_secret(&self, server: &Identity) -> Result<(), Unreachable> {
        let Some((namespace, name)) = make::secret_of(&self.config, server, self.cluster.namespace().await?) else {
            return Ok(());
        };
        let found: Result<Option<Secret>, Fault> = self.find_within(&namespace, &name).await;
        match found.map_err(Fault::unreachable)? {
            Some(secret) if generation_of(&secret, server).is_some_and(|of| of <= server.generation) => {
                self.remove_secret(&namespace, &secret).await
            }
            _ => Ok(()),
        }
    }

    /// Deletes this very secret, and none that has its name by now.
    async fn remove_secret(&self, namespace: &str, secret: &Secret) -> Result<(), Unreachable> {
        let api: Api<Secret> = self.cluster.of(namespace).await?;
        let preconditions = Some(Preconditions { uid: secret.metadata.uid.clone(), resource_version: None });
        let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        match self.within(namespace, || api.delete(name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(fault) if matches!(fault.status(), Some(404 | 409)) => Ok(()),
            Err(fault) => Err(fault.unreachable()),
        }
    }
}

/// Of which start of this server a secret is; `None` for one that is not this server's.
fn generation_of(secret: &Secret, server: &Identity) -> Option<Generation> {
    let (labels, annotations) = (secret.metadata.labels.as_ref(), secret.metadata.annotations.as_ref());
    let identity = label::identity(labels, annotations)?;
    identity.marker().same_server(&server.marker()).then_some(identity.generation)
}

//! A secret that several programs share, such as the account and the certificate of all proxies.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use spawners::Unreachable;

use crate::cluster::Cluster;
use crate::config::Config;

/// The secret. It has to be there: it is read and changed, and made by whoever gives the right to that.
#[derive(Debug)]
pub struct SharedSecret {
    cluster: Cluster,
    name: String,
    /// Without it, that of this pod or of the kubeconfig.
    namespace: Option<String>,
}

impl SharedSecret {
    /// One of this name, or of `NAMESPACE/NAME`, in the cluster that the configuration leads to, which is not asked yet.
    pub fn new(config: &Config, name: &str) -> Self {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, name),
        };
        Self { cluster: Cluster::new(config), name: name.to_owned(), namespace }
    }

    /// The same in the cluster that is found here.
    pub fn here(name: &str) -> Self {
        Self::new(&Config::new(""), name)
    }

    async fn api(&self) -> Result<Api<Secret>, Unreachable> {
        match &self.namespace {
            Some(namespace) => self.cluster.of(namespace).await,
            None => self.cluster.of(self.cluster.namespace().await?).await,
        }
    }

    /// Its version, and what is in it. Asks once.
    pub async fn read(&self) -> anyhow::Result<(String, BTreeMap<String, Vec<u8>>)> {
        let api = self.api().await.map_err(|error| self.told(error))?;
        let read = self.cluster.ask(api.get(&self.name)).await;
        let secret = read.map_err(|fault| self.told(fault.unreachable()))?;
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, ByteString(value))| (key, value));
        Ok((secret.metadata.resource_version.unwrap_or_default(), data.collect()))
    }

    /// Writes keys over what is in it, if it still has this version. Returns the next version; None when another was quicker.
    pub async fn write(&self, version: &str, data: BTreeMap<String, Vec<u8>>) -> anyhow::Result<Option<String>> {
        let api = self.api().await.map_err(|error| self.told(error))?;
        let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let patch = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "data": data }));
        let parameters = PatchParams::default();
        let written = self.cluster.unless_late(api.patch(&self.name, &parameters, &patch)).await;
        let secret = written.map_err(|error| self.told(error))?;
        Ok(secret.map(|secret| secret.metadata.resource_version.unwrap_or_default()))
    }

    fn told(&self, error: Unreachable) -> anyhow::Error {
        error.0.context(format!("the secret {}", self.name))
    }
}

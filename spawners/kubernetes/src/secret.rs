//! A secret that several programs share, such as the account and the certificate of all proxies.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::OnceCell;

/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The secret. It has to be there: it is read and changed, and made by whoever gives the right to that.
#[derive(Debug)]
pub struct SharedSecret {
    name: String,
    /// Without it, that of this pod or of the kubeconfig.
    namespace: Option<String>,
    api: OnceCell<Api<Secret>>,
}

impl SharedSecret {
    /// One of this name, or of `NAMESPACE/NAME`. The cluster is not asked yet.
    pub fn new(name: &str) -> Self {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, name),
        };
        Self { name: name.to_owned(), namespace, api: OnceCell::new() }
    }

    async fn api(&self) -> Result<&Api<Secret>> {
        let connect = async {
            let mut config = kube::Config::infer().await.context("no cluster is known")?;
            (config.connect_timeout, config.read_timeout) = (Some(ANSWER), Some(ANSWER));
            config.default_retry = false;
            let client = Client::try_from(config).context("no cluster is known")?;
            Ok(match &self.namespace {
                Some(namespace) => Api::namespaced(client, namespace),
                None => Api::default_namespaced(client),
            })
        };
        self.api.get_or_try_init(|| connect).await
    }

    /// Its version, and what is in it.
    pub async fn read(&self) -> Result<(String, BTreeMap<String, Vec<u8>>)> {
        let read = self.api().await?.get(&self.name).await;
        let secret = read.with_context(|| format!("the secret {}", self.name))?;
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, ByteString(value))| (key, value));
        Ok((secret.metadata.resource_version.unwrap_or_default(), data.collect()))
    }

    /// Writes keys over what is in it, if it still has this version. Returns the next version; None when another was quicker.
    pub async fn write(&self, version: &str, data: BTreeMap<String, Vec<u8>>) -> Result<Option<String>> {
        let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let patch = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "data": data }));
        match self.api().await?.patch(&self.name, &PatchParams::default(), &patch).await {
            Ok(secret) => Ok(Some(secret.metadata.resource_version.unwrap_or_default())),
            Err(kube::Error::Api(said)) if said.code == 409 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("the secret {}", self.name)),
        }
    }
}

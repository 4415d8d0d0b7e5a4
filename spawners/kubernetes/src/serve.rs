//! The service of a pod. It is made after the pod, with which it goes, and a start may be cut off between the two: so
//! whoever finds the pod up makes sure of it too.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use spawners::{StartError, Unreachable};

use crate::cluster::Fault;
use crate::config::Config;
use crate::driver::Parts;
use crate::label;
use crate::lay;
use crate::make::Recipe;
use crate::pod::Pod;
use crate::refusal;
use crate::shape::Shape;

/// How long the service of an older pod may take to go with it.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often it is tried again.
const SOON: Duration = Duration::from_millis(100);

impl Parts {
    /// Makes the service of a pod that has one, unless this hub did so before.
    pub(crate) async fn serve(&self, pod: &Pod, shape: &Shape) -> Result<(), StartError> {
        if !pod.is_served() || self.cache.is_served(pod.uid()) {
            return Ok(());
        }
        // A hub that begins finds those of all servers with one request. What is not found is made sure of by itself.
        let find = async || {
            if let Err(fault) = self.find_services().await {
                tracing::debug!("services are not listed: {}", fault.unreachable());
            }
        };
        self.services.get_or_init(find).await;
        if !self.cache.is_served(pod.uid()) {
            self.make_service(pod, shape).await?;
            self.cache.note_served([pod.uid().to_owned()]);
        }
        Ok(())
    }

    /// Notes which pods have a service, as far as the API server remembers.
    async fn find_services(&self) -> Result<(), Fault> {
        let client = self.cluster.client().await.map_err(Fault::Unheard)?;
        let api: Api<Service> = if self.config.enable_user_namespaces {
            Api::all(client)
        } else {
            Api::namespaced(client, self.cluster.namespace().await.map_err(Fault::Unheard)?)
        };
        let parameters = ListParams::default().labels(&label::selector(&self.config.hub)).match_any();
        let services = self.cluster.ask(api.list_metadata(&parameters)).await?;
        let owners = services.items.into_iter().filter_map(|service| service.metadata.owner_references).flatten();
        self.cache.note_served(owners.map(|owner| owner.uid));
        Ok(())
    }

    /// The same for one that was found. That it may not have a service does not mean that it does not run.
    pub(crate) async fn make_sure_of_service(&self, pod: &Pod) -> Result<(), Unreachable> {
        match self.serve(pod, &self.config.shape).await {
            Ok(()) => Ok(()),
            Err(StartError::Unreachable(unreachable)) => Err(unreachable),
            Err(error) => {
                tracing::warn!(pod = pod.name(), "it runs, and has no service: {error}");
                Ok(())
            }
        }
    }

    /// One of the same name that leads to an older pod goes with that pod.
    async fn make_service(&self, pod: &Pod, shape: &Shape) -> Result<(), StartError> {
        let namespace = self.cluster.namespace().await?;
        let wanted = service(&self.config, shape, namespace, pod).map_err(|what| {
            tracing::error!(pod = pod.name(), "no service can be made of it: {what}");
            StartError::failed("no_service", "The server runs, and cannot be reached. Start it again.")
        })?;
        let api: Api<Service> = self.cluster.of(pod.namespace()).await?;
        let (parameters, deadline) = (PostParams::default(), Instant::now() + PATIENCE);
        loop {
            let fault = match self.within(pod.namespace(), || api.create(&parameters, &wanted)).await {
                Ok(_) => return Ok(()),
                Err(fault) => fault,
            };
            if fault.status() != Some(409) || Instant::now() >= deadline {
                return Err(refusal::of(fault, "make a service"));
            }
            let found: Result<Option<Service>, Fault> = self.find_within(pod.namespace(), pod.name()).await;
            let found = found.map_err(|fault| refusal::of(fault, "look at a service"))?;
            let owners = found.and_then(|service| service.metadata.owner_references).unwrap_or_default();
            if owners.iter().any(|owner| owner.uid == pod.uid()) {
                return Ok(());
            }
            tokio::time::sleep(SOON).await;
        }
    }
}

/// What leads to a pod and goes with it.
pub(crate) fn service(config: &Config, shape: &Shape, hub_namespace: &str, pod: &Pod) -> Result<Service, String> {
    let identity = pod.identity().ok_or("it is no server of this hub")?;
    let port = pod.port().ok_or("it has no port")?;
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid() });
    let recipe = Recipe::of(config, shape.clone(), &identity, hub_namespace)?;
    let [labels, annotations] = recipe.written_beside(&identity);
    lay::read(&json!({
        "metadata": {
            "name": pod.name(),
            "namespace": pod.namespace(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {
            "type": "ClusterIP",
            "selector": label::of_start(&identity),
            "ports": [{ "name": "http", "port": port, "targetPort": port }],
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_service_leads_to_its_pod_and_goes_with_it() {
        let pod = Pod(serde_json::from_value(json!({
            "metadata": {
                "name": "jupyter-anna", "namespace": "labs", "uid": "uid",
                "labels": { "specola.hub": "h", "specola.spawner": "7", "specola.generation": "3" },
                "annotations": { "hub.jupyter.org/username": "anna" },
            },
            "spec": { "containers": [
                { "name": "beside", "ports": [{ "name": "notebook-port", "containerPort": 1 }] },
                { "name": "notebook", "ports": [{ "name": "notebook-port", "containerPort": 8888 }] },
            ]},
        }))
        .unwrap());
        let config = Config::new("h");
        let service = serde_json::to_value(service(&config, &config.shape, "labs", &pod).unwrap()).unwrap();
        assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], "uid");
        assert_eq!(service["metadata"]["labels"]["app"], "jupyterhub");
        let selector = json!({ "specola.hub": "h", "specola.spawner": "7", "specola.generation": "3" });
        assert_eq!(service["spec"]["selector"], selector);
        assert_eq!(service["spec"]["ports"][0]["port"], Value::from(8888));
    }
}

//! Makes what the cluster is asked for out of a plan: pure functions.

mod affinity;
mod check;
mod claim;
mod environment;
mod pod;
mod resources;
mod security;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Map, Value, json};
use spawners::{Identity, Plan, StartError};

pub(crate) use check::{check, nobody};
pub(crate) use claim::{ClaimNames, claim_of, is_common, is_everybodys, own_claim};
pub(crate) use pod::{CONTAINER, PORT};

use crate::config::Config;
use crate::executors;
use crate::label;
use crate::lay;
use crate::name::{Names, SlugScheme};
use crate::shape::{Items, Shape};

/// The version whose ways are followed. A KubeSpawner that goes on with a state without one looks for names of before.
const KUBESPAWNER: &str = "7.1.0";

/// What the cluster is asked for.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Where it is.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Its name in the cluster's DNS.
    pub dns_name: String,
    /// The names that its claim may have: the one it is to have, and the one of before.
    pub claim: Option<ClaimNames>,
    /// The name of its claim by the template, whoever makes that.
    usual_claim: Option<String>,
    /// The name of the secret with its certificate, if it is to have one.
    pub secret: Option<String>,
    /// Where its executors are, if it may make any.
    pub executors: Option<executors::Place>,
    /// How it is made.
    pub shape: Shape,
    /// The site that is written on the pod.
    pub site: Option<String>,
    /// What templates may hold.
    names: Names,
}

impl Recipe {
    /// Reads a plan. What is not understood is refused.
    pub fn new(config: &Config, plan: &Plan, hub_namespace: &str) -> Result<Self, StartError> {
        let mut shape = config.shape.with(&plan.extra).map_err(unclear)?;
        // A certificate is of a name, and the address of a pod is known too late: as KubeSpawner has it.
        shape.services_enabled |= plan.certify.is_some();
        let mut recipe = Self::of(config, shape, &plan.identity, hub_namespace).map_err(unclear)?;
        if plan.certify.is_some() {
            recipe.secret = Some(recipe.secret_name(config).map_err(unclear)?);
        }
        Ok(recipe)
    }

    /// The same without what a plan adds.
    pub fn of(config: &Config, shape: Shape, server: &Identity, hub_namespace: &str) -> Result<Self, String> {
        let names = Names::new(server, config.slug_scheme, hub_namespace);
        let namespace = if config.enable_user_namespaces {
            let of_template = |what| format!("user_namespace_template: {what}");
            names.object(&config.user_namespace_template).map_err(of_template)?
        } else {
            hub_namespace.to_owned()
        };
        let names = names.with("namespace", &namespace);
        let name = names.object(&config.pod_name_template).map_err(|what| format!("pod_name_template: {what}"))?;
        if executors::is_namespace(&namespace) {
            return Err(format!("user_namespace_template: {namespace} is one for executors"));
        }
        let executors = executors::Place::of(config, &shape, server, hub_namespace, &name)?;
        let names = names.with("pod_name", &name);
        let dns_name = names
            .clone()
            .with("name", &name)
            .fill(&shape.dns_name_template)
            .map_err(|name| format!("dns_name_template: {name} is no field"))?;
        let of_before = Names::new(server, SlugScheme::Escape, hub_namespace);
        let of_before = of_before.with("namespace", &namespace).with("pod_name", &name);
        let claims = ClaimNames::of(config, &shape, &names, &of_before);
        // One that others make may be mounted too.
        let usual_claim = claims.as_ref().ok().map(|names| names.usual.clone());
        let claim = shape.storage_pvc_ensure.then_some(claims).transpose()?;
        let site = config.site.as_ref().map(|site| site.name.clone());
        Ok(Self { namespace, name, dns_name, claim, usual_claim, secret: None, executors, shape, site, names })
    }

    fn secret_name(&self, config: &Config) -> Result<String, String> {
        self.names.object(&config.secret_name_template).map_err(|what| format!("secret_name_template: {what}"))
    }

    /// The names by which it may be reached.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let (name, namespace) = (&self.name, &self.namespace);
        let usual = [name.clone(), format!("{name}.{namespace}"), format!("{name}.{namespace}.svc")];
        let mut hosts = vec![self.dns_name.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let chosen = self.host(&self.names).ok().flatten();
        for host in usual.into_iter().chain(chosen) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// The state that leads to what is made, as KubeSpawner keeps it.
    pub fn state(&self, claim: Option<&str>) -> Value {
        let mut state = json!({
            "kubespawner_version": KUBESPAWNER,
            "pod_name": self.name,
            "namespace": self.namespace,
            "dns_name": self.dns_name,
        });
        if let Some(claim) = claim {
            state["pvc_name"] = Value::from(claim);
        }
        state
    }

    /// The name it is reached by, when it is not the pod's address.
    fn host(&self, names: &Names) -> Result<Option<String>, String> {
        match &self.shape.pod_connect_ip {
            Some(template) => {
                // As KubeSpawner: at the end of each part goes what an empty server's name leaves.
                let parts: Result<Vec<String>, String> = template.split('.').map(|part| names.fill(part)).collect();
                let parts = parts.map_err(|name| format!("pod_connect_ip: {name} is no field"))?;
                Ok(Some(parts.join(".")))
            }
            None => Ok(self.shape.services_enabled.then(|| self.dns_name.clone())),
        }
    }

    fn with_claim(&self, claim: Option<&str>) -> Names {
        let name = claim.or(self.usual_claim.as_deref()).unwrap_or("pvc_name_unavailable");
        self.names.clone().with("pvc_name", name)
    }

    /// The labels and annotations of what is beside the pod and goes with it.
    pub fn written_beside(&self, server: &Identity) -> [BTreeMap<String, String>; 2] {
        let names = self.with_claim(None);
        let mut labels = filled_table(&self.shape.extra_labels, &names);
        labels.extend(self.shape.common_labels.clone());
        labels.extend(label::of_pod(server));
        let mut annotations = filled_table(&self.shape.extra_annotations, &names);
        annotations.extend(label::annotations(server));
        [labels, annotations]
    }

    /// The person's namespace.
    pub fn space(&self, config: &Config, server: &Identity) -> Result<Namespace, StartError> {
        let mut labels = filled_table(&config.user_namespace_labels, &self.names);
        labels.extend(label::of_person(server));
        let mut annotations = filled_table(&config.user_namespace_annotations, &self.names);
        annotations.insert(label::USERNAME.to_owned(), server.user.clone());
        let namespace = json!({ "metadata": {
            "name": self.namespace,
            "labels": labels,
            "annotations": annotations,
        }});
        lay::read(&namespace).map_err(unclear)
    }
}

/// The namespace of a server's pod, if the templates make one.
pub(crate) fn space_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<String> {
    Recipe::of(config, Shape::default(), server, hub_namespace).ok().map(|recipe| recipe.namespace)
}

/// Where a server's secret is, and its name.
pub(crate) fn secret_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<(String, String)> {
    let recipe = Recipe::of(config, config.shape.clone(), server, hub_namespace).ok()?;
    let name = recipe.secret_name(config).ok()?;
    Some((recipe.namespace, name))
}

pub(crate) fn unclear(what: String) -> StartError {
    if what == "no image was chosen" {
        return StartError::refused("no_image", "No image was chosen, and this hub has none for everybody.");
    }
    tracing::error!("settings for pods are not understood: {what}");
    StartError::refused(
        "settings_not_understood",
        "The settings of this server are not understood. Ask the people who run this hub.",
    )
}

fn set(target: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        target[name] = value.into();
    }
}

fn table(table: &BTreeMap<String, Value>) -> Map<String, Value> {
    table.clone().into_iter().collect()
}

fn camels(items: &Items) -> Value {
    items.iter().map(|item| Value::Object(lay::camel(item))).collect()
}

fn filled(items: &Items, names: &Names) -> Vec<Value> {
    items.iter().map(|item| names.fill_all(&Value::Object(lay::camel(item)))).collect()
}

fn filled_table(table: &BTreeMap<String, String>, names: &Names) -> BTreeMap<String, String> {
    table.iter().map(|(name, value)| (names.fill_or_leave(name), names.fill_or_leave(value))).collect()
}

#[cfg(test)]
mod tests;

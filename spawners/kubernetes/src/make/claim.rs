//! The claim for a server's storage: its names, whose it is by them, and how it is made.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};
use spawners::{Identity, StartError};

use super::{Recipe, filled_table, set, table, unclear};
use crate::config::Config;
use crate::label;
use crate::lay;
use crate::name::Names;
use crate::shape::Shape;

/// The names of a server's claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimNames {
    /// By the template.
    pub usual: String,
    /// As KubeSpawner made it before version 7, where that is another.
    pub legacy: Option<String>,
}

impl ClaimNames {
    /// `of_before` fills names in as they were before.
    pub(super) fn of(config: &Config, shape: &Shape, names: &Names, of_before: &Names) -> Result<Self, String> {
        let of_template = |what| format!("pvc_name_template: {what}");
        let usual = names.object(&shape.pvc_name_template).map_err(of_template)?;
        // A name of before that no claim can have is none that one has.
        let legacy = of_before.object(&shape.pvc_name_template).ok();
        let legacy = legacy.filter(|legacy| config.handle_legacy_names && *legacy != usual);
        Ok(Self { usual, legacy })
    }
}

impl Recipe {
    /// The claim for storage under this name.
    pub fn storage(&self, server: &Identity, name: &str) -> Result<PersistentVolumeClaim, StartError> {
        self.written_storage(server, name).map_err(unclear)
    }

    /// The same, and the error says what is wrong with the configuration.
    pub(super) fn written_storage(&self, server: &Identity, name: &str) -> Result<PersistentVolumeClaim, String> {
        let (shape, names) = (&self.shape, self.with_claim(Some(name)));
        let capacity = shape.storage_capacity.as_deref().ok_or("storage_capacity: has to say how much is claimed")?;
        let mut labels = filled_table(&shape.storage_extra_labels, &names);
        labels.extend(shape.common_labels.clone());
        labels.insert("component".to_owned(), "singleuser-storage".to_owned());
        labels.insert("app.kubernetes.io/component".to_owned(), shape.component_label.clone());
        labels.extend(label::of_server(server));
        let mut annotations = label::annotations(server);
        annotations.extend(filled_table(&shape.storage_extra_annotations, &names));
        let mut spec = json!({
            "accessModes": shape.storage_access_modes,
            "resources": { "requests": { "storage": capacity } },
        });
        set(&mut spec, "storageClassName", shape.storage_class.clone());
        if !shape.storage_selector.is_empty() {
            spec["selector"] = names.fill_all(&Value::Object(lay::camel(&table(&shape.storage_selector))));
        }
        let claim = json!({
            "metadata": { "name": name, "namespace": self.namespace, "labels": labels, "annotations": annotations },
            "spec": spec,
        });
        lay::read(&claim)
    }
}

/// Where a server's claim is, and its names, as they are for everybody.
pub(crate) fn claim_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<(String, ClaimNames)> {
    let mut shape = config.shape.clone();
    shape.storage_pvc_ensure = true;
    let recipe = Recipe::of(config, shape, server, hub_namespace).ok()?;
    Some((recipe.namespace, recipe.claim?))
}

/// Whether all servers of a person have the same claim.
pub(crate) fn is_common(config: &Config, server: &Identity, hub_namespace: &str) -> bool {
    let other = Identity { server: format!("{}x", server.server), ..server.clone() };
    is_same(config, [server, &other], hub_namespace)
}

/// Whether everybody has the same claim.
pub(crate) fn is_everybodys(config: &Config, server: &Identity, hub_namespace: &str) -> bool {
    let account = server.account.as_ref().map(|account| format!("0{account}"));
    let other = Identity { user: format!("{}x", server.user), account, ..server.clone() };
    is_same(config, [server, &other], hub_namespace)
}

fn is_same(config: &Config, servers: [&Identity; 2], hub_namespace: &str) -> bool {
    let [one, other] = servers
        .map(|server| claim_of(config, server, hub_namespace).map(|(namespace, names)| (namespace, names.usual)));
    one == other
}

/// The names of a server's claim, if that is its alone: named servers may share one with their person's other servers, and
/// all people may share one.
pub(crate) fn own_claim(config: &Config, server: &Identity, hub_namespace: &str) -> Option<(String, ClaimNames)> {
    let is_shared = is_everybodys(config, server, hub_namespace)
        || !server.server.is_empty() && is_common(config, server, hub_namespace);
    if is_shared { None } else { claim_of(config, server, hub_namespace) }
}

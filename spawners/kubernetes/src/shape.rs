//! How pods are made: what a deployment sets once, and what profiles and flavours may change for one server. The names,
//! and what they are without being written, are KubeSpawner's, but for the time that servers have to end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::executors::Executors;
use crate::lay;

/// How the pods of servers are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Shape {
    /// The image of servers. What people choose in `[options]` comes before it.
    pub image: Option<String>,
    /// When a node pulls it: `Always`, `IfNotPresent` or `Never`. Without it: as the cluster has it, by the image's tag.
    pub image_pull_policy: Option<String>,
    /// Secrets with logins at registries.
    pub image_pull_secrets: Vec<Named>,
    /// What else a server is sure to have, such as `"ephemeral-storage" = "1Gi"`. `cpu` and `memory` here come before
    /// `cpu_guarantee` and `mem_guarantee`.
    pub extra_resource_guarantees: BTreeMap<String, Amount>,
    /// The most it may have of them. Extended resources such as `"nvidia.com/gpu" = "1"` belong here. `cpu` and `memory` here
    /// come before `cpu_limit` and `mem_limit`.
    pub extra_resource_limits: BTreeMap<String, Amount>,
    /// Labels of the nodes that servers may run on.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that servers do not mind.
    pub tolerations: Items,
    /// Nodes that are better: `PreferredSchedulingTerm`.
    pub node_affinity_preferred: Items,
    /// Nodes that it has to be: `NodeSelectorTerm`, one of which has to hold.
    pub node_affinity_required: Items,
    /// Pods that it is better to be near: `WeightedPodAffinityTerm`.
    pub pod_affinity_preferred: Items,
    /// Pods that it has to be near: `PodAffinityTerm`.
    pub pod_affinity_required: Items,
    /// Pods that it is better to be away from: `WeightedPodAffinityTerm`.
    pub pod_anti_affinity_preferred: Items,
    /// Pods that it has to be away from: `PodAffinityTerm`.
    pub pod_anti_affinity_required: Items,
    /// The scheduler; the cluster's own without it.
    pub scheduler_name: Option<String>,
    /// The priority class.
    pub priority_class_name: Option<String>,
    /// Volumes, in the words of Kubernetes. Templates are filled in, as everywhere in volumes and containers.
    pub volumes: Items,
    /// Where they are in the server: `{ name = "home", mountPath = "/home/jovyan" }`.
    pub volume_mounts: Items,
    /// Makes a claim for storage where there is none. It has to be in `volumes` too, as
    /// `{ name = "home", persistentVolumeClaim = { claimName = "{pvc_name}" } }`.
    pub storage_pvc_ensure: bool,
    /// The name of the claim.
    pub pvc_name_template: String,
    /// How much storage is claimed, such as `10Gi`.
    pub storage_capacity: Option<String>,
    /// The storage class; the cluster's own without it. An empty text means none: storage that was made beforehand.
    pub storage_class: Option<String>,
    /// How the storage may be mounted.
    pub storage_access_modes: Vec<String>,
    /// Which storage the claim may be given, in the words of Kubernetes.
    pub storage_selector: BTreeMap<String, Value>,
    /// Further labels of claims.
    pub storage_extra_labels: BTreeMap<String, String>,
    /// Further annotations of claims.
    pub storage_extra_annotations: BTreeMap<String, String>,
    /// Deletes a server's claim, and so its files, when the server is deleted for good: a named server, if its claim is its
    /// own, or the person. A stop never does.
    pub delete_pvc: bool,
    /// Keeps the claim that a server has when `pvc_name_template` makes another name by now.
    pub remember_pvc_name: bool,
    /// Containers that run to their end before the server starts.
    pub init_containers: Items,
    /// Containers beside the server.
    pub extra_containers: Items,
    /// What else is said of the server's container, in the words of Kubernetes, such as `envFrom`.
    pub extra_container_config: BTreeMap<String, Value>,
    /// What else is said of the pod, in the words of Kubernetes.
    pub extra_pod_config: BTreeMap<String, Value>,
    /// What is done to the finished pod, as operations of JSON Patch (RFC 6902), such as `{ op = "remove", path =
    /// "/spec/tolerations" }`. It comes last, and cannot change whose pod it is.
    pub modify_pod: Items,
    /// The folder that servers start in. Templates are filled in. Without it: the image's own.
    pub working_dir: Option<String>,
    /// `postStart` and `preStop` of the server's container.
    pub lifecycle_hooks: BTreeMap<String, Value>,
    /// The service account of servers.
    pub service_account: Option<String>,
    /// Whether servers have its token. Without it: only if `service_account` is set.
    pub automount_service_account_token: Option<bool>,
    /// Lets the programs in a server make pods of their own, as Spark and Dask do: see [executors.md](executors.md). They are
    /// in a namespace of their own, so there has to be `executor_namespaces`.
    pub executors: Option<Executors>,
    /// The user servers run as. Without it: the image's own.
    pub uid: Option<i64>,
    /// The group servers run as.
    pub gid: Option<i64>,
    /// The group that new volumes belong to.
    pub fs_gid: Option<i64>,
    /// Further groups of servers.
    pub supplemental_gids: Vec<i64>,
    /// Gives servers all rights on their node.
    pub privileged: bool,
    /// Lets servers gain rights (sudo, set-user-id programs).
    pub allow_privilege_escalation: Option<bool>,
    /// The security context of the server's container; it comes before the options above.
    pub container_security_context: BTreeMap<String, Value>,
    /// The security context of the pod; it comes before the options above.
    pub pod_security_context: BTreeMap<String, Value>,
    /// Labels of all that is made.
    pub common_labels: BTreeMap<String, String>,
    /// Further labels of pods, and of their services and secrets. Templates are filled in.
    pub extra_labels: BTreeMap<String, String>,
    /// Further annotations of pods, and of their services and secrets. Templates are filled in.
    pub extra_annotations: BTreeMap<String, String>,
    /// The label `component` of pods.
    pub component_label: String,
    /// Makes a service for each server, and reaches servers by its name.
    pub services_enabled: bool,
    /// The name that a server has in the cluster's DNS.
    pub dns_name_template: String,
    /// How servers are reached, when it is not the address of their pod, such as `{pod_name}.labs.example`.
    pub pod_connect_ip: Option<String>,
}

impl Default for Shape {
    fn default() -> Self {
        let nothing = Items::default;
        let labels = [
            ("app.kubernetes.io/name", "jupyterhub"),
            ("app.kubernetes.io/managed-by", "specola"),
            ("app", "jupyterhub"),
            ("heritage", "jupyterhub"),
        ];
        Self {
            image: None,
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            extra_resource_guarantees: BTreeMap::new(),
            extra_resource_limits: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            tolerations: nothing(),
            node_affinity_preferred: nothing(),
            node_affinity_required: nothing(),
            pod_affinity_preferred: nothing(),
            pod_affinity_required: nothing(),
            pod_anti_affinity_preferred: nothing(),
            pod_anti_affinity_required: nothing(),
            scheduler_name: None,
            priority_class_name: None,
            volumes: nothing(),
            volume_mounts: nothing(),
            storage_pvc_ensure: false,
            pvc_name_template: "claim-{user_server}".to_owned(),
            storage_capacity: None,
            storage_class: None,
            storage_access_modes: vec!["ReadWriteOnce".to_owned()],
            storage_selector: BTreeMap::new(),
            storage_extra_labels: BTreeMap::new(),
            storage_extra_annotations: BTreeMap::new(),
            delete_pvc: true,
            remember_pvc_name: true,
            init_containers: nothing(),
            extra_containers: nothing(),
            extra_container_config: BTreeMap::new(),
            extra_pod_config: BTreeMap::new(),
            modify_pod: nothing(),
            working_dir: None,
            lifecycle_hooks: BTreeMap::new(),
            service_account: None,
            automount_service_account_token: None,
            executors: None,
            uid: None,
            gid: None,
            fs_gid: None,
            supplemental_gids: Vec::new(),
            privileged: false,
            allow_privilege_escalation: Some(false),
            container_security_context: BTreeMap::new(),
            pod_security_context: BTreeMap::new(),
            common_labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            extra_labels: BTreeMap::new(),
            extra_annotations: BTreeMap::new(),
            component_label: "singleuser-server".to_owned(),
            services_enabled: false,
            dns_name_template: "{name}.{namespace}.svc.cluster.local".to_owned(),
            pod_connect_ip: None,
        }
    }
}

impl Shape {
    /// The shape with what was chosen for one server laid over it. The error names what is not understood.
    pub fn with(&self, changes: &Map<String, Value>) -> Result<Self, String> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let is_fixed = |name: &str| name == "pvc_name_template" || merged.get(name).is_none();
        if let Some(unknown) = changes.keys().find(|name| is_fixed(name)) {
            return Err(format!("{unknown} is nothing that can be set for one server"));
        }
        lay::merge(&mut merged, &Value::Object(changes.clone()));
        // As nothing was written, where an option is taken away.
        if let Value::Object(options) = &mut merged {
            options.retain(|_, value| !value.is_null());
        }
        without_nulls(&mut merged);
        serde_json::from_value(merged).map_err(|error| error.to_string())
    }
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(table) = value {
        table.retain(|_, value| !value.is_null());
        table.values_mut().for_each(without_nulls);
    }
}

/// A list of things in the words of Kubernetes. A table is one too, in the order of its names, as KubeSpawner has it: one
/// table is merged into another, where a list takes the place of what was there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Items {
    /// In the order as written.
    List(Vec<Map<String, Value>>),
    /// By names that are for whoever writes it.
    Table(BTreeMap<String, Map<String, Value>>),
}

impl Items {
    /// What there is, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Map<String, Value>> + '_> {
        match self {
            Self::List(items) => Box::new(items.iter()),
            Self::Table(items) => Box::new(items.values()),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Table(items) => items.is_empty(),
        }
    }
}

impl Default for Items {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<Map<String, Value>>),
            Table(BTreeMap<String, Map<String, Value>>),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::List(items)) => Ok(Self::List(items)),
            Ok(Written::Table(items)) => Ok(Self::Table(items)),
            Err(_) => Err(serde::de::Error::custom("has to be a list of tables")),
        }
    }
}

impl JsonSchema for Items {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Items".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<BTreeMap<String, Value>>::json_schema(generator)
    }
}

/// How much of something, as Kubernetes writes it: a text, or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(serde::de::Error::custom("has to be an amount, such as \"1\" or \"10Gi\"")),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// A reference by name: a text, or a table with `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Named(pub String);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Table { name: String },
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Text(name) | Written::Table { name }) => Ok(Self(name)),
            Err(_) => Err(serde::de::Error::custom("has to be a name")),
        }
    }
}

impl JsonSchema for Named {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_was_chosen_lies_over_what_was_configured() {
        let mut shape = Shape::default();
        shape.node_selector.insert("pool".into(), "users".into());
        let changed = shape
            .with(&changes(json!({
                "node_selector": {"gpu": "yes", "pool": null},
                "tolerations": {"b": {"key": "two"}, "a": {"key": "one"}},
                "image_pull_secrets": ["first", {"name": "second"}],
                "allow_privilege_escalation": null,
                "extra_resource_limits": {"nvidia.com/gpu": 1, "ephemeral-storage": "1Gi"},
            })))
            .unwrap();
        assert_eq!(changed.node_selector.into_iter().collect::<Vec<_>>(), [("gpu".to_owned(), "yes".to_owned())]);
        let keys: Vec<&Value> = changed.tolerations.iter().filter_map(|item| item.get("key")).collect();
        assert_eq!(keys, ["one", "two"], "in the order of their names");
        assert_eq!(changed.image_pull_secrets, [Named("first".into()), Named("second".into())]);
        assert_eq!(changed.extra_resource_limits["nvidia.com/gpu"], Amount("1".into()));
        assert_eq!(changed.allow_privilege_escalation, Some(false), "as if nothing was written");
        assert_eq!(shape.with(&Map::new()).unwrap(), shape);
    }

    /// As KubeSpawner has it, where both are tables.
    #[test]
    fn a_table_of_things_is_merged_into_the_one_that_is_there() {
        let tables = [
            "volumes",
            "volume_mounts",
            "init_containers",
            "extra_containers",
            "tolerations",
            "node_affinity_required",
        ];
        for option in tables {
            let written = json!({ option: {"home": {"name": "home", "a": {"b": 1}}, "other": {"name": "other"}} });
            let shape = Shape::default().with(&changes(written)).unwrap();
            let more = json!({ option: {"data": {"name": "data"}, "home": {"a": {"c": 2}}, "other": null} });
            let merged = shape.with(&changes(more)).unwrap();
            let expected = json!([{"name": "data"}, {"name": "home", "a": {"b": 1, "c": 2}}]);
            let of = |shape: &Shape| serde_json::to_value(shape).unwrap()[option].clone();
            let Value::Object(table) = of(&merged) else { panic!("{option} is no table any more") };
            assert_eq!(Value::Array(table.into_iter().map(|(_, item)| item).collect()), expected, "{option}");
            let list = shape.with(&changes(json!({ option: [{"name": "alone"}] }))).unwrap();
            assert_eq!(of(&list), json!([{"name": "alone"}]), "a list takes the place of it");
        }
    }

    #[test]
    fn what_no_pod_understands_is_refused() {
        for wrong in [
            json!({"network_name": "x"}),
            json!({"namespace": "other"}),
            json!({"pvc_name_template": "claim-of-everybody"}),
            json!({"uid": "root"}),
            json!({"tolerations": "all"}),
            json!({"volumes": [1]}),
        ] {
            assert!(Shape::default().with(&changes(wrong.clone())).is_err(), "{wrong}");
        }
    }
}

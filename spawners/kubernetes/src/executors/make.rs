//! What is made for the executors of one start: pure functions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use spawners::{Identity, Plan};

use super::{ExecutorNamespaces, Executors, Place};
use crate::label;
use crate::lay;

/// The label of namespaces for executors.
pub(crate) const EXECUTORS: &str = "specola.executors";
/// The annotation of such namespaces that says where their server is.
pub(super) const LABS: &str = "specola.labs";
/// The name of what there is one of in a namespace.
pub(super) const NAME: &str = "specola";
/// What a pod may do there, enforced by the cluster since Kubernetes 1.23.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// What is in the secret.
pub(super) mod key {
    /// The server's own token at the hub.
    pub const TOKEN: &str = "token";
    /// What the agent beside an executor wants to be told by those who ask it for keys.
    pub const KEYS: &str = "keys";
    /// What the hub wants to be told by programs that ask it for keys.
    pub const AUTHORIZATION: &str = "authorization";
}

/// The namespace, with whose it is, and where its server is.
pub(super) fn space(
    namespaces: &ExecutorNamespaces,
    place: &Place,
    namespace: &str,
    server: &Identity,
) -> Result<Namespace, String> {
    let mut labels = namespaces.labels.clone();
    labels.insert(POD_SECURITY.to_owned(), namespaces.pod_security.clone());
    labels.insert(EXECUTORS.to_owned(), "yes".to_owned());
    labels.extend(label::of_pod(server));
    let mut annotations = label::annotations(server);
    annotations.insert(LABS.to_owned(), namespace.to_owned());
    lay::read(&json!({ "metadata": { "name": place.namespace, "labels": labels, "annotations": annotations } }))
}

/// The account of a server, beside its pod. It has no rights but those in the namespace of the start at hand.
pub(super) fn account(
    place: &Place,
    namespace: &str,
    server: &Identity,
    common: &BTreeMap<String, String>,
) -> Result<ServiceAccount, String> {
    let mut labels = common.clone();
    labels.extend(label::of_server(server));
    labels.insert(EXECUTORS.to_owned(), "yes".to_owned());
    lay::read(&json!({ "metadata": {
        "name": place.account, "namespace": namespace, "labels": labels, "annotations": label::annotations(server),
    }}))
}

/// What gives the account its rights, and the hub those to end pods.
pub(super) fn binding(namespaces: &ExecutorNamespaces, place: &Place, namespace: &str) -> Result<RoleBinding, String> {
    let group = "rbac.authorization.k8s.io";
    let mut subjects = vec![json!({ "kind": "ServiceAccount", "name": place.account, "namespace": namespace })];
    let hub = namespaces.hub_user.iter();
    subjects.extend(hub.map(|name| json!({ "apiGroup": group, "kind": "User", "name": name })));
    lay::read(&json!({
        "metadata": { "name": NAME, "namespace": place.namespace },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": namespaces.role },
        "subjects": subjects,
    }))
}

/// What there is none of without a word of the operator's: services, of which each could take addresses that others ask
/// (`externalIPs`), storage, and GPUs.
const NONE: [&str; 5] =
    ["services", "services.nodeports", "services.loadbalancers", "persistentvolumeclaims", "requests.nvidia.com/gpu"];
/// How many config maps there may be: Spark makes one for each session, and the cluster has one of its own.
const CONFIG_MAPS: &str = "20";

/// The bounds.
pub(super) fn quota(executors: &Executors, place: &Place) -> Result<ResourceQuota, String> {
    let mut hard: Map<String, Value> = NONE.map(|name| (name.to_owned(), Value::from("0"))).into_iter().collect();
    hard.insert("count/configmaps".to_owned(), Value::from(CONFIG_MAPS));
    hard.extend(executors.pods.map(|pods| ("pods".to_owned(), Value::from(pods.to_string()))));
    hard.extend(executors.cpu.iter().map(|cpu| ("requests.cpu".to_owned(), Value::from(cpu.0.as_str()))));
    for name in ["requests.memory", "limits.memory"] {
        hard.extend(executors.memory.iter().map(|memory| (name.to_owned(), Value::from(memory.0.as_str()))));
    }
    hard.extend(executors.quota.iter().map(|(name, amount)| (name.clone(), Value::from(amount.0.as_str()))));
    lay::read(&json!({
        "metadata": { "name": NAME, "namespace": place.namespace }, "spec": { "hard": hard },
    }))
}

/// Nothing there comes before what the cluster itself runs.
pub(super) fn quota_of_critical(place: &Place) -> Result<ResourceQuota, String> {
    let critical = ["system-node-critical", "system-cluster-critical"];
    lay::read(&json!({
        "metadata": { "name": format!("{NAME}-critical"), "namespace": place.namespace },
        "spec": {
            "hard": { "pods": "0" },
            "scopeSelector": { "matchExpressions": [
                { "scopeName": "PriorityClass", "operator": "In", "values": critical },
            ]},
        },
    }))
}

/// Who may reach executors, and whom they may reach: each other and their own server, and where an operator lets them go.
/// Their own server is no pod that somebody made among executors, whatever its labels.
pub(super) fn policy(
    namespaces: &ExecutorNamespaces,
    namespace: &str,
    server: &Identity,
) -> Result<Option<NetworkPolicy>, String> {
    let Some(allowed) = &namespaces.egress else { return Ok(None) };
    let own = json!([
        { "podSelector": {} },
        {
            "namespaceSelector": { "matchExpressions": [{ "key": EXECUTORS, "operator": "DoesNotExist" }] },
            "podSelector": { "matchLabels": label::of_start(server) },
        },
    ]);
    let mut egress = vec![json!({ "to": own })];
    egress.extend(allowed.iter().map(|rule| Value::Object(rule.clone())));
    lay::read(&json!({
        "metadata": { "name": NAME, "namespace": namespace },
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": own }],
            "egress": egress,
        },
    }))
    .map(Some)
}

/// By what executors ask for keys, as their server does.
pub(super) fn secret(place: &Place, plan: &Plan) -> Result<Secret, String> {
    let mut data = BTreeMap::new();
    if let Some(token) = variable(plan, "JUPYTERHUB_API_TOKEN") {
        data.insert(key::TOKEN, token.to_owned());
        // Another than that token, and the same whoever goes on with a start.
        data.insert(key::KEYS, hex::encode(Sha256::digest(format!("keys for executors: {token}"))));
    }
    data.extend(variable(plan, "AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|text| (key::AUTHORIZATION, text.to_owned())));
    lay::read(&json!({ "metadata": { "name": NAME, "namespace": place.namespace }, "stringData": data }))
}

/// What a server is told.
pub(super) fn variable<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    plan.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

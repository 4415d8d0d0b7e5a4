//! What a server finds that may make executors: its account, variables that Spark and Dask read, and templates of their
//! pods, which are annotations of its own pod shown as files.

use serde_json::{Map, Value, json};
use spawners::Plan;

use super::make::{NAME, key, variable};
use super::{ExecutorNamespaces, Executors, Place, RESTRICTED};
use crate::lay;
use crate::shape::Shape;

/// Where a server finds the templates.
const FOLDER: &str = "/etc/specola/executors";
/// The volume with them.
const VOLUME: &str = "specola-executors";
/// The templates: file, annotation, and the command of a pod's first container.
const TEMPLATES: [(&str, &str, &[&str]); 2] =
    [("spark.yaml", "specola.executors.spark", &[]), ("dask.yaml", "specola.executors.dask", &DASK_WORKER)];
/// A worker takes all memory of its container. By itself it would take one processor's part of it, of as many as the machine has.
const DASK_WORKER: [&str; 7] = ["dask-worker", "--nthreads", "1", "--memory-limit", "1.0", "--death-timeout", "60"];
/// The name of the container in which an executor is.
const CONTAINER: &str = "executor";
/// Where the agent beside an executor gives out keys.
const COUNTER: &str = "127.0.0.1:9912";
/// Where Spark's driver and its blocks are, and its page.
const SPARK_PORTS: [(&str, u16); 3] =
    [("spark.driver.port", 2222), ("spark.driver.blockManager.port", 7777), ("spark.ui.port", 4040)];
/// What executors are told of object stores, as their server is.
const OF_STORAGE: [&str; 5] = [
    "SPECOLA_STORAGE_NAMES",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
];

/// Whether an annotation is a template, which only its server reads.
pub(crate) fn is_template(annotation: &str) -> bool {
    TEMPLATES.iter().any(|(_, name, _)| *name == annotation)
}

/// Gives a pod all this. Variables that it has already stay. The error is what Kubernetes would not understand.
pub(crate) fn dress(
    pod: &mut Value,
    namespaces: &ExecutorNamespaces,
    shape: &Shape,
    place: &Place,
    plan: &Plan,
    image: &str,
) -> Result<(), String> {
    let Some(executors) = &shape.executors else { return Ok(()) };
    let image = executors.image.as_deref().unwrap_or(image);
    let mut files = Vec::new();
    for (file, annotation, command) in TEMPLATES {
        let template = template(namespaces, executors, shape, place, plan, image, command);
        lay::read::<k8s_openapi::api::core::v1::Pod>(&template).map_err(|what| format!("executors: {what}"))?;
        pod["metadata"]["annotations"][annotation] = Value::from(template.to_string());
        let path = format!("metadata.annotations['{annotation}']");
        files.push(json!({ "path": file, "fieldRef": { "fieldPath": path } }));
    }
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = Value::from(place.account.as_str());
    spec["automountServiceAccountToken"] = Value::Bool(true);
    push(&mut spec["volumes"], json!({ "name": VOLUME, "downwardAPI": { "items": files } }));
    let container = &mut spec["containers"][0];
    push(&mut container["volumeMounts"], json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true }));
    let own = container["env"].as_array().cloned().unwrap_or_default();
    let host = json!({ "name": "SPECOLA_DRIVER_HOST", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } });
    let variables = [
        ("SPECOLA_EXECUTOR_NAMESPACE", place.namespace.clone()),
        ("SPECOLA_EXECUTOR_TEMPLATE", format!("{FOLDER}/{}", TEMPLATES[0].0)),
        ("DASK_KUBERNETES__NAMESPACE", place.namespace.clone()),
        ("DASK_KUBERNETES__WORKER_TEMPLATE_PATH", format!("{FOLDER}/{}", TEMPLATES[1].0)),
        // A scheduler elsewhere needs a service, and the quota has none.
        ("DASK_KUBERNETES__DEPLOY_MODE", "local".to_owned()),
        ("PYSPARK_SUBMIT_ARGS", spark(place, plan, image)),
    ];
    // A variable is filled in only where it stands before.
    let mut environment = vec![host];
    environment.extend(own.iter().cloned());
    let is_own = |name: &str| own.iter().any(|variable| variable["name"] == name);
    let more = variables.into_iter().filter(|(name, _)| !is_own(name));
    environment.extend(more.map(|(name, value)| json!({ "name": name, "value": value })));
    container["env"] = Value::Array(environment);
    Ok(())
}

/// How `pyspark` is to find executors, and they it. What a program says of its own session comes before this.
fn spark(place: &Place, plan: &Plan, image: &str) -> String {
    let mut options = vec![
        ("spark.kubernetes.namespace", place.namespace.clone()),
        ("spark.kubernetes.container.image", image.to_owned()),
        ("spark.kubernetes.executor.podTemplateFile", format!("{FOLDER}/{}", TEMPLATES[0].0)),
        ("spark.kubernetes.executor.podTemplateContainerName", CONTAINER.to_owned()),
        ("spark.driver.host", "$(SPECOLA_DRIVER_HOST)".to_owned()),
        ("spark.driver.bindAddress", "$(SPECOLA_DRIVER_HOST)".to_owned()),
        // Spark hands a secret of its own to its executors, and believes nobody without.
        ("spark.authenticate", "true".to_owned()),
        ("spark.network.crypto.enabled", "true".to_owned()),
    ];
    options.extend(SPARK_PORTS.map(|(name, port)| (name, port.to_string())));
    if let Some(endpoint) = variable(plan, "AWS_ENDPOINT_URL_S3") {
        options.push(("spark.hadoop.fs.s3a.endpoint", endpoint.to_owned()));
        options.push(("spark.hadoop.fs.s3a.path.style.access", "true".to_owned()));
    }
    let options: String = options.iter().map(|(name, value)| format!("--conf {name}={value} ")).collect();
    format!("--master k8s://https://kubernetes.default.svc --deploy-mode client {options}pyspark-shell")
}

/// A pod of an executor.
fn template(
    namespaces: &ExecutorNamespaces,
    executors: &Executors,
    shape: &Shape,
    place: &Place,
    plan: &Plan,
    image: &str,
    command: &[&str],
) -> Value {
    let (executor, agent) = keys(namespaces, plan);
    let mut container = json!({
        "name": CONTAINER, "image": image, "env": executor,
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        "resources": { "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "memory": "1Gi" } },
    });
    if let Some(policy) = &shape.image_pull_policy {
        container["imagePullPolicy"] = Value::from(policy.as_str());
    }
    if !command.is_empty() {
        container["args"] = Value::from(command);
    }
    let mut security = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    if namespaces.pod_security == RESTRICTED {
        security["runAsNonRoot"] = Value::Bool(true);
    }
    // The server's own image runs as it does there.
    if let (None, Some(uid @ 1..)) = (&executors.image, shape.uid) {
        security["runAsUser"] = Value::from(uid);
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "securityContext": security,
        "containers": [container],
        "nodeSelector": shape.node_selector,
        "tolerations": shape.tolerations.iter().map(|item| Value::Object(lay::camel(item))).collect::<Value>(),
    });
    if let (Some(image), Some(agent)) = (&namespaces.agent_image, agent) {
        let mut beside = json!({
            "name": "specola-agent", "image": image, "command": ["specola-lab-agent"], "env": agent,
            "securityContext": {
                "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000,
                "capabilities": { "drop": ["ALL"] },
            },
            // A quota of as many processors as executors has room for them all.
            "resources": { "requests": { "cpu": "0", "memory": "64Mi" }, "limits": { "memory": "64Mi" } },
        });
        if let Some(policy) = &shape.image_pull_policy {
            beside["imagePullPolicy"] = Value::from(policy.as_str());
        }
        push(&mut spec["containers"], beside);
        // The agent sees the executor end, and ends.
        spec["shareProcessNamespace"] = Value::Bool(true);
    }
    let more: Map<String, Value> = executors.pod.clone().into_iter().collect();
    lay::merge(&mut spec, &Value::Object(lay::camel(&more)));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": place.namespace, "labels": { "app.kubernetes.io/component": "executor" } },
        "spec": spec,
    })
}

/// What an executor has to know of object stores, and what an agent beside it has to. Nothing of it is a secret itself.
fn keys(namespaces: &ExecutorNamespaces, plan: &Plan) -> (Vec<Value>, Option<Vec<Value>>) {
    let plain = |name: &str, value: &str| json!({ "name": name, "value": value });
    let hidden = |name: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": NAME, "key": key, "optional": true } } });
    let names = variable(plan, OF_STORAGE[0]).unwrap_or_default();
    let Some(first) = names.split_whitespace().next() else { return (Vec::new(), None) };
    let is_told = |name: &str| OF_STORAGE.contains(&name) || name.starts_with("RCLONE_CONFIG_");
    let told = plan.environment.iter().filter(|(name, _)| is_told(name));
    let mut executor: Vec<Value> = told.map(|(name, value)| plain(name, value)).collect();
    // Where programs of AWS take keys from the hub itself, nobody has to stand between.
    if let Some(url) = variable(plan, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
        && namespaces.agent_image.is_none()
    {
        executor.push(plain("AWS_CONTAINER_CREDENTIALS_FULL_URI", url));
        executor.push(hidden("AWS_CONTAINER_AUTHORIZATION_TOKEN", key::AUTHORIZATION));
        return (executor, None);
    }
    let mut agent = vec![
        plain("SPECOLA_STORAGE_LISTEN", COUNTER),
        hidden("SPECOLA_STORAGE_TOKEN", key::KEYS),
        plain(OF_STORAGE[0], names),
    ];
    agent.extend(variable(plan, "JUPYTERHUB_API_URL").map(|url| plain("JUPYTERHUB_API_URL", url)));
    agent.push(hidden("JUPYTERHUB_API_TOKEN", key::TOKEN));
    let url = format!("http://{COUNTER}/credentials/{first}");
    executor.push(plain("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url));
    executor.push(hidden("AWS_CONTAINER_AUTHORIZATION_TOKEN", key::KEYS));
    if namespaces.agent_image.is_none() {
        // The agent is what the image of the executor begins with.
        executor.extend(agent.iter().filter(|variable| variable["name"] != OF_STORAGE[0]).cloned());
        return (executor, None);
    }
    agent.push(plain("SPECOLA_PROCESSES", "/proc"));
    (executor, Some(agent))
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

//! The pod of a server.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};
use spawners::{Identity, Plan, StartError};

use super::affinity::affinity;
use super::environment::{environment, in_order, port};
use super::resources::resources;
use super::{Recipe, camels, filled, filled_table, security, set, table, unclear};
use crate::config::Config;
use crate::executors;
use crate::label;
use crate::lay;
use crate::name::Names;
use crate::papers;
use crate::shape::Items;

/// KubeSpawner's name for the container with the server.
pub(crate) const CONTAINER: &str = "notebook";
/// KubeSpawner's name for its port.
pub(crate) const PORT: &str = "notebook-port";
/// What of a chosen volume is about its place in the server.
const OF_MOUNT: [&str; 5] = ["mountPath", "subPath", "subPathExpr", "readOnly", "mountPropagation"];

impl Recipe {
    /// The pod. `claim` is the name of the claim that was found or will be made.
    pub fn pod(&self, config: &Config, plan: &Plan, claim: Option<&str>) -> Result<Pod, StartError> {
        self.written_pod(config, plan, claim).map_err(unclear)
    }

    /// The same, and the error says what is wrong with the configuration.
    pub(super) fn written_pod(&self, config: &Config, plan: &Plan, claim: Option<&str>) -> Result<Pod, String> {
        let (shape, names) = (&self.shape, self.with_claim(claim));
        let image = plan.image.as_ref().or(shape.image.as_ref()).ok_or("no image was chosen")?;
        let (mut volumes, mut mounts) = (filled(&shape.volumes, &names), filled(&shape.volume_mounts, &names));
        for (name, words) in &plan.volumes {
            let (volume, mount) = chosen(name, words, &names)?;
            volumes.extend(volume);
            mounts.push(mount);
        }
        if let Some(secret) = &self.secret {
            let (volume, mount) = papers::volume(config, secret);
            volumes.push(volume);
            mounts.push(mount);
        }
        let mut containers = vec![self.container(config, plan, image, mounts, &names)?];
        containers.extend(filled(&shape.extra_containers, &names));
        let mut pod = json!({
            "metadata": self.metadata(config, plan, &names)?,
            "spec": self.spec(config, containers, volumes, &names)?,
        });
        if let (Some(place), Some(namespaces)) = (&self.executors, &config.executor_namespaces) {
            executors::dress(&mut pod, namespaces, shape, place, plan, image)?;
        }
        modify(&mut pod, &shape.modify_pod, &names).map_err(|what| format!("modify_pod: {what}"))?;
        self.seal(pod, &plan.identity)
    }

    /// The container with the server.
    fn container(
        &self,
        config: &Config,
        plan: &Plan,
        image: &str,
        mounts: Vec<Value>,
        names: &Names,
    ) -> Result<Value, String> {
        let shape = &self.shape;
        let mut container = json!({
            "name": CONTAINER,
            "image": image,
            "ports": [{ "name": PORT, "containerPort": port(config, plan) }],
            "env": environment(config, plan, image, names),
            "volumeMounts": mounts,
            "resources": resources(shape, plan),
            "securityContext": security::of_container(shape),
        });
        set(&mut container, "imagePullPolicy", shape.image_pull_policy.clone());
        set(&mut container, "workingDir", shape.working_dir.as_ref().map(|folder| names.fill_or_leave(folder)));
        if !plan.cmd.is_empty() {
            // The image's own entry point stays, as with KubeSpawner.
            container["args"] = plan.cmd.iter().chain(&plan.args).map(|word| literal(word)).collect();
        }
        if !shape.lifecycle_hooks.is_empty() {
            container["lifecycle"] = Value::Object(lay::camel(&table(&shape.lifecycle_hooks)));
        }
        let more = names.fill_all(&Value::Object(lay::camel(&table(&shape.extra_container_config))));
        put(&mut container, &more, &["env", "volumeMounts"], &["name", "image", "ports"])
            .map_err(|what| format!("extra_container_config: {what}"))?;
        if let Value::Array(variables) = container["env"].take() {
            container["env"] = in_order(variables).into();
        }
        Ok(container)
    }

    /// What there is in the pod, and where it may be.
    fn spec(
        &self,
        config: &Config,
        containers: Vec<Value>,
        volumes: Vec<Value>,
        names: &Names,
    ) -> Result<Value, String> {
        let shape = &self.shape;
        let secrets = shape.image_pull_secrets.iter().map(|secret| json!({ "name": secret.0 }));
        let mut spec = json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": config.delete_grace_period.as_secs(),
            "containers": containers,
            "initContainers": filled(&shape.init_containers, names),
            "volumes": volumes,
            "securityContext": security::of_pod(shape),
            "tolerations": camels(&shape.tolerations),
            "nodeSelector": shape.node_selector,
            "affinity": affinity(shape),
            "imagePullSecrets": secrets.collect::<Value>(),
        });
        set(&mut spec, "schedulerName", shape.scheduler_name.clone());
        set(&mut spec, "priorityClassName", shape.priority_class_name.clone());
        let account = shape.service_account.as_ref().map(|name| names.fill_or_leave(name));
        // Nobody's server may ask the cluster for anything, unless somebody has said so.
        let token = shape.automount_service_account_token.or(account.is_none().then_some(false));
        set(&mut spec, "serviceAccountName", account);
        set(&mut spec, "automountServiceAccountToken", token);
        let more = names.fill_all(&Value::Object(lay::camel(&table(&shape.extra_pod_config))));
        put(&mut spec, &more, &["volumes"], &["containers"]).map_err(|what| format!("extra_pod_config: {what}"))?;
        Ok(spec)
    }

    /// What is written on the pod: whose it is, and how it is reached.
    fn metadata(&self, config: &Config, plan: &Plan, names: &Names) -> Result<Value, String> {
        let shape = &self.shape;
        let mut annotations = label::annotations(&plan.identity);
        annotations.extend(filled_table(&shape.extra_annotations, names));
        annotations.insert(label::PREFIX.to_owned(), plan.prefix.clone());
        if let Some(host) = self.host(names)? {
            annotations.insert(label::HOST.to_owned(), host);
        }
        let family = if config.ip.contains(':') { "6" } else { "4" };
        annotations.insert(label::FAMILY.to_owned(), family.to_owned());
        if shape.services_enabled {
            annotations.insert(label::SERVED.to_owned(), "yes".to_owned());
        }
        if self.secret.is_some() {
            annotations.insert(label::TLS.to_owned(), "yes".to_owned());
        }
        let mut labels = filled_table(&shape.extra_labels, names);
        labels.extend(shape.common_labels.clone());
        for name in ["component", "app.kubernetes.io/component"] {
            labels.insert(name.to_owned(), shape.component_label.clone());
        }
        labels.extend(label::of_pod(&plan.identity));
        Ok(json!({ "labels": labels, "annotations": annotations }))
    }

    /// Reads a finished pod. Whose it is, and its name, are as they are to be, whatever was done to it. The error names what
    /// no pod has.
    pub(crate) fn seal(&self, mut pod: Value, server: &Identity) -> Result<Pod, String> {
        whole(&pod)?;
        pod["metadata"]["name"] = Value::from(self.name.as_str());
        pod["metadata"]["namespace"] = Value::from(self.namespace.as_str());
        for (name, value) in label::of_pod(server) {
            pod["metadata"]["labels"][name] = Value::from(value);
        }
        if let Some(site) = &self.site {
            pod["metadata"]["labels"][label::SITE] = Value::from(site.as_str());
        }
        for (name, value) in label::annotations(server) {
            pod["metadata"]["annotations"][name] = Value::from(value);
        }
        lay::read(&pod)
    }
}

/// A word in which Kubernetes finds no reference to a variable, and nothing that stands for one.
fn literal(word: &str) -> Value {
    Value::String(word.replace('$', "$$"))
}

/// A volume that was chosen by name: what it is, and where. One that is in `volumes` already is only put somewhere.
fn chosen(name: &str, words: &Map<String, Value>, names: &Names) -> Result<(Option<Value>, Value), String> {
    let mut volume = match names.fill_all(&Value::Object(lay::camel(words))) {
        Value::Object(volume) => volume,
        _ => Map::new(),
    };
    let mut mount = Map::from_iter([("name".to_owned(), Value::from(name))]);
    for part in OF_MOUNT {
        mount.extend(volume.remove(part).map(|value| (part.to_owned(), value)));
    }
    if !mount.contains_key("mountPath") {
        return Err(format!("the volume {name} has no mount_path"));
    }
    if let Some(claim) = volume.remove("claim") {
        volume.insert("persistentVolumeClaim".to_owned(), json!({ "claimName": claim }));
    }
    let made = (!volume.is_empty()).then(|| {
        volume.insert("name".to_owned(), Value::from(name));
        Value::Object(volume)
    });
    Ok((made, Value::Object(mount)))
}

/// Lays an operator's words over what is made anyway. Lists that a server needs are added to, what has a name in them
/// being replaced; what it is known by cannot be changed.
fn put(target: &mut Value, more: &Value, added: &[&str], fixed: &[&str]) -> Result<(), String> {
    let Value::Object(more) = more else { return Ok(()) };
    for (name, value) in more {
        if fixed.contains(&name.as_str()) {
            return Err(format!("{name} cannot be changed"));
        }
        match (value, target.get_mut(name)) {
            (Value::Array(items), Some(Value::Array(own))) if added.contains(&name.as_str()) => {
                let same = |one: &Value, other: &Value| {
                    let key = if name == "volumeMounts" { "mountPath" } else { "name" };
                    one.get(key).is_some() && one.get(key) == other.get(key)
                };
                own.retain(|own| !items.iter().any(|item| same(own, item)));
                own.extend(items.iter().cloned());
            }
            _ => target[name.as_str()] = value.clone(),
        }
    }
    Ok(())
}

/// Does to a pod what an operator says last. One with another form than a pod's is refused later on.
fn modify(pod: &mut Value, operations: &Items, names: &Names) -> Result<(), String> {
    if operations.is_empty() {
        return Ok(());
    }
    let written = operations.iter().map(|operation| names.fill_all(&Value::Object(operation.clone()))).collect();
    let patch: json_patch::Patch = serde_json::from_value(written).map_err(|error| error.to_string())?;
    json_patch::patch_unsafe(pod, &patch).map_err(|error| error.to_string())?;
    whole(pod)
}

/// Whether a pod has what is written into it, whatever else became of it.
fn whole(pod: &Value) -> Result<(), String> {
    let is_table = |path: &str| pod.pointer(path).is_some_and(Value::is_object);
    match ["/metadata/labels", "/metadata/annotations", "/spec"].into_iter().find(|path| !is_table(path)) {
        Some(path) => Err(format!("{path} has to be there")),
        None => Ok(()),
    }
}

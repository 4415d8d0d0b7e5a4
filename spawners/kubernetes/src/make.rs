//! Makes what the cluster is asked for out of a plan: pure functions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use serde_json::{Map, Value, json};
use spawners::{Identity, Plan, StartError};

use crate::config::Config;
use crate::executors;
use crate::label;
use crate::lay;
use crate::name::Names;
use crate::papers;
use crate::shape::{Amount, Items, Shape};
use crate::slug;
use crate::space;

/// KubeSpawner's name for the container with the server.
pub(crate) const CONTAINER: &str = "notebook";
/// KubeSpawner's name for its port.
pub(crate) const PORT: &str = "notebook-port";
/// The version whose ways are followed. A KubeSpawner that goes on with a state without one looks for names of before.
const KUBESPAWNER: &str = "7.1.0";
/// What of a chosen volume is about its place in the server.
const OF_MOUNT: [&str; 5] = ["mountPath", "subPath", "subPathExpr", "readOnly", "mountPropagation"];

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

/// The names of a server's claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimNames {
    /// By the template.
    pub usual: String,
    /// As KubeSpawner made it before version 7, where that is another.
    pub legacy: Option<String>,
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
        let claims = claim_names(config, &shape, server, &names, hub_namespace);
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

    /// The pod. `claim` is the name of the claim that was found or will be made.
    pub fn pod(&self, config: &Config, plan: &Plan, claim: Option<&str>) -> Result<Pod, StartError> {
        self.written_pod(config, plan, claim).map_err(unclear)
    }

    fn written_pod(&self, config: &Config, plan: &Plan, claim: Option<&str>) -> Result<Pod, String> {
        let names = self.with_claim(claim);
        let shape = &self.shape;
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
        let mut container = json!({
            "name": CONTAINER,
            "image": image,
            "ports": [{ "name": PORT, "containerPort": port(config, plan) }],
            "env": environment(config, plan, image, &names),
            "volumeMounts": mounts,
            "resources": resources(shape, plan),
            "securityContext": container_security(shape),
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
        let mut containers = vec![container];
        containers.extend(filled(&shape.extra_containers, &names));
        let mut spec = json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": config.delete_grace_period.as_secs(),
            "containers": containers,
            "initContainers": filled(&shape.init_containers, &names),
            "volumes": volumes,
            "securityContext": pod_security(shape),
            "tolerations": camels(&shape.tolerations),
            "nodeSelector": shape.node_selector,
            "affinity": affinity(shape),
            "imagePullSecrets": shape.image_pull_secrets.iter().map(|secret| json!({ "name": secret.0 })).collect::<Value>(),
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
        let mut annotations = label::annotations(&plan.identity);
        annotations.extend(filled_table(&shape.extra_annotations, &names));
        annotations.insert(label::PREFIX.to_owned(), plan.prefix.clone());
        if let Some(host) = self.host(&names)? {
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
        let mut labels = filled_table(&shape.extra_labels, &names);
        labels.extend(shape.common_labels.clone());
        for name in ["component", "app.kubernetes.io/component"] {
            labels.insert(name.to_owned(), shape.component_label.clone());
        }
        labels.extend(label::of_pod(&plan.identity));
        let mut pod = json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": spec });
        if let (Some(place), Some(namespaces)) = (&self.executors, &config.executor_namespaces) {
            executors::dress(&mut pod, namespaces, shape, place, plan, image)?;
        }
        modify(&mut pod, &shape.modify_pod, &names).map_err(|what| format!("modify_pod: {what}"))?;
        self.seal(pod, &plan.identity)
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

    /// The claim for storage under this name.
    pub fn storage(&self, server: &Identity, name: &str) -> Result<PersistentVolumeClaim, StartError> {
        self.written_storage(server, name).map_err(unclear)
    }

    fn written_storage(&self, server: &Identity, name: &str) -> Result<PersistentVolumeClaim, String> {
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

fn claim_names(
    config: &Config,
    shape: &Shape,
    server: &Identity,
    names: &Names,
    hub_namespace: &str,
) -> Result<ClaimNames, String> {
    let of_template = |what| format!("pvc_name_template: {what}");
    let usual = names.object(&shape.pvc_name_template).map_err(of_template)?;
    let old = Names::new(server, crate::name::SlugScheme::Escape, hub_namespace);
    // A name of before that no claim can have is none that one has.
    let legacy =
        old.object(&shape.pvc_name_template).ok().filter(|legacy| config.handle_legacy_names && *legacy != usual);
    Ok(ClaimNames { usual, legacy })
}

/// The namespace of a server's pod, if the templates make one.
pub(crate) fn space_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<String> {
    Recipe::of(config, Shape::default(), server, hub_namespace).ok().map(|recipe| recipe.namespace)
}

/// Where a server's claim is, and its names, as they are for everybody.
pub(crate) fn claim_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<(String, ClaimNames)> {
    let mut shape = config.shape.clone();
    shape.storage_pvc_ensure = true;
    let recipe = Recipe::of(config, shape, server, hub_namespace).ok()?;
    Some((recipe.namespace, recipe.claim?))
}

/// Where a server's secret is, and its name.
pub(crate) fn secret_of(config: &Config, server: &Identity, hub_namespace: &str) -> Option<(String, String)> {
    let recipe = Recipe::of(config, config.shape.clone(), server, hub_namespace).ok()?;
    let name = recipe.secret_name(config).ok()?;
    Some((recipe.namespace, name))
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

/// Checks, without a server at hand, what a configuration says of pods. The error is the option, and what is wrong.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    if !slug::is_label_value(&config.hub) {
        return Err(format!("{:?} is no mark that a label can have", config.hub));
    }
    executors::check(config)?;
    space::check(config)?;
    let mut plan = Plan::new(nobody(), "/", Vec::new());
    plan.image = Some("image".to_owned());
    let recipe = Recipe::of(config, config.shape.clone(), &plan.identity, config.namespace.as_deref().unwrap_or("a"))?;
    if let Some(claim) = &recipe.claim {
        recipe.written_storage(&plan.identity, &claim.usual)?;
    }
    recipe.secret_name(config)?;
    if !config.secret_mount_path.starts_with('/') || config.secret_mount_path.contains(':') {
        return Err(format!("secret_mount_path: {:?} is no path in a server", config.secret_mount_path));
    }
    for (option, context) in [
        ("container_security_context", &config.shape.container_security_context),
        ("pod_security_context", &config.shape.pod_security_context),
    ] {
        if let Some(name) = context.keys().find(|name| name.contains('_')) {
            return Err(format!("{option}: {name} has to be written as Kubernetes does, such as runAsUser"));
        }
    }
    recipe.written_pod(config, &plan, None).map(drop)
}

/// A server to try settings with.
pub(crate) fn nobody() -> Identity {
    Identity {
        hub: "h".to_owned(),
        spawner: hub_core::id::SpawnerId(0),
        generation: hub_core::id::Generation(0),
        user: "a".to_owned(),
        server: String::new(),
        account: Some("0".to_owned()),
    }
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

/// The port a server listens on in its pod.
pub(crate) fn port(config: &Config, plan: &Plan) -> u16 {
    if plan.port == 0 { config.port } else { plan.port }
}

/// The variables. As with KubeSpawner those that an operator wrote are templates; one that is none, such as JSON, stays as it is.
fn environment(config: &Config, plan: &Plan, image: &str, names: &Names) -> Vec<Value> {
    let value = |(name, value): &(String, String)| match plan.templates.contains(name) {
        true => names.fill_or_leave(value),
        false => value.clone(),
    };
    let mut all: BTreeMap<&str, String> =
        plan.environment.iter().map(|variable| (variable.0.as_str(), value(variable))).collect();
    for name in ["JUPYTER_IMAGE_SPEC", "JUPYTER_IMAGE"] {
        all.entry(name).or_insert_with(|| image.to_owned());
    }
    let ip = if config.ip.contains(':') { format!("[{}]", config.ip) } else { config.ip.clone() };
    let scheme = if plan.certify.is_some() { "https" } else { "http" };
    all.insert("JUPYTERHUB_SERVICE_URL", format!("{scheme}://{ip}:{}{}", port(config, plan), plan.prefix));
    if plan.certify.is_some() {
        for (name, value) in papers::variables(config) {
            all.insert(name, value);
        }
    }
    all.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// Variables by their names, but each after those that its value refers to as `$(NAME)`.
fn in_order(mut left: Vec<Value>) -> Vec<Value> {
    let name = |variable: &Value| variable["name"].as_str().unwrap_or_default().to_owned();
    left.sort_by_key(name);
    let mut sorted = Vec::new();
    while !left.is_empty() {
        let names: Vec<String> = left.iter().map(name).collect();
        let waits = |variable: &Value| {
            let (own, value) = (name(variable), variable["value"].as_str().unwrap_or_default());
            names.iter().any(|other| *other != own && value.contains(&format!("$({other})")))
        };
        let (later, ready): (Vec<Value>, Vec<Value>) = left.into_iter().partition(waits);
        if ready.is_empty() {
            // They refer to each other: no order would do.
            sorted.extend(later);
            break;
        }
        sorted.extend(ready);
        left = later;
    }
    sorted
}

/// A word in which Kubernetes finds no reference to a variable, and nothing that stands for one.
fn literal(word: &str) -> Value {
    Value::String(word.replace('$', "$$"))
}

fn resources(shape: &Shape, plan: &Plan) -> Value {
    let of = |cpu: Option<f64>, memory: Option<u64>, extra: &BTreeMap<String, Amount>| {
        let mut table: BTreeMap<&str, String> = BTreeMap::new();
        table.extend(cpu.filter(|cores| *cores > 0.0).map(|cores| ("cpu", cores_of(cores))));
        table.extend(memory.filter(|bytes| *bytes > 0).map(|bytes| ("memory", bytes.to_string())));
        table.extend(extra.iter().map(|(name, amount)| (name.as_str(), amount.0.clone())));
        for (name, number) in &plan.gpus {
            // What people chose comes before what everybody has.
            match number {
                0 => table.remove(name.as_str()),
                number => table.insert(name, number.to_string()),
            };
        }
        json!(table)
    };
    json!({
        "requests": of(plan.cpu_guarantee, plan.mem_guarantee, &shape.extra_resource_guarantees),
        "limits": of(plan.cpu_limit, plan.mem_limit, &shape.extra_resource_limits),
    })
}

/// Processors as Kubernetes writes them.
fn cores_of(cores: f64) -> String {
    format!("{}m", ((cores * 1000.0).round() as i64).max(1))
}

fn container_security(shape: &Shape) -> Value {
    let mut context = Map::new();
    let mut say = |name: &str, value: Option<Value>| context.extend(value.map(|value| (name.to_owned(), value)));
    say("runAsUser", shape.uid.map(Value::from));
    say("runAsGroup", shape.gid.map(Value::from));
    say("privileged", shape.privileged.then_some(Value::Bool(true)));
    // A privileged container has all rights to gain.
    let escalation = shape.allow_privilege_escalation.filter(|allowed| *allowed || !shape.privileged);
    say("allowPrivilegeEscalation", escalation.map(Value::Bool));
    context.extend(table(&shape.container_security_context));
    Value::Object(context)
}

fn pod_security(shape: &Shape) -> Value {
    let mut context = Map::new();
    context.extend(shape.fs_gid.map(|group| ("fsGroup".to_owned(), Value::from(group))));
    if !shape.supplemental_gids.is_empty() {
        context.insert("supplementalGroups".to_owned(), Value::from(shape.supplemental_gids.clone()));
    }
    context.extend(table(&shape.pod_security_context));
    Value::Object(context)
}

fn affinity(shape: &Shape) -> Value {
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let of = |preferred: &Items, required: Option<Value>| {
        let mut terms = Map::new();
        if !preferred.is_empty() {
            terms.insert(PREFERRED.to_owned(), camels(preferred));
        }
        terms.extend(required.map(|required| (REQUIRED.to_owned(), required)));
        (!terms.is_empty()).then_some(Value::Object(terms))
    };
    let some = |items: &Items| (!items.is_empty()).then(|| camels(items));
    let nodes = some(&shape.node_affinity_required).map(|terms| json!({ "nodeSelectorTerms": terms }));
    let affinities = [
        ("nodeAffinity", of(&shape.node_affinity_preferred, nodes)),
        ("podAffinity", of(&shape.pod_affinity_preferred, some(&shape.pod_affinity_required))),
        ("podAntiAffinity", of(&shape.pod_anti_affinity_preferred, some(&shape.pod_anti_affinity_required))),
    ];
    let said = affinities.into_iter().filter_map(|(name, terms)| terms.map(|terms| (name.to_owned(), terms)));
    Value::Object(said.collect())
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

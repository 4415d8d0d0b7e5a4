//! `[spawner.kubernetes]`: servers as pods of a Kubernetes cluster. The names are KubeSpawner's where it has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use spawner_kubernetes::{
    Access, ExecutorNamespaces, Executors, Kubernetes, NamespaceBinding, NamespacePolicy, PullerConfig, Shape,
    SlugScheme,
};

use super::SpawnerConfig;
use super::callout::CalloutConfig;
use super::options::OptionsConfig;
use super::unit::Seconds;

/// Servers as pods of a Kubernetes cluster: see [kubernetes.md](kubernetes.md).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KubernetesConfig {
    /// A kubeconfig. Without it: `KUBECONFIG`, `~/.kube/config`, else the cluster that the hub is in.
    #[schemars(extend("format" = "path"))]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig. Without it: its current one.
    pub context: Option<String>,
    /// The address of the API server, when it is not the one that is found.
    pub k8s_api_host: Option<String>,
    /// Who signed its certificate (PEM), when it is not who is found.
    #[schemars(extend("format" = "path"))]
    pub k8s_api_ssl_ca_cert: Option<PathBuf>,
    /// With `false` whoever answers is believed. For tests.
    pub k8s_api_verify_ssl: bool,
    /// How many seconds one request to the API server may take.
    pub k8s_api_request_timeout: Seconds,
    /// How many seconds a request is tried again for, when the API server fails or is too busy.
    pub k8s_api_request_retry_timeout: Seconds,
    /// The namespace of servers. Without it: the hub's own, or that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Gives each person a namespace of their own, made at their first start. The hub needs rights in all namespaces then, or
    /// `user_namespace_binding`.
    pub enable_user_namespaces: bool,
    /// Its name. `{hubnamespace}` is where servers would be otherwise.
    pub user_namespace_template: String,
    /// Its labels, when it is made.
    pub user_namespace_labels: BTreeMap<String, String>,
    /// Its annotations, when it is made.
    pub user_namespace_annotations: BTreeMap<String, String>,
    /// A role that the hub gives itself in each of them, before anything else is there: `{ role = "…", hub_user =
    /// "system:serviceaccount:NAMESPACE:NAME" }`, with a cluster role that it may `bind`. See [kubernetes.md](kubernetes.md#the-hub-and-its-cluster).
    pub user_namespace_binding: Option<NamespaceBinding>,
    /// Who reaches servers in such namespaces, and whom they reach, as `ingress` and `egress` of a network policy have it: made in
    /// each of them before a server, and changed with this. Without it there is none.
    pub user_namespace_network_policy: Option<NamespacePolicy>,
    /// How names of people become parts of names: `safe`, or `escape` as KubeSpawner did it before version 7.
    pub slug_scheme: SlugScheme,
    /// Finds claims under the names of before too.
    pub handle_legacy_names: bool,
    /// The name of a pod.
    pub pod_name_template: String,
    /// The name of the secret with a server's certificate, with `hub.internal_ssl`.
    pub secret_name_template: String,
    /// Where it is in the server.
    pub secret_mount_path: String,
    /// The address servers listen on in their pods; `"::"` where pods have addresses of IPv6 alone, and `""` for all addresses where
    /// they have both (JupyterHub 5 and newer in the image).
    pub ip: String,
    /// The port servers listen on in their pods.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// How many seconds a server has to end after it was asked to, before it is killed.
    pub delete_grace_period: Seconds,
    /// Listens to events of a pod while it comes up, which tell of images that are fetched and of volumes that are not there.
    pub events_enabled: bool,
    /// Shown each finished pod, after `modify_pod`: may change it, or refuse. See [hooks.md](hooks.md).
    pub modify_pod_hook: CalloutConfig,
    /// A daemon set that fetches images on all machines beforehand: `{ daemon_set = "NAMESPACE/NAME", extra_images = […] }`. The
    /// hub tells it which: all that servers may be started with, those used most first. Its first container is the pattern.
    pub image_puller: Option<PullerConfig>,
    /// The namespaces in which executors of Spark and Dask are, one for each start of a server that may make some: see
    /// [executors.md](executors.md). The hub needs rights in all namespaces then.
    pub executor_namespaces: Option<ExecutorNamespaces>,
    /// How pods are made.
    #[serde(flatten)]
    pub shape: Shape,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        let own = spawner_kubernetes::Config::new("");
        Self {
            kubeconfig: None,
            context: None,
            k8s_api_host: None,
            k8s_api_ssl_ca_cert: None,
            k8s_api_verify_ssl: own.access.verify,
            k8s_api_request_timeout: Seconds(own.request_timeout.as_secs_f64()),
            k8s_api_request_retry_timeout: Seconds(own.retry_timeout.as_secs_f64()),
            namespace: own.namespace,
            enable_user_namespaces: own.enable_user_namespaces,
            user_namespace_template: own.user_namespace_template,
            user_namespace_labels: own.user_namespace_labels,
            user_namespace_annotations: own.user_namespace_annotations,
            user_namespace_binding: own.user_namespace_binding,
            user_namespace_network_policy: own.user_namespace_network_policy,
            slug_scheme: own.slug_scheme,
            handle_legacy_names: own.handle_legacy_names,
            pod_name_template: own.pod_name_template,
            secret_name_template: own.secret_name_template,
            secret_mount_path: own.secret_mount_path,
            ip: own.ip,
            port: own.port,
            delete_grace_period: Seconds(own.delete_grace_period.as_secs_f64()),
            events_enabled: own.events_enabled,
            modify_pod_hook: CalloutConfig::default(),
            image_puller: None,
            executor_namespaces: own.executor_namespaces,
            shape: own.shape,
        }
    }
}

impl KubernetesConfig {
    /// The same as the driver's own type. `hub` is the mark of this hub's database.
    pub fn driver(&self, hub: &str) -> spawner_kubernetes::Config {
        let own = spawner_kubernetes::Config::new(hub);
        spawner_kubernetes::Config {
            hub: hub.to_owned(),
            site: None,
            access: Access {
                kubeconfig: self.kubeconfig.clone(),
                context: self.context.clone(),
                host: self.k8s_api_host.clone(),
                ca_cert: self.k8s_api_ssl_ca_cert.clone(),
                verify: self.k8s_api_verify_ssl,
            },
            request_timeout: self.k8s_api_request_timeout.duration(),
            watch_timeout: own.watch_timeout,
            start_timeout: None,
            retry_timeout: self.k8s_api_request_retry_timeout.duration(),
            namespace: self.namespace.clone(),
            enable_user_namespaces: self.enable_user_namespaces,
            user_namespace_template: self.user_namespace_template.clone(),
            user_namespace_labels: self.user_namespace_labels.clone(),
            user_namespace_annotations: self.user_namespace_annotations.clone(),
            user_namespace_binding: self.user_namespace_binding.clone(),
            user_namespace_network_policy: self.user_namespace_network_policy.clone(),
            slug_scheme: self.slug_scheme,
            handle_legacy_names: self.handle_legacy_names,
            pod_name_template: self.pod_name_template.clone(),
            internal_ssl: false,
            secret_name_template: self.secret_name_template.clone(),
            secret_mount_path: self.secret_mount_path.clone(),
            ip: self.ip.clone(),
            port: self.port,
            delete_grace_period: self.delete_grace_period.duration(),
            events_enabled: self.events_enabled,
            modify_pod_hook: self.modify_pod_hook.callout().map(Arc::new),
            executor_namespaces: self.executor_namespaces.clone(),
            shape: self.shape.clone(),
        }
    }
}

/// What is wrong: an option of `[spawner.kubernetes]`, what it is, and what to do.
pub fn problems(spawner: &SpawnerConfig, chooses_images: bool) -> Vec<(String, String, &'static str)> {
    let kubernetes = &spawner.kubernetes;
    let mut problems = Vec::new();
    let mut blame = |option: &str, what: String, remedy| problems.push((option.to_owned(), what, remedy));
    if kubernetes.shape.image.is_none() && !chooses_images {
        let remedy = "Name an image, or let people choose one in [options]";
        blame("image", "is missing, and there is none to choose in [options]".to_owned(), remedy);
    }
    for (option, file) in
        [("kubeconfig", &kubernetes.kubeconfig), ("k8s_api_ssl_ca_cert", &kubernetes.k8s_api_ssl_ca_cert)]
    {
        if let Some(file) = file
            && let Err(error) = std::fs::File::open(file)
        {
            blame(option, format!("cannot be read: {}: {error}", file.display()), "");
        }
    }
    if kubernetes.k8s_api_request_timeout.is_zero() {
        blame("k8s_api_request_timeout", "has to be more than 0 seconds".to_owned(), "");
    }
    if !kubernetes.ip.is_empty() && kubernetes.ip.parse::<std::net::IpAddr>().is_err() {
        blame("ip", "has to be an IP address".to_owned(), "Without it, it is 0.0.0.0");
    }
    if let Err(what) = Kubernetes::check(&kubernetes.driver("h")) {
        let (option, what) = what.split_once(": ").unwrap_or(("extra_pod_config", &what));
        // What does not belong to one option is told of the pod that all of them make.
        let option = if option.contains('.') { "extra_pod_config" } else { option };
        blame(option, format!("is not understood: {what}"), "See docs/kubernetes.md");
    }
    problems
}

/// What profiles and flavours say of an option of servers, with where.
fn overrides_of<'a>(options: &'a OptionsConfig, option: &str) -> Vec<(String, &'a Value)> {
    let mut asked = Vec::new();
    for (at, profile) in options.profile_list.iter().enumerate() {
        let mut found = Vec::new();
        overrides_in(profile, option, &mut found);
        asked.extend(found.into_iter().map(|written| (format!("options.profile_list[{at}]"), written)));
    }
    for (at, flavour) in options.flavours.iter().enumerate() {
        let found = flavour.spawner_override.get(option);
        asked.extend(found.map(|written| (format!("options.flavours[{at}].spawner_override"), written)));
    }
    asked
}

/// Executors of which there may be any number: where they are asked for.
pub fn warnings_of_executors(spawner: &SpawnerConfig, options: &OptionsConfig) -> Vec<String> {
    let own = spawner.kubernetes.shape.executors.clone().map(|own| ("spawner.kubernetes".to_owned(), own));
    let theirs = overrides_of(options, "executors").into_iter();
    // What is not understood is told elsewhere.
    let theirs = theirs.filter_map(|(at, written)| Some((at, serde_json::from_value(written.clone()).ok().flatten()?)));
    let unbounded = |executors: &Executors| executors.pods.is_none() && !executors.quota.contains_key("pods");
    let found = own.into_iter().chain(theirs).filter(|(_, executors)| unbounded(executors));
    found
        .map(|(at, _)| {
            format!("One server may make any number of pods, whoever has it: set `pods` of executors in {at}")
        })
        .collect()
}

/// What is wrong with options of servers in profiles and flavours: where they are, what it is, and what to do.
pub fn problems_of_overrides(spawner: &SpawnerConfig, options: &OptionsConfig) -> Vec<(String, String, &'static str)> {
    let mut problems = problems_of_executors(spawner, options);
    let enabled = overrides_of(options, "services_enabled").into_iter().filter(|(_, written)| **written == true);
    if !spawner.kubernetes.shape.services_enabled {
        // The hub may make services where all servers have one.
        let remedy = "Set spawner.kubernetes.services_enabled, for all servers";
        problems.extend(enabled.map(|(at, _)| (at, "has services_enabled, which is not for some".to_owned(), remedy)));
    }
    problems
}

/// What is wrong with executors of profiles and flavours.
fn problems_of_executors(spawner: &SpawnerConfig, options: &OptionsConfig) -> Vec<(String, String, &'static str)> {
    let wrong = |executors: &Value| {
        if let Err(error) = serde_json::from_value::<Option<Executors>>(executors.clone()) {
            return Some((format!("has executors that are not understood: {error}"), "See docs/executors.md"));
        }
        let nowhere = !executors.is_null() && spawner.kubernetes.executor_namespaces.is_none();
        let remedy =
            "Add [spawner.kubernetes.executor_namespaces], and give the hub the rights that docs/executors.md lists";
        nowhere.then(|| ("has executors, and there are no namespaces for them".to_owned(), remedy))
    };
    let asked = overrides_of(options, "executors").into_iter();
    let told = asked.filter_map(|(at, executors)| wrong(executors).map(|(what, remedy)| (at, what, remedy)));
    told.collect()
}

/// What a profile, with all that can be chosen in it, says of an option.
fn overrides_in<'a>(written: &'a Value, option: &str, found: &mut Vec<&'a Value>) {
    match written {
        Value::Array(items) => items.iter().for_each(|item| overrides_in(item, option, found)),
        Value::Object(table) => {
            for (name, value) in table {
                match name.as_str() {
                    "kubespawner_override" | "spawner_override" => found.extend(value.get(option)),
                    _ => overrides_in(value, option, found),
                }
            }
        }
        _ => {}
    }
}

/// What is allowed, and worth a second look.
pub fn warnings(spawner: &SpawnerConfig, hub_url: &str) -> Vec<String> {
    let shape = &spawner.kubernetes.shape;
    let mut warnings = Vec::new();
    let host = url::Url::parse(hub_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    if super::address::is_loopback(host.trim_matches(['[', ']'])) {
        warnings.push(format!(
            "Pods cannot reach the hub at {hub_url}: set hub.hub_connect_url to the name of its service, such as http://hub.{{namespace}}:8081"
        ));
    }
    if shape.privileged {
        warnings.push(
            "Servers are privileged (spawner.kubernetes.privileged): people can do anything on their machine"
                .to_owned(),
        );
    }
    if shape.allow_privilege_escalation != Some(false) {
        warnings.push(
            "Servers can gain rights in their containers (spawner.kubernetes.allow_privilege_escalation)".to_owned(),
        );
    }
    if shape.automount_service_account_token == Some(true) {
        warnings.push(
            "Servers can ask the cluster for what their service account may (spawner.kubernetes.automount_service_account_token)"
                .to_owned(),
        );
    }
    if spawner.kubernetes.executor_namespaces.as_ref().is_some_and(|namespaces| namespaces.pod_security == "privileged")
    {
        warnings.push(
            "Who may make executors can have all rights on the machines of the cluster (spawner.kubernetes.executor_namespaces.pod_security)"
                .to_owned(),
        );
    }
    if !spawner.kubernetes.k8s_api_verify_ssl {
        warnings.push(
            "Whoever answers in place of the API server is believed (spawner.kubernetes.k8s_api_verify_ssl)".to_owned(),
        );
    }
    if shape.storage_pvc_ensure && shape.volumes.is_empty() {
        warnings.push(
            "Claims are made and not mounted (spawner.kubernetes.storage_pvc_ensure): name {pvc_name} in volumes, and the volume in volume_mounts"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: Value) -> KubernetesConfig {
        serde_json::from_value(options).unwrap()
    }

    fn spawner(options: Value) -> SpawnerConfig {
        SpawnerConfig { kubernetes: read(options), ..SpawnerConfig::default() }
    }

    #[test]
    fn the_defaults_are_the_drivers_own() {
        let own = spawner_kubernetes::Config::new("mark");
        assert_eq!(format!("{:?}", KubernetesConfig::default().driver("mark")), format!("{own:?}"));
        assert_eq!(format!("{:?}", read(json!({})).driver("mark")), format!("{own:?}"));
    }

    #[test]
    fn options_of_the_driver_and_of_its_pods_stand_side_by_side() {
        let config = read(json!({
            "namespace": "labs", "delete_grace_period": 5, "image": "i", "uid": 1000, "fs_gid": 100,
            "storage_pvc_ensure": true, "volumes": [{"name": "home", "emptyDir": {}}],
        }));
        let driver = config.driver("mark");
        assert_eq!((driver.namespace.as_deref(), driver.delete_grace_period.as_secs()), (Some("labs"), 5));
        assert_eq!(
            (driver.shape.image.as_deref(), driver.shape.uid, driver.shape.fs_gid),
            (Some("i"), Some(1000), Some(100))
        );
        assert_eq!(driver.shape.volumes.iter().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_option() {
        for (options, option) in [
            (json!({}), "image"),
            (json!({"image": "i", "kubeconfig": "/no/such/file"}), "kubeconfig"),
            (json!({"image": "i", "ip": "here"}), "ip"),
            (json!({"image": "i", "pod_name_template": "{nobody}"}), "pod_name_template"),
            (json!({"image": "i", "storage_pvc_ensure": true}), "storage_capacity"),
            (json!({"image": "i", "executors": {"pods": 4}}), "executors"),
            (json!({"image": "i", "executor_namespaces": {"pod_security": "none"}}), "executor_namespaces"),
            (
                json!({"image": "i", "user_namespace_network_policy": {"egress": [{"ports": [{"prot": 1}]}]}}),
                "user_namespace_network_policy",
            ),
            (json!({"image": "i", "tolerations": [{"kee": "a"}]}), "extra_pod_config"),
        ] {
            let problems = problems(&spawner(options), false);
            assert_eq!(problems.iter().map(|(option, ..)| option.as_str()).collect::<Vec<_>>(), [option]);
        }
        assert_eq!(problems(&spawner(json!({})), true), vec![]);
        for ip in ["", "::", "0.0.0.0"] {
            assert_eq!(problems(&spawner(json!({"image": "i", "ip": ip})), false), vec![], "{ip:?}");
        }
    }

    #[test]
    fn executors_of_a_profile_need_namespaces_for_them() {
        let options = |text: Value| serde_json::from_value::<OptionsConfig>(text).unwrap();
        let of = |executors: Value| {
            let choice = json!({ "choices": { "large": { "kubespawner_override": { "executors": executors } } } });
            options(json!({
                "profile_list": [{ "display_name": "P" }, { "display_name": "S", "profile_options": { "size": choice } }],
                "flavours": [{ "name": "f", "spawner_override": { "executors": executors } }],
            }))
        };
        let places = |problems: Vec<(String, String, &'static str)>| -> Vec<String> {
            problems.into_iter().map(|(option, ..)| option).collect()
        };
        let (without, with) = (spawner(json!({})), spawner(json!({ "executor_namespaces": {} })));
        let both = ["options.profile_list[1]", "options.flavours[0].spawner_override"];
        assert_eq!(places(problems_of_executors(&without, &of(json!({ "pods": 4 })))), both);
        assert_eq!(places(problems_of_executors(&with, &of(json!({ "pdos": 4 })))), both);
        assert_eq!(problems_of_executors(&with, &of(json!({ "pods": 4 }))), vec![]);
        assert_eq!(problems_of_executors(&without, &of(Value::Null)), vec![], "none are asked for");
        // Without a bound there are as many as the cluster has room for.
        let told = warnings_of_executors(&with, &of(json!({ "cpu": 4 })));
        assert!(told.len() == 2 && both.iter().all(|at| told.iter().any(|told| told.ends_with(at))), "{told:?}");
        for bounded in [json!({ "pods": 4 }), json!({ "quota": { "pods": 4 } }), Value::Null] {
            assert_eq!(warnings_of_executors(&with, &of(bounded)), Vec::<String>::new());
        }
        let everywhere = spawner(json!({ "executor_namespaces": {}, "executors": {} }));
        assert_eq!(warnings_of_executors(&everywhere, &of(Value::Null)).len(), 1);
    }

    #[test]
    fn what_servers_should_not_have_by_accident_is_told() {
        let told = |options: Value| warnings(&spawner(options), "http://hub:8081");
        assert_eq!(told(json!({})), Vec::<String>::new());
        for (options, words) in [
            (json!({"privileged": true}), "are privileged"),
            (json!({"allow_privilege_escalation": true}), "can gain rights"),
            (json!({"automount_service_account_token": true}), "can ask the cluster"),
            (json!({"storage_pvc_ensure": true, "storage_capacity": "1Gi"}), "not mounted"),
            (json!({"executor_namespaces": {"pod_security": "privileged"}}), "may make executors"),
        ] {
            let told = told(options);
            assert!(told.len() == 1 && told.iter().all(|warning| warning.contains(words)), "{told:?}");
        }
        assert!(warnings(&spawner(json!({})), "http://127.0.0.1:8081")[0].contains("cannot reach the hub"));
    }
}

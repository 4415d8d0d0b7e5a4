//! From settings in KubeSpawner's names to what is made of them here.

use std::sync::Arc;

use hub_core::id::{Generation, SpawnerId};
use hub_core::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spawners::tls::{Certify, Papers};
use spawners::{Identity, Plan, Sight, StartError};

use crate::config::Config;
use crate::make::Recipe;
use crate::pod::Pod;
use crate::serve;
use crate::shape::Shape;

/// Where the hub is.
pub(super) const NAMESPACE: &str = "labs";
/// What the driver alone knows.
const OF_THE_DRIVER: [&str; 1] = ["JUPYTERHUB_SERVICE_URL"];

/// Settings, and whose server is made with them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub name: String,
    #[serde(default = "anna")]
    user: String,
    #[serde(default)]
    server: String,
    #[serde(default)]
    internal_ssl: bool,
    pub settings: Map<String, Value>,
    /// What was chosen for one server.
    #[serde(default, rename = "override")]
    chosen: Map<String, Value>,
}

fn anna() -> String {
    "anna".to_owned()
}

pub(super) fn identity(user: &str, server: &str) -> Identity {
    Identity {
        hub: "mark".to_owned(),
        spawner: SpawnerId(7),
        generation: Generation(3),
        user: user.to_owned(),
        server: server.to_owned(),
        account: Some("5-1764424899123".to_owned()),
    }
}

/// What KubeSpawner made, without what is only there to be asked with; where it is it says beside what it makes.
pub(super) fn seen(mut theirs: Value) -> Value {
    let namespace = theirs["state"]["namespace"].clone();
    if let Some(all) = theirs.as_object_mut() {
        for what in ["told", "name", "kubespawner"] {
            all.remove(what);
        }
        for what in ["pod", "claim", "service", "secret"] {
            if let Some(made) = all.get_mut(what) {
                made["metadata"]["namespace"] = namespace.clone();
            }
        }
    }
    theirs
}

/// Signs as the files say that stand for what JupyterHub signs.
struct Signs;

impl Certify for Signs {
    fn certify(&self, _: &[String]) -> Result<Papers, String> {
        Ok(Papers {
            key: Secret::new("keyfile\n"),
            certificate: "certfile\n".to_owned(),
            authorities: "cafile\nhub-ca\n".to_owned(),
        })
    }
}

/// What is made of a case. `theirs` has what the hub tells a server.
pub(super) fn made(case: &Case, theirs: &Value) -> Result<Value, StartError> {
    let (config, plan) = configured(case, theirs);
    let recipe = Recipe::new(&config, &plan, NAMESPACE)?;
    let claim = recipe.claim.clone().map(|names| names.usual);
    let pod = recipe.pod(&config, &plan, claim.as_deref())?;
    let mut made = json!({ "pod": pod, "state": recipe.state(claim.as_deref()) });
    if let Some(claim) = &claim {
        made["claim"] = json!(recipe.storage(&plan.identity, claim)?);
        let of_before = recipe.claim.clone().and_then(|names| names.legacy);
        made["claim_of_before"] = json!(of_before.as_ref().unwrap_or(claim));
    }
    if config.enable_user_namespaces {
        made["space"] = json!(recipe.space(&config, &plan.identity)?);
    }
    let pod = running(pod);
    if let Some(secret) = recipe.secret(&plan)? {
        // Programs in the pod may ask it too.
        let hosts = recipe.hosts().into_iter().filter(|host| !["localhost", "127.0.0.1"].contains(&host.as_str()));
        made["alternative_names"] = hosts.map(|host| format!("DNS:{host}")).collect();
        made["secret"] = json!(secret);
    }
    if pod.is_served() {
        made["service"] = json!(serve::service(&config, &recipe.shape, NAMESPACE, &pod).unwrap());
    }
    if let Some(Sight::Up { url }) = pod.sight(None) {
        made["url"] = json!(url.strip_suffix(&plan.prefix).expect("it ends with the path"));
    }
    Ok(made)
}

/// The pod once it is up.
fn running(mut pod: k8s_openapi::api::core::v1::Pod) -> Pod {
    pod.metadata.uid = Some("uid-of-the-pod".to_owned());
    pod.status = serde_json::from_value(json!({
        "phase": "Running", "podIP": "10.0.0.7",
        "containerStatuses": [{
            "name": "notebook", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": { "running": {} },
        }],
    }))
    .unwrap();
    Pod(pod)
}

/// The settings under the same names, and what the hub makes of those that are not only pods'.
fn configured(case: &Case, theirs: &Value) -> (Config, Plan) {
    let mut config = Config::new("mark");
    let prefix = match case.server.as_str() {
        "" => format!("/user/{}/", case.user),
        server => format!("/user/{}/{server}/", case.user),
    };
    let mut plan = Plan::new(identity(&case.user, &case.server), prefix, Vec::new());
    let told = theirs["told"].as_object().unwrap().iter();
    let told = told.filter(|(name, _)| !OF_THE_DRIVER.contains(&name.as_str()));
    plan.environment = told.map(|(name, value)| (name.clone(), text(value))).collect();
    plan.certify = case.internal_ssl.then(|| Arc::new(Signs) as Arc<dyn Certify>);
    plan.extra = case.chosen.clone();
    config.internal_ssl = case.internal_ssl;
    let mut shape = Map::new();
    let Value::Object(known) = json!(Shape::default()) else { panic!("a table") };
    for (option, value) in case.settings.clone() {
        match option.as_str() {
            "cpu_limit" => plan.cpu_limit = value.as_f64(),
            "cpu_guarantee" => plan.cpu_guarantee = value.as_f64(),
            "mem_limit" => plan.mem_limit = value.as_u64(),
            "mem_guarantee" => plan.mem_guarantee = value.as_u64(),
            "cmd" => plan.cmd = serde_json::from_value(value).unwrap(),
            "args" => plan.args = serde_json::from_value(value).unwrap(),
            // Told by the hub.
            "default_url" => {}
            "environment" => {
                for (name, value) in value.as_object().unwrap() {
                    set_variable(&mut plan, &mut shape, name, value);
                }
            }
            "namespace" => config.namespace = Some(text(&value)),
            "enable_user_namespaces" => config.enable_user_namespaces = value == true,
            "user_namespace_template" => config.user_namespace_template = text(&value),
            "user_namespace_labels" => config.user_namespace_labels = serde_json::from_value(value).unwrap(),
            "user_namespace_annotations" => config.user_namespace_annotations = serde_json::from_value(value).unwrap(),
            "slug_scheme" => config.slug_scheme = serde_json::from_value(value).unwrap(),
            "pod_name_template" => config.pod_name_template = text(&value),
            "secret_name_template" => config.secret_name_template = text(&value),
            "secret_mount_path" => config.secret_mount_path = text(&value),
            "ip" => config.ip = text(&value),
            "port" => config.port = value.as_u64().unwrap().try_into().unwrap(),
            shaped if known.contains_key(shaped) => drop(shape.insert(option, value)),
            unknown => panic!("{unknown} is no option"),
        }
    }
    config.shape = serde_json::from_value(Value::Object(shape)).unwrap();
    (config, plan)
}

/// A text is a variable of `environment`; what is found elsewhere belongs into `extra_container_config`.
fn set_variable(plan: &mut Plan, shape: &mut Map<String, Value>, name: &str, value: &Value) {
    if let Some(words) = value.as_object() {
        let mut words = crate::lay::camel(words);
        words.entry("name").or_insert_with(|| json!(name));
        let more = shape.entry("extra_container_config").or_insert_with(|| json!({ "env": [] }));
        return more["env"].as_array_mut().unwrap().push(Value::Object(words));
    }
    plan.environment.retain(|(known, _)| known != name);
    plan.environment.push((name.to_owned(), text(value)));
    plan.templates.insert(name.to_owned());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

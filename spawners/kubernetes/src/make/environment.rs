//! The environment of a server.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spawners::Plan;

use crate::config::Config;
use crate::name::Names;
use crate::papers;

/// The port a server listens on in its pod.
pub(super) fn port(config: &Config, plan: &Plan) -> u16 {
    if plan.port == 0 { config.port } else { plan.port }
}

/// The variables. As with KubeSpawner those that an operator wrote are templates; one that is none, such as JSON, stays as it is.
pub(super) fn environment(config: &Config, plan: &Plan, image: &str, names: &Names) -> Vec<Value> {
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
pub(super) fn in_order(mut left: Vec<Value>) -> Vec<Value> {
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

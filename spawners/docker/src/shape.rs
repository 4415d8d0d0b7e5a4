//! How containers are made: what a deployment sets once, and what profiles and flavours may change for one server.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::extra;

/// How the containers of servers are made. Names are DockerSpawner's where it has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// When an image is pulled.
    #[serde(deserialize_with = "policy")]
    pub pull_policy: PullPolicy,
    /// The network of the engine that containers are in.
    pub network_name: String,
    /// Whether containers are reached at their address in that network; unless said, in every network but `bridge`.
    pub use_internal_ip: Option<bool>,
    /// Whether containers are reached by their names in that network.
    pub use_internal_hostname: bool,
    /// Volumes and folders of the machine, and where they are mounted.
    pub volumes: BTreeMap<String, Value>,
    /// The same, only for reading.
    pub read_only_volumes: BTreeMap<String, Value>,
    /// Mounts in the words of Docker's API.
    pub mounts: Vec<Map<String, Value>>,
    /// What else is said when a container is created, in the words of Docker's API.
    pub extra_create_kwargs: Map<String, Value>,
    /// What else is said of the machine's part of a container, in the words of Docker's API.
    pub extra_host_config: Map<String, Value>,
    /// `DockerSpawner.links`: containers by the name they have in servers.
    pub links: BTreeMap<String, String>,
    /// A command that is run in each container once it has started: words, or a text as for a shell.
    #[serde(deserialize_with = "command")]
    pub post_start_cmd: Vec<String>,
    /// The user that servers run as; the image's own without it.
    pub user: Option<String>,
    /// Bytes of `/dev/shm`; the engine's own size without it.
    #[serde(deserialize_with = "bytes")]
    pub shm_size: Option<u64>,
    /// The OCI runtime.
    pub runtime: Option<String>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// How many processes and threads there may be at once; 0 means no limit.
    pub pids_limit: u32,
    /// Whether a small init collects ended processes.
    pub init: bool,
    /// Whether nothing in a container can gain rights.
    pub no_new_privileges: bool,
    /// Capabilities that are taken away.
    pub cap_drop: Vec<String>,
    /// Capabilities that are given back.
    pub cap_add: Vec<String>,
    /// How large a log grows before it is rotated, in bytes; 0 leaves logs to the engine.
    #[serde(deserialize_with = "some_bytes")]
    pub log_bytes: u64,
    /// How many logs there are for each container.
    pub log_files: u32,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// At each start.
    Always,
    /// When the engine does not have it.
    IfNotPresent,
    /// Never; a start without the image is refused.
    Never,
    /// Never, and the engine is not even asked for it.
    Skip,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            pull_policy: PullPolicy::IfNotPresent,
            network_name: "bridge".to_owned(),
            use_internal_ip: None,
            use_internal_hostname: false,
            volumes: BTreeMap::new(),
            read_only_volumes: BTreeMap::new(),
            mounts: Vec::new(),
            extra_create_kwargs: Map::new(),
            extra_host_config: Map::new(),
            links: BTreeMap::new(),
            post_start_cmd: Vec::new(),
            user: None,
            shm_size: None,
            runtime: None,
            labels: BTreeMap::new(),
            pids_limit: 4096,
            init: true,
            no_new_privileges: true,
            cap_drop: vec!["ALL".to_owned()],
            cap_add: Vec::new(),
            log_bytes: 10 << 20,
            log_files: 3,
        }
    }
}

impl Shape {
    /// Whether containers are reached inside their network rather than at published ports.
    pub fn is_internal(&self) -> bool {
        self.use_internal_hostname || self.use_internal_ip.unwrap_or(self.network_name != "bridge")
    }

    /// The shape with what was chosen for one server laid over it. The error names what is not understood.
    pub fn with(&self, changes: &Map<String, Value>) -> Result<Self, String> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        extra::merge(&mut merged, &Value::Object(changes.clone()));
        serde_json::from_value(merged).map_err(|error| error.to_string())
    }
}

/// DockerSpawner takes capitals too.
fn policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PullPolicy, D::Error> {
    let text = String::deserialize(deserializer)?;
    PullPolicy::deserialize(Value::String(text.to_ascii_lowercase())).map_err(serde::de::Error::custom)
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(false) | Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            shlex::split(&text).ok_or_else(|| serde::de::Error::custom("has a quote that is not closed"))
        }
        words => Vec::deserialize(words).map_err(serde::de::Error::custom),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => size(&value).map(Some).ok_or_else(|| serde::de::Error::custom("is no number of bytes")),
    }
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    size(&value).ok_or_else(|| serde::de::Error::custom("is no number of bytes"))
}

/// A number of bytes, or a text with K, M, G or T as JupyterHub reads it; a `B` may follow, as Docker's own clients allow.
pub(crate) fn size(value: &Value) -> Option<u64> {
    let Value::String(text) = value else { return value.as_u64() };
    let text = text.trim().to_ascii_uppercase();
    let text = text.strip_suffix('B').unwrap_or(&text);
    let (number, shift) = match text.char_indices().next_back()? {
        (at, 'K') => (text.get(..at)?, 10),
        (at, 'M') => (text.get(..at)?, 20),
        (at, 'G') => (text.get(..at)?, 30),
        (at, 'T') => (text.get(..at)?, 40),
        _ => (text, 0),
    };
    let bytes = number.trim().parse::<f64>().ok()? * f64::from(2_u32).powi(shift);
    (0.0..=9e15).contains(&bytes).then_some(bytes as u64)
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
        shape.volumes.insert("home-{username}".into(), json!("/home/jovyan"));
        let changed = shape
            .with(&changes(json!({"shm_size": "1G", "volumes": {"data": "/data"}, "cap_add": ["SYS_PTRACE"]})))
            .unwrap();
        assert_eq!(changed.shm_size, Some(1 << 30));
        assert_eq!(changed.volumes.keys().collect::<Vec<_>>(), ["data", "home-{username}"]);
        assert_eq!(changed.cap_add, ["SYS_PTRACE"]);
        let changed = shape
            .with(&changes(json!({"pull_policy": "IfNotPresent", "post_start_cmd": "sh -c 'touch /tmp/a b'"})))
            .unwrap();
        assert_eq!((changed.pull_policy, changed.post_start_cmd.len()), (PullPolicy::IfNotPresent, 3));
        assert_eq!(changed.post_start_cmd[2], "touch /tmp/a b");
        assert_eq!(shape.with(&Map::new()).unwrap(), shape);
    }

    #[test]
    fn what_no_container_understands_is_refused() {
        let shape = Shape::default();
        for wrong in [
            json!({"node_selector": {}}),
            json!({"shm_size": "much"}),
            json!({"pull_policy": "sometimes"}),
            json!({"init": 3}),
            json!({"post_start_cmd": "'open"}),
        ] {
            assert!(shape.with(&changes(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_bridge_publishes_ports() {
        let mut shape = Shape::default();
        assert!(!shape.is_internal());
        shape.network_name = "labs".into();
        assert!(shape.is_internal());
        shape.use_internal_ip = Some(false);
        assert!(!shape.is_internal());
    }
}

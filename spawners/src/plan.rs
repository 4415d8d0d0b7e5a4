//! Everything a driver needs to start one server, decided beforehand and never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Certify, Identity};

/// What to start. The environment holds secrets, so its values are never printed.
#[derive(Clone)]
pub struct Plan {
    /// Whose server it is.
    pub identity: Identity,
    /// The path it serves under, such as `/user/anna/`; begins and ends with `/`.
    pub prefix: String,
    /// Its environment, but for what the driver alone knows (`JUPYTERHUB_SERVICE_URL`, home, shell).
    pub environment: Vec<(String, String)>,
    /// The variables of it that an operator wrote: templates, where a driver has such. All others are as they are.
    pub templates: BTreeSet<String>,
    /// The program and its first arguments; empty for what an image brings.
    pub cmd: Vec<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Where it starts; its home folder when absent.
    pub working_dir: Option<PathBuf>,
    /// The address it listens on; empty for the driver's usual one.
    pub ip: String,
    /// The port it listens on; 0 lets the driver choose.
    pub port: u16,
    /// The most memory it may use, in bytes.
    pub mem_limit: Option<u64>,
    /// The memory it is sure to have, in bytes.
    pub mem_guarantee: Option<u64>,
    /// The most processors it may use.
    pub cpu_limit: Option<f64>,
    /// The processors it is sure to have.
    pub cpu_guarantee: Option<f64>,
    /// The image it is started from; the driver's usual one when absent.
    pub image: Option<String>,
    /// The site it starts at, by name; absent where there is one.
    pub site: Option<String>,
    /// GPUs by the name of the resource, such as `nvidia.com/gpu`. Empty for none: the server must not see any.
    pub gpus: BTreeMap<String, u64>,
    /// The very devices that were leased to it, by UUID or path, by the name of the resource; empty where none are leased.
    pub devices: BTreeMap<String, Vec<String>>,
    /// What is mounted, by name, in the driver's own words.
    pub volumes: BTreeMap<String, Map<String, Value>>,
    /// Folders of the machine that servers run on which are put into the server.
    pub binds: Vec<Bind>,
    /// Buckets that the server sees as folders. No driver mounts them itself: who does turns them into `binds`.
    pub mounts: Vec<Mount>,
    /// The user and group of the machine whose files the server reads and writes; absent where the driver knows.
    pub owner: Option<(u32, u32)>,
    /// Settings that only one kind of driver understands, under its own names, such as `node_selector`.
    pub extra: Map<String, Value>,
    /// What the person chose, with groups, for programs of the operator's; null for the local driver.
    pub options: Value,
    /// Who signs the certificate it listens with, where hub, proxy and servers speak TLS with each other.
    pub certify: Option<Arc<dyn Certify>>,
}

/// A folder of the machine which a server sees under another path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Absolute, on the machine.
    pub source: PathBuf,
    /// Absolute, in the server.
    pub target: PathBuf,
    /// The server may only read it.
    pub read_only: bool,
    /// What is mounted below the source later appears in the server too.
    pub propagate: bool,
}

/// A bucket of an object store, or a part of one, that a server sees as a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The name of the folder: one part of a path, safe as such.
    pub name: String,
    /// The name of the folder that it is in, which is another mount that can only be read; nothing for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Where the bucket is.
    pub store: ObjectStore,
    /// The bucket.
    pub bucket: String,
    /// The part of the bucket, such as `people/anna`; empty for all of it.
    pub prefix: String,
    /// The bucket is made at the first upload when it is missing, if the person may.
    pub create: bool,
    /// The server may only read it.
    pub read_only: bool,
    /// Without it the server does not start.
    pub required: bool,
}

impl Mount {
    /// Where it is below the folder of all mounts: its name, with that of the folder it is in before it.
    pub fn path(&self) -> String {
        match &self.within {
            Some(within) => format!("{within}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// An S3 endpoint, as far as who mounts has to know it. Keys come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStore {
    /// Its name in the configuration, under which keys for it are asked for.
    pub name: String,
    /// Its address.
    pub endpoint: String,
    /// The region requests are signed for.
    pub region: String,
    /// What rclone knows this kind of store as, such as `Ceph` or `Minio`; `Other` in doubt.
    pub provider: String,
    /// A file with the certificates that its own is checked against; the system's when absent.
    pub ca_file: Option<PathBuf>,
}

impl Plan {
    /// A plan with a command and nothing else.
    pub fn new(identity: Identity, prefix: impl Into<String>, cmd: Vec<String>) -> Self {
        Self {
            identity,
            prefix: prefix.into(),
            environment: Vec::new(),
            templates: BTreeSet::new(),
            cmd,
            args: Vec::new(),
            working_dir: None,
            ip: String::new(),
            port: 0,
            mem_limit: None,
            mem_guarantee: None,
            cpu_limit: None,
            cpu_guarantee: None,
            image: None,
            site: None,
            gpus: BTreeMap::new(),
            devices: BTreeMap::new(),
            volumes: BTreeMap::new(),
            binds: Vec::new(),
            mounts: Vec::new(),
            owner: None,
            extra: Map::new(),
            options: Value::Null,
            certify: None,
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Plan")
            .field("identity", &self.identity)
            .field("prefix", &self.prefix)
            .field("environment", &names)
            .field("cmd", &self.cmd)
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};

    #[test]
    fn the_environments_values_are_not_printed() {
        let identity = Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        let mut plan = Plan::new(identity, "/user/anna/", vec!["jupyterhub-singleuser".into()]);
        plan.environment.push(("JUPYTERHUB_API_TOKEN".into(), "wonderland".into()));
        let printed = format!("{plan:?}");
        assert!(printed.contains("JUPYTERHUB_API_TOKEN"), "{printed}");
        assert!(!printed.contains("wonderland"), "{printed}");
    }
}

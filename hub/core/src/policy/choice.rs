//! What there is to choose, beside profiles: images, sizes, volumes, sites.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::setting::Setting;

/// An image that people choose by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// What the driver pulls, as the operator wrote it.
    pub reference: String,
    /// Whether it is chosen at first.
    pub default: bool,
}

/// A size of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flavour {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// Thousandths of a core at most.
    pub cpu: Option<u64>,
    /// Thousandths of a core that are sure.
    pub cpu_guarantee: Option<u64>,
    /// Bytes at most.
    pub memory: Option<u64>,
    /// Bytes that are sure.
    pub memory_guarantee: Option<u64>,
    /// GPUs.
    pub gpu: u64,
    /// What kind of GPUs, by the resource's name.
    pub gpu_resource: Option<String>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// What only a driver understands.
    pub extra: Map<String, Value>,
    /// Whether it is chosen at first.
    pub default: bool,
}

impl Flavour {
    /// What it sets. A flavour says everything about size: one without a GPU takes away what came before.
    pub fn setting(&self, gpu_resource: &str) -> Setting {
        let resource = self.gpu_resource.clone().unwrap_or_else(|| gpu_resource.to_owned());
        let environment = self.environment.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        Setting {
            cpu_limit: Some(self.cpu),
            cpu_guarantee: Some(self.cpu_guarantee),
            mem_limit: Some(self.memory),
            mem_guarantee: Some(self.memory_guarantee),
            gpus: (self.gpu > 0).then_some((resource, Some(self.gpu))).into_iter().collect(),
            only_gpus: true,
            environment: environment.collect(),
            extra: self.extra.clone(),
            ..Setting::default()
        }
    }
}

/// A volume that people may have mounted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Volume {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// How the driver mounts it.
    pub mount: Map<String, Value>,
    /// Whether it is chosen at first.
    pub default: bool,
}

/// A place with an engine or a cluster of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Site {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
}

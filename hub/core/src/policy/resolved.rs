//! What a request came to: everything a start needs to know, kept with the intent and never changed afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::amount::{Amounts, Dimension};
use super::setting::{Setting, merge};

/// A server's plan by the policies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolved {
    /// The profile's name.
    pub profile: Option<String>,
    /// What people call the profile.
    pub profile_name: Option<String>,
    /// The size's name.
    pub flavour: Option<String>,
    /// What people call the size.
    pub flavour_name: Option<String>,
    /// The site's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// What people call the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_name: Option<String>,
    /// What people call the image.
    pub image_name: Option<String>,
    /// What the driver pulls.
    pub image: Option<String>,
    /// Thousandths of a core.
    pub cpu_limit: Option<u64>,
    /// Thousandths of a core.
    pub cpu_guarantee: Option<u64>,
    /// Bytes.
    pub mem_limit: Option<u64>,
    /// Bytes.
    pub mem_guarantee: Option<u64>,
    /// GPUs by the resource's name; empty for none at all.
    pub gpus: BTreeMap<String, u64>,
    /// Variables; null for one that is taken away.
    pub environment: BTreeMap<String, Option<String>>,
    /// The command, when it is not the hub's.
    pub cmd: Option<Vec<String>>,
    /// Its arguments, when they are not the hub's.
    pub args: Option<Vec<String>>,
    /// The page it opens with, when it is not the hub's.
    pub default_url: Option<String>,
    /// The folder it shows, when it is not the hub's.
    pub notebook_dir: Option<String>,
    /// What is mounted, by name, as the driver understands it.
    pub volumes: BTreeMap<String, Map<String, Value>>,
    /// What only a driver understands, under its own names.
    pub extra: Map<String, Value>,
    /// What nothing that comes later may raise it above.
    pub caps: Amounts,
}

impl Resolved {
    /// Lays what a choice sets over what is there.
    pub(super) fn lay(&mut self, setting: &Setting) {
        replace(&mut self.cpu_limit, &setting.cpu_limit);
        replace(&mut self.cpu_guarantee, &setting.cpu_guarantee);
        replace(&mut self.mem_limit, &setting.mem_limit);
        replace(&mut self.mem_guarantee, &setting.mem_guarantee);
        replace(&mut self.image, &setting.image);
        replace(&mut self.cmd, &setting.cmd);
        replace(&mut self.args, &setting.args);
        replace(&mut self.default_url, &setting.default_url);
        replace(&mut self.notebook_dir, &setting.notebook_dir);
        self.environment.extend(setting.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        if setting.only_gpus {
            self.gpus.clear();
        }
        for (resource, number) in &setting.gpus {
            match number.filter(|number| *number > 0) {
                Some(number) => drop(self.gpus.insert(resource.clone(), number)),
                None => drop(self.gpus.remove(resource)),
            }
        }
        merge(&mut self.extra, &setting.extra);
    }

    /// How many GPUs it has.
    pub fn gpu(&self) -> u64 {
        self.gpus.values().fold(0, |sum, number| sum.saturating_add(*number))
    }

    /// What it takes of a quota.
    pub fn takes(&self) -> Amounts {
        Amounts {
            servers: Some(1),
            cpu: Some(self.cpu_limit.or(self.cpu_guarantee).unwrap_or(0)),
            memory: Some(self.mem_limit.or(self.mem_guarantee).unwrap_or(0)),
            gpu: Some(self.gpu()),
        }
    }

    /// Brings what has no limit, or more than the most, down to the most.
    pub(super) fn clamp(&mut self, dimension: Dimension, most: u64) {
        let (limit, guarantee) = match dimension {
            Dimension::Cpu => (&mut self.cpu_limit, &mut self.cpu_guarantee),
            Dimension::Memory => (&mut self.mem_limit, &mut self.mem_guarantee),
            Dimension::Servers | Dimension::Gpu => return,
        };
        *limit = Some(limit.map_or(most, |limit| limit.min(most)));
        *guarantee = guarantee.map(|guarantee| guarantee.min(most));
    }

    /// Keeps guarantees from being more than limits.
    pub(super) fn settle(&mut self) {
        for (limit, guarantee) in [(self.cpu_limit, &mut self.cpu_guarantee), (self.mem_limit, &mut self.mem_guarantee)]
        {
            if let (Some(limit), Some(sure)) = (limit, *guarantee) {
                *guarantee = Some(sure.min(limit));
            }
        }
    }

    /// "Base image, 2 cores, 4 GB": what it is, in a few words.
    pub fn brief(&self) -> Vec<String> {
        let mut words: Vec<String> = self.image_name.iter().cloned().collect();
        words.extend(self.cpu_limit.map(|cpu| Dimension::Cpu.told(cpu)));
        words.extend(self.mem_limit.map(|memory| Dimension::Memory.told(memory)));
        words.extend(Some(self.gpu()).filter(|gpu| *gpu > 0).map(|gpu| Dimension::Gpu.told(gpu)));
        words.extend(self.site_name.iter().cloned());
        words
    }
}

fn replace<T: Clone>(old: &mut Option<T>, new: &Option<Option<T>>) {
    if let Some(new) = new {
        old.clone_from(new);
    }
}

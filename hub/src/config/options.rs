//! `[options]`: what people choose before a server starts, and the policies that grant, limit and deny it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::unit::ByteSize;

/// What people choose before a server starts, and who may: see [options.md](options.md). Without any, nothing is asked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OptionsConfig {
    /// What people read above the form, where no policy says something else.
    pub greeting: Option<String>,
    /// Images that people choose from.
    pub images: Vec<ImageConfig>,
    /// Sizes that people choose from, instead of menus of cores, memory and GPUs.
    pub flavours: Vec<FlavourConfig>,
    /// A menu of numbers of cores. A person sees those within their limit.
    pub cores: Vec<f64>,
    /// The number of cores chosen at first; without it, the first of the menu.
    pub default_cores: Option<f64>,
    /// A menu of sizes of memory. A person sees those within their limit.
    pub memory: Vec<ByteSize>,
    /// The size of memory chosen at first; without it, the first of the menu.
    pub default_memory: Option<ByteSize>,
    /// A menu of numbers of GPUs, such as `[0, 1]`. A person sees those within their limit.
    pub gpus: Vec<u32>,
    /// What GPUs are called where servers run. Without it: `nvidia.com/gpu`.
    pub gpu_resource: Option<String>,
    /// Volumes that people may have mounted.
    pub volumes: Vec<VolumeConfig>,
    /// Profiles as in KubeSpawner's `profile_list`, with its names.
    pub profile_list: Vec<Value>,
    /// A YAML or JSON file with a `profile_list`, or with the values of Zero to JupyterHub that contain one.
    #[schemars(extend("format" = "path"))]
    pub profile_list_file: Option<PathBuf>,
    /// Who may have what. Those that match somebody count together; without any, everybody may have everything.
    pub policies: Vec<PolicyConfig>,
    /// Names of options that are not judged, but handed on to hooks and to a driver of your own.
    pub passed_on: Vec<String>,
}

/// An image that people choose by name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ImageConfig {
    /// Its name in policies and requests.
    pub name: String,
    /// What is pulled: `registry.example.org/team/image:tag`.
    pub image: String,
    /// What people read.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A sentence about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it is chosen at first.
    #[serde(default)]
    pub default: bool,
}

/// A size that people choose by name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct FlavourConfig {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A sentence about it.
    #[serde(default)]
    pub description: Option<String>,
    /// The most cores.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cpu: Option<f64>,
    /// The cores it can count on.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cpu_guarantee: Option<f64>,
    /// The most memory.
    #[serde(default)]
    pub memory: Option<ByteSize>,
    /// The memory it can count on.
    #[serde(default)]
    pub memory_guarantee: Option<ByteSize>,
    /// How many GPUs.
    #[serde(default)]
    pub gpu: u32,
    /// What kind of GPUs, when it is not `gpu_resource`.
    #[serde(default)]
    pub gpu_resource: Option<String>,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Settings that only the driver understands, under its own names.
    #[serde(default)]
    pub spawner_override: BTreeMap<String, Value>,
    /// Whether it is chosen at first.
    #[serde(default)]
    pub default: bool,
}

/// A volume that people may have mounted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct VolumeConfig {
    /// Its name in policies and requests.
    pub name: String,
    /// What people read.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A sentence about it.
    #[serde(default)]
    pub description: Option<String>,
    /// How it is mounted, in the driver's own words.
    #[serde(default)]
    pub mount: BTreeMap<String, Value>,
    /// Whether it is chosen at first.
    #[serde(default)]
    pub default: bool,
}

/// Who may have what. It means everybody, unless it names groups, users or administrators.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct PolicyConfig {
    /// What it is called where a limit is explained.
    pub name: String,
    /// Groups whose members it means: a name, or a name with what is below it, `/users/cygno/**`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// People whom it means, by name.
    #[serde(default)]
    pub users: Vec<String>,
    /// Whether it means the administrators of the hub.
    #[serde(default)]
    pub admins: bool,
    /// What they may choose. Grants of several policies add up.
    #[serde(default)]
    pub grant: GrantConfig,
    /// The most of one server. The most generous policy counts.
    #[serde(default)]
    pub limit: AmountsConfig,
    /// The most of one server, and servers at once, whatever other policies give.
    #[serde(default)]
    pub ceiling: AmountsConfig,
    /// The most that one person has at once. The most generous policy counts.
    #[serde(default)]
    pub quota: AmountsConfig,
    /// The most that all members of one of the groups have at once.
    #[serde(default)]
    pub group_quota: AmountsConfig,
    /// What they may not choose, whatever other policies grant.
    #[serde(default)]
    pub deny: DenyConfig,
    /// The site that is taken where none is chosen and the server never ran, by its name in `[[sites]]`. The last policy that
    /// names one counts; without any it is `hub.site`.
    #[serde(default)]
    pub default_site: Option<String>,
    /// What they read above the form.
    #[serde(default)]
    pub greeting: Option<String>,
    /// How to get into the groups. With it, others are shown what the policy grants, and this sentence.
    #[serde(default)]
    pub ask: Option<String>,
}

/// Choices by name; `"*"` stands for all.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GrantConfig {
    /// Images.
    pub images: Vec<String>,
    /// Sizes.
    pub flavours: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Profiles, by slug; beside what their own `allowed_groups` admit.
    pub profiles: Vec<String>,
    /// Sites, by the names in `[[sites]]`.
    pub sites: Vec<String>,
    /// Where images that people name themselves may come from: `registry.example.org/team`; `"*"` for anywhere.
    pub own_images: Vec<String>,
    /// Whether those have to be named by their digest.
    pub own_images_need_digest: bool,
}

/// Choices by name; `"*"` stands for all.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DenyConfig {
    /// Any server, with this sentence.
    pub start: Option<String>,
    /// Images.
    pub images: Vec<String>,
    /// Sizes.
    pub flavours: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Profiles, by slug.
    pub profiles: Vec<String>,
    /// Sites, by the names in `[[sites]]`.
    pub sites: Vec<String>,
    /// Images that people name themselves.
    pub own_images: bool,
}

/// How much of each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmountsConfig {
    /// Servers at once.
    pub servers: Option<u32>,
    /// Cores.
    #[schemars(range(min = 0))]
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// GPUs.
    pub gpu: Option<u32>,
    /// Of what there may be any amount.
    pub unlimited: Vec<AmountName>,
}

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AmountName {
    /// Servers at once.
    Servers,
    /// Cores.
    Cpu,
    /// Memory.
    Memory,
    /// GPUs.
    Gpu,
}

impl OptionsConfig {
    /// Whether there is anything to choose or to limit.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
            && self.flavours.is_empty()
            && self.cores.is_empty()
            && self.memory.is_empty()
            && self.gpus.is_empty()
            && self.volumes.is_empty()
            && self.profile_list.is_empty()
            && self.profile_list_file.is_none()
            && self.policies.is_empty()
    }
}

//! `[spawner]`: what a person's server is started with. `[spawner.local]`: as processes of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callout::CalloutConfig;
use super::docker::DockerConfig;
use super::folders::MountsConfig;
use super::kubernetes::KubernetesConfig;
use super::unit::{ByteSize, Seconds};

/// What a person's server is started with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SpawnerConfig {
    /// Where servers run: `local`, as processes of this machine; `docker`, in containers: see [docker.md](docker.md);
    /// `kubernetes`, as pods of a cluster: see [kubernetes.md](kubernetes.md); `external`, where a program or an address of your own starts them: see [hooks.md](hooks.md).
    pub driver: Driver,
    /// The command of a server; a list when it has arguments of its own. For `docker` and `kubernetes`, `[]` is the
    /// image's own.
    pub cmd: Vec<String>,
    /// Further arguments of the command.
    pub args: Vec<String>,
    /// The page a server opens with, such as `/lab`. `{username}` and `{servername}` are filled in.
    pub default_url: Option<String>,
    /// The folder a server shows. `{username}` and `{servername}` are filled in; `~` is the person's home.
    pub notebook_dir: Option<String>,
    /// Environment variables of every server; they win over the hub's own. With `kubernetes` their values are templates.
    pub environment: BTreeMap<String, String>,
    /// Variables of the hub's environment that servers inherit.
    pub env_keep: Vec<String>,
    /// How many seconds the start of a server may take until it has an address. Up to ten minutes in which the driver cannot ask its machines do not count.
    pub start_timeout: Seconds,
    /// How many seconds a server that has an address may take until it answers.
    pub http_timeout: Seconds,
    /// How often it is checked that a server still runs.
    pub poll_interval: Seconds,
    /// GPUs, and slices of GPUs, that are leased to one server at a time: lists of UUIDs (`GPU-…`, `MIG-…`) or of device
    /// paths by the name of the resource, such as `"nvidia.com/gpu" = ["GPU-8a56…"]`. See [options.md](options.md).
    pub devices: BTreeMap<String, Vec<String>>,
    /// How many seconds a server waits for a device to be free; 0 is for ever.
    pub device_timeout: Seconds,
    /// The most memory of one server: bytes, or text such as `"2G"`.
    pub mem_limit: Option<ByteSize>,
    /// The memory a server can count on.
    pub mem_guarantee: Option<ByteSize>,
    /// The most processors of one server, fractions allowed.
    #[schemars(range(min = 0))]
    pub cpu_limit: Option<f64>,
    /// The processors a server can count on.
    #[schemars(range(min = 0))]
    pub cpu_guarantee: Option<f64>,
    /// Scopes of a server's own token, instead of the role `server`.
    pub server_token_scopes: Vec<String>,
    /// Scopes that people's tokens get when they open a server in the browser.
    pub oauth_client_allowed_scopes: Vec<String>,
    /// What servers get in their environment of the person's login at an identity provider, under the names of the
    /// deployments of INFN. What looks like the client's secret and the refresh token is the server's own token: it
    /// refreshes at the hub, at `IAM_SERVER`, and nowhere else.
    pub oidc_environment: BTreeSet<OidcVariable>,
    /// Lets servers log more.
    pub debug: bool,
    /// Keeps people's own Jupyter configuration from being read by their servers.
    pub disable_user_config: bool,
    /// How buckets of object stores become folders of servers: see [folders.md](folders.md).
    pub mounts: MountsConfig,
    /// Options of the driver `local`.
    pub local: LocalConfig,
    /// Options of the driver `docker`.
    pub docker: DockerConfig,
    /// Options of the driver `kubernetes`.
    pub kubernetes: KubernetesConfig,
    /// The driver `external`: who is asked to start, to look and to stop.
    pub external: CalloutConfig,
}

/// A variable about a person's login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OidcVariable {
    /// The access token of the moment of the start. It ends soon; programs had better ask the hub.
    AccessToken,
    /// What refreshes it at `IAM_SERVER`.
    RefreshToken,
    /// Where the hub answers as a provider would.
    IamServer,
    /// The client there.
    IamClientId,
    /// Its secret.
    IamClientSecret,
    /// The person's name in the hub.
    Username,
    /// The person's groups, with spaces between.
    Groups,
}

impl OidcVariable {
    /// Its name in the environment.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "ACCESS_TOKEN",
            Self::RefreshToken => "REFRESH_TOKEN",
            Self::IamServer => "IAM_SERVER",
            Self::IamClientId => "IAM_CLIENT_ID",
            Self::IamClientSecret => "IAM_CLIENT_SECRET",
            Self::Username => "USERNAME",
            Self::Groups => "GROUPS",
        }
    }
}

/// Where servers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Processes of this machine.
    #[default]
    Local,
    /// Containers of a Docker engine.
    Docker,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
    /// Wherever a program or an address of the operator's starts them.
    External,
}

impl Driver {
    /// Its name in the configuration, in the database and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
            Self::External => "external",
        }
    }
}

impl SpawnerConfig {
    /// The same as the local driver's own type. `hub` is the mark of this hub's database, `data_dir` the hub's.
    pub fn local(&self, hub: &str, data_dir: &Path) -> spawner_local::Config {
        let local = &self.local;
        spawner_local::Config {
            mode: local.mode.map(|mode| match mode {
                LocalMode::System => spawner_local::Mode::System,
                LocalMode::Folders => spawner_local::Mode::Folders,
            }),
            homes: Some(local.homes_dir.clone().unwrap_or_else(|| data_dir.join("homes"))),
            env_keep: self.env_keep.clone(),
            shell_cmd: local.shell_cmd.clone(),
            interrupt_timeout: local.interrupt_timeout.duration(),
            term_timeout: local.term_timeout.duration(),
            kill_timeout: local.kill_timeout.duration(),
            no_new_privileges: local.no_new_privileges,
            allow_root: local.allow_root,
            log_bytes: local.log_bytes.0,
            log_files: local.log_files,
            ports: local.ports.map(|[first, last]| first..=last),
            cgroups: local.cgroups,
            cgroup_parent: local.cgroup_parent.clone(),
            gpus: !self.devices.is_empty(),
            ..spawner_local::Config::new(hub, data_dir.join("local"))
        }
    }
}

impl Default for SpawnerConfig {
    fn default() -> Self {
        Self {
            driver: Driver::Local,
            cmd: vec!["jupyterhub-singleuser".into()],
            args: Vec::new(),
            default_url: None,
            notebook_dir: None,
            environment: BTreeMap::new(),
            env_keep: [
                "CONDA_DEFAULT_ENV",
                "CONDA_ROOT",
                "JUPYTERHUB_SINGLEUSER_APP",
                "LANG",
                "LC_ALL",
                "LD_LIBRARY_PATH",
                "PATH",
                "PYTHONPATH",
                "VIRTUAL_ENV",
            ]
            .map(String::from)
            .to_vec(),
            start_timeout: Seconds(60.0),
            http_timeout: Seconds(30.0),
            poll_interval: Seconds(30.0),
            devices: BTreeMap::new(),
            device_timeout: Seconds(14_400.0),
            mem_limit: None,
            mem_guarantee: None,
            cpu_limit: None,
            cpu_guarantee: None,
            server_token_scopes: Vec::new(),
            oauth_client_allowed_scopes: Vec::new(),
            oidc_environment: BTreeSet::new(),
            debug: false,
            disable_user_config: false,
            mounts: MountsConfig::default(),
            local: LocalConfig::default(),
            docker: DockerConfig::default(),
            kubernetes: KubernetesConfig::default(),
            external: CalloutConfig::default(),
        }
    }
}

/// Servers as processes of this machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LocalConfig {
    /// `system`: each server runs as the system user of that name (needs root). `folders`: all servers run as the
    /// hub's own user, each with a home folder of its own. Without it: `system` for root, else `folders`.
    pub mode: Option<LocalMode>,
    /// The address servers listen on.
    pub ip: String,
    /// Where home folders are made in mode `folders`. Without it: `homes` in `data_dir`.
    #[schemars(extend("format" = "path"))]
    pub homes_dir: Option<PathBuf>,
    /// A shell that is given the whole command as its last argument, such as `["bash", "-l", "-c"]`.
    pub shell_cmd: Vec<String>,
    /// How long a server has to stop after an interrupt (SIGINT).
    pub interrupt_timeout: Seconds,
    /// How long a server has to stop after a request to end (SIGTERM).
    pub term_timeout: Seconds,
    /// How long to wait for a server that was killed (SIGKILL).
    pub kill_timeout: Seconds,
    /// How large one server's log may grow before it is rotated.
    pub log_bytes: ByteSize,
    /// How many rotated logs are kept for each server.
    pub log_files: u32,
    /// The first and last port servers may listen on; any free one without it.
    pub ports: Option<[u16; 2]>,
    /// Keeps servers, and what runs in them, from gaining rights (no sudo, no set-user-id programs).
    pub no_new_privileges: bool,
    /// Gives servers control groups of their own, for their limits, where the system lets the hub make them.
    pub cgroups: bool,
    /// A folder of the control group tree that was delegated to the hub. Without it: the hub's own group.
    #[schemars(extend("format" = "path"))]
    pub cgroup_parent: Option<PathBuf>,
    /// Lets a server run as root, for the hub's user `root` or in mode `folders` of a hub that root runs.
    pub allow_root: bool,
}

/// Whose processes local servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LocalMode {
    /// Each server runs as the system user of that name.
    System,
    /// All servers run as the hub's user, each with a home folder of its own.
    Folders,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            mode: None,
            ip: "127.0.0.1".into(),
            homes_dir: None,
            shell_cmd: Vec::new(),
            interrupt_timeout: Seconds(30.0),
            term_timeout: Seconds(30.0),
            kill_timeout: Seconds(5.0),
            log_bytes: ByteSize(10 << 20),
            log_files: 2,
            ports: None,
            no_new_privileges: true,
            cgroups: true,
            cgroup_parent: None,
            allow_root: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_drivers_own() {
        let folder = Path::new("/srv/hub");
        let ours = SpawnerConfig::default().local("mark", folder);
        let mut own = spawner_local::Config::new("mark", folder.join("local"));
        own.homes = Some(folder.join("homes"));
        assert_eq!(format!("{ours:?}"), format!("{own:?}"));
    }
}

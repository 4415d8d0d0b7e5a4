//! `[spawner.docker]`: servers as containers of a Docker engine. The names are DockerSpawner's where it has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::SpawnerConfig;
use super::unit::{ByteSize, Seconds};

/// Servers as containers of a Docker engine: see [docker.md](docker.md).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DockerConfig {
    /// Where the engine is: `unix:///path` or `tcp://host:port`. Without it: `DOCKER_HOST`, else
    /// `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// Who signed the engine's certificate (PEM), for an engine reached over TLS. The three files belong together.
    #[schemars(extend("format" = "path"))]
    pub tls_ca_file: Option<PathBuf>,
    /// The hub's certificate for the engine.
    #[schemars(extend("format" = "path"))]
    pub tls_cert_file: Option<PathBuf>,
    /// The key of that certificate.
    #[schemars(extend("format" = "path"))]
    pub tls_key_file: Option<PathBuf>,
    /// The image of servers. What people choose in `[options]` comes before it.
    pub image: Option<String>,
    /// When an image is pulled: `always`, `ifnotpresent`, `never`, or `skip` (the engine is not even asked for it).
    pub pull_policy: PullPolicy,
    /// How many seconds a pull may take. They do not count as the start.
    pub pull_timeout: Seconds,
    /// A file with logins at registries, as `docker login` writes it.
    #[schemars(extend("format" = "path"))]
    pub auth_file: Option<PathBuf>,
    /// Logins at registries, by host, with port where it has one. They come before those of `auth_file`.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// The network of the engine that containers are in.
    pub network_name: String,
    /// Reaches containers at their address in that network, and publishes no port. Without it: in every network but
    /// `bridge`.
    pub use_internal_ip: Option<bool>,
    /// Reaches containers by their names in that network. The hub and the proxy have to be in it.
    pub use_internal_hostname: bool,
    /// The address of the engine's machine at which ports of containers are published.
    pub host_ip: String,
    /// Where the hub and the proxy reach published ports, when it is not `host_ip`.
    pub connect_ip: Option<String>,
    /// The port servers listen on in their containers.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The first part of a container's name.
    pub prefix: String,
    /// The name of a container. Without it: `{prefix}-{username}`, and `{prefix}-{username}--{servername}` for named
    /// servers.
    pub name_template: Option<String>,
    /// What becomes of characters in names of people that no name of Docker's may have: `default`, or `legacy` as
    /// DockerSpawner did it before version 12, where volumes have such names.
    pub escape: Escape,
    /// Lets servers that are to have GPUs share the first ones of the machine, where `spawner.devices` names none. Everybody
    /// has the same then, at the same time.
    pub share_gpus: bool,
    /// Volumes and folders of the machine, and where they are mounted: a path, or a table with `bind`, `mode` and
    /// `propagation`. `{username}`, `{servername}` and `{raw_username}` are filled in.
    pub volumes: BTreeMap<String, Value>,
    /// The same, only for reading.
    pub read_only_volumes: BTreeMap<String, Value>,
    /// Mounts in the words of Docker's API, such as `{ Type = "volume", Source = "home-{username}", Target = "/home" }`.
    pub mounts: Vec<BTreeMap<String, Value>>,
    /// What else is said when a container is made, in the words of Docker's API or of DockerSpawner.
    pub extra_create_kwargs: BTreeMap<String, Value>,
    /// What else is said of its `HostConfig`, in the words of Docker's API or of DockerSpawner.
    pub extra_host_config: BTreeMap<String, Value>,
    /// Containers that servers reach by another name. Old: put them into the network of servers.
    pub links: BTreeMap<String, String>,
    /// A command that is run in each container once it has started.
    pub post_start_cmd: Vec<String>,
    /// The user servers run as: a name or `UID:GID`. Without it: the image's own.
    pub user: Option<String>,
    /// The size of `/dev/shm`. Without it: the engine's own, mostly 64 MiB, which is little for machine learning.
    pub shm_size: Option<ByteSize>,
    /// The OCI runtime, such as `runsc`. Without it: the engine's own.
    pub runtime: Option<String>,
    /// Further labels of containers. `{username}` and `{servername}` are filled in.
    pub labels: BTreeMap<String, String>,
    /// How many processes and threads a server may have; 0 means no limit.
    pub pids_limit: u32,
    /// Runs a small init in each container, which collects ended processes.
    pub init: bool,
    /// Keeps everything in a container from gaining rights (no sudo, no set-user-id programs).
    pub no_new_privileges: bool,
    /// Capabilities that are taken from servers.
    pub cap_drop: Vec<String>,
    /// Capabilities that are given back to them.
    pub cap_add: Vec<String>,
    /// How large a container's log may grow before it is rotated; 0 leaves logging to the engine.
    pub log_bytes: ByteSize,
    /// How many logs are kept for each container.
    #[schemars(range(min = 1))]
    pub log_files: u32,
    /// How long a server has to end after it was asked to, before it is killed.
    pub stop_timeout: Seconds,
    /// Removes a container when its server stops. With `false` it is kept with all that was written in it, and started
    /// again, unless it would be made another way by now: then it is removed and made anew.
    pub remove: bool,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// At each start.
    Always,
    /// When the engine does not have it.
    #[default]
    IfNotPresent,
    /// Never; a start without the image is refused.
    Never,
    /// Never, and the engine is not asked for it.
    Skip,
}

/// How names of people become parts of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// As DockerSpawner does since version 12.
    #[default]
    Default,
    /// As it did before.
    Legacy,
}

/// A login at a registry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct RegistryConfig {
    /// The name.
    pub username: String,
    /// A file with the password, read at each pull.
    #[schemars(extend("format" = "path"))]
    pub password_file: PathBuf,
}

impl Default for DockerConfig {
    fn default() -> Self {
        let own = spawner_docker::Config::new("");
        let shape = own.shape;
        Self {
            host: None,
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            image: None,
            pull_policy: PullPolicy::IfNotPresent,
            pull_timeout: Seconds(own.pull_timeout.as_secs_f64()),
            auth_file: None,
            registries: BTreeMap::new(),
            network_name: shape.network_name,
            use_internal_ip: None,
            use_internal_hostname: false,
            host_ip: own.host_ip,
            connect_ip: None,
            port: own.port,
            prefix: own.prefix,
            name_template: None,
            escape: Escape::Default,
            share_gpus: false,
            volumes: BTreeMap::new(),
            read_only_volumes: BTreeMap::new(),
            mounts: Vec::new(),
            extra_create_kwargs: BTreeMap::new(),
            extra_host_config: BTreeMap::new(),
            links: BTreeMap::new(),
            post_start_cmd: Vec::new(),
            user: None,
            shm_size: None,
            runtime: None,
            labels: BTreeMap::new(),
            pids_limit: shape.pids_limit,
            init: shape.init,
            no_new_privileges: shape.no_new_privileges,
            cap_drop: shape.cap_drop,
            cap_add: shape.cap_add,
            log_bytes: ByteSize(shape.log_bytes),
            log_files: shape.log_files,
            stop_timeout: Seconds(own.stop_timeout.as_secs_f64()),
            remove: own.remove,
        }
    }
}

impl DockerConfig {
    /// The same as the driver's own type. `hub` is the mark of this hub's database.
    pub fn driver(&self, hub: &str) -> spawner_docker::Config {
        let endpoint = self.endpoint();
        let machine = endpoint.machine().map(str::to_owned);
        let usual = spawner_docker::Config::new(hub);
        // As DockerSpawner has it: what nobody said of another machine's engine is that machine.
        let (host_ip, connect_ip) = match (&machine, &self.connect_ip) {
            (Some(machine), None) if self.host_ip == usual.host_ip => ("0.0.0.0".to_owned(), Some(machine.clone())),
            (_, connect_ip) => (self.host_ip.clone(), connect_ip.clone()),
        };
        spawner_docker::Config {
            endpoint,
            image: self.image.clone(),
            pull_timeout: self.pull_timeout.duration(),
            logins: spawner_docker::Logins {
                file: self.auth_file.clone(),
                registries: self.registries.iter().map(|(host, login)| (host.clone(), login.login())).collect(),
            },
            prefix: self.prefix.clone(),
            name_template: self.name_template.clone(),
            escape: match self.escape {
                Escape::Default => spawner_docker::Escape::Default,
                Escape::Legacy => spawner_docker::Escape::Legacy,
            },
            share_gpus: self.share_gpus,
            host_ip,
            connect_ip,
            port: self.port,
            stop_timeout: self.stop_timeout.duration(),
            remove: self.remove,
            shape: self.shape(),
            ..usual
        }
    }

    /// Where the engine is.
    pub fn endpoint(&self) -> spawner_docker::Endpoint {
        let of_process = || std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = self.host.clone().or_else(of_process);
        let files = (self.tls_ca_file.clone(), self.tls_cert_file.clone(), self.tls_key_file.clone());
        let tls = match files {
            (Some(ca), Some(cert), Some(key)) => Some(spawner_docker::Tls { ca, cert, key }),
            _ => None,
        };
        spawner_docker::Endpoint { host: host.unwrap_or_else(|| spawner_docker::Endpoint::SOCKET.to_owned()), tls }
    }

    fn shape(&self) -> spawner_docker::Shape {
        let table = |table: &BTreeMap<String, Value>| -> Map<String, Value> { table.clone().into_iter().collect() };
        spawner_docker::Shape {
            pull_policy: match self.pull_policy {
                PullPolicy::Always => spawner_docker::PullPolicy::Always,
                PullPolicy::IfNotPresent => spawner_docker::PullPolicy::IfNotPresent,
                PullPolicy::Never => spawner_docker::PullPolicy::Never,
                PullPolicy::Skip => spawner_docker::PullPolicy::Skip,
            },
            network_name: self.network_name.clone(),
            use_internal_ip: self.use_internal_ip,
            use_internal_hostname: self.use_internal_hostname,
            volumes: self.volumes.clone(),
            read_only_volumes: self.read_only_volumes.clone(),
            mounts: self.mounts.iter().map(table).collect(),
            extra_create_kwargs: table(&self.extra_create_kwargs),
            extra_host_config: table(&self.extra_host_config),
            links: self.links.clone(),
            post_start_cmd: self.post_start_cmd.clone(),
            user: self.user.clone(),
            shm_size: self.shm_size.map(|size| size.0),
            runtime: self.runtime.clone(),
            labels: self.labels.clone(),
            pids_limit: self.pids_limit,
            init: self.init,
            no_new_privileges: self.no_new_privileges,
            cap_drop: self.cap_drop.clone(),
            cap_add: self.cap_add.clone(),
            log_bytes: self.log_bytes.0,
            log_files: self.log_files,
        }
    }
}

impl RegistryConfig {
    fn login(&self) -> spawner_docker::Login {
        spawner_docker::Login { username: self.username.clone(), password_file: self.password_file.clone() }
    }
}

/// What is wrong: an option of `[spawner.docker]`, what it is, and what to do.
pub fn problems(spawner: &SpawnerConfig, chooses_images: bool) -> Vec<(String, String, &'static str)> {
    let docker = &spawner.docker;
    let mut problems = Vec::new();
    let mut blame = |option: &str, what: String, remedy| problems.push((option.to_owned(), what, remedy));
    if docker.image.is_none() && !chooses_images {
        let remedy = "Name an image, or let people choose one in [options]";
        blame("image", "is missing, and there is none to choose in [options]".to_owned(), remedy);
    }
    let tls = [&docker.tls_ca_file, &docker.tls_cert_file, &docker.tls_key_file];
    let told = tls.iter().filter(|file| file.is_some()).count();
    if told != 0 && told != tls.len() {
        blame("tls_ca_file", "belongs with tls_cert_file and tls_key_file".to_owned(), "Name all three, or none");
    }
    for file in tls.into_iter().flatten() {
        if let Err(error) = std::fs::File::open(file) {
            blame("tls_ca_file", format!("and the other two name {}: {error}", file.display()), "");
        }
    }
    let has_network = !matches!(docker.network_name.as_str(), "host" | "none" | "");
    if !has_network {
        let remedy = "Name a network such as \"bridge\", or make one: docker network create labs";
        blame("network_name", "cannot be the machine's own network, or none".to_owned(), remedy);
    }
    if docker.host_ip.parse::<std::net::IpAddr>().is_err() {
        blame("host_ip", "has to be an IP address".to_owned(), "Without it, it is 127.0.0.1");
    }
    if docker.pull_timeout.is_zero() {
        blame("pull_timeout", "has to be more than 0 seconds".to_owned(), "");
    }
    // What is wrong with the network is told; all else is told beside it.
    let mut driver = docker.driver("h");
    if !has_network {
        driver.shape.network_name = "bridge".to_owned();
    }
    if let Err(what) = spawner_docker::Docker::check(&driver) {
        let (option, what) = what.split_once(": ").unwrap_or(("volumes", &what));
        blame(option, format!("is not understood: {what}"), "See docs/docker.md");
    }
    problems
}

/// What is allowed, and worth a second look.
pub fn warnings(spawner: &SpawnerConfig, hub_url: &str) -> Vec<String> {
    let docker = &spawner.docker;
    let mut warnings = Vec::new();
    let host = url::Url::parse(hub_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    if super::address::is_loopback(host.trim_matches(['[', ']'])) {
        warnings.push(format!(
            "Containers cannot reach the hub at {hub_url}: set hub.hub_ip to the address of their network's bridge, such as 172.17.0.1"
        ));
    }
    let risks = spawner_docker::Docker::risks(&docker.driver("h")).unwrap_or_default();
    warnings.extend(risks.into_iter().map(|risk| risky(risk).to_owned()));
    let over_network = docker.driver("h").endpoint;
    if over_network.machine().is_some() && over_network.tls.is_none() {
        warnings.push(format!(
            "Whoever reaches {} can do anything there: use TLS (spawner.docker.tls_ca_file)",
            over_network.host
        ));
    }
    warnings
}

/// What a risk means, and where it comes from.
fn risky(risk: spawner_docker::Risk) -> &'static str {
    use spawner_docker::Risk;
    match risk {
        Risk::Privileged => {
            "Servers are privileged (spawner.docker.extra_host_config): people can do anything on the machine"
        }
        Risk::EngineSocket => {
            "Servers get the engine's socket (spawner.docker.volumes, mounts, extra_host_config): people can do anything on the machine"
        }
        Risk::WholeMachine => {
            "Servers get all files of the machine (spawner.docker.volumes, mounts, extra_host_config): make it the folder they need"
        }
        Risk::MachineNamespaces => {
            "Servers see processes or users of the machine itself (spawner.docker.extra_host_config: pid_mode, ipc_mode, userns_mode, uts_mode)"
        }
        Risk::Unconfined => {
            "Servers may make any system call (spawner.docker.extra_host_config.security_opt with \"unconfined\")"
        }
        Risk::GainsRights => {
            "Servers can gain rights in their containers (spawner.docker.no_new_privileges, cap_drop, or extra_host_config)"
        }
        Risk::SharedGpus => {
            "Every server has GPUs, the same for all (device_requests in spawner.docker.extra_host_config): name them in spawner.devices, and give them out by [options]"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_drivers_own() {
        let config = DockerConfig { host: Some(spawner_docker::Endpoint::SOCKET.into()), ..DockerConfig::default() };
        assert_eq!(format!("{:?}", config.driver("mark")), format!("{:?}", spawner_docker::Config::new("mark")));
    }

    #[test]
    fn ports_of_another_machines_engine_are_reached_there() {
        let config = DockerConfig { host: Some("tcp://engine.example:2376".into()), ..DockerConfig::default() };
        let driver = config.driver("mark");
        assert_eq!((driver.host_ip.as_str(), driver.connect_ip.as_deref()), ("0.0.0.0", Some("engine.example")));
    }

    #[test]
    fn what_servers_should_not_have_by_accident_is_told() {
        let told = |docker: DockerConfig| {
            warnings(&SpawnerConfig { docker, ..SpawnerConfig::default() }, "http://172.17.0.1:8081")
        };
        let with = |host: Value| DockerConfig {
            host: Some(spawner_docker::Endpoint::SOCKET.into()),
            extra_host_config: serde_json::from_value(host).unwrap(),
            ..DockerConfig::default()
        };
        assert_eq!(told(with(serde_json::json!({}))), Vec::<String>::new());
        for (host, words) in [
            (serde_json::json!({"privileged": true}), "are privileged"),
            (serde_json::json!({"binds": {"/run/docker.sock": "/s"}}), "the engine's socket"),
            (serde_json::json!({"security_opt": ["no-new-privileges:false"]}), "can gain rights"),
            (serde_json::json!({"cap_drop": []}), "can gain rights"),
            (serde_json::json!({"device_requests": [{"count": -1, "capabilities": [["gpu"]]}]}), "the same for all"),
        ] {
            let told = told(with(host.clone()));
            assert!(told.len() == 1 && told[0].contains(words), "{host}: {told:?}");
        }
    }
}

//! Makes what the engine is asked for out of a plan: a pure function.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use spawners::{Plan, StartError};

use crate::config::Config;
use crate::docker_py;
use crate::extra::{self, VISIBLE};
use crate::label;
use crate::mount;
use crate::name::Names;
use crate::network;
use crate::risk::{self, Risk};
use crate::shape::Shape;

/// Docker's own period of processor time, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// Docker's share of one processor.
const CPU_SHARES: f64 = 1024.0;
/// The resource that Docker's own driver of GPUs stands for.
const NVIDIA: &str = "nvidia.com/gpu";

/// What the engine is asked for.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The container's name.
    pub name: String,
    /// The image's name.
    pub image: String,
    /// How it is made.
    pub shape: Shape,
    /// What is asked; without the command where the image's own is meant.
    pub body: ContainerCreateBody,
    /// The platform that the image is to be of.
    pub platform: Option<String>,
    /// A digest of all this.
    pub digest: String,
}

impl Recipe {
    /// Makes it. What is not understood is refused.
    pub fn new(config: &Config, plan: &Plan) -> Result<Self, StartError> {
        let shape = config.shape.with(&plan.extra).map_err(unclear)?;
        let image = plan.image.clone().or_else(|| config.image.clone()).ok_or_else(|| {
            StartError::refused("no_image", "No image was chosen, and this hub has none for everybody.")
        })?;
        let names = Names::new(&plan.identity, &image, &config.prefix, config.escape);
        let name = names.container(config.name_template.as_deref(), &plan.identity).map_err(unclear)?;
        let (mut body, platform) = body(config, plan, &shape, &image, &names).map_err(unclear)?;
        let digest = digest(&body, platform.as_deref(), config.agent_file.is_some(), &shape)?;
        body.labels = Some(labels(config, plan, &shape, &digest, &body));
        Ok(Self { name, image, shape, body, platform, digest })
    }
}

/// Checks, without a server at hand, what a configuration says of containers, and tells what it gives servers. The
/// error says what is wrong.
pub(crate) fn check(config: &Config) -> Result<Vec<Risk>, String> {
    let nobody = spawners::Identity {
        hub: "h".to_owned(),
        spawner: hub_core::id::SpawnerId(0),
        generation: hub_core::id::Generation(0),
        user: "a".to_owned(),
        server: String::new(),
        account: None,
    };
    let names = Names::new(&nobody, "image", &config.prefix, config.escape);
    names.container(config.name_template.as_deref(), &nobody).map_err(|name| format!("name_template: {name}"))?;
    let plan = Plan::new(nobody, "/", Vec::new());
    body(config, &plan, &config.shape, "image", &names).map(|(body, _)| risk::of(&body))
}

fn unclear(what: String) -> StartError {
    tracing::error!("settings for containers are not understood: {what}");
    StartError::refused(
        "settings_not_understood",
        "The settings of this server are not understood. Ask the people who run this hub.",
    )
}

fn body(
    config: &Config,
    plan: &Plan,
    shape: &Shape,
    image: &str,
    names: &Names,
) -> Result<(ContainerCreateBody, Option<String>), String> {
    let command: Vec<String> = plan.cmd.iter().chain(&plan.args).cloned().collect();
    let port = port(config, plan);
    let base = ContainerCreateBody {
        image: Some(image.to_owned()),
        user: shape.user.clone(),
        env: Some(environment(plan, image, port)),
        // Arguments without a command follow the image's own.
        cmd: (!plan.cmd.is_empty()).then_some(command),
        working_dir: plan.working_dir.as_ref().map(|folder| folder.display().to_string()),
        exposed_ports: Some(vec![format!("{port}/tcp")]),
        tty: Some(false),
        ..ContainerCreateBody::default()
    };
    let settings = |settings| match names.fill_all(&Value::Object(settings)) {
        Value::Object(filled) => filled,
        _ => serde_json::Map::new(),
    };
    let of_create = |what| format!("extra_create_kwargs: {what}");
    let of_host = |what| format!("extra_host_config: {what}");
    let create = docker_py::create(&settings(shape.extra_create_kwargs.clone())).map_err(of_create)?;
    let mut body = extra::lay(&base, &create.body).map_err(of_create)?;
    let extra_host = docker_py::host(&settings(shape.extra_host_config.clone())).map_err(of_host)?;
    let mut host = host(config, plan, shape, names, port)?;
    for (settings, told) in [(&create.host, &of_create as &dyn Fn(String) -> String), (&extra_host, &of_host)] {
        host = extra::lay(&host, settings).map_err(told)?;
        agree(&mut host, settings, plan);
    }
    let network = host.network_mode.clone().unwrap_or_default();
    if matches!(network.as_str(), "host" | "none") || network.starts_with("container:") {
        let what = format!("a server cannot be in the network {network}: everybody would reach it, or nobody");
        return Err(if network == shape.network_name { format!("network_name: {what}") } else { of_host(what) });
    }
    if let Some(address) = create.mac_address {
        network::with_mac_address(&mut body, &network, address);
    }
    body.host_config = Some(host);
    Ok((body, create.platform))
}

/// What is reckoned of what the settings say otherwise.
fn agree(host: &mut HostConfig, settings: &serde_json::Map<String, Value>, plan: &Plan) {
    let says = |name: &str| settings.get(name).is_some_and(|value| !value.is_null());
    if let (Some(cores), Some(period)) = (plan.cpu_limit, host.cpu_period)
        && !says("CpuQuota")
    {
        host.cpu_quota = Some(quota(cores, period));
    }
    if says("Memory") && !says("MemorySwap") && host.memory_swap.is_some() {
        host.memory_swap = host.memory;
    }
}

/// So many microseconds of processor time in each period.
fn quota(cores: f64, period: i64) -> i64 {
    ((cores * period as f64) as i64).max(1000)
}

fn host(config: &Config, plan: &Plan, shape: &Shape, names: &Names, port: u16) -> Result<HostConfig, String> {
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut binds = mount::binds(&shape.volumes, "rw", names).map_err(|what| format!("volumes: {what}"))?;
    binds.extend(
        mount::binds(&shape.read_only_volumes, "ro", names).map_err(|what| format!("read_only_volumes: {what}"))?,
    );
    let mut mounts = mount::mounts(&shape.mounts, names).map_err(|what| format!("mounts: {what}"))?;
    for (name, words) in &plan.volumes {
        mounts.push(mount::chosen(name, words, names)?);
    }
    mounts.extend(plan.binds.iter().map(mount::folder));
    let link =
        |(name, alias): (&String, &String)| format!("{}:{}", names.fill_or_leave(name), names.fill_or_leave(alias));
    let links: Vec<String> = shape.links.iter().map(link).collect();
    let published = PortBinding { host_ip: Some(config.host_ip.clone()), host_port: Some(String::new()) };
    let (device_requests, devices) = devices(plan, config.share_gpus)?;
    Ok(HostConfig {
        memory: bytes(plan.mem_limit),
        // No swap beside it: a limit is a limit.
        memory_swap: bytes(plan.mem_limit),
        memory_reservation: bytes(plan.mem_guarantee),
        cpu_period: plan.cpu_limit.map(|_| CPU_PERIOD),
        cpu_quota: plan.cpu_limit.map(|cores| quota(cores, CPU_PERIOD)),
        cpu_shares: plan.cpu_guarantee.map(|cores| ((cores * CPU_SHARES) as i64).max(2)),
        pids_limit: (shape.pids_limit > 0).then(|| i64::from(shape.pids_limit)),
        shm_size: bytes(shape.shm_size),
        runtime: shape.runtime.clone(),
        init: Some(shape.init),
        binds: (!binds.is_empty()).then_some(binds),
        links: (!links.is_empty()).then_some(links),
        mounts: (!mounts.is_empty()).then_some(mounts),
        network_mode: Some(shape.network_name.clone()),
        port_bindings: (!shape.is_internal()).then(|| HashMap::from([(format!("{port}/tcp"), Some(vec![published]))])),
        // Who starts a server again, and with which token, is the hub.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), ..RestartPolicy::default() }),
        auto_remove: Some(false),
        privileged: Some(false),
        cap_drop: (!shape.cap_drop.is_empty()).then(|| shape.cap_drop.clone()),
        cap_add: (!shape.cap_add.is_empty()).then(|| shape.cap_add.clone()),
        security_opt: shape.no_new_privileges.then(|| vec![extra::NO_NEW_PRIVILEGES.to_owned()]),
        log_config: (shape.log_bytes > 0).then(|| log(shape)),
        device_requests: (!device_requests.is_empty()).then_some(device_requests),
        devices: (!devices.is_empty()).then_some(devices),
        ..HostConfig::default()
    })
}

fn log(shape: &Shape) -> HostConfigLogConfig {
    let config = HashMap::from([
        ("max-size".to_owned(), shape.log_bytes.to_string()),
        ("max-file".to_owned(), shape.log_files.max(1).to_string()),
    ]);
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) }
}

/// The port a server listens on in its container.
pub(crate) fn port(config: &Config, plan: &Plan) -> u16 {
    if plan.port == 0 { config.port } else { plan.port }
}

fn environment(plan: &Plan, image: &str, port: u16) -> Vec<String> {
    let mut variables: BTreeMap<&str, String> =
        plan.environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    for name in ["JUPYTER_IMAGE_SPEC", "JUPYTER_IMAGE"] {
        variables.entry(name).or_insert_with(|| image.to_owned());
    }
    variables.insert("JUPYTERHUB_SERVICE_URL", format!("http://0.0.0.0:{port}{}", plan.prefix));
    // Only what was leased, whatever the image or anybody else asks for.
    let leased: Vec<&str> = gpu_ids(plan).collect();
    if !leased.is_empty() {
        variables.insert(VISIBLE, leased.join(","));
    } else if is_counted(plan, NVIDIA) {
        variables.remove(VISIBLE);
    } else {
        variables.insert(VISIBLE, "void".to_owned());
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn gpu_ids(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.devices.values().flatten().map(String::as_str).filter(|device| !device.starts_with('/'))
}

/// Whether a number of devices is asked for, and none of them by name.
fn is_counted(plan: &Plan, resource: &str) -> bool {
    let leased = plan.devices.get(resource).is_some_and(|leased| !leased.is_empty());
    !leased && plan.gpus.get(resource).is_some_and(|number| *number > 0)
}

/// The very devices that were leased. Where nothing is leased and GPUs may be shared, as many as were granted: the engine
/// keeps no books, and gives the first ones to everybody.
fn devices(plan: &Plan, share: bool) -> Result<(Vec<DeviceRequest>, Vec<DeviceMapping>), String> {
    let request = |count: Option<i64>, ids: Option<Vec<String>>| DeviceRequest {
        count,
        device_ids: ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    let mut requests = Vec::new();
    let ids: Vec<String> = gpu_ids(plan).map(str::to_owned).collect();
    if !ids.is_empty() {
        requests.push(request(None, Some(ids)));
    }
    for (resource, number) in plan.gpus.iter().filter(|(resource, _)| is_counted(plan, resource)) {
        if resource != NVIDIA || !share {
            return Err(format!("{resource} can only be given as devices that are leased"));
        }
        requests.push(request(Some(i64::try_from(*number).unwrap_or(i64::MAX)), None));
    }
    let paths = plan.devices.values().flatten().filter(|device| device.starts_with('/'));
    let devices = paths.map(|path| DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path.clone()),
        cgroup_permissions: Some("rwm".to_owned()),
    });
    Ok((requests, devices.collect()))
}

fn labels(
    config: &Config,
    plan: &Plan,
    shape: &Shape,
    digest: &str,
    body: &ContainerCreateBody,
) -> HashMap<String, String> {
    let names = Names::new(&plan.identity, "", &config.prefix, config.escape);
    let mut labels = body.labels.clone().unwrap_or_default();
    labels.extend(shape.labels.iter().map(|(name, value)| (name.clone(), names.fill_or_leave(value))));
    // Last: nobody may write another's name on a container.
    labels.extend(label::of(&plan.identity));
    labels.extend(config.site.as_ref().map(|site| (label::SITE.to_owned(), site.name.clone())));
    labels.insert(label::PREFIX.to_owned(), plan.prefix.clone());
    labels.insert(label::PORT.to_owned(), port(config, plan).to_string());
    labels.insert(label::CONFIG.to_owned(), digest.to_owned());
    if !config.remove {
        labels.insert(label::KEPT.to_owned(), "1".to_owned());
    }
    if shape.use_internal_hostname {
        labels.insert(label::BY_NAME.to_owned(), "1".to_owned());
    }
    labels
}

/// Of what the engine is asked, of whether the lab agent is put before what the container runs, and of what is written on
/// it besides whose it is. What is not set leaves no trace: what an older hub has kept is still the same.
fn digest(
    body: &ContainerCreateBody,
    platform: Option<&str>,
    has_agent: bool,
    shape: &Shape,
) -> Result<String, StartError> {
    let value = serde_json::to_value(body).map_err(|error| unclear(error.to_string()))?;
    let mut hash = Sha256::new();
    if has_agent {
        hash.update(b"agent");
    }
    feed(&value, &mut hash);
    hash.update(platform.unwrap_or_default());
    if shape.use_internal_hostname {
        hash.update(b"by-name");
    }
    for (name, value) in &shape.labels {
        hash.update(format!("{name:?}={value:?}"));
    }
    Ok(hex::encode(hash.finalize()))
}

/// Tables in the order of their names: two digests of the same are the same.
fn feed(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(table) => {
            let sorted: BTreeMap<&String, &Value> = table.iter().collect();
            hash.update(b"{");
            for (key, value) in sorted {
                hash.update(format!("{key:?}:"));
                feed(value, hash);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| feed(item, hash));
            hash.update(b"]");
        }
        other => hash.update(format!("{other},")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};
    use serde_json::json;
    use spawners::Identity;

    fn plan() -> Plan {
        let identity = Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(2),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        let mut plan = Plan::new(identity, "/user/anna/", vec!["jupyterhub-singleuser".into()]);
        plan.environment = vec![("JUPYTERHUB_API_TOKEN".into(), "t".into())];
        plan
    }

    fn config() -> Config {
        Config { image: Some("lab:1".into()), ..Config::new("h") }
    }

    fn made(config: &Config, plan: &Plan) -> (ContainerCreateBody, HostConfig) {
        let body = Recipe::new(config, plan).unwrap().body;
        let host = body.host_config.clone().unwrap();
        (body, host)
    }

    fn variable<'a>(body: &'a ContainerCreateBody, name: &str) -> Option<&'a str> {
        body.env.as_ref()?.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// H4: no server has rights that it was not given by name.
    #[test]
    fn a_container_is_unprivileged_and_limited() {
        let mut plan = plan();
        (plan.mem_limit, plan.mem_guarantee) = (Some(1 << 30), Some(1 << 20));
        (plan.cpu_limit, plan.cpu_guarantee) = (Some(1.5), Some(0.5));
        let (body, host) = made(&config(), &plan);
        assert_eq!(
            (host.memory, host.memory_swap, host.memory_reservation),
            (Some(1 << 30), Some(1 << 30), Some(1 << 20))
        );
        assert_eq!((host.cpu_period, host.cpu_quota, host.cpu_shares), (Some(100_000), Some(150_000), Some(512)));
        assert_eq!((host.privileged, host.init, host.pids_limit), (Some(false), Some(true), Some(4096)));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], (10 << 20).to_string());
        assert_eq!(host.port_bindings.unwrap()["8888/tcp"].as_ref().unwrap()[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(variable(&body, "JUPYTERHUB_SERVICE_URL"), Some("http://0.0.0.0:8888/user/anna/"));
        assert_eq!(variable(&body, "JUPYTER_IMAGE_SPEC"), Some("lab:1"));
    }

    /// H9: devices are those of this start, and whoever asked for none has none.
    #[test]
    fn a_server_gets_its_leased_devices_and_no_others() {
        let (body, host) = made(&config(), &plan());
        assert_eq!((host.device_requests, host.devices), (None, None));
        assert_eq!(variable(&body, VISIBLE), Some("void"), "an image that asks for all gets none");
        let mut leased = plan();
        leased.gpus.insert(NVIDIA.into(), 1);
        leased.devices.insert(NVIDIA.into(), vec!["GPU-1".into()]);
        leased.devices.insert("amd.com/gpu".into(), vec!["/dev/kfd".into()]);
        let (body, host) = made(&config(), &leased);
        let requests = host.device_requests.unwrap();
        assert_eq!((requests.len(), requests[0].count), (1, None));
        assert_eq!(requests[0].device_ids, Some(vec!["GPU-1".to_owned()]));
        assert_eq!(host.devices.unwrap()[0].path_on_host.as_deref(), Some("/dev/kfd"));
        assert_eq!(variable(&body, VISIBLE), Some("GPU-1"));
        let mut by_path = plan();
        by_path.gpus.insert(NVIDIA.into(), 1);
        by_path.devices.insert(NVIDIA.into(), vec!["/dev/nvidia0".into()]);
        let (body, host) = made(&config(), &by_path);
        assert_eq!((host.device_requests, variable(&body, VISIBLE)), (None, Some("void")), "the runtime adds none");
        let mut counted = plan();
        counted.gpus.insert(NVIDIA.into(), 2);
        assert!(Recipe::new(&config(), &counted).is_err(), "everybody would have the first two");
        let sharing = Config { share_gpus: true, ..config() };
        let (body, host) = made(&sharing, &counted);
        assert_eq!(host.device_requests.unwrap()[0].count, Some(2));
        assert_eq!(variable(&body, VISIBLE), None);
        counted.gpus.insert("amd.com/gpu".into(), 1);
        assert!(Recipe::new(&sharing, &counted).is_err());
    }

    #[test]
    fn the_digest_tells_two_ways_of_making_apart_and_nothing_else() {
        let digest = |config: &Config, plan: &Plan| Recipe::new(config, plan).unwrap().digest;
        let mut other = config();
        other.shape.shm_size = Some(1);
        assert_eq!(digest(&config(), &plan()), digest(&config(), &plan()));
        assert_ne!(digest(&config(), &plan()), digest(&other, &plan()));
    }

    #[test]
    fn extra_settings_come_last_and_labels_after_them() {
        let mut config = config();
        config.shape.extra_host_config = json!({"shm_size": 9, "CapAdd": ["SYS_PTRACE"]}).as_object().unwrap().clone();
        config.shape.extra_create_kwargs =
            json!({"user": "1001", "environment": {"A": "{username}"}, "labels": {"specola.user": "eve", "a": "b"}})
                .as_object()
                .unwrap()
                .clone();
        let (body, host) = made(&config, &plan());
        assert_eq!((host.shm_size, host.cap_add), (Some(9), Some(vec!["SYS_PTRACE".to_owned()])));
        assert_eq!(body.user.as_deref(), Some("1001"));
        assert_eq!((variable(&body, "A"), variable(&body, "JUPYTERHUB_API_TOKEN")), (Some("anna"), Some("t")));
        let labels = body.labels.unwrap();
        assert_eq!((labels["specola.user"].as_str(), labels["a"].as_str()), ("anna", "b"));
    }

    fn with(create: Value, host: Value) -> Config {
        let mut config = config();
        config.shape.extra_create_kwargs = create.as_object().unwrap().clone();
        config.shape.extra_host_config = host.as_object().unwrap().clone();
        config
    }

    #[test]
    fn a_quota_follows_the_period_and_swap_the_memory() {
        let mut plan = plan();
        (plan.cpu_limit, plan.mem_limit) = (Some(1.5), Some(1 << 30));
        let limits = |host: Value| {
            let host = made(&with(json!({}), host), &plan).1;
            (host.cpu_period, host.cpu_quota, host.memory, host.memory_swap)
        };
        let gib = |number: i64| Some(number << 30);
        assert_eq!(limits(json!({"cpu_period": 50_000})), (Some(50_000), Some(75_000), gib(1), gib(1)));
        let both = json!({"cpu_period": 50_000, "cpu_quota": 9_000, "mem_limit": "4G"});
        assert_eq!(limits(both), (Some(50_000), Some(9_000), gib(4), gib(4)));
        assert_eq!(limits(json!({"memswap_limit": -1})), (Some(100_000), Some(150_000), gib(1), Some(-1)));
    }

    /// What extra settings once took away: the token, the home, folders and buckets, devices, and what keeps rights down.
    #[test]
    fn extra_settings_take_nothing_away() {
        let mut plan = plan();
        plan.binds.push(spawners::Bind {
            source: "/s".into(),
            target: "/t".into(),
            read_only: false,
            propagate: false,
        });
        plan.devices.insert(NVIDIA.into(), vec!["GPU-1".into(), "/dev/kfd".into()]);
        let mut config = with(
            json!({"environment": ["A=1", "NVIDIA_VISIBLE_DEVICES=all"], "platform": "linux/amd64"}),
            json!({
                "binds": {"/data": {"bind": "/data", "mode": "ro"}}, "security_opt": ["apparmor=lab"],
                "mounts": [{"type": "bind", "source": "/m", "target": "/m"}], "devices": ["/dev/fuse"],
                "device_requests": [{"count": 1, "capabilities": [["gpu"]]}],
            }),
        );
        config.shape.volumes.insert("home-{username}".into(), json!("/home/jovyan"));
        config.shape.links.insert("db".into(), "db-{username}".into());
        let (body, host) = made(&config, &plan);
        assert_eq!((variable(&body, "JUPYTERHUB_API_TOKEN"), variable(&body, "A")), (Some("t"), Some("1")));
        assert_eq!(variable(&body, VISIBLE), Some("GPU-1"));
        assert_eq!(host.links.unwrap(), ["db:db-anna"]);
        assert_eq!(host.binds.unwrap(), ["home-anna:/home/jovyan:rw", "/data:/data:ro"]);
        let targets: Vec<_> = host.mounts.unwrap().into_iter().filter_map(|mount| mount.target).collect();
        assert_eq!(targets, ["/t", "/m"]);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges", "apparmor=lab"]);
        assert_eq!((host.devices.unwrap().len(), host.device_requests.unwrap().len()), (2, 2));
        assert_eq!(Recipe::new(&config, &plan).unwrap().platform.as_deref(), Some("linux/amd64"));
    }

    #[test]
    fn the_machines_own_network_is_no_servers() {
        for network in ["host", "none", "container:db"] {
            let what = check(&with(json!({}), json!({ "network_mode": network }))).unwrap_err();
            assert!(what.starts_with("extra_host_config: ") && what.contains(network), "{what}");
            let mut named = config();
            named.shape.network_name = network.to_owned();
            assert!(check(&named).unwrap_err().starts_with("network_name: "));
        }
        let config = with(json!({"mac_address": "02:42:ac:11:00:02"}), json!({"network_mode": "labs"}));
        let (body, host) = made(&config, &plan());
        assert_eq!(host.network_mode.as_deref(), Some("labs"));
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints["labs"].mac_address.as_deref(), Some("02:42:ac:11:00:02"));
    }

    #[test]
    fn an_images_own_command_stays_its_own() {
        let mut plan = plan();
        plan.cmd.clear();
        assert_eq!(made(&config(), &plan).0.cmd, None);
    }

    #[test]
    fn a_configuration_is_checked_without_a_server() {
        let mut config = config();
        assert_eq!(check(&config), Ok(Vec::new()));
        config.shape.volumes.insert("{nobody}".into(), json!("/a"));
        assert!(check(&config).unwrap_err().starts_with("volumes: "));
    }
}

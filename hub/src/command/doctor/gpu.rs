//! GPUs, where people may choose some: asked where servers run. For containers that is the engine's machine, which need not
//! be this one, nor this container.

use serde_json::Value;

use super::finding::Finding;
use super::{engine, program};
use crate::config::Config;
use crate::config::spawner::Driver;

const ABOUT: &str = "GPUs";
const IN_CONTAINERS: &str = "GPUs in containers";
/// The runtime that NVIDIA's toolkit adds to an engine.
const NVIDIA: &str = "nvidia";

/// Whether anything that people may choose has a GPU.
fn is_needed(config: &Config) -> bool {
    let options = &config.options;
    let profiles = options.profile_list.iter().any(|profile| profile.to_string().contains("gpu"));
    let chosen = options.gpus.iter().any(|&count| count > 0) || options.flavours.iter().any(|flavour| flavour.gpu > 0);
    profiles || chosen || !config.spawner.devices.is_empty()
}

/// Asks the driver where it is this machine's, and the engine whether it can hand GPUs on.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    if !asked && !is_needed(config) {
        return vec![Finding::skipped(ABOUT, "nothing that people choose has one")];
    }
    match config.spawner.driver {
        Driver::Docker => of_containers(config).await,
        Driver::Kubernetes => vec![Finding::skipped(ABOUT, "the cluster's scheduler gives them out")],
        Driver::Local | Driver::External => vec![ask_driver().await],
    }
}

async fn of_containers(config: &Config) -> Vec<Finding> {
    let info = match engine::info(config).await {
        Ok(info) => info,
        Err(why) => {
            let said = format!("the engine does not say whether it can hand them on: {why}");
            return vec![Finding::bad(IN_CONTAINERS, said, "specola doctor --only engine tells what to do")];
        }
    };
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let here = is_here(&info, name.trim());
    let driver = match &here {
        Ok(()) => ask_driver().await,
        Err(there) => Finding::skipped(ABOUT, format!("they are on {there}, where nvidia-smi -L lists them")),
    };
    vec![driver, of_engine(&info, &Wanted::of(config))]
}

/// Whether the engine runs on this very machine: a hub in a container has a name of its own. The error names the other.
fn is_here(info: &Value, name: &str) -> Result<(), String> {
    match info["Name"].as_str().filter(|there| !there.is_empty()) {
        Some(there) if there == name => Ok(()),
        Some(there) => Err(format!("the engine's machine, {there}")),
        None => Err("the engine's machine".to_owned()),
    }
}

async fn ask_driver() -> Finding {
    of_driver(program::output("nvidia-smi", &["-L"]).await)
}

/// `nvidia-smi -L` has a line a GPU, and an indented one a MIG slice.
fn of_driver(answer: Result<String, String>) -> Finding {
    match answer {
        Ok(text) => {
            let slices = text.lines().filter(|line| line.trim_start().starts_with("MIG ")).count();
            let gpus = text.lines().filter(|line| line.starts_with("GPU ")).count();
            match (gpus, slices) {
                (0, _) => Finding::bad(ABOUT, "nvidia-smi lists none", "Is one plugged in, and its driver loaded?"),
                (gpus, 0) => Finding::good(ABOUT, format!("{gpus} found")),
                (gpus, slices) => Finding::good(ABOUT, format!("{gpus} found, in {slices} slices (MIG)")),
            }
        }
        Err(why) => {
            Finding::bad(ABOUT, format!("nvidia-smi {why}"), "Install NVIDIA's driver (apt-get install nvidia-driver)")
        }
    }
}

/// What the engine is asked for by this configuration.
struct Wanted {
    /// Devices by their UUID, or a number of them: what takes NVIDIA's toolkit.
    of_nvidia: bool,
    /// Whether devices are named at all, by UUID or by path.
    named: bool,
    /// The runtime of all servers, where it is not the engine's own.
    runtime: Option<String>,
}

impl Wanted {
    fn of(config: &Config) -> Self {
        let devices = || config.spawner.devices.values().flatten();
        let runtime = config.spawner.docker.runtime.clone();
        // Without a device that is named there is only what NVIDIA's runtime counts.
        let of_nvidia = devices().next().is_none() || devices().any(|device| !device.starts_with('/'));
        Self { of_nvidia, named: devices().next().is_some(), runtime }
    }
}

/// Whether an engine hands on what it is asked for, by what it tells of itself.
fn of_engine(info: &Value, wanted: &Wanted) -> Finding {
    let has = |runtime: &str| info["Runtimes"].as_object().is_some_and(|runtimes| runtimes.contains_key(runtime));
    let machine = info["Name"].as_str().unwrap_or("the engine's machine");
    if let Some(runtime) = wanted.runtime.as_deref().filter(|runtime| !has(runtime)) {
        let said = format!("the engine on {machine} has no runtime {runtime}, which spawner.docker.runtime names");
        return Finding::bad(IN_CONTAINERS, said, format!("Add it there to /etc/docker/daemon.json. {TOOLKIT}"));
    }
    if !wanted.of_nvidia {
        return Finding::good(IN_CONTAINERS, format!("are given by their path; the engine on {machine} needs no more"));
    }
    let described = info["DiscoveredDevices"].as_array().map_or(0, Vec::len);
    match (has(NVIDIA), described) {
        (true, _) => Finding::good(IN_CONTAINERS, format!("the engine on {machine} can hand them on")),
        (false, 1..) => {
            Finding::good(IN_CONTAINERS, format!("the engine on {machine} knows {described} devices (CDI)"))
        }
        (false, 0) => {
            let lacks = if wanted.named { "the GPUs of spawner.devices" } else { "a GPU" };
            let said = format!("the engine on {machine} has no runtime for them: a lab with {lacks} would not start");
            Finding::bad(IN_CONTAINERS, said, TOOLKIT)
        }
    }
}

const TOOLKIT: &str = "On the engine's machine: nvidia-smi -L has to list them (NVIDIA's driver). Install nvidia-container-toolkit, then: \
                       nvidia-ctk runtime configure --runtime=docker; systemctl restart docker";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn gpus_and_slices_are_counted() {
        let text = "GPU 0: NVIDIA A100 (UUID: GPU-1)\n  MIG 1g.10gb Device 0: (UUID: MIG-1)\n  MIG 1g.10gb Device 1: (UUID: MIG-2)";
        assert_eq!(of_driver(Ok(text.to_owned())).said, "1 found, in 2 slices (MIG)");
        assert_eq!(of_driver(Ok(String::new())).level, Level::Bad);
        assert_eq!(of_driver(Err("is not installed".to_owned())).said, "nvidia-smi is not installed");
    }

    fn config(spawner: &Value) -> Config {
        let mut spawner = spawner.clone();
        spawner["driver"] = json!("docker");
        serde_json::from_value(json!({ "spawner": spawner })).unwrap()
    }

    #[test]
    fn an_engine_without_a_runtime_for_gpus_fails() {
        let uuids = config(&json!({ "devices": { "nvidia.com/gpu": ["GPU-8a56", "MIG-77aa"] } }));
        let of = |info: &Value| of_engine(info, &Wanted::of(&uuids));
        assert_eq!(of(&json!({ "Runtimes": { "runc": {}, "nvidia": {} } })).level, Level::Ok);
        assert_eq!(of(&json!({ "DiscoveredDevices": [{ "Source": "cdi" }] })).level, Level::Ok);
        let bad = of(&json!({ "Name": "node7", "Runtimes": { "runc": {} }, "DiscoveredDevices": [] }));
        assert_eq!(bad.level, Level::Bad);
        assert!(bad.said.contains("node7") && bad.said.contains("spawner.devices"), "{}", bad.said);
        let remedy = bad.remedy.unwrap();
        assert!(remedy.contains("nvidia-ctk") && remedy.contains("On the engine's machine"), "{remedy}");
        // What is counted by the runtime takes it as well.
        let shared = config(&json!({ "docker": { "share_gpus": true } }));
        assert_eq!(of_engine(&json!({ "Runtimes": { "runc": {} } }), &Wanted::of(&shared)).level, Level::Bad);
    }

    #[test]
    fn devices_by_their_path_need_no_runtime_and_a_runtime_that_is_named_has_to_be_there() {
        let info = json!({ "Name": "node7", "Runtimes": { "runc": {} } });
        let paths = config(&json!({ "devices": { "amd.com/gpu": ["/dev/kfd"] } }));
        assert_eq!(of_engine(&info, &Wanted::of(&paths)).level, Level::Ok);
        let named = config(&json!({ "devices": { "amd.com/gpu": ["/dev/kfd"] }, "docker": { "runtime": "nvidia" } }));
        let found = of_engine(&info, &Wanted::of(&named));
        assert!(found.level == Level::Bad && found.said.contains("no runtime nvidia"), "{}", found.said);
        let mixed = config(&json!({ "devices": { "amd.com/gpu": ["/dev/kfd"], "nvidia.com/gpu": ["GPU-1"] } }));
        assert_eq!(of_engine(&info, &Wanted::of(&mixed)).level, Level::Bad);
    }

    #[test]
    fn a_hub_in_a_container_does_not_look_for_gpus_in_it() {
        let info = json!({ "Name": "node7" });
        assert_eq!(is_here(&info, "node7"), Ok(()));
        assert_eq!(is_here(&info, "8c1f0a3b5d7e"), Err("the engine's machine, node7".to_owned()));
        assert_eq!(is_here(&json!({}), ""), Err("the engine's machine".to_owned()));
    }
}

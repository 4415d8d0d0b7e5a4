//! GPUs, where people may choose some.

use serde_json::Value;

use super::finding::Finding;
use super::{engine, program};
use crate::config::Config;

const ABOUT: &str = "GPUs";

/// Whether anything that people may choose has a GPU.
fn is_needed(config: &Config) -> bool {
    let options = &config.options;
    let profiles = options.profile_list.iter().any(|profile| profile.to_string().contains("gpu"));
    profiles || options.gpus.iter().any(|&count| count > 0) || options.flavours.iter().any(|flavour| flavour.gpu > 0)
}

/// Asks the driver, and the engine whether it can hand them on.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    if !asked && !is_needed(config) {
        return vec![Finding::skipped(ABOUT, "nothing that people choose has one")];
    }
    let mut findings = vec![of_driver(program::output("nvidia-smi", &["-L"]).await)];
    if engine::is_needed(config) {
        let info = engine::info(config).await;
        findings.extend(info.ok().map(|info| of_engine(&info)));
    }
    findings
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

fn of_engine(info: &Value) -> Finding {
    let about = "GPUs in containers";
    let listed = info["Runtimes"].as_object().is_some_and(|runtimes| runtimes.contains_key("nvidia"));
    let described = info["DiscoveredDevices"].as_array().is_some_and(|devices| !devices.is_empty());
    if listed || described {
        return Finding::good(about, "the engine can hand them on");
    }
    let remedy = "Install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker; systemctl restart docker";
    Finding::bad(about, "the engine has no runtime for them: a lab with one would not start", remedy)
}

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

    #[test]
    fn an_engine_without_a_runtime_for_gpus_fails() {
        assert_eq!(of_engine(&json!({ "Runtimes": { "runc": {}, "nvidia": {} } })).level, Level::Ok);
        assert_eq!(of_engine(&json!({ "DiscoveredDevices": [{ "Source": "cdi" }] })).level, Level::Ok);
        assert_eq!(of_engine(&json!({ "Runtimes": { "runc": {} } })).level, Level::Bad);
    }
}

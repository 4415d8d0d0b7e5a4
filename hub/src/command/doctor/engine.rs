//! The container engine: whether it answers, how old it is, and what of its machine it can use.

use std::time::Duration;

use serde_json::Value;
use spawner_docker::Endpoint;

use super::finding::Finding;
use crate::config::Config;
use crate::config::spawner::Driver;

const ABOUT: &str = "engine";
const PATIENCE: Duration = Duration::from_secs(10);
/// The oldest interface there is a use for: Docker 20.10.
const OLDEST: (u32, u32) = (1, 41);

/// Whether this configuration starts containers.
pub fn is_needed(config: &Config) -> bool {
    config.spawner.driver == Driver::Docker
}

/// How it is set up, in the words of its API. The error says why it does not answer.
pub async fn info(config: &Config) -> Result<Value, String> {
    config.spawner.docker.endpoint().info(PATIENCE).await.map_err(|error| format!("{error:#}"))
}

/// Asks it for its version and about itself.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    if !asked && !is_needed(config) {
        return vec![Finding::skipped(ABOUT, "no containers are started")];
    }
    // One at each site, where there are several.
    let engines = if is_needed(config) { config.spawners() } else { vec![&config.spawner] };
    let mut findings = Vec::new();
    for spawner in engines {
        findings.extend(ask(&spawner.docker.endpoint()).await);
    }
    findings
}

async fn ask(endpoint: &Endpoint) -> Vec<Finding> {
    let version = match endpoint.version(PATIENCE).await {
        Ok(version) => version,
        Err(error) => {
            let why = format!("{error:#}");
            return vec![Finding::bad(ABOUT, format!("{}: {why}", endpoint.host), remedy_of(&why))];
        }
    };
    let mut findings = vec![judge_version(&version)];
    match endpoint.info(PATIENCE).await.map_err(|error| format!("{error:#}")) {
        Ok(info) => findings.extend(judge_info(&info)),
        Err(why) => findings.push(Finding::bad(ABOUT, format!("does not say what it can do: {why}"), "")),
    }
    findings
}

fn remedy_of(why: &str) -> &'static str {
    if why.contains("ermission denied") {
        "Put the hub's user into the group docker; in a container, add the group of the socket (DOCKER_GID)"
    } else if ["ertificate", "TLS"].iter().any(|word| why.contains(word)) {
        "Look at spawner.docker.tls_ca_file, tls_cert_file and tls_key_file, and at the days and names in them"
    } else {
        "Is it installed and running? apt-get install docker.io; systemctl start docker"
    }
}

fn judge_version(version: &Value) -> Finding {
    let text = |name: &str| version[name].as_str().unwrap_or("?").to_owned();
    let said = format!("{} answers, API {}", text("Version"), text("ApiVersion"));
    let mut numbers = version["ApiVersion"].as_str().unwrap_or_default().split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => {
            Finding::bad(ABOUT, said, "Install Docker 20.10 or newer (API 1.41)")
        }
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (1, 45) => {
            Finding::good(ABOUT, format!("{said} (parts of volumes need 1.45, and are refused)"))
        }
        (Some(Ok(_)), Some(Ok(_))) => Finding::good(ABOUT, said),
        _ => Finding::bad(ABOUT, "does not say which API it has", "Is it Docker, or Podman's socket for Docker?"),
    }
}

fn judge_info(info: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let cgroup = info["CgroupVersion"].as_str().unwrap_or("1");
    let lacking: Vec<&str> = [("MemoryLimit", "memory"), ("CpuCfsQuota", "processors"), ("PidsLimit", "processes")]
        .into_iter()
        .filter(|(name, _)| info[*name] == Value::Bool(false))
        .map(|(_, what)| what)
        .collect();
    findings.push(if lacking.is_empty() {
        Finding::good("limits", format!("of memory, processors and processes work (cgroup {cgroup})"))
    } else {
        let remedy =
            "Boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1; a rootless engine needs delegation";
        Finding::bad(
            "limits",
            format!("of {} do not work: one lab could take the whole machine", lacking.join(", ")),
            remedy,
        )
    });
    let security: Vec<&str> =
        info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = |name: &str| security.iter().any(|option| option.split(',').any(|part| part == format!("name={name}")));
    if !has("seccomp") {
        findings.push(Finding::note(
            "confinement",
            "the engine filters no system calls (seccomp)",
            "Let it use its own profile",
        ));
    }
    if info["LiveRestoreEnabled"] == Value::Bool(false) {
        let said = "labs stop when the engine restarts, such as for an upgrade";
        let remedy = "Write {\"live-restore\": true} into /etc/docker/daemon.json, then: systemctl reload docker";
        findings.push(Finding::note("live restore", said, remedy));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_engine_that_is_too_old_fails_and_what_it_lacks_is_told() {
        let judged = |api: &str| judge_version(&json!({ "Version": "1", "ApiVersion": api }));
        assert_eq!(judged("1.40").level, Level::Bad);
        assert!(judged("1.41").said.contains("parts of volumes"));
        assert!(!judged("1.50").said.contains("parts of volumes"));
        assert_eq!(judge_version(&json!({})).level, Level::Bad);
    }

    #[test]
    fn limits_that_do_not_work_fail() {
        let good = json!({ "MemoryLimit": true, "CpuCfsQuota": true, "PidsLimit": true, "CgroupVersion": "2",
            "SecurityOptions": ["name=seccomp,profile=default"], "LiveRestoreEnabled": true });
        let levels = |info: &Value| judge_info(info).iter().map(|finding| finding.level).collect::<Vec<_>>();
        assert_eq!(levels(&good), [Level::Ok]);
        let mut bad = good.clone();
        bad["MemoryLimit"] = json!(false);
        bad["LiveRestoreEnabled"] = json!(false);
        bad["SecurityOptions"] = json!([]);
        assert_eq!(levels(&bad), [Level::Bad, Level::Note, Level::Note]);
        assert!(judge_info(&bad)[0].said.contains("of memory do not work"));
    }

    #[test]
    fn what_keeps_the_hub_from_the_engine_has_its_remedy() {
        assert!(remedy_of("Socket not found: /no/such.sock").contains("docker.io"));
        assert!(remedy_of("Permission denied (os error 13)").contains("group"));
        assert!(remedy_of("invalid peer certificate: UnknownIssuer").contains("tls_ca_file"));
    }
}

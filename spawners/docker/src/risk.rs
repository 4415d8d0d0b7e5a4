//! What a configuration gives servers that people should give on purpose: read from what is made of it, whatever option
//! it came from.

use bollard::models::{ContainerCreateBody, HostConfig};

use crate::extra::NO_NEW_PRIVILEGES;

/// One thing that is worth a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Everything may be done on the machine.
    Privileged,
    /// The engine's own socket is inside: everything may be done on the machine.
    EngineSocket,
    /// The whole of the machine's files are inside.
    WholeMachine,
    /// Something of the machine's own is used: its processes, its users or its IPC.
    MachineNamespaces,
    /// What keeps system calls or files from servers is switched off.
    Unconfined,
    /// Programs can gain rights that the server does not have.
    GainsRights,
    /// Every server has the same GPUs.
    SharedGpus,
}

/// What is in what is made for a server that chose nothing.
pub(crate) fn of(body: &ContainerCreateBody) -> Vec<Risk> {
    let Some(host) = &body.host_config else { return Vec::new() };
    let sources = sources(host);
    let is_host = |mode: &Option<String>| mode.as_deref() == Some("host");
    let modes = [&host.pid_mode, &host.ipc_mode, &host.userns_mode, &host.uts_mode];
    let security = || host.security_opt.iter().flatten().map(String::as_str);
    let all_dropped = host.cap_drop.iter().flatten().any(|name| name.eq_ignore_ascii_case("all"));
    let confined =
        security().any(|line| matches!(line, NO_NEW_PRIVILEGES | "no-new-privileges:true" | "no-new-privileges=true"));
    let risks = [
        (host.privileged == Some(true), Risk::Privileged),
        (sources.iter().any(|source| source.ends_with("docker.sock")), Risk::EngineSocket),
        (sources.contains(&"/"), Risk::WholeMachine),
        (modes.into_iter().any(is_host), Risk::MachineNamespaces),
        (security().any(|line| line.ends_with("unconfined")), Risk::Unconfined),
        (!confined || !all_dropped, Risk::GainsRights),
        (host.device_requests.iter().flatten().next().is_some(), Risk::SharedGpus),
    ];
    risks.into_iter().filter_map(|(is, risk)| is.then_some(risk)).collect()
}

fn sources(host: &HostConfig) -> Vec<&str> {
    let binds = host.binds.iter().flatten().filter_map(|bind| bind.split(':').next());
    binds.chain(host.mounts.iter().flatten().filter_map(|mount| mount.source.as_deref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn risks_are_seen_wherever_they_come_from() {
        let of = |host: Value| {
            let mut body = json!({"HostConfig": {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}});
            crate::extra::merge(&mut body, &json!({ "HostConfig": host }));
            super::of(&serde_json::from_value(body).unwrap())
        };
        assert_eq!(of(json!({})), []);
        for (host, risk) in [
            (json!({"Privileged": true}), Risk::Privileged),
            (json!({"Binds": ["/run/docker.sock:/s:ro"]}), Risk::EngineSocket),
            (
                json!({"Mounts": [{"Source": "/var/run/docker.sock", "Target": "/s", "Type": "bind"}]}),
                Risk::EngineSocket,
            ),
            (json!({"Binds": ["/:/host:ro"]}), Risk::WholeMachine),
            (json!({"PidMode": "host"}), Risk::MachineNamespaces),
            (json!({"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}), Risk::Unconfined),
            (json!({"SecurityOpt": ["no-new-privileges:false"]}), Risk::GainsRights),
            (json!({"SecurityOpt": []}), Risk::GainsRights),
            (json!({"CapDrop": ["NET_RAW"]}), Risk::GainsRights),
            (json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}), Risk::SharedGpus),
        ] {
            assert_eq!(of(host.clone()), [risk], "{host}");
        }
    }
}

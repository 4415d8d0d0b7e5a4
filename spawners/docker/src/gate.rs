//! What an older engine passes over without a word: compared with what is asked of it before anything is made.

use bollard::models::ContainerCreateBody;
use serde_json::Value;

/// A setting that came with a version of the API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gated {
    /// Where it is in what is asked; `*` is every item.
    at: &'static str,
    /// The first version that knows it.
    pub since: (u32, u32),
    /// What it does, after "too old to".
    pub to: &'static str,
}

const fn gated(at: &'static str, since: (u32, u32), to: &'static str) -> Gated {
    Gated { at, since, to }
}

/// As Docker's history of its API tells it.
const GATED: [Gated; 10] = [
    gated("/HostConfig/CgroupnsMode", (1, 41), "give a server a cgroup namespace of its own"),
    gated("/HostConfig/Mounts/*/BindOptions/CreateMountpoint", (1, 42), "make a folder that a server is to have"),
    gated("/HostConfig/Annotations", (1, 43), "pass annotations to the runtime"),
    gated("/Healthcheck/StartInterval", (1, 44), "check a server more often while it starts"),
    gated(
        "/HostConfig/Mounts/*/BindOptions/ReadOnlyForceRecursive",
        (1, 44),
        "keep all of a folder from being written to",
    ),
    gated(
        "/HostConfig/Mounts/*/BindOptions/ReadOnlyNonRecursive",
        (1, 44),
        "keep a part of a folder from being written to",
    ),
    gated("/NetworkingConfig/EndpointsConfig/*/MacAddress", (1, 44), "give a server the address of its network card"),
    gated("/HostConfig/Mounts/*/VolumeOptions/Subpath", (1, 45), "give a server a part of a volume"),
    gated("/HostConfig/Mounts/*/TmpfsOptions/Options", (1, 46), "make a folder in memory with options"),
    gated("/NetworkingConfig/EndpointsConfig/*/GwPriority", (1, 48), "choose the way out of a server's networks"),
];

/// What is asked for that not every engine knows, in the order of the versions.
pub(crate) fn asked(body: &ContainerCreateBody) -> Vec<&'static Gated> {
    let body = serde_json::to_value(body).unwrap_or_default();
    GATED.iter().filter(|gated| is_said(&body, gated.at.trim_start_matches('/'))).collect()
}

fn is_said(value: &Value, at: &str) -> bool {
    let Some((name, rest)) = at.split_once('/').or((!at.is_empty()).then_some((at, ""))) else {
        return match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(table) => !table.is_empty(),
            Value::Number(number) => number.as_i64() != Some(0),
            Value::Bool(true) => true,
        };
    };
    match (name, value) {
        ("*", Value::Array(items)) => items.iter().any(|item| is_said(item, rest)),
        ("*", Value::Object(table)) => table.values().any(|item| is_said(item, rest)),
        _ => value.get(name).is_some_and(|value| is_said(value, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked_of(body: Value) -> Vec<(u32, u32)> {
        asked(&serde_json::from_value(body).unwrap()).iter().map(|gated| gated.since).collect()
    }

    #[test]
    fn what_older_engines_pass_over_is_known() {
        let mount = |options: Value| json!({"HostConfig": {"Mounts": [{"Target": "/a"}, options]}});
        for (body, since) in [
            (mount(json!({"VolumeOptions": {"Subpath": "a"}})), (1, 45)),
            (mount(json!({"BindOptions": {"ReadOnlyForceRecursive": true}})), (1, 44)),
            (mount(json!({"BindOptions": {"ReadOnlyNonRecursive": true}})), (1, 44)),
            (mount(json!({"BindOptions": {"CreateMountpoint": true}})), (1, 42)),
            (mount(json!({"TmpfsOptions": {"Options": [["noexec"]]}})), (1, 46)),
            (json!({"HostConfig": {"Annotations": {"a": "b"}}}), (1, 43)),
            (json!({"HostConfig": {"CgroupnsMode": "private"}}), (1, 41)),
            (json!({"Healthcheck": {"StartInterval": 5}}), (1, 44)),
            (json!({"NetworkingConfig": {"EndpointsConfig": {"n": {"MacAddress": "02:42:ac:11:00:02"}}}}), (1, 44)),
            (json!({"NetworkingConfig": {"EndpointsConfig": {"n": {"GwPriority": 2}}}}), (1, 48)),
        ] {
            assert_eq!(asked_of(body.clone()), [since], "{body}");
        }
        for body in [
            json!({}),
            mount(json!({"VolumeOptions": {"Subpath": ""}})),
            mount(json!({"BindOptions": {"CreateMountpoint": false}})),
            json!({"HostConfig": {"Annotations": {}}, "Healthcheck": {"StartInterval": 0}}),
        ] {
            assert!(asked_of(body.clone()).is_empty(), "{body}");
        }
    }
}

//! Settings in the words of Docker's API, written by an operator: laid over what is made anyway, and checked for names
//! the API does not know, because an engine passes over what it does not know without a word.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Lists that are added to. To replace them would take away what a server needs: its token, its home, its devices.
const ADDED_TO: [&str; 7] = ["Binds", "DeviceRequests", "Devices", "Env", "Links", "Mounts", "SecurityOpt"];
/// The variable that only the hub sets: which GPUs a server has.
pub(crate) const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";
/// What keeps a container from gaining rights, in `SecurityOpt`.
pub(crate) const NO_NEW_PRIVILEGES: &str = "no-new-privileges";

/// Lays one value over another: tables are merged, all else is replaced.
pub(crate) fn merge(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

/// Lays settings over a part of a container. The error names the first one that the API does not know, or that it
/// knows as something else.
pub(crate) fn lay<T: Serialize + DeserializeOwned>(part: &T, settings: &Map<String, Value>) -> Result<T, String> {
    let mut merged = serde_json::to_value(part).map_err(|error| error.to_string())?;
    let mut settings = settings.clone();
    for name in ADDED_TO {
        if let (Some(Value::Array(own)), Some(Value::Array(more))) = (merged.get(name), settings.get_mut(name)) {
            *more = joined(name, own, more);
        }
    }
    let settings = Value::Object(settings);
    merge(&mut merged, &settings);
    let laid: T = serde_json::from_value(merged).map_err(|error| error.to_string())?;
    let kept = serde_json::to_value(&laid).map_err(|error| error.to_string())?;
    match lost(&settings, &kept, "") {
        Some(name) => Err(format!("{name} is no setting of Docker's API")),
        None => Ok(laid),
    }
}

/// One list after the other. What can be there only once is as it was said last.
fn joined(name: &str, own: &[Value], more: &[Value]) -> Vec<Value> {
    let key = |item: &Value| match (name, item.as_str()) {
        ("Env", Some(line)) => Value::from(line.split('=').next()),
        ("SecurityOpt", Some(line)) if line.starts_with(NO_NEW_PRIVILEGES) => Value::from(NO_NEW_PRIVILEGES),
        _ => item.clone(),
    };
    let said: Vec<Value> = more.iter().map(key).filter(|key| key != VISIBLE).collect();
    let kept = own.iter().filter(|item| !said.contains(&key(item)));
    kept.chain(more.iter().filter(|item| key(item) != VISIBLE)).cloned().collect()
}

/// The first name that is not in what was understood.
fn lost(written: &Value, kept: &Value, at: &str) -> Option<String> {
    let empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => written.iter().find_map(|(key, value)| {
            let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match kept.get(key) {
                Some(kept) => lost(value, kept, &name),
                None if empty(value) => None,
                None => Some(name),
            }
        }),
        (Value::Array(written), Value::Array(kept)) => {
            written.iter().zip(kept).find_map(|(written, kept)| lost(written, kept, at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerCreateBody, HostConfig};
    use serde_json::json;

    fn laid(settings: Value) -> Result<HostConfig, String> {
        let base = HostConfig { memory: Some(1), ..HostConfig::default() };
        lay(&base, settings.as_object().unwrap())
    }

    #[test]
    fn a_name_that_the_api_does_not_know_is_no_silence() {
        for (settings, name) in [
            (json!({"Shmsize": 5}), "Shmsize"),
            (json!({"LogConfig": {"Typ": "none"}}), "LogConfig.Typ"),
            (json!({"Mounts": [{"Sauce": "a"}]}), "Mounts.Sauce"),
        ] {
            let error = laid(settings).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        assert!(laid(json!({"ShmSize": "many"})).is_err());
        assert_eq!(laid(json!({"ShmSize": 5})).unwrap().memory, Some(1));
    }

    #[test]
    fn what_a_server_needs_is_added_to() {
        let own = |lines: &[&str]| Some(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let base = HostConfig {
            binds: own(&["home:/home:rw"]),
            security_opt: own(&["no-new-privileges"]),
            cap_drop: own(&["ALL"]),
            ..HostConfig::default()
        };
        let lay = |settings: Value| lay(&base, settings.as_object().unwrap()).unwrap();
        let host = lay(json!({
            "Binds": ["/data:/data:ro", "home:/home:rw"], "SecurityOpt": ["apparmor=lab"], "CapDrop": ["NET_RAW"],
        }));
        assert_eq!(host.binds, own(&["/data:/data:ro", "home:/home:rw"]));
        assert_eq!(host.security_opt, own(&["no-new-privileges", "apparmor=lab"]));
        assert_eq!(host.cap_drop, own(&["NET_RAW"]), "all other lists are as they are said");
        let host = lay(json!({"SecurityOpt": ["no-new-privileges:false"]}));
        assert_eq!(host.security_opt, own(&["no-new-privileges:false"]), "one of the two counts");
        let base =
            ContainerCreateBody { env: own(&["T=1", "A=1", "NVIDIA_VISIBLE_DEVICES=void"]), ..Default::default() };
        let settings = json!({"Env": ["A=2", "B", "NVIDIA_VISIBLE_DEVICES=all"]});
        let body = super::lay(&base, settings.as_object().unwrap()).unwrap();
        assert_eq!(body.env, own(&["T=1", "NVIDIA_VISIBLE_DEVICES=void", "A=2", "B"]));
    }
}

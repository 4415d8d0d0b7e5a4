//! Settings in the words of Kubernetes, written by an operator: laid over what is made anyway, and checked for names that
//! Kubernetes does not know, because it passes over them without a word.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Lays one value over another: tables are merged, null takes a name away, all else is replaced.
pub(crate) fn merge(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                if value.is_null() {
                    below.insert(key.clone(), Value::Null);
                } else {
                    merge(below.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (below, above) => *below = above.clone(),
    }
}

/// A table whose names may be written as Python's client has them (`host_path`), with the names of Kubernetes. What is
/// in its members is not touched: labels may have such names.
pub(crate) fn camel(table: &Map<String, Value>) -> Map<String, Value> {
    table.iter().map(|(name, value)| (camel_name(name), value.clone())).collect()
}

fn camel_name(name: &str) -> String {
    const AS_ONE: [(&str, &str); 9] = [
        ("host_ipc", "hostIPC"),
        ("host_pid", "hostPID"),
        ("host_ip", "hostIP"),
        ("set_hostname_as_fqdn", "setHostnameAsFQDN"),
        ("downward_api", "downwardAPI"),
        ("scale_io", "scaleIO"),
        ("pod_ip", "podIP"),
        ("cluster_ip", "clusterIP"),
        ("external_i_ps", "externalIPs"),
    ];
    if let Some((_, camel)) = AS_ONE.iter().find(|(snake, _)| *snake == name) {
        return (*camel).to_owned();
    }
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

/// Reads a value as Kubernetes has it. The error names the first thing that it does not know, or knows as something else.
pub(crate) fn read<T: Serialize + DeserializeOwned>(written: &Value) -> Result<T, String> {
    let read: T = serde_json::from_value(written.clone()).map_err(|error| error.to_string())?;
    let kept = serde_json::to_value(&read).map_err(|error| error.to_string())?;
    match lost(written, &kept, "") {
        Some(name) => Err(format!("{name} is nothing that Kubernetes knows")),
        None => Ok(read),
    }
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
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    #[test]
    fn a_name_that_kubernetes_does_not_know_is_no_silence() {
        for (spec, name) in [
            (json!({"containers": [], "nodeSelecter": {"a": "b"}}), "nodeSelecter"),
            (json!({"containers": [{"name": "a", "comand": ["x"]}]}), "containers.comand"),
        ] {
            let error = read::<PodSpec>(&spec).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        assert!(read::<PodSpec>(&json!({"containers": "many"})).is_err());
        assert!(read::<PodSpec>(&json!({"containers": [], "hostIPC": true})).is_ok());
    }

    #[test]
    fn pythons_names_are_those_of_kubernetes() {
        let table = json!({"host_path": {"path": "/x_y"}, "hostIPC": true, "host_pid": false, "name": "a_b"});
        let camel = camel(table.as_object().unwrap());
        assert_eq!(
            Value::Object(camel),
            json!({
                "hostPath": {"path": "/x_y"}, "hostIPC": true, "hostPID": false, "name": "a_b",
            })
        );
    }

    #[test]
    fn tables_are_merged_and_null_takes_away() {
        let mut below = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut below, &json!({"a": {"b": 3, "c": null}, "d": [2], "e": {"f": 1}}));
        assert_eq!(below, json!({"a": {"b": 3, "c": null}, "d": [2], "e": {"f": 1}}));
    }
}

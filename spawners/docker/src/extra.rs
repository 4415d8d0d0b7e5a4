//! Settings in the words of Docker's API, written by an operator: merged, and checked for names the API does not know,
//! because an engine passes over what it does not know without a word.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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

/// What docker-py takes as a text too: `"1G"`.
const SIZES: [&str; 4] = ["ShmSize", "Memory", "MemorySwap", "MemoryReservation"];

/// The names of DockerSpawner's settings (`shm_size`) as the API has them (`ShmSize`); those of the API stay.
pub(crate) fn in_the_words_of_the_api(settings: &Map<String, Value>) -> Map<String, Value> {
    let said = |(key, value): (&String, &Value)| {
        let key = api_name(key);
        let bytes = SIZES.contains(&key.as_str()).then(|| crate::shape::size(value)).flatten();
        (key, bytes.map_or_else(|| value.clone(), Value::from))
    };
    settings.iter().map(said).collect()
}

fn api_name(key: &str) -> String {
    match key {
        // docker-py's own words for some.
        "mem_limit" => "Memory".to_owned(),
        "memswap_limit" => "MemorySwap".to_owned(),
        "mem_reservation" => "MemoryReservation".to_owned(),
        "dns_opt" => "DnsOptions".to_owned(),
        "command" => "Cmd".to_owned(),
        "environment" => "Env".to_owned(),
        "cpuset_cpus" => "CpusetCpus".to_owned(),
        "uts_mode" => "UTSMode".to_owned(),
        "pid_mode" => "PidMode".to_owned(),
        _ if key.starts_with(|c: char| c.is_ascii_uppercase()) => key.to_owned(),
        _ => key.split('_').map(capitalised).collect(),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Lays settings over a part of a container. The error names the first one that the API does not know, or that it
/// knows as something else.
pub(crate) fn lay<T: Serialize + DeserializeOwned>(part: &T, settings: &Map<String, Value>) -> Result<T, String> {
    let settings = in_the_words_of_the_api(settings);
    let mut merged = serde_json::to_value(part).map_err(|error| error.to_string())?;
    merge(&mut merged, &Value::Object(settings.clone()));
    let laid: T = serde_json::from_value(merged).map_err(|error| error.to_string())?;
    let kept = serde_json::to_value(&laid).map_err(|error| error.to_string())?;
    match lost(&Value::Object(settings), &kept, "") {
        Some(name) => Err(format!("{name} is no setting of Docker's API")),
        None => Ok(laid),
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
    use bollard::models::HostConfig;
    use serde_json::json;

    fn laid(settings: Value) -> Result<HostConfig, String> {
        let base = HostConfig { memory: Some(1), ..HostConfig::default() };
        lay(&base, settings.as_object().unwrap())
    }

    #[test]
    fn both_spellings_are_understood() {
        let host = laid(json!({"shm_size": 5, "CapAdd": ["SYS_PTRACE"], "device_requests": [{"Count": 1}]})).unwrap();
        assert_eq!((host.shm_size, host.memory), (Some(5), Some(1)));
        assert_eq!(host.cap_add, Some(vec!["SYS_PTRACE".to_owned()]));
        assert_eq!(host.device_requests.unwrap()[0].count, Some(1));
        assert_eq!(laid(json!({"mem_limit": 7})).unwrap().memory, Some(7));
    }

    #[test]
    fn a_name_that_the_api_does_not_know_is_no_silence() {
        for (settings, name) in [
            (json!({"shmsize": 5}), "Shmsize"),
            (json!({"LogConfig": {"Typ": "none"}}), "LogConfig.Typ"),
            (json!({"Mounts": [{"Sauce": "a"}]}), "Mounts.Sauce"),
        ] {
            let error = laid(settings).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        assert!(laid(json!({"ShmSize": "many"})).is_err());
        assert_eq!(laid(json!({"shm_size": "1G", "memswap_limit": -1})).unwrap().shm_size, Some(1 << 30));
    }
}

//! What a choice sets of a server: KubeSpawner's `kubespawner_override`, read into what every driver has a word for, and
//! the rest kept as it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::amount::{millis, parse_bytes};

/// What a choice sets. An outer `None` leaves as it is; an inner `None` takes away what was set before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Setting {
    /// Thousandths of a core.
    pub cpu_limit: Option<Option<u64>>,
    /// Thousandths of a core.
    pub cpu_guarantee: Option<Option<u64>>,
    /// Bytes.
    pub mem_limit: Option<Option<u64>>,
    /// Bytes.
    pub mem_guarantee: Option<Option<u64>>,
    /// A reference, as the operator wrote it.
    pub image: Option<Option<String>>,
    /// Variables.
    pub environment: BTreeMap<String, Option<String>>,
    /// GPUs by the resource's name.
    pub gpus: BTreeMap<String, Option<u64>>,
    /// Whether GPUs that were set before are taken away first.
    pub only_gpus: bool,
    /// The command.
    pub cmd: Option<Option<Vec<String>>>,
    /// Its arguments.
    pub args: Option<Option<Vec<String>>>,
    /// The page it opens with.
    pub default_url: Option<Option<String>>,
    /// The folder it shows.
    pub notebook_dir: Option<Option<String>>,
    /// What only a driver understands, under its own names. A null takes away.
    pub extra: Map<String, Value>,
}

impl Setting {
    /// Reads an override. The error tells the key and what is wrong with it.
    pub fn read(written: &Map<String, Value>) -> Result<Self, (String, String)> {
        let mut setting = Self::default();
        for (key, value) in written {
            setting.one(key, value).map_err(|what| (key.clone(), what))?;
        }
        Ok(setting)
    }

    fn one(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "cpu_limit" => self.cpu_limit = Some(or_null(value, cpu)?),
            "cpu_guarantee" => self.cpu_guarantee = Some(or_null(value, cpu)?),
            "mem_limit" => self.mem_limit = Some(or_null(value, memory)?),
            "mem_guarantee" => self.mem_guarantee = Some(or_null(value, memory)?),
            "image" => self.image = Some(or_null(value, text)?),
            "default_url" => self.default_url = Some(or_null(value, text)?),
            "notebook_dir" => self.notebook_dir = Some(or_null(value, text)?),
            "cmd" => self.cmd = Some(or_null(value, words)?),
            "args" => self.args = Some(or_null(value, words)?),
            "environment" => {
                for (name, value) in table(value)? {
                    if name.is_empty() || name.contains(['=', '\0']) {
                        return Err(format!("contains {name:?}, which cannot be a variable's name"));
                    }
                    self.environment.insert(name.clone(), or_null(value, plain)?);
                }
            }
            "extra_resource_limits" => {
                let mut others = Map::new();
                for (name, value) in table(value)? {
                    if is_gpu(name) {
                        self.gpus.insert(name.clone(), or_null(value, count)?);
                    } else {
                        others.insert(name.clone(), value.clone());
                    }
                }
                if !others.is_empty() {
                    self.extra.insert(key.to_owned(), Value::Object(others));
                }
            }
            _ => {
                self.extra.insert(key.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    /// How many GPUs it sets.
    pub fn gpu(&self) -> u64 {
        self.gpus.values().flatten().fold(0, |sum, gpus| sum.saturating_add(*gpus))
    }
}

/// Whether a resource of Kubernetes is a GPU, or a slice of one.
pub fn is_gpu(resource: &str) -> bool {
    resource.starts_with("nvidia.com/") || resource.contains("gpu")
}

/// Lays a table over another, member by member; a null takes away. As KubeSpawner merges overrides.
pub fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (_, Value::Null) => {
                under.remove(key);
            }
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Puts what somebody typed into each `{value}` of an override.
pub fn filled(written: &Value, value: &str) -> Value {
    match written {
        Value::String(text) => Value::String(text.replace("{value}", value)),
        Value::Array(items) => items.iter().map(|item| filled(item, value)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, member)| (key.clone(), filled(member, value))).collect())
        }
        other => other.clone(),
    }
}

fn or_null<T>(value: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Result<Option<T>, String> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

fn cpu(value: &Value) -> Result<u64, String> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.and_then(millis).ok_or_else(|| "has to be a number of cores".to_owned())
}

fn memory(value: &Value) -> Result<u64, String> {
    let read = match value {
        Value::String(text) => parse_bytes(text),
        other => other.as_u64(),
    };
    read.ok_or_else(|| "has to be a number of bytes, or a text such as \"512M\" or \"2G\"".to_owned())
}

fn count(value: &Value) -> Result<u64, String> {
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.filter(|number| *number <= 1_000_000).ok_or_else(|| "has to be a number of GPUs".to_owned())
}

fn text(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| "has to be a text".to_owned())
}

fn plain(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("has to be texts by the names of variables".to_owned()),
    }
}

fn words(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(_) => text(value).map(|word| vec![word]),
        Value::Array(items) => items.iter().map(plain).collect(),
        _ => Err("has to be a list of texts".to_owned()),
    }
}

fn table(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "has to be a table".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(written: Value) -> Result<Setting, (String, String)> {
        Setting::read(written.as_object().unwrap())
    }

    #[test]
    fn an_override_of_kubespawner_is_read_and_the_rest_kept() {
        let setting = read(json!({
            "cpu_limit": 2, "cpu_guarantee": "0.5", "mem_limit": "4G", "mem_guarantee": 1024, "image": "quay.io/a/b:1",
            "environment": {"A": "1", "B": null, "N": 3}, "default_url": "/rstudio", "cmd": ["start"],
            "extra_resource_limits": {"nvidia.com/gpu": "1", "example.org/fpga": "2"},
            "node_selector": {"pool": "gpu"}, "mem_typo": null,
        }))
        .unwrap();
        assert_eq!((setting.cpu_limit, setting.cpu_guarantee), (Some(Some(2000)), Some(Some(500))));
        assert_eq!((setting.mem_limit, setting.mem_guarantee), (Some(Some(4 << 30)), Some(Some(1024))));
        assert_eq!((setting.gpu(), setting.gpus.len()), (1, 1));
        assert_eq!(setting.environment["N"], Some("3".to_owned()));
        assert_eq!(setting.environment["B"], None);
        let extra = json!({
            "extra_resource_limits": {"example.org/fpga": "2"}, "node_selector": {"pool": "gpu"}, "mem_typo": null,
        });
        assert_eq!(Value::Object(setting.extra), extra);
        for bad in [
            json!({"cpu_limit": -1}),
            json!({"cpu_limit": "two"}),
            json!({"mem_limit": "4 gigabytes"}),
            json!({"image": ""}),
            json!({"environment": ["A"]}),
            json!({"environment": {"A=": "1"}}),
            json!({"extra_resource_limits": {"nvidia.com/gpu": 1.5}}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_merge_and_null_takes_away() {
        let mut under = json!({"a": {"x": 1, "y": 2}, "b": 1, "c": [1]}).as_object().unwrap().clone();
        merge(&mut under, json!({"a": {"y": null, "z": 3}, "b": null, "c": [2]}).as_object().unwrap());
        assert_eq!(Value::Object(under), json!({"a": {"x": 1, "z": 3}, "c": [2]}));
    }
}

//! Where a value of theirs belongs among ours: decided from its name, from what the chart's schema says of it, and for classes
//! of JupyterHub as `import-config` does.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::{advice, schema};
use crate::command::import_config;

/// What was made of their values.
pub struct Carried {
    /// Ours.
    pub values: Map<String, Value>,
    /// How many there are.
    pub count: usize,
    /// What has no place.
    pub left: Vec<Left>,
}

/// A value that was not carried over.
pub struct Left {
    /// Its name.
    pub path: String,
    /// Why it was not.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

/// Names that are others here: theirs and ours, the longer ones first.
const NAMES: &[(&str, &str)] = &[
    ("proxy.chp.pdb", "proxy.pdb"),
    ("proxy.chp", "proxy"),
    ("hub.publicURL", "publicUrl"),
    ("hub.imagePullSecret", "imagePullSecret"),
    ("singleuser.imagePullSecret", "imagePullSecret"),
    ("rbac.enabled", "rbac.create"),
    ("singleuser.cloudMetadata.enabled", "singleuser.cloudMetadata.blockWithIptables"),
];

/// Their profiles, in which null takes away what would be there otherwise.
const PROFILES: &str = "singleuser.profileList";
const NULLS: &str = "Where it takes something away, put the list into a file by hub.extraFiles, and name that in hub.config.options.profile_list_file (docs/options.md).";

/// Sorts values into ours and what has no place. `draft` is a file that may be written, and is removed.
pub fn carry(theirs: Value, draft: &Path) -> Result<Carried> {
    let mut theirs = match theirs {
        Value::Object(mut around) => match around.remove("jupyterhub") {
            Some(Value::Object(inner)) => inner,
            _ => around,
        },
        _ => Map::new(),
    };
    let mut carried = Carried { values: Map::new(), count: 0, left: Vec::new() };
    let classes = theirs.get_mut("hub").and_then(Value::as_object_mut).and_then(|hub| hub.remove("config"));
    let schema = schema::whole().context("values.schema.json")?;
    let defaults = schema::defaults().context("values.yaml")?;
    carried.walk(&schema, &defaults, "", Value::Object(theirs));
    if let Some(classes) = classes {
        carried.classes(classes, draft)?;
    }
    Ok(carried)
}

impl Carried {
    fn walk(&mut self, schema: &Value, defaults: &Value, path: &str, value: Value) {
        if let Some((why, instead)) = advice::refused(path) {
            return self.leave(path, why.to_owned(), instead);
        }
        match value {
            Value::Null if says_nothing(schema, defaults, path) => {}
            Value::Object(fields) if is_divided(schema, path) && !fields.is_empty() => {
                for (name, value) in fields {
                    self.walk(schema, defaults, &join(path, &name), value);
                }
            }
            value => self.put(schema, path, value),
        }
    }

    /// Puts a value where it belongs, unless the schema has no place for it.
    fn put(&mut self, schema: &Value, path: &str, value: Value) {
        let ours = ours(path);
        match place(schema, &ours) {
            None => self.nowhere(path, "there is no such value"),
            Some(of) => match schema::fault(of, &value) {
                Some(fault) => self.nowhere(path, &fault),
                None => {
                    // The chart writes them as TOML, which has no such thing.
                    if path == PROFILES && holds_null(&value) {
                        self.leave(&format!("{path} (null in it)"), "null is left out there".to_owned(), NULLS);
                    }
                    self.set(&ours, value);
                }
            },
        }
    }

    fn set(&mut self, path: &str, value: Value) {
        let mut table = &mut self.values;
        let parts: Vec<String> = split(path);
        let Some((last, above)) = parts.split_last() else { return };
        for part in above {
            let below = table.entry(part.clone()).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            let Value::Object(fields) = below else { return };
            table = fields;
        }
        if table.insert(last.clone(), value).is_none() {
            self.count += 1;
        }
    }

    fn nowhere(&mut self, path: &str, why: &str) {
        match advice::told(path) {
            Some((known, instead)) => self.leave(path, known.to_owned(), instead),
            None => self.leave(path, why.to_owned(), "deploy/helm/values.yaml has those there are."),
        }
    }

    fn leave(&mut self, path: &str, why: String, instead: &str) {
        self.left.push(Left { path: path.replace(DOT, "."), why, instead: instead.to_owned() });
    }

    /// `hub.config`: classes with their traits.
    fn classes(&mut self, classes: Value, draft: &Path) -> Result<()> {
        let Value::Object(classes) = classes else {
            self.leave(
                "hub.config",
                "it has to be a table".to_owned(),
                "docs/configuration.md has the options there are.",
            );
            return Ok(());
        };
        let traits = classes.into_iter().flat_map(|(class, traits)| match traits {
            Value::Object(traits) => traits.into_iter().map(|(name, value)| (class.clone(), name, value)).collect(),
            other => vec![(class, String::new(), other)],
        });
        let (keys, traits): (Vec<_>, Vec<_>) =
            traits.partition(|(class, name, _)| class == "CryptKeeper" && name == "keys");
        for key in keys.iter().filter_map(|(.., keys)| all_keys(keys)) {
            self.set("hub.cryptKey", Value::from(key));
        }
        let (nothing, traits): (Vec<_>, Vec<_>) = traits.into_iter().partition(|(.., value)| value.is_null());
        for (class, name, _) in nothing {
            let instead = "Where it took a value away, look what the option is without one (docs/configuration.md).";
            self.leave(&format!("hub.config.{class}.{name}"), "null is no value of an option".to_owned(), instead);
        }
        let found = import_config::of_classes(traits, draft)?;
        for (key, value) in found.options {
            // The chart says which driver there is, and how the proxy is started.
            if key != "spawner.driver" {
                let path = match key.strip_prefix("proxy.") {
                    Some(rest) => format!("proxy.config.{rest}"),
                    None => format!("hub.config.{key}"),
                };
                self.set(&path, value);
            }
        }
        for (class, name, why, instead) in found.left {
            self.leave(&format!("hub.config.{class}.{name}"), why, &instead);
        }
        Ok(())
    }
}

/// The keys of what is kept of logins, as the hub's variable has them.
fn all_keys(keys: &Value) -> Option<String> {
    match keys {
        Value::String(one) => Some(one.clone()),
        Value::Array(several) => Some(several.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(";")),
        _ => None,
    }
}

/// The name here.
fn ours(path: &str) -> String {
    let known = NAMES.iter().find_map(|(theirs, ours)| {
        let rest = path.strip_prefix(theirs)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{ours}{rest}"))
    });
    let mut path = known.unwrap_or_else(|| path.to_owned());
    if path.starts_with("hub.services.") && path.ends_with(".api_token") {
        path.truncate(path.len() - "api_token".len());
        path.push_str("apiToken");
    }
    path
}

/// Whether members of a table have places of their own. One that nobody knows is told as a whole.
fn is_divided(schema: &Value, path: &str) -> bool {
    let is_part = NAMES.iter().any(|(theirs, _)| theirs.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
    path.is_empty() || is_part || place(schema, &ours(path)).is_some_and(schema::has_members)
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}

/// Whether null at this place changes nothing: nothing is there without it either, or it is a heading with nothing below.
/// Anywhere else it takes away what the chart would have, such as the command in `singleuser.cmd`.
fn says_nothing(schema: &Value, defaults: &Value, path: &str) -> bool {
    let Some(of) = place(schema, &ours(path)) else { return false };
    let usual = split(&ours(path)).iter().try_fold(defaults, |of, part| of.get(part)).unwrap_or(&Value::Null);
    let is_empty = match usual {
        Value::Null => true,
        Value::String(text) => text.is_empty() && schema::fault(of, &Value::Null).is_some(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    is_empty || of["properties"].is_object()
}

/// The schema of a value of ours.
fn place<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    split(path).iter().try_fold(schema, |of, part| schema::member(of, part))
}

/// Names may have dots in them, such as those of labels: those are kept as one with a sign that no name has.
const DOT: char = '\u{1}';

fn join(path: &str, name: &str) -> String {
    let name = name.replace('.', &DOT.to_string());
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(|part| part.replace(DOT, ".")).collect()
}

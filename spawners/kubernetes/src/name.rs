//! KubeSpawner's templates, and what may be in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spawners::Identity;

use crate::slug;

/// The longest slug in a template.
const LONGEST: usize = 48;

/// How names of people become parts of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SlugScheme {
    /// As KubeSpawner does since version 7.
    #[default]
    Safe,
    /// As it did before.
    Escape,
}

/// What templates may hold.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    fields: Vec<(&'static str, String)>,
}

impl Names {
    /// The fields of a server. `hub_namespace` is where the hub makes servers unless people have namespaces of their own.
    pub fn new(server: &Identity, scheme: SlugScheme, hub_namespace: &str) -> Self {
        let (user, name) = (server.user.as_str(), server.server.as_str());
        let safe_user = slug::object(user, LONGEST);
        let safe_name = if name.is_empty() { String::new() } else { slug::object(name, LONGEST) };
        let safe_both = if safe_user.len() + safe_name.len() + 2 > LONGEST {
            slug::joined(user, name, LONGEST)
        } else if name.is_empty() {
            safe_user.clone()
        } else {
            format!("{safe_user}--{safe_name}")
        };
        let (escaped_user, escaped_name) = (slug::escape(user), slug::escape(name));
        let escaped_both = format!("{escaped_user}--{escaped_name}");
        let (username, servername, user_server) = match scheme {
            SlugScheme::Safe => (safe_user.clone(), safe_name.clone(), safe_both.clone()),
            SlugScheme::Escape if name.is_empty() => (escaped_user.clone(), String::new(), escaped_user.clone()),
            SlugScheme::Escape => (escaped_user.clone(), escaped_name.clone(), escaped_both.clone()),
        };
        let hub_namespace = if hub_namespace == "default" { "user" } else { hub_namespace };
        // An account begins with its number.
        let number = server.account.as_ref().and_then(|account| account.split('-').next());
        let mut fields = vec![
            ("username", username),
            ("servername", servername),
            ("user_server", user_server),
            ("unescaped_username", user.to_owned()),
            ("unescaped_servername", name.to_owned()),
            ("hubnamespace", hub_namespace.to_owned()),
            ("safe_username", safe_user),
            ("safe_servername", safe_name),
            ("safe_user_server", safe_both),
            ("escaped_username", escaped_user),
            ("escaped_servername", escaped_name),
            ("escaped_user_server", escaped_both),
        ];
        fields.extend(number.map(|number| ("userid", number.to_owned())));
        Self { fields }
    }

    /// With a further field.
    pub fn with(mut self, field: &'static str, value: &str) -> Self {
        self.fields.push((field, value.to_owned()));
        self
    }

    /// Fills a template in, with Python's braces. The error is the name that is not known.
    pub fn fill(&self, template: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            filled.push_str(before);
            if let Some(after) = braces.strip_prefix("{{") {
                filled.push('{');
                rest = after;
            } else if let Some(after) = braces.strip_prefix("}}") {
                filled.push('}');
                rest = after;
            } else {
                let (name, after) = braces
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'))
                    .ok_or_else(|| braces.chars().take(20).collect::<String>())?;
                let value =
                    self.fields.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("{{{name}}}"))?;
                filled.push_str(&value.1);
                rest = after;
            }
        }
        filled.push_str(rest);
        // As KubeSpawner: what an empty server's name leaves at the end.
        if !template.ends_with('-') && filled.ends_with('-') {
            filled.truncate(filled.trim_end_matches('-').len());
        }
        Ok(filled)
    }

    /// Fills in what can be; a text that is no template stays as it is.
    pub fn fill_or_leave(&self, text: &str) -> String {
        if text.contains(['{', '}']) { self.fill(text).unwrap_or_else(|_| text.to_owned()) } else { text.to_owned() }
    }

    /// The same for every text in a value.
    pub fn fill_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill_or_leave(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_all(item)).collect(),
            Value::Object(table) => {
                let filled = table.iter().map(|(key, value)| (key.clone(), self.fill_all(value)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }

    /// Fills in a template of an object's name. The error says what is wrong with it.
    pub fn object(&self, template: &str) -> Result<String, String> {
        let name = self.fill(template).map_err(|name| format!("{template:?} contains {name}, which is no field"))?;
        if is_object_name(&name) {
            Ok(name)
        } else {
            Err(format!("{template:?} makes {name:?}, which no object can be called"))
        }
    }
}

/// Whether an object can be called so.
pub(crate) fn is_object_name(name: &str) -> bool {
    name.len() <= 253
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.ends_with(|last: char| last.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};

    fn server(user: &str, server: &str) -> Identity {
        let (user, server) = (user.to_owned(), server.to_owned());
        Identity { hub: "h".into(), spawner: SpawnerId(1), generation: Generation(1), user, server, account: None }
    }

    fn pod(user: &str, name: &str, scheme: SlugScheme) -> String {
        Names::new(&server(user, name), scheme, "hub").object("jupyter-{user_server}").unwrap()
    }

    #[test]
    fn pods_are_named_as_kubespawner_names_them() {
        assert_eq!(pod("anna", "", SlugScheme::Safe), "jupyter-anna");
        assert_eq!(pod("anna", "gpu", SlugScheme::Safe), "jupyter-anna--gpu");
        assert_eq!(pod("Anna", "", SlugScheme::Safe), "jupyter-anna---bf4fccd6");
        assert_eq!(pod("Anna", "", SlugScheme::Escape), "jupyter--41nna");
        assert_eq!(pod("anna-b", "x y", SlugScheme::Escape), "jupyter-anna-2db--x-20y");
        let (user, name) = ("anna.maria@example.org", "a-rather-long-name-for-a-server");
        assert_eq!(pod(user, name, SlugScheme::Safe), "jupyter-anna-maria-exampl--a-rather-long-nam---9bebe0f4");
    }

    #[test]
    fn an_empty_name_of_a_server_leaves_nothing_behind() {
        let names = Names::new(&server("anna", ""), SlugScheme::Escape, "default");
        assert_eq!(names.fill("jupyter-{username}--{servername}").unwrap(), "jupyter-anna");
        assert_eq!(names.fill("{hubnamespace}-").unwrap(), "user-");
        assert_eq!(names.fill("{nobody}").unwrap_err(), "{nobody}");
        assert_eq!(names.fill_or_leave("${HOME} {username}"), "${HOME} {username}", "no template, and so it stays");
        assert!(names.object("Upper").is_err() && names.object("").is_err());
        assert_eq!(names.with("pod_name", "p").fill("{{{pod_name}}}").unwrap(), "{p}");
    }

    #[test]
    fn the_number_of_a_person_is_known_where_the_account_is() {
        let of = |account: Option<&str>| {
            let server = Identity { account: account.map(str::to_owned), ..server("anna", "") };
            Names::new(&server, SlugScheme::Safe, "hub").object("claim-{userid}")
        };
        assert_eq!(of(Some("5-1764424899123")).unwrap(), "claim-5");
        assert_eq!(of(Some("12")).unwrap(), "claim-12");
        assert!(of(None).is_err(), "whose it is nobody knows");
    }
}

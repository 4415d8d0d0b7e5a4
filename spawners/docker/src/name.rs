//! Names of containers and volumes, made as DockerSpawner makes them, so that what it left is found again.

use std::fmt::Write;

use spawners::Identity;

/// What templates may hold.
pub(crate) struct Names {
    fields: [(&'static str, String); 7],
}

impl Names {
    pub fn new(server: &Identity, image: &str, prefix: &str, escape: Escape) -> Self {
        let username = escape.of(&server.user);
        Self {
            fields: [
                ("username", username.clone()),
                ("safe_username", username),
                ("raw_username", server.user.clone()),
                ("imagename", image.replace(['/', ':'], "-")),
                ("servername", escape.of(&server.server.to_lowercase())),
                ("raw_servername", server.server.clone()),
                ("prefix", prefix.to_owned()),
            ],
        }
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
        Ok(filled)
    }

    /// Fills in what can be; a text that is no template stays as it is, as in DockerSpawner.
    pub fn fill_or_leave(&self, text: &str) -> String {
        self.fill(text).unwrap_or_else(|_| text.to_owned())
    }

    /// The same for every text in a value, names included.
    pub fn fill_all(&self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.fill_or_leave(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_all(item)).collect(),
            Value::Object(table) => {
                let filled = table.iter().map(|(key, value)| (self.fill_or_leave(key), self.fill_all(value)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }

    /// The name of a server's container.
    pub fn container(&self, template: Option<&str>, server: &Identity) -> Result<String, String> {
        let usual = if server.server.is_empty() { "{prefix}-{username}" } else { "{prefix}-{username}--{servername}" };
        self.fill(template.unwrap_or(usual))
    }
}

/// `DockerSpawner.escape`: what becomes of characters that no name of Docker's may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// Small letters and digits stay; every other byte becomes `-` and its two hexadecimal digits, so that no two names
    /// become one.
    #[default]
    Default,
    /// As DockerSpawner did before version 12: letters, digits and `-` stay, every other byte becomes `_` and its
    /// hexadecimal digits.
    Legacy,
}

impl Escape {
    fn of(self, text: &str) -> String {
        text.bytes().fold(String::new(), |mut escaped, byte| {
            let stays = match self {
                Self::Default => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
                Self::Legacy => byte.is_ascii_alphanumeric() || byte == b'-',
            };
            // Writing to a String does not fail.
            let _ = match (stays, self) {
                (true, _) => write!(escaped, "{}", char::from(byte)),
                (false, Self::Default) => write!(escaped, "-{byte:02x}"),
                (false, Self::Legacy) => write!(escaped, "_{byte:X}"),
            };
            escaped
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};

    fn server(user: &str, server: &str) -> Identity {
        let (user, server) = (user.to_owned(), server.to_owned());
        Identity { hub: "h".into(), spawner: SpawnerId(1), generation: Generation(1), user, server, account: None }
    }

    /// As `escapism` with DockerSpawner's settings escapes them.
    #[test]
    fn names_are_escaped_as_dockerspawner_escapes_them() {
        let table = [
            ("anna", "anna", "anna"),
            ("anna-b", "anna-2db", "anna-b"),
            ("Anna", "-41nna", "Anna"),
            ("a@b.it", "a-40b-2eit", "a_40b_2Eit"),
            ("é", "-c3-a9", "_C3_A9"),
            ("a_b", "a-5fb", "a_5Fb"),
        ];
        for (name, escaped, legacy) in table {
            assert_eq!((Escape::Default.of(name), Escape::Legacy.of(name)), (escaped.into(), legacy.into()));
        }
    }

    #[test]
    fn containers_are_named_as_dockerspawner_names_them() {
        let name = |user: &str, of: &str| {
            let server = server(user, of);
            Names::new(&server, "quay.io/a/b:1", "jupyter", Escape::Default).container(None, &server).unwrap()
        };
        assert_eq!(name("anna-b", ""), "jupyter-anna-2db");
        assert_eq!(name("anna", "GPU one"), "jupyter-anna--gpu-20one");
        let server = server("Anna", "x");
        let names = Names::new(&server, "quay.io/a/b:1", "p", Escape::Default);
        assert_eq!(names.container(Some("{raw_username}_{imagename}"), &server).unwrap(), "Anna_quay.io-a-b-1");
    }

    #[test]
    fn templates_are_pythons() {
        let names = Names::new(&server("anna", ""), "", "", Escape::Default);
        assert_eq!(names.fill("{{x}} {username}").unwrap(), "{x} anna");
        assert_eq!(names.fill("{home}").unwrap_err(), "{home}");
        assert!(names.fill("{").is_err() && names.fill("a}").is_err());
        assert_eq!(names.fill_or_leave("{\"json\": 1}"), "{\"json\": 1}");
    }
}

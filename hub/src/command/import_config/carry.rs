//! Where in our configuration a setting of JupyterHub's belongs: decided from names and values alone.

use serde_json::{Map, Value, json};

use super::advice;
use super::docker_spawner::{self, Place};
use super::read::Setting;
use crate::config::shape::Shape;

/// What was made of a configuration.
pub struct Carried {
    /// Options of ours, each with the setting it came from.
    pub options: Vec<(String, Value, Setting)>,
    /// What has no place.
    pub left: Vec<Left>,
}

/// A setting that was not carried over.
pub struct Left {
    /// The setting.
    pub setting: Setting,
    /// Why it was not.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

/// Sorts settings into options and what has no place.
pub fn carry(settings: Vec<Setting>) -> Carried {
    let mut carried = Carried { options: Vec::new(), left: Vec::new() };
    let shape = Shape::of_config();
    let address = address(&settings);
    for setting in settings {
        let (class, name) = (setting.class.as_str(), setting.trait_name.as_str());
        let docker = (class == "DockerSpawner").then(|| docker_spawner::place(name));
        if is_usual(&setting) {
            // What is done here anyway.
        } else if let Some(what) = setting.problem.clone() {
            carried.leave(setting, format!("{what} is not data"));
        } else if setting.plain.is_null() {
            // As if it were not written: the default.
        } else if class == "JupyterHub" && matches!(name, "ip" | "port") {
            if let Some(address) = &address {
                carried.add("hub.bind_url", json!(address), setting);
            }
        } else if let Some((key, value)) = class_choice(class, name, &setting.plain) {
            carried.add(key, value, setting);
        } else if let Some(Place::Read(read, _)) = docker {
            match read(&setting.plain) {
                Some(options) => {
                    options.into_iter().for_each(|(key, value)| carried.add(key, value, setting.clone()));
                }
                None => carried.leave(setting, "its value has no place".to_owned()),
            }
        } else if let Some(key) = key_of(&shape, class, new_name(docker, name)) {
            let is_said = carried.options.iter().any(|(known, ..)| *known == key);
            match ours(&key, setting.plain.clone()) {
                // An old name beside the one of today says nothing.
                Some(_) if is_said && matches!(docker, Some(Place::As(_))) => {}
                Some(value) => carried.add(&key, value, setting),
                None => carried.leave(setting, "a value is missing in it".to_owned()),
            }
        } else {
            carried.leave(setting, "there is no such option".to_owned());
        }
    }
    carried.whole_images();
    carried.variables_from_elsewhere();
    carried
}

/// Whether it is a function of DockerSpawner's that does what is done here.
fn is_usual(setting: &Setting) -> bool {
    let name = setting.trait_name.as_str();
    let by_problem = setting.problem.as_deref().is_some_and(|what| docker_spawner::is_usual(name, what));
    setting.class == "DockerSpawner" && (by_problem || docker_spawner::is_usual_name(name, &setting.plain))
}

/// The name of today.
fn new_name(docker: Option<Place>, name: &str) -> &str {
    match docker {
        Some(Place::As(new)) => new,
        _ => name,
    }
}

impl Carried {
    /// What DockerSpawner starts when nobody chose is what is chosen at first; and it runs the image's own command, as
    /// KubeSpawner does.
    fn whole_images(&mut self) {
        let of = |key: &str| self.options.iter().find(|(known, ..)| known == key);
        let image = of("spawner.docker.image").map(|(_, value, _)| value.clone());
        let driver = of("spawner.driver");
        let of_images = driver.filter(|(_, driver, _)| matches!(driver.as_str(), Some("docker" | "kubernetes")));
        let own_command = of_images.filter(|_| of("spawner.cmd").is_none()).map(|(_, _, setting)| setting.clone());
        if let Some(setting) = own_command {
            self.add("spawner.cmd", json!([]), setting);
        }
        let images = self.options.iter_mut().find(|(known, ..)| known == "options.images");
        let images = images.and_then(|(_, value, _)| value.as_array_mut());
        let usual = images.and_then(|images| images.iter_mut().find(|one| one.get("image") == image.as_ref()));
        if let Some(Value::Object(usual)) = usual {
            usual.insert("default".to_owned(), json!(true));
        }
    }

    /// Variables of pods that are no texts, such as `valueFrom`, are what else is said of the container.
    fn variables_from_elsewhere(&mut self) {
        const CONTAINER: &str = "spawner.kubernetes.extra_container_config";
        let of = |(key, _, setting): &&mut (String, Value, Setting)| {
            key == "spawner.environment" && matches!(setting.class.as_str(), "KubeSpawner" | "Spawner")
        };
        let Some((_, Value::Object(all), setting)) = self.options.iter_mut().find(of) else { return };
        let setting = setting.clone();
        let (tables, texts): (Map<_, _>, Map<_, _>) =
            std::mem::take(all).into_iter().partition(|(_, value)| value.is_object());
        *all = texts;
        let named = tables.into_iter().filter_map(|(name, words)| match words {
            Value::Object(mut words) => {
                words.entry("name").or_insert_with(|| json!(name));
                Some(Value::Object(words))
            }
            _ => None,
        });
        let named: Vec<Value> = named.collect();
        if named.is_empty() {
            return;
        }
        match self.options.iter_mut().find(|(key, ..)| key == CONTAINER) {
            Some((_, Value::Object(container), _)) => {
                if let Value::Array(env) = container.entry("env").or_insert_with(|| json!([])) {
                    env.extend(named);
                }
            }
            _ => self.options.push((CONTAINER.to_owned(), json!({ "env": named }), setting)),
        }
    }

    fn add(&mut self, key: &str, value: Value, setting: Setting) {
        match self.options.iter_mut().find(|(known, ..)| known == key) {
            // For JupyterHub the class itself counts more than the one it is made from, whatever the order.
            Some((_, _, known)) if !is_base(&known.class) && is_base(&setting.class) => {}
            Some(option) => *option = (key.to_owned(), value, setting),
            None => self.options.push((key.to_owned(), value, setting)),
        }
    }

    fn leave(&mut self, setting: Setting, why: String) {
        let instead = advice::instead(&setting).to_owned();
        self.left.push(Left { setting, why, instead });
    }

    /// Takes out the option that a key lies in, because it is not accepted.
    pub fn refuse(&mut self, key: &str, why: &str) {
        let holds =
            |option: &str| key == option || key.strip_prefix(option).is_some_and(|rest| rest.starts_with(['.', '[']));
        if let Some(at) = self.options.iter().position(|(option, ..)| holds(option)) {
            let (_, _, setting) = self.options.remove(at);
            self.leave(setting, format!("{key} {why}"));
        }
    }

    /// The text of the file.
    pub fn text(&self, from: &str) -> String {
        let mut text = format!("# Made of {from} by `specola import-config`.\n");
        let mut options: Vec<_> = self
            .options
            .iter()
            .filter_map(|(key, value, setting)| {
                let (section, name) = key.rsplit_once('.')?;
                Some((section, name, value, setting))
            })
            .collect();
        // Stable: within a section the order of the file stays.
        options.sort_by_key(|(section, ..)| *section);
        let mut current = "";
        for (section, name, value, setting) in options {
            if section != current {
                text += &format!("\n[{section}]\n");
                current = section;
            }
            let Ok(value) = toml::Value::try_from(value) else { continue };
            text += &format!("{name} = {value} # line {}\n", setting.place());
        }
        text
    }
}

/// Whether others are made from a class.
fn is_base(class: &str) -> bool {
    matches!(class, "Spawner" | "Authenticator" | "LocalAuthenticator")
}

/// `ip` and `port` together are one address of ours, where no `bind_url` says it all.
fn address(settings: &[Setting]) -> Option<String> {
    let of = |name: &str| {
        let mut found = settings.iter().filter(|setting| setting.class == "JupyterHub" && setting.trait_name == name);
        found.next_back().map(|setting| &setting.plain)
    };
    if of("bind_url").is_some() {
        return None;
    }
    let ip = of("ip").and_then(Value::as_str).unwrap_or_default();
    let port = of("port").and_then(Value::as_u64).unwrap_or(8000);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Some(format!("http://{host}:{port}"))
}

/// Classes of JupyterHub's that are a choice of ours.
fn class_choice(class: &str, name: &str, value: &Value) -> Option<(&'static str, Value)> {
    if class != "JupyterHub" {
        return None;
    }
    let chosen = value.as_str()?.rsplit('.').next()?.to_lowercase();
    Some(match (name, chosen.as_str()) {
        ("authenticator_class", "pam" | "pamauthenticator" | "local" | "localauthenticator") => {
            ("auth.authenticator", json!("pam"))
        }
        ("authenticator_class", "dummy" | "dummyauthenticator") => ("auth.authenticator", json!("demo")),
        ("spawner_class", "localprocess" | "localprocessspawner" | "localprocessspawners") => {
            ("spawner.local.mode", json!("system"))
        }
        ("spawner_class", "simple" | "simplespawner" | "simplelocalprocessspawner") => {
            ("spawner.local.mode", json!("folders"))
        }
        ("spawner_class", "docker" | "dockerspawner") => ("spawner.driver", json!("docker")),
        ("spawner_class", "kube" | "kubernetes" | "kubespawner") => ("spawner.driver", json!("kubernetes")),
        _ => return None,
    })
}

/// The option of ours that has the name, in the sections that belong to the class.
fn key_of(shape: &Shape, class: &str, name: &str) -> Option<String> {
    let sections: &[&str] = match class {
        "JupyterHub" if matches!(name, "ssl_cert" | "ssl_key") => &["proxy"],
        "JupyterHub" => &["hub"],
        "Authenticator" | "LocalAuthenticator" => &["auth"],
        "PAMAuthenticator" => &["auth.pam", "auth"],
        "DummyAuthenticator" => &["auth.demo", "auth"],
        "NativeAuthenticator" => &["auth"],
        "Spawner" => &["spawner"],
        "LocalProcessSpawner" | "SimpleLocalProcessSpawner" => &["spawner.local", "spawner"],
        "DockerSpawner" => &["spawner.docker", "spawner"],
        "KubeSpawner" if name == "profile_list" => &["options"],
        "KubeSpawner" => &["spawner.kubernetes", "spawner"],
        "ConfigurableHTTPProxy" => &["proxy"],
        "PeriodicMetricsCollector" => &["metrics"],
        _ => &[],
    };
    let keys = sections.iter().map(|section| format!("{section}.{name}"));
    keys.into_iter().find(|key| is_option(shape, key))
}

fn is_option(shape: &Shape, key: &str) -> bool {
    let mut at = shape;
    for part in key.split('.') {
        let Shape::Table(fields) = at else { return false };
        let Some(field) = fields.iter().find(|field| field.name == part) else { return false };
        at = &field.shape;
    }
    !matches!(at, Shape::Table(_))
}

/// The value as ours: what JupyterHub leaves open is left out, a group may be a list of its members, and tokens that were
/// made elsewhere are a list. `None` when a list has a hole.
fn ours(key: &str, value: Value) -> Option<Value> {
    let group = |members: Value| if members.is_array() { json!({ "users": members }) } else { members };
    without_nothing(match (key, value) {
        ("hub.load_groups", Value::Object(groups)) => {
            Value::Object(groups.into_iter().map(|(name, members)| (name, group(members))).collect())
        }
        // KubeSpawner takes one by itself too.
        ("spawner.kubernetes.image_pull_secrets", Value::String(name)) => json!([name]),
        ("hub.api_tokens" | "hub.service_tokens", Value::Object(tokens)) => {
            tokens.into_iter().map(|(token, name)| json!({ "name": name, "token": token })).collect()
        }
        (_, value) => value,
    })
}

fn without_nothing(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => items.into_iter().map(without_nothing).collect::<Option<Vec<_>>>().map(Value::Array),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, member)| !member.is_null());
            let kept = kept.map(|(name, member)| Some((name, without_nothing(member)?)));
            kept.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        other => Some(other),
    }
}

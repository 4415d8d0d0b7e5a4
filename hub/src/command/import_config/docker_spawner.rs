//! What becomes of each option of DockerSpawner's: a table, which docs/docker.md tells people.

use serde_json::{Map, Value, json};

/// Options of ours, each with its value; `None` when the value says what has no place.
type Read = fn(&Value) -> Option<Vec<(&'static str, Value)>>;

/// Where an option belongs.
#[derive(Clone, Copy)]
pub enum Place {
    /// To the option of the same name.
    Same,
    /// To one of another name.
    As(&'static str),
    /// To what its value comes to; the sentence is for a value that has no place.
    Read(Read, &'static str),
    /// Nowhere; the sentence says what to do.
    Nowhere(&'static str),
}

const NO_FUNCTION: &str = "Write the name as a template, such as \"home-{username}\": a function is not run here.";
const TLS: &str =
    "DockerSpawner passes over it too: name tls_ca_file, tls_cert_file and tls_key_file in [spawner.docker].";
const CERTS: &str = "Leave it out: this driver gives servers no certificates (internal_ssl), so none are moved.";

/// Every option that DockerSpawner adds to Spawner's.
pub const PLACES: &[(&str, Place)] = &[
    ("allowed_images", Place::Read(images, "Write each image in [[options.images]] (docs/options.md).")),
    ("certs_volume_name", Place::Nowhere(CERTS)),
    (
        "client_kwargs",
        Place::Read(
            client,
            "Only base_url has a place: spawner.docker.host; TLS is in tls_ca_file and the two with it.",
        ),
    ),
    ("container_image", Place::As("image")),
    ("container_ip", Place::As("host_ip")),
    ("container_name_template", Place::As("name_template")),
    ("container_port", Place::As("port")),
    ("container_prefix", Place::As("prefix")),
    ("cpu_limit", Place::Same),
    ("escape", Place::Read(escape, "It is \"default\" or \"legacy\"; a function of one's own is not run here.")),
    ("extra_create_kwargs", Place::Same),
    ("extra_host_config", Place::Same),
    ("format_volume_name", Place::Nowhere(NO_FUNCTION)),
    ("host_ip", Place::Same),
    ("hub_ip_connect", Place::Nowhere("DockerSpawner passes over it too: use hub.hub_connect_url.")),
    ("image", Place::Same),
    ("image_whitelist", Place::Read(images, "Write each image in [[options.images]] (docs/options.md).")),
    ("links", Place::Same),
    ("mem_limit", Place::Same),
    ("mounts", Place::Same),
    ("move_certs_image", Place::Nowhere(CERTS)),
    ("name_template", Place::Same),
    ("network_name", Place::Same),
    ("post_start_cmd", Place::Read(command, "It is a command as for a shell, with every quote closed.")),
    ("prefix", Place::Same),
    ("pull_policy", Place::Read(policy, "It is always, ifnotpresent, never or skip.")),
    ("read_only_volumes", Place::Same),
    ("remove", Place::Same),
    ("remove_containers", Place::As("remove")),
    ("tls", Place::Nowhere(TLS)),
    ("tls_assert_hostname", Place::Nowhere(TLS)),
    ("tls_ca", Place::Nowhere(TLS)),
    ("tls_cert", Place::Nowhere(TLS)),
    (
        "tls_config",
        Place::Read(tls, "It needs ca_cert and client_cert, a pair of files; the engine is always verified."),
    ),
    ("tls_key", Place::Nowhere(TLS)),
    ("tls_verify", Place::Nowhere(TLS)),
    ("use_docker_client_env", Place::Nowhere("Leave it out: DOCKER_HOST counts where spawner.docker.host is not set.")),
    ("use_internal_hostname", Place::Same),
    ("use_internal_ip", Place::Same),
    ("volumes", Place::Same),
];

/// Where an option belongs; what is not DockerSpawner's own is Spawner's.
pub fn place(name: &str) -> Place {
    PLACES.iter().find(|(known, _)| *known == name).map_or(Place::Same, |(_, place)| *place)
}

/// What to do instead of an option that was not carried over.
pub fn instead(name: &str) -> &'static str {
    match (name, place(name)) {
        ("network_name", _) => {
            "Name a network such as \"bridge\", or make one: in the machine's own, everybody on it reaches every server."
        }
        (_, Place::Read(_, sentence) | Place::Nowhere(sentence)) => sentence,
        _ => "See docs/docker.md for what there is; without it the default counts.",
    }
}

/// Whether a function is DockerSpawner's own, and does what is done here anyway.
pub fn is_usual(name: &str, problem: &str) -> bool {
    let functions = ["default_format_volume_name", "escaped_format_volume_name"];
    name == "format_volume_name" && functions.iter().any(|function| problem.ends_with(function))
}

/// Whether a class's name is that of such a function, where DockerSpawner is not installed.
pub fn is_usual_name(name: &str, value: &Value) -> bool {
    value.as_str().is_some_and(|text| is_usual(name, text))
}

fn policy(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    Some(vec![("spawner.docker.pull_policy", json!(value.as_str()?.to_lowercase()))])
}

/// A command as a shell divides it. Docker's own clients divide a text so too.
fn command(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    let words = match value {
        Value::Bool(false) => return Some(Vec::new()),
        Value::String(text) if text.is_empty() => return Some(Vec::new()),
        Value::String(text) => json!(shlex::split(text)?),
        Value::Array(_) => value.clone(),
        _ => return None,
    };
    Some(vec![("spawner.docker.post_start_cmd", words)])
}

fn escape(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    let word = value.as_str().filter(|word| matches!(*word, "default" | "legacy"))?;
    Some(vec![("spawner.docker.escape", json!(word))])
}

/// A list, a table of labels, or `"*"`. Nothing in it means that nobody may choose.
fn images(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    let image = |name: &str, image: &Value| json!({ "name": name, "image": image });
    let images: Vec<Value> = match value {
        Value::String(all) if all == "*" => {
            let everybody = json!([{ "name": "everybody", "grant": { "own_images": ["*"] } }]);
            return Some(vec![("options.policies", everybody)]);
        }
        Value::Array(items) => items.iter().map(|item| Some(image(item.as_str()?, item))).collect::<Option<_>>()?,
        Value::Object(table) => table.iter().map(|(label, item)| image(label, item)).collect(),
        _ => return None,
    };
    Some(if images.is_empty() { Vec::new() } else { vec![("options.images", Value::Array(images))] })
}

/// What goes to docker-py's client. How it asks is nothing that is set here.
fn client(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    const HOW: [&str; 6] = ["version", "timeout", "user_agent", "num_pools", "max_pool_size", "credstore_env"];
    let table: &Map<String, Value> = value.as_object()?;
    let mut options = Vec::new();
    for (name, value) in table.iter().filter(|(name, _)| !HOW.contains(&name.as_str())) {
        match name.as_str() {
            "base_url" => options.push(("spawner.docker.host", json!(address(value.as_str()?)))),
            _ => return None,
        }
    }
    Some(options)
}

/// An address as docker-py reads it: `unix://var/run/docker.sock` is a path too.
fn address(text: &str) -> String {
    let text = text.strip_prefix("http+").unwrap_or(text);
    match text.strip_prefix("unix:") {
        Some(path) => format!("unix:///{}", path.trim_start_matches('/')),
        None => text.to_owned(),
    }
}

fn tls(value: &Value) -> Option<Vec<(&'static str, Value)>> {
    const KNOWN: [&str; 4] = ["ca_cert", "client_cert", "verify", "assert_hostname"];
    let table = value.as_object()?;
    let verifies = table.get("verify").is_none_or(|verify| verify == &Value::Bool(true));
    if !verifies || table.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        return None;
    }
    let [cert, key] = table.get("client_cert")?.as_array()?.as_slice() else { return None };
    Some(vec![
        ("spawner.docker.tls_ca_file", table.get("ca_cert")?.clone()),
        ("spawner.docker.tls_cert_file", cert.clone()),
        ("spawner.docker.tls_key_file", key.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The traits of the DockerSpawner that is installed: a new one is to be decided on, and told.
    #[test]
    fn every_option_of_dockerspawners_has_a_place_and_is_told() {
        let Some(python) = std::env::var_os("SPECOLA_JUPYTERHUB_PYTHON") else {
            eprintln!("skipped: SPECOLA_JUPYTERHUB_PYTHON names no Python with DockerSpawner");
            return;
        };
        let asked = std::process::Command::new(python)
            .args(["-c", "from dockerspawner import DockerSpawner as D; print(*D.class_own_traits(config=True))"])
            .output()
            .unwrap();
        let names = String::from_utf8(asked.stdout).unwrap();
        assert!(names.split_whitespace().count() > 30, "{names} {}", String::from_utf8_lossy(&asked.stderr));
        for name in names.split_whitespace() {
            assert!(PLACES.iter().any(|(known, _)| *known == name), "{name} has no place");
        }
    }

    #[test]
    fn every_place_is_in_the_documentation() {
        let page = include_str!("../../../../docs/docker.md");
        for (name, _) in PLACES {
            let row = page.lines().find(|line| {
                line.starts_with("| `") && line.split(" | ").next().unwrap().contains(&format!("`{name}`"))
            });
            assert!(row.is_some(), "docs/docker.md has no row of {name}");
        }
    }

    #[test]
    fn values_are_read_as_dockerspawner_reads_them() {
        let read = |name: &str, value: Value| match place(name) {
            Place::Read(read, _) => read(&value).map(|options| json!(options)),
            _ => panic!("{name} is not read"),
        };
        let rows = [
            ("pull_policy", json!("IfNotPresent"), json!([["spawner.docker.pull_policy", "ifnotpresent"]])),
            ("post_start_cmd", json!("sh -c 'a b'"), json!([["spawner.docker.post_start_cmd", ["sh", "-c", "a b"]]])),
            ("post_start_cmd", json!(false), json!([])),
            ("escape", json!("legacy"), json!([["spawner.docker.escape", "legacy"]])),
            (
                "allowed_images",
                json!({"Small": "a/b:1"}),
                json!([["options.images", [{"name": "Small", "image": "a/b:1"}]]]),
            ),
            ("image_whitelist", json!(["a"]), json!([["options.images", [{"name": "a", "image": "a"}]]])),
            ("allowed_images", json!([]), json!([])),
            (
                "client_kwargs",
                json!({"base_url": "unix://var/run/docker.sock", "timeout": 60}),
                json!([["spawner.docker.host", "unix:///var/run/docker.sock"]]),
            ),
            ("client_kwargs", json!({"base_url": "tcp://e:2376"}), json!([["spawner.docker.host", "tcp://e:2376"]])),
            (
                "tls_config",
                json!({"ca_cert": "/ca", "client_cert": ["/cert", "/key"], "verify": true}),
                json!([
                    ["spawner.docker.tls_ca_file", "/ca"],
                    ["spawner.docker.tls_cert_file", "/cert"],
                    ["spawner.docker.tls_key_file", "/key"],
                ]),
            ),
        ];
        for (name, value, expected) in rows {
            assert_eq!(read(name, value.clone()), Some(expected), "{name} = {value}");
        }
        for (name, value) in [
            ("post_start_cmd", json!("'open")),
            ("escape", json!("mine")),
            ("allowed_images", json!("lab")),
            ("client_kwargs", json!({"tls": true})),
            ("tls_config", json!({"ca_cert": "/ca", "client_cert": ["/c", "/k"], "verify": false})),
            ("tls_config", json!({"ca_cert": "/ca"})),
        ] {
            assert_eq!(read(name, value.clone()), None, "{name} = {value}");
        }
    }
}

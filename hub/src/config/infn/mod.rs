//! The environment variables that the hubs of INFN are deployed with, as options: `OAUTH_ENDPOINT`, `IAM_CLIENT_ID`,
//! `JUPYTER_RAM_LIST` … Each can also be given as a file, `IAM_CLIENT_SECRET_FILE`.
//!
//! They stand below the configuration file and the variables `SPECOLA_…`: what is written there wins. They count where
//! `OAUTH_ENDPOINT` is set and no `[[auth.providers]]` is configured.

mod container;
mod object_store;
mod read;
#[cfg(test)]
mod tests;
mod variable;

use hub_core::secret::Secret;
use serde_json::{Map, Value};

use super::document::Document;
use super::environment::Environment;
use super::hub::HubConfig;
use super::problem::{Origin, Problem};
use super::spawner::Driver;
use variable::Variables;

/// What the provider is called in the hub.
pub const PROVIDER: &str = "iam";
/// The variable without which none of the others counts.
const ENDPOINT: &str = "OAUTH_ENDPOINT";
const VOLUMES: &str = "spawner.docker.volumes";
const READ_ONLY_VOLUMES: &str = "spawner.docker.read_only_volumes";
/// Keys below this one are those of the one provider.
const OF_PROVIDER: &str = "auth.providers[0].";

/// What was taken from the variables.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Each option with the variable it comes from, for people; without values.
    pub options: Vec<(String, String)>,
    /// What is allowed and worth a second look.
    pub notes: Vec<String>,
    /// How the client's secret is got, where it is not given.
    pub claim: Option<Claim>,
    /// The proxy in front of the hub.
    pub front: Option<Front>,
}

/// A configurable-http-proxy in front of the hub, which an older hub told routes.
#[derive(Debug, Clone)]
pub struct Front {
    /// Where its API is, without a slash at the end.
    pub url: String,
    /// What permits to use it.
    pub token: Secret,
}

/// A client that somebody else registered for this hub, and that the hub completes itself: it adds its own address and
/// reads the secret.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The client's name.
    pub client_id: String,
    /// What permits to read and change the client: the registration access token.
    pub token: Secret,
    /// The hub's address that is added to the client.
    pub callback: String,
}

/// One option to set.
#[derive(Debug, Clone, PartialEq)]
struct Taking {
    /// The option, with dots; `auth.providers[0].issuer` for one of the provider.
    key: String,
    value: Value,
    /// The variable it comes from.
    from: String,
}

/// Lays what the variables say below a document.
pub fn underlay(document: &mut Document, environment: &Environment, problems: &mut Vec<Problem>) -> Taken {
    let configured = at(document, "auth.providers").is_some();
    let is_meant = |name: &str| environment.get(name).is_some_and(|text| !text.trim().is_empty());
    let given = |name: &str| is_meant(name) || is_meant(&format!("{name}_FILE"));
    let mut taken = Taken::default();
    if configured || !given(ENDPOINT) {
        if configured && given(ENDPOINT) {
            let note = "OAUTH_ENDPOINT and the variables with it are passed over: auth.providers is configured";
            taken.notes.push(note.to_owned());
        } else if given("OAUTH_CALLBACK_URL") && given("IAM_CLIENT_ID") {
            taken
                .notes
                .push("OAUTH_CALLBACK_URL and IAM_CLIENT_ID count only with OAUTH_ENDPOINT, which is not set".into());
        }
        return taken;
    }
    let variables = Variables::of(environment, problems, &mut taken.notes);
    let driver = at(document, "spawner.driver").map(|driver| match driver.as_str() {
        Some("docker") => Driver::Docker,
        Some("external") => Driver::External,
        Some("kubernetes") => Driver::Kubernetes,
        _ => Driver::Local,
    });
    let mut can = super::rules::abilities(driver.unwrap_or(Driver::Docker));
    let has_devices = at(document, "spawner.devices").is_some();
    can.gpus |= has_devices;
    let hub_port = at(document, "hub.hub_port").and_then(Value::as_u64);
    let hub_port = hub_port.unwrap_or_else(|| HubConfig::default().hub_port.into());
    let has_folders = has_folders(document);
    let said = read::read(&variables, read::Ground { driver, can, has_folders, has_devices, hub_port });
    problems.extend(said.problems);
    taken.notes.extend(said.notes);
    taken.claim = said.claim;
    taken.front = said.front;
    let is_said = overruled(document);
    let mut provider = Map::new();
    for taking in said.options {
        if let Some(member) = taking.key.strip_prefix(OF_PROVIDER) {
            provider.insert(member.to_owned(), taking.value);
            document.mark(&taking.key, Origin::Environment(taking.from.clone()));
        } else if is_said(&taking.key) || at(document, &taking.key).is_some() {
            continue;
        } else {
            let path: Vec<String> = taking.key.split('.').map(str::to_owned).collect();
            document.set(&path, taking.value, Origin::Environment(taking.from.clone()));
        }
        taken.options.push((taking.key, taking.from));
    }
    let path = ["auth".to_owned(), "providers".to_owned()];
    document.set(&path, Value::Array(vec![provider.into()]), Origin::Environment(ENDPOINT.to_owned()));
    taken
}

/// Tells of an option whether what is configured leaves no room for it, though it does not set it.
fn overruled(document: &Document) -> impl Fn(&str) -> bool + use<> {
    let any = |keys: &[&str]| keys.iter().any(|key| at(document, key).is_some());
    // Menus of two origins side by side would be neither's, and so with folders.
    let options = any(&["options"]);
    let folders = has_folders(document);
    // Who says where the hub listens says how it is reached, or means the same.
    let address = any(&["hub.hub_ip"]);
    move |key| {
        (options && key.starts_with("options."))
            || (folders && [VOLUMES, READ_ONLY_VOLUMES].contains(&key))
            || (address && key == "hub.hub_connect_url")
    }
}

/// Whether somebody wrote which folders servers have.
fn has_folders(document: &Document) -> bool {
    ["folders", VOLUMES, READ_ONLY_VOLUMES, "spawner.docker.mounts"].iter().any(|key| at(document, key).is_some())
}

/// What a document says for a key.
fn at<'a>(document: &'a Document, key: &str) -> Option<&'a Value> {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let found = document.root.get(section)?;
    rest.split('.').filter(|name| !name.is_empty()).try_fold(found, |value, name| value.get(name))
}

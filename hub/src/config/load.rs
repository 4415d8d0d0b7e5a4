//! From a file and the environment to a `Config`: read, overlay, check, deserialize, fetch secrets, validate.

use std::collections::BTreeMap;
use std::path::Path;

use hub_core::cookie::CookieSecret;
use hub_core::secret::Secret;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::check::check;
use super::document::Document;
use super::environment::{Environment, overlay};
use super::problem::{ConfigErrors, Origin, Problem};
use super::shape::Shape;
use super::validate::validate;
use super::{Config, secret_file};

/// The variable JupyterHub reads the cookie secret from; it stands between `cookie_secret` and its file.
const COOKIE_SECRET: &str = "JPY_COOKIE_SECRET";

/// The variable with the keys of what is kept of people, newest first, as JupyterHub reads it.
pub const CRYPT_KEY: &str = "JUPYTERHUB_CRYPT_KEY";

const LARGEST_FILE: u64 = 4 << 20;

/// Does what `Config::load` promises.
pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Config, ConfigErrors> {
    let shape = Shape::of_config();
    let mut problems = Vec::new();
    let mut document = read(path).map_err(ConfigErrors::new)?;
    overlay(&mut document, &shape, environment, &mut problems);
    let taken = super::infn::underlay(&mut document, environment, &mut problems);
    check(&shape, &Value::Object(document.root.clone()), "", &mut problems);
    // What is wrong by itself is taken out, so that the rules between options are checked in the same run.
    for problem in &problems {
        document.remove(&option_of(&shape, &problem.key));
    }
    let mut config: Config = match serde_json::from_value(Value::Object(document.root.clone())) {
        Ok(config) => config,
        Err(error) => {
            problems.push(Problem::new("", format!("this cannot be read: {error}"), ""));
            return Err(finish(problems, &document));
        }
    };
    super::site::lay(&mut config, &document.root, &shape, &mut problems);
    // As JupyterHub: who names a certificate means https.
    config.hub.bind_url.https |= config.proxy.tls().is_some();
    config.file = path.map(Path::to_owned);
    config.hub.see_subdomains();
    config.see_collaborations();
    config.digests = digests(&document.root);
    config.notes.extend(taken.notes.iter().cloned());
    config.infn = taken;
    config.crypt_keys = crypt_keys(environment, &mut config.notes, &mut problems);
    fetch_secrets(&mut config, environment, &mut problems);
    problems.extend(validate(&config));
    if problems.is_empty() { Ok(config) } else { Err(finish(problems, &document)) }
}

fn read(path: Option<&Path>) -> Result<Document, Vec<Problem>> {
    let Some(path) = path else { return Ok(Document::default()) };
    let shown = path.display().to_string();
    let refuse = |what: String| vec![Problem::new("", format!("{shown} {what}"), "")];
    let about = std::fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if about.is_dir() || about.len() > LARGEST_FILE {
        return Err(refuse("is not a configuration file".into()));
    }
    let bytes = std::fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not a text in UTF-8".into()))?;
    Document::parse(&shown, &text)
}

/// The option a key belongs to: `hub.load_roles` for `hub.load_roles[0].name`.
fn option_of(shape: &Shape, key: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut shape = shape;
    for part in key.split('.') {
        let name = part.split('[').next().unwrap_or(part);
        path.push(name.to_owned());
        match shape {
            Shape::Table(fields) => match fields.iter().find(|field| field.name == name) {
                Some(field) if matches!(field.shape, Shape::Table(_)) => shape = &field.shape,
                _ => break,
            },
            _ => break,
        }
    }
    path
}

fn fetch_secrets(config: &mut Config, environment: &Environment, problems: &mut Vec<Problem>) {
    let (hub, hooks) = (&mut config.hub, &mut config.hooks);
    let callouts = [
        ("hooks.pre_spawn.secret", &mut hooks.pre_spawn),
        ("hooks.auth_state.secret", &mut hooks.auth_state),
        ("hooks.post_stop.secret", &mut hooks.post_stop),
        ("hooks.post_auth.secret", &mut hooks.post_auth),
        ("auth.external.secret", &mut config.auth.external),
        ("spawner.external.secret", &mut config.spawner.external),
        ("spawner.kubernetes.modify_pod_hook.secret", &mut config.spawner.kubernetes.modify_pod_hook),
    ];
    let callouts = callouts.map(|(key, callout)| (key, &mut callout.secret, &callout.secret_file));
    let files = [
        ("hub.db_url", &mut hub.db_url, &hub.db_url_file),
        ("auth.demo.password", &mut config.auth.demo.password, &config.auth.demo.password_file),
    ];
    for (key, secret, file) in files.into_iter().chain(callouts) {
        let Some(file) = file else { continue };
        let file_key = format!("{key}_file");
        if secret.is_some() {
            problems.push(both(&file_key));
            continue;
        }
        match secret_file::read(file) {
            Ok(read) => {
                config.notes.extend(read.warning.map(|warning| format!("{warning} ({file_key})")));
                *secret = Some(read.secret);
            }
            Err((what, remedy)) => problems.push(Problem::new(file_key, what, remedy)),
        }
    }
    config.notes.extend(super::service::fetch(hub, problems));
    config.notes.extend(super::site::fetch(&mut config.sites, problems));
    config.notes.extend(super::provider::fetch(&mut config.auth.providers, problems));
    // The cookie secret's file is made at the first start, so it is not read here.
    if hub.cookie_secret.is_some() && hub.cookie_secret_file.is_some() {
        problems.push(both("hub.cookie_secret_file"));
    }
    if hub.cookie_secret.is_none()
        && let Some(text) = environment.get(COOKIE_SECRET)
    {
        match CookieSecret::parse(text) {
            Ok(_) => hub.cookie_secret = Some(Secret::new(text)),
            Err(error) => {
                let origin = Some(Origin::Environment(COOKIE_SECRET.into()));
                problems.push(Problem::new("", format!("is of no use: {error}"), "").at(origin));
            }
        }
    }
}

/// The keys of what is kept of people, read as the hub reads them, for a command without a configuration. Notes are worth a
/// warning.
pub fn crypt_keys_of(environment: &Environment) -> Result<(Option<Secret>, Vec<String>), ConfigErrors> {
    let (mut notes, mut problems) = (Vec::new(), Vec::new());
    let keys = crypt_keys(environment, &mut notes, &mut problems);
    if problems.is_empty() { Ok((keys, notes)) } else { Err(ConfigErrors::new(problems)) }
}

/// The keys of what is kept of people, from the environment or a file that it names.
fn crypt_keys(environment: &Environment, notes: &mut Vec<String>, problems: &mut Vec<Problem>) -> Option<Secret> {
    const FILE: &str = "JUPYTERHUB_CRYPT_KEY_FILE";
    let own = environment.get(CRYPT_KEY).filter(|keys| !keys.trim().is_empty());
    let Some(file) = environment.get(FILE).filter(|file| !file.is_empty()) else { return own.map(Secret::new) };
    let mut blame = |what: String, remedy: String| {
        problems.push(Problem::new("", what, remedy).at(Some(Origin::Environment(FILE.into()))));
    };
    if own.is_some() {
        blame(format!("and {CRYPT_KEY} are both set"), "Keep one of the two".into());
        return None;
    }
    match secret_file::read(Path::new(file)) {
        Ok(read) => {
            notes.extend(read.warning.map(|warning| format!("{warning} ({FILE})")));
            Some(read.secret)
        }
        Err((what, remedy)) => {
            blame(what, remedy);
            None
        }
    }
}

/// A digest of each option of each section; a section that is a list is one option.
fn digests(root: &serde_json::Map<String, Value>) -> BTreeMap<String, [u8; 32]> {
    let mut digests = BTreeMap::new();
    let mut add = |name: String, value: &Value| digests.insert(name, Sha256::digest(value.to_string()).into());
    for (section, value) in root {
        match value {
            Value::Object(options) => options.iter().for_each(|(name, value)| {
                add(format!("{section}.{name}"), value);
            }),
            list => {
                add(section.clone(), list);
            }
        }
    }
    digests
}

fn both(file_key: &str) -> Problem {
    let what = "and the same option without _file are both set";
    Problem::new(file_key, what, "Keep one of the two")
}

fn finish(problems: Vec<Problem>, document: &Document) -> ConfigErrors {
    let placed = problems.into_iter().map(|problem| match problem.origin {
        Some(_) => problem,
        None => {
            let origin = document.origin(&problem.key);
            problem.at(origin)
        }
    });
    ConfigErrors::new(placed.collect())
}

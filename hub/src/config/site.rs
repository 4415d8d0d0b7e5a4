//! `[[sites]]`: places with an engine or a cluster of their own, in which servers run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::address::{HttpUrl, is_loopback};
use super::check::check;
use super::problem::Problem;
use super::shape::Shape;
use super::spawner::Driver;
use super::{Config, SpawnerConfig, secret_file};

/// A place where servers run, with an engine or a cluster of its own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct SiteConfig {
    /// A short name of small letters, digits and `-`: it is in requests, policies and addresses.
    pub name: String,
    /// What people read. Without it: the name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A sentence about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Where the proxies of other sites reach those of this one: `https://proxy.cnaf.example.org`. What is for servers of
    /// this site goes there from all others. Without it, every proxy reaches the servers themselves.
    #[serde(default)]
    pub proxy_url: Option<HttpUrl>,
    /// Options of the driver's section, such as those of `[spawner.kubernetes]`, that are others here.
    #[serde(default)]
    pub spawner: BTreeMap<String, Value>,
    /// `[spawner]` with them.
    #[serde(skip)]
    laid: Option<Box<SpawnerConfig>>,
}

impl SiteConfig {
    /// One of which nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What servers are started with here, by a configuration of which this is a site.
    pub fn spawner_of<'a>(&'a self, config: &'a Config) -> &'a SpawnerConfig {
        self.laid.as_deref().unwrap_or(&config.spawner)
    }

    /// What people read.
    pub fn shown(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.name)
    }
}

impl Config {
    /// The site of this name.
    pub fn site_named(&self, name: &str) -> Option<&SiteConfig> {
        self.sites.iter().find(|site| site.name == name)
    }
}

/// Lays the options of each site over the driver's section, which they are options of. `root` is all that was written.
pub(super) fn lay(config: &mut Config, root: &Map<String, Value>, shape: &Shape, problems: &mut Vec<Problem>) {
    if !config.has_sites() {
        return;
    }
    let driver = config.spawner.driver.as_str();
    let Some(shape) = shape.member("spawner").and_then(|shape| shape.member(driver)) else { return };
    let base = root.get("spawner").and_then(Value::as_object).cloned().unwrap_or_default();
    let section = base.get(driver).and_then(Value::as_object).cloned().unwrap_or_default();
    for (index, site) in config.sites.iter_mut().enumerate().filter(|(_, site)| !site.spawner.is_empty()) {
        let (key, others) = (format!("sites[{index}].spawner"), site.spawner.clone().into_iter().collect());
        let mut wrong = Vec::new();
        check(shape, &Value::Object(others), &key, &mut wrong);
        if !wrong.is_empty() {
            let of = format!("[spawner.{driver}]");
            problems.extend(
                wrong.into_iter().map(|problem| Problem { what: problem.what.replace("[sites]", &of), ..problem }),
            );
            continue;
        }
        let mut laid = section.clone();
        for (name, value) in &site.spawner {
            // A secret and the file that it is in are one option.
            let twin = name.strip_suffix("_file").map_or_else(|| format!("{name}_file"), str::to_owned);
            if !site.spawner.contains_key(&twin) {
                laid.remove(&twin);
            }
            laid.insert(name.clone(), value.clone());
        }
        let mut base = base.clone();
        base.insert(driver.to_owned(), Value::Object(laid));
        match serde_json::from_value(Value::Object(base)) {
            Ok(laid) => site.laid = Some(Box::new(laid)),
            Err(error) => problems.push(Problem::new(key, format!("cannot be read: {error}"), "")),
        }
    }
}

/// Reads secrets of sites that are in files. Returns what is worth a warning.
pub(super) fn fetch(sites: &mut [SiteConfig], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut notes = Vec::new();
    for (index, site) in sites.iter_mut().enumerate() {
        let Some(laid) = site.laid.as_mut() else { continue };
        for (of, callout) in [("", &mut laid.external), ("modify_pod_hook.", &mut laid.kubernetes.modify_pod_hook)] {
            let Some(file) = &callout.secret_file else { continue };
            let key = format!("sites[{index}].spawner.{of}secret_file");
            if callout.secret.is_some() {
                let remedy = "Keep one of the two";
                problems.push(Problem::new(key, "and the same option without _file are both set", remedy));
                continue;
            }
            match secret_file::read(file) {
                Ok(read) => {
                    notes.extend(read.warning.map(|warning| format!("{warning} ({key})")));
                    callout.secret = Some(read.secret);
                }
                Err((what, remedy)) => problems.push(Problem::new(key, what, remedy)),
            }
        }
    }
    notes
}

/// Asks `of` for what is wrong with the options of a driver's section: once, or at each site. The keys are those under which
/// they were written.
pub(super) fn each<O: Into<String>, P>(
    config: &Config,
    section: &str,
    of: impl Fn(&SpawnerConfig) -> Vec<(O, String, P)>,
) -> Vec<(String, String, P)> {
    if !config.has_sites() {
        let there = |(option, what, remedy): (O, _, _)| (format!("{section}.{}", option.into()), what, remedy);
        return of(&config.spawner).into_iter().map(there).collect();
    }
    let mut all = Vec::new();
    for (index, site) in config.sites.iter().enumerate() {
        all.extend(of(site.spawner_of(config)).into_iter().map(|(option, what, remedy)| {
            let option: String = option.into();
            let name = option.split(['.', '[']).next().unwrap_or(&option);
            let own = config.sites.iter().any(|site| site.spawner.contains_key(name));
            let key = if own { format!("sites[{index}].spawner.{option}") } else { format!("{section}.{option}") };
            (key, what, remedy)
        }));
    }
    all
}

/// What is allowed, and worth a second look.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.sites.is_empty() && !config.has_sites() {
        warnings.push("Servers are processes of the hub's machine, whatever their site (spawner.driver)".to_owned());
    }
    for site in &config.sites {
        let url = site.proxy_url.as_ref().filter(|url| !url.is_https());
        if let Some(url) = url.filter(|url| !is_loopback(url.host())) {
            warnings.push(format!(
                "What people send to servers of the site {} would travel unencrypted to {}: use an https address (sites.proxy_url)",
                site.name,
                url.as_str()
            ));
        }
    }
    warnings
}

/// What may not be.
pub(super) fn validate(config: &Config, blame: &mut impl FnMut(&str, &str, &str)) {
    for (index, site) in config.sites.iter().enumerate() {
        let key = format!("sites[{index}].name");
        if !is_name(&site.name) {
            blame(&key, "is no name of a site", "Small letters, digits and - between them, at most 40");
        } else if config.sites[..index].iter().any(|other| other.name == site.name) {
            blame(&key, "is the name of two sites", "Each has one of its own");
        }
    }
    for (index, site) in config.sites.iter().enumerate() {
        let ground = ground_of(config, site);
        let same = config.sites[..index].iter().find(|other| ground.is_some() && ground_of(config, other) == ground);
        if let Some(other) = same {
            let what = format!("leads to where servers of the site {} are", other.name);
            let remedy = "Each site has an engine of its own, or a cluster or a namespace";
            blame(&format!("sites[{index}].spawner"), &what, remedy);
        }
    }
    for (index, site) in config.sites.iter().enumerate() {
        if site.proxy_url.as_ref().is_some_and(|url| !url.is_origin()) {
            let what = "has to be scheme, host and port alone";
            blame(&format!("sites[{index}].proxy_url"), what, "Requests keep their own path");
        }
    }
    let is_led = config.sites.iter().any(|site| site.proxy_url.is_some());
    if is_led && config.hub.site.is_none() && config.proxy.site.is_none() {
        blame("hub.site", "is missing", "With sites.proxy_url hubs and proxies have to know the site they are at");
    }
    if is_led && config.hub.internal_ssl {
        let what = "makes certificates that the proxies of another site do not know";
        blame("hub.internal_ssl", what, "Leave it out, or leave sites.proxy_url out");
    }
    if config.has_sites() && config.spawner.mounts.enabled {
        let what = "makes folders of the hub's machine, and servers of sites run elsewhere";
        blame("spawner.mounts.enabled", what, "Leave it out, or leave [[sites]] out");
    }
    if config.has_sites() && !config.spawner.devices.is_empty() {
        let what = "names devices of one machine, and there are several sites";
        blame("spawner.devices", what, "Leave it out, or leave [[sites]] out");
    }
    for (key, site) in [("hub.site", &config.hub.site), ("proxy.site", &config.proxy.site)] {
        if let Some(site) = site
            && config.site_named(site).is_none()
        {
            blame(key, "is no site", "Name one of [[sites]]");
        }
    }
}

/// What leads to where the servers of a site are, as far as it can be told from here: two ways may lead to one cluster.
fn ground_of(config: &Config, site: &SiteConfig) -> Option<Vec<Option<Vec<u8>>>> {
    let spawner = site.spawner_of(config);
    let text = |text: &Option<String>| text.clone().map(String::into_bytes);
    match spawner.driver {
        Driver::Docker => Some(vec![Some(spawner.docker.endpoint().host.into_bytes())]),
        Driver::Kubernetes => {
            let kubernetes = &spawner.kubernetes;
            // A copy leads to the same cluster. What cannot be read is told as such.
            let kubeconfig = kubernetes.kubeconfig.as_ref().map(std::fs::read).transpose().ok()?;
            let access = [&kubernetes.context, &kubernetes.k8s_api_host, &kubernetes.namespace].map(text);
            Some([kubeconfig].into_iter().chain(access).collect())
        }
        Driver::Local | Driver::External => None,
    }
}

fn is_name(text: &str) -> bool {
    // It is a label of pods.
    (1..=40).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;

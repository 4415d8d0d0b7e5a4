//! `[[sites]]`: places with an engine or a cluster of their own, in which servers run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Config;
use super::address::HttpUrl;

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
}

impl SiteConfig {
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

/// What may not be.
pub(super) fn validate(config: &Config, blame: &mut impl FnMut(&str, &str, &str)) {
    for (index, site) in config.sites.iter().enumerate() {
        let key = format!("sites[{index}].name");
        if !is_name(&site.name) {
            blame(&key, "is no name of a site", "Small letters, digits and -, at most 40 of them");
        } else if config.sites[..index].iter().any(|other| other.name == site.name) {
            blame(&key, "is the name of two sites", "Each has one of its own");
        }
    }
    for (key, site) in [("hub.site", &config.hub.site), ("proxy.site", &config.proxy.site)] {
        if let Some(site) = site
            && config.site_named(site).is_none()
        {
            blame(key, "is no site", "Name one of [[sites]]");
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

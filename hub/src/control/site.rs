//! Servers of other sites: what a proxy is told of their routes, and how a hub asks whether they answer.
//!
//! What is at a site is reached from others through its proxies, where `proxy_url` says so. Rows keep the address of the
//! server itself: the way to it is made for whoever asks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hub_core::secret::Secret;
use hub_store::{Server, StartPlace};
use serde_json::Value;
use sha2::{Digest, Sha256};
use spawners::Sites;
use specola_proxy::wire;

use crate::config::Config;
use crate::keeper::state_of;

/// Stands between the mark of the database and what tells apart how routes are told, in an epoch. No mark has it.
const MARK: char = '~';

/// Which sites there are, and how their servers are reached from others.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// The site of this hub.
    own: Option<String>,
    /// Whose servers tell no site.
    first: Option<String>,
    /// All of them.
    names: Vec<String>,
    /// Whether the configuration has no sites at all.
    is_without: bool,
    /// Addresses of proxies, by site, without a slash at the end. Servers of sites that are not in it are reached themselves.
    through: BTreeMap<String, String>,
    /// What proxies are shown, to be believed.
    proof: Option<Secret>,
    /// Authorities (PEM) that are believed beside those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl Ways {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let through = |site: &crate::config::SiteConfig| {
            Some((site.name.clone(), site.proxy_url.as_ref()?.as_str().trim_end_matches('/').to_owned()))
        };
        Self {
            own: config.hub.site.clone().or_else(|| config.proxy.site.clone()),
            first: config.has_sites().then(|| config.sites.first().map(|site| site.name.clone())).flatten(),
            names: config.sites.iter().map(|site| site.name.clone()).collect(),
            is_without: config.sites.is_empty(),
            through: config.sites.iter().filter_map(through).collect(),
            proof: None,
            ca_file: config.proxy.client_ca_file.clone(),
        }
    }

    /// The same with what the proxies of this database show.
    pub fn showing(self, proof: Secret) -> Self {
        Self { proof: Some(proof), ..self }
    }

    /// The site that a server is at; `None` where there are none.
    pub fn site_of<'a>(&'a self, server: &'a Server) -> Option<&'a str> {
        let first = self.first.as_deref()?;
        Some(Sites::site_of(state_of(server)).unwrap_or(first))
    }

    /// Where a start of a server goes; `None` where there are none, or not that one, which refuses the start.
    pub fn place_of_start(&self, server: &Server) -> Option<StartPlace> {
        let first = self.first.as_deref()?;
        let site = [planned(server), Sites::site_of(state_of(server)), self.own.as_deref(), Some(first)];
        let site = site.into_iter().flatten().next().filter(|site| self.names.iter().any(|name| name == site))?;
        Some(StartPlace { site: site.to_owned(), is_first: site == first })
    }

    /// Whether a server may be at this site: where it is, or where it is to start. Everywhere where there are none.
    pub fn may_be_at(&self, server: &Server, site: &str) -> bool {
        self.site_of(server).is_none_or(|there| there == site || planned(server) == Some(site))
    }

    /// Whether nothing can be known of a server here: it is at a site, and this hub knows of none.
    pub fn is_beyond(&self, server: &Server) -> bool {
        self.is_without && planned(server).is_some()
    }

    /// The address of the proxies that lead this hub to a server, and the proof for them; `None` when it reaches the server
    /// itself.
    pub fn to(&self, server: &Server) -> Option<(&str, &Secret)> {
        let own = self.own.as_deref()?;
        let site = self.site_of(server).filter(|site| *site != own)?;
        Some((self.through.get(site)?, self.proof.as_ref()?))
    }

    /// How routes are told to a proxy that is at this site; at that of the hub when it says none.
    pub fn seen_from(&self, site: Option<&str>, epoch: &str) -> View {
        let site = site.filter(|site| !site.is_empty()).or(self.own.as_deref());
        let through: BTreeMap<_, _> = self
            .through
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != site)
            .map(|(name, url)| (name.clone(), url.clone()))
            .collect();
        if through.is_empty() {
            return View { epoch: epoch.to_owned(), through };
        }
        // A proxy that was told otherwise, by another site or another configuration, has to hear all anew.
        let mark: String =
            Sha256::digest(format!("{through:?}")).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        View { epoch: format!("{epoch}{MARK}{mark}"), through }
    }
}

/// The site in the plan of a server.
fn planned(server: &Server) -> Option<&str> {
    server.plan.as_ref()?.get("site")?.as_str()
}

/// Whether routes that a proxy has by this epoch are those of a database, however they were told.
pub fn is_of(epoch: &str, database: &str) -> bool {
    epoch.split(MARK).next() == Some(database)
}

/// How routes look from one site.
#[derive(Debug, Clone)]
pub struct View {
    /// Names the numbering of revisions, and how routes are told.
    pub epoch: String,
    through: BTreeMap<String, String>,
}

impl View {
    /// A route as a proxy there is told it.
    pub fn tell(&self, route: hub_store::Route) -> wire::Route {
        let mut data = match route.data {
            Value::Object(data) => data,
            _ => serde_json::Map::new(),
        };
        data.remove(wire::ELSEWHERE);
        let site = data.get("site").and_then(Value::as_str);
        let through = site.and_then(|site| Some((site.to_owned(), self.through.get(site)?.clone())));
        let Some((site, url)) = through else {
            return wire::Route { prefix: route.prefix, target: route.target, data };
        };
        data.insert(wire::ELSEWHERE.to_owned(), site.into());
        wire::Route { prefix: route.prefix, target: url, data }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ways() -> Ways {
        let url = |site: &str| (site.to_owned(), format!("https://proxy.{site}.example"));
        Ways {
            own: Some("cnaf".into()),
            first: Some("cnaf".into()),
            names: vec!["cnaf".into(), "bari".into()],
            is_without: false,
            through: ["cnaf", "bari"].map(url).into_iter().collect(),
            proof: Some(Secret::new("5f")),
            ca_file: None,
        }
    }

    fn route(site: Option<&str>) -> hub_store::Route {
        let mut data = json!({ "user": "anna", "elsewhere": "what nobody may say but the view" });
        if let Some(site) = site {
            data["site"] = site.into();
        }
        hub_store::Route { prefix: "/user/anna/".into(), target: "http://10.1.2.3:8888".into(), data, revision: 1 }
    }

    #[test]
    fn a_proxy_is_led_through_those_of_another_site_and_to_the_servers_of_its_own() {
        for (proxy, site, target) in [
            (Some("cnaf"), Some("cnaf"), "http://10.1.2.3:8888"),
            (Some("cnaf"), Some("bari"), "https://proxy.bari.example"),
            (Some("bari"), Some("cnaf"), "https://proxy.cnaf.example"),
            // One that does not say where it is, is where the hub is.
            (None, Some("cnaf"), "http://10.1.2.3:8888"),
            (Some(""), Some("bari"), "https://proxy.bari.example"),
            // Services, and servers of a site without such an address.
            (Some("bari"), None, "http://10.1.2.3:8888"),
            (Some("bari"), Some("pisa"), "http://10.1.2.3:8888"),
        ] {
            let told = ways().seen_from(proxy, "e").tell(route(site));
            assert_eq!(told.target, target, "{proxy:?} {site:?}");
            let elsewhere = target.starts_with("https").then(|| json!(site));
            assert_eq!(told.data.get(wire::ELSEWHERE), elsewhere.as_ref(), "{proxy:?} {site:?}");
        }
    }

    #[test]
    fn another_way_to_tell_routes_is_another_epoch_of_the_same_database() {
        let ways = ways();
        let epochs = ["cnaf", "bari"].map(|site| ways.seen_from(Some(site), "e").epoch);
        assert_ne!(epochs[0], epochs[1]);
        assert!(epochs.iter().all(|epoch| is_of(epoch, "e") && !is_of(epoch, "f") && !is_of(epoch, "")));
        assert_eq!(ways.seen_from(None, "e").epoch, epochs[0]);
        let mut changed = ways.clone();
        changed.through.insert("bari".into(), "https://other.example".into());
        assert_ne!(changed.seen_from(Some("cnaf"), "e").epoch, epochs[0]);
        assert_eq!(Ways::default().seen_from(Some("cnaf"), "e").epoch, "e");
    }
}

//! Two sites of one hub: at each a cluster, a hub and a proxy, one PostgreSQL for both, and a standby of it.
//!
//! ```ignore
//! let mut sites = TwoSites::start(Postgres::start(&programs)?, Pace::default()).await?;
//! sites.clusters[BARI].away(true).await?;
//! sites.hubs[CNAF].kill_hub();
//! ```

use std::ops::{Deref, DerefMut};

use anyhow::Result;
use serde_json::{Value, json};

use crate::elsewhere::Elsewhere;
use crate::fake_kubernetes::{FakeKubernetes, Pace};
use crate::postgres::Postgres;
use crate::replicas::{Door, Replicas};
use crate::{Session, place};

/// The first site, which servers are at that tell none.
pub const CNAF: usize = 0;
/// The second.
pub const BARI: usize = 1;
/// Their names.
pub const NAMES: [&str; 2] = ["cnaf", "bari"];

/// Everything. What is in lists is in the order of [`NAMES`].
pub struct TwoSites {
    /// An API server each, with labs at addresses of its own.
    pub clusters: [FakeKubernetes; 2],
    /// Follows the database.
    pub standby: Postgres,
    doors: [Door; 2],
    replicas: Replicas,
}

impl Deref for TwoSites {
    type Target = Replicas;

    fn deref(&self) -> &Replicas {
        &self.replicas
    }
}

impl DerefMut for TwoSites {
    fn deref_mut(&mut self) -> &mut Replicas {
        &mut self.replicas
    }
}

impl TwoSites {
    /// Starts all and waits until each proxy has its routes and each hub answers. Labs of either site are reached from the
    /// other through the proxy that is there.
    pub async fn start(database: Postgres, pace: Pace) -> Result<TwoSites> {
        let clusters = [FakeKubernetes::start(pace).await?, FakeKubernetes::start(pace).await?];
        let ports = [place::free_port()?, place::free_port()?];
        let site = |number: usize| {
            let cluster = &clusters[number];
            json!({
                "name": NAMES[number], "proxy_url": format!("http://127.0.0.1:{}", ports[number]),
                "spawner": { "kubeconfig": cluster.kubeconfig(), "port": cluster.lab_port },
            })
        };
        let sites = json!([site(CNAF), site(BARI)]);
        let standby = database.standby()?;
        let servers = format!("127.0.0.1:{},127.0.0.1:{}", database.port(), standby.port());
        let common = clusters[CNAF]
            .options()
            .set("hub", "db_url", &format!("\"postgresql://postgres@{servers}/postgres\""))
            .set("spawner", "poll_interval", "1")
            .variable("SPECOLA_SITES", &sites.to_string());
        let hubs = NAMES.map(|name| common.clone().set("hub", "site", &format!("{name:?}"))).to_vec();
        let doors = [CNAF, BARI].map(|number| {
            let names: String = NAMES.iter().map(|name| format!("[[sites]]\nname = {name:?}\n")).collect();
            Door { port: ports[number], more: format!("site = {:?}\n{names}", NAMES[number]) }
        });
        let replicas = Replicas::with(database, hubs, &doors).await?;
        Ok(TwoSites { clusters, standby, doors, replicas })
    }

    /// Where people come in at a site.
    pub fn origin_at(&self, site: usize) -> &str {
        &self.replicas.proxies[site].origin
    }

    /// The proxy of a site dies.
    pub fn kill_proxy(&mut self, site: usize) {
        self.replicas.proxies[site].kill();
    }

    /// Another proxy takes its place.
    pub async fn new_proxy_at(&mut self, site: usize) -> Result<()> {
        let heir: Elsewhere = self.replicas.proxy_at("heir", &self.doors[site])?;
        heir.is_ready().await?;
        self.replicas.proxies[site] = heir;
        Ok(())
    }

    /// What the lab of somebody says of itself, through the proxy of a site.
    pub async fn lab(&self, session: &Session, user: &str, site: usize) -> Result<Value> {
        let mut there = session.at(self.origin_at(site))?;
        there.get(&format!("/user/{user}/")).await?.expect(&[200])?.json()
    }
}

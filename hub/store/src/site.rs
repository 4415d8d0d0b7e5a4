//! `specola_sites`: what operators say of the sites of the configuration; and which servers are at one.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::SpawnerId;
use hub_core::site::{SiteState, Window};

/// What is stored of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSite {
    /// Counts the changes, from 1.
    pub revision: i64,
    pub state: SiteState,
    /// Who changed it last.
    pub author: String,
    pub changed_at: Time,
}

impl Store {
    /// All sites of which anything was ever said, by name.
    pub async fn list_sites(&self) -> Result<BTreeMap<String, StoredSite>> {
        let sql = "SELECT name, revision, drained, lost, begins_at, ends_at, text, stops_servers, author, changed_at
                   FROM specola_sites";
        self.pool.rows(sql, params![]).await?.iter().map(|row| Ok((row.get("name")?, stored(row)?))).collect()
    }

    /// Writes how a site is, if nobody has since `before`, which is 0 for one of which nothing was said yet; tells whether
    /// it did.
    pub async fn put_site(&self, name: &str, before: i64, state: &SiteState, author: &str, now: Time) -> Result<bool> {
        let window = state.window.as_ref();
        let (begins, ends) = (window.map(|window| window.begins), window.map(|window| window.ends));
        let text = window.map_or("", |window| window.text.as_str());
        let stops = window.is_some_and(|window| window.stops_servers);
        let sql = "INSERT INTO specola_sites
                   (name, revision, drained, lost, begins_at, ends_at, text, stops_servers, author, changed_at)
                   VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10)
                   ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, drained = excluded.drained,
                   lost = excluded.lost, begins_at = excluded.begins_at, ends_at = excluded.ends_at,
                   text = excluded.text, stops_servers = excluded.stops_servers, author = excluded.author,
                   changed_at = excluded.changed_at WHERE specola_sites.revision = $2";
        let values: Vec<Value> =
            params![name, before, state.drained, state.lost, begins, ends, text, stops, author, now];
        self.changed(sql, values).await
    }

    /// How many servers run, start, stop, or are wanted, by the site in their plan. Those whose plan names none are at the
    /// `first`.
    pub async fn servers_by_site(&self, first: &str) -> Result<BTreeMap<String, u64>> {
        let sql = "SELECT plan FROM specola_servers WHERE phase <> 'stopped' OR desired = 'running'";
        let mut counts = BTreeMap::new();
        for row in self.pool.rows(sql, params![]).await? {
            *counts.entry(site_of(&row, first)?).or_default() += 1;
        }
        Ok(counts)
    }

    /// The servers at a site that are wanted to run. Those whose plan names none are at the `first`.
    pub async fn wanted_at_site(&self, site: &str, first: &str) -> Result<Vec<SpawnerId>> {
        let sql = "SELECT spawner_id, plan FROM specola_servers WHERE desired = 'running' ORDER BY spawner_id";
        let mut wanted = Vec::new();
        for row in self.pool.rows(sql, params![]).await? {
            if site_of(&row, first)? == site {
                wanted.push(row.get("spawner_id")?);
            }
        }
        Ok(wanted)
    }
}

/// The site in the plan of a row, or else the first.
pub(crate) fn site_of(row: &Row, first: &str) -> Result<String> {
    let plan = row.json_option("plan")?;
    Ok(plan.as_ref().and_then(|plan| plan.get("site")?.as_str()).unwrap_or(first).to_owned())
}

fn stored(row: &Row) -> Result<StoredSite> {
    let window = match (row.get("begins_at")?, row.get("ends_at")?) {
        (Some(begins), Some(ends)) => {
            Some(Window { begins, ends, text: row.get("text")?, stops_servers: row.get("stops_servers")? })
        }
        _ => None,
    };
    Ok(StoredSite {
        revision: row.get("revision")?,
        state: SiteState { drained: row.get("drained")?, lost: row.get("lost")?, window },
        author: row.get("author")?,
        changed_at: row.get("changed_at")?,
    })
}

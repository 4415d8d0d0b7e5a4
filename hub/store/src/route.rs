//! Routes for the proxies, with a revision that rises with every change, and how far each proxy has come.
//!
//! The counter's row is changed in the transaction of the route: revisions are given out in the order in which their
//! routes become visible, so a proxy that has seen one has seen all before it.
//!
//! A standby that is promoted may lack the last revisions of the server before it, and gives their numbers out again.
//! Its timeline tells, and the counter leaps past all that can have been given out: proxies from before get a snapshot.

use crate::database::Pool;
use crate::error::{Result, StoreError};
use crate::postgres::TIMELINE;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::params;
use hub_core::clock::Time;

/// Where requests below a prefix go.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// A path that ends with a slash, or a host with one: the proxy's concern.
    pub prefix: String,
    /// A URL without a path.
    pub target: String,
    /// Anything for whoever made it: the user and the server.
    pub data: serde_json::Value,
    /// The revision it was last changed in.
    pub revision: i64,
}

/// What happened after some revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The revision after them.
    pub revision: i64,
    pub changed: Vec<Route>,
    /// Prefixes.
    pub deleted: Vec<String>,
}

/// A proxy that reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    pub id: String,
    /// The last revision it has in force.
    pub revision: i64,
    pub seen_at: Time,
}

/// How far the counter leaps after a promotion; more than anybody can have been told that was lost.
const LEAP: i64 = 1_000_000;

const NEXT: &str = "UPDATE specola_counters SET value = value + 1 WHERE name = 'routes' RETURNING value";

impl Store {
    /// Writes a route; returns the revision it is in. One that is there already, unchanged, keeps its revision.
    pub async fn put_route(&self, prefix: &str, target: &str, data: &serde_json::Value) -> Result<i64> {
        self.number_routes().await?;
        let mut tx = self.pool.begin().await?;
        // First the counter, whose row is the lock; given back by the rollback when nothing has to change.
        let revision: i64 = returned(tx.row(NEXT, params![]).await?, "value")?;
        let sql = "SELECT target, data, revision FROM specola_routes WHERE prefix = $1 AND deleted = FALSE";
        if let Some(row) = tx.row(sql, params![prefix]).await?
            && row.get::<String>("target")? == target
            && row.json("data")? == *data
        {
            return row.get("revision");
        }
        let sql = "INSERT INTO specola_routes (prefix, target, data, revision, deleted) VALUES ($1, $2, $3, $4, FALSE)
                   ON CONFLICT (prefix) DO UPDATE SET target = excluded.target, data = excluded.data,
                   revision = excluded.revision, deleted = FALSE";
        tx.execute(sql, params![prefix, target, data, revision]).await?;
        tx.commit().await?;
        Ok(revision)
    }

    /// Deletes a route; returns the revision since when it is gone, `None` when it was not there.
    pub async fn delete_route(&self, prefix: &str) -> Result<Option<i64>> {
        self.number_routes().await?;
        let mut tx = self.pool.begin().await?;
        let revision: i64 = returned(tx.row(NEXT, params![]).await?, "value")?;
        let sql = "UPDATE specola_routes SET deleted = TRUE, target = '', data = 'null', revision = $2
                   WHERE prefix = $1 AND deleted = FALSE";
        if tx.execute(sql, params![prefix, revision]).await? == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(revision))
    }

    /// All routes by prefix, and the revision they are in.
    pub async fn routes_snapshot(&self) -> Result<(i64, Vec<Route>)> {
        self.number_routes().await?;
        // One statement, so that routes and revision are of one instant.
        let sql = "SELECT c.value, r.prefix, r.target, r.data, r.revision FROM specola_counters c
                   LEFT JOIN specola_routes r ON r.deleted = FALSE WHERE c.name = 'routes' ORDER BY r.prefix";
        let rows = self.pool.rows(sql, params![]).await?;
        let revision = rows.first().map_or(Ok(0), |row| row.get("value"))?;
        let routes = rows.iter().filter_map(|row| route(row).transpose()).collect::<Result<_>>()?;
        Ok((revision, routes))
    }

    /// Those of the routes with these prefixes that there are.
    pub async fn routes_at(&self, prefixes: &[String]) -> Result<Vec<Route>> {
        let sql = "SELECT prefix, target, data, revision FROM specola_routes
                   WHERE prefix = ANY($1) AND deleted = FALSE";
        let rows = self.pool.rows(sql, params![prefixes.to_vec()]).await?;
        rows.iter().filter_map(|row| route(row).transpose()).collect()
    }

    /// What happened after a revision. `None` when that cannot be told: it is so old that deleted routes were
    /// forgotten, or not of this database. The asker then needs a snapshot.
    pub async fn routes_since(&self, revision: i64) -> Result<Option<Changes>> {
        self.number_routes().await?;
        let sql = "SELECT c.value, f.value AS lowest, r.prefix, r.target, r.data, r.revision, r.deleted
                   FROM specola_counters c JOIN specola_counters f ON f.name = 'routes_floor'
                   LEFT JOIN specola_routes r ON r.revision > $1 WHERE c.name = 'routes' ORDER BY r.revision";
        let rows = self.pool.rows(sql, params![revision]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut changes = Changes { revision: first.get("value")?, ..Changes::default() };
        if revision < first.get("lowest")? || revision > changes.revision {
            return Ok(None);
        }
        for row in &rows {
            match (row.get::<Option<bool>>("deleted")?, route(row)?) {
                (Some(true), Some(gone)) => changes.deleted.push(gone.prefix),
                (_, Some(route)) => changes.changed.push(route),
                (_, None) => {}
            }
        }
        Ok(Some(changes))
    }

    /// Forgets deleted routes up to a revision that every proxy has acknowledged; returns how many.
    pub async fn purge_routes(&self, up_to: i64) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE specola_counters SET value = value WHERE name = 'routes'";
        tx.execute(sql, params![]).await?;
        let sql = "DELETE FROM specola_routes WHERE deleted = TRUE AND revision <= $1 RETURNING revision";
        let rows = tx.rows(sql, params![up_to]).await?;
        let purged = rows.iter().map(|row| row.get("revision")).collect::<Result<Vec<i64>>>()?;
        if let Some(highest) = purged.iter().max() {
            let sql = "UPDATE specola_counters SET value = $1 WHERE name = 'routes_floor' AND value < $1";
            tx.execute(sql, params![*highest]).await?;
        }
        tx.commit().await?;
        Ok(purged.len() as u64)
    }

    /// Records that a proxy has a revision in force. False when this database has not given that out yet: it is one that
    /// was lost, and what else will have its number is not in force.
    pub async fn ack(&self, proxy: &str, revision: i64, now: Time) -> Result<bool> {
        self.number_routes().await?;
        let sql = format!(
            "INSERT INTO specola_proxies (id, revision, seen_at)
             SELECT $1, $2, {} FROM specola_counters WHERE name = 'routes' AND value >= $2
             ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, seen_at = excluded.seen_at",
            self.pool.present("$3")
        );
        self.changed(sql, params![proxy, revision, now]).await
    }

    /// Sees to it that routes are numbered for the server that this store is connected to now.
    pub(crate) async fn number_routes(&self) -> Result<()> {
        const NAME: &str = "timeline";
        let Pool::Postgres(server) = &self.pool else { return Ok(()) };
        if !server.trust().moved() {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        let lock = "UPDATE specola_counters SET value = value WHERE name = 'routes'";
        tx.execute(lock, params![]).await?;
        // On this connection: another one may lead to another server.
        let found: String = match tx.row(TIMELINE, params![]).await {
            Err(StoreError::Other(_)) => {
                server.trust().settle(None);
                return Ok(());
            }
            found => returned(found?, "timeline")?,
        };
        let sql = "SELECT value FROM specola_meta WHERE name = $1";
        let before: Option<String> = tx.row(sql, params![NAME]).await?.map(|row| row.get("value")).transpose()?;
        if before.as_ref() != Some(&found) {
            if before.is_some() {
                let sql = "UPDATE specola_counters SET value = (SELECT c.value + $1 FROM specola_counters c
                           WHERE c.name = 'routes') WHERE name IN ('routes', 'routes_floor')";
                tx.execute(sql, params![LEAP]).await?;
                tracing::warn!(timeline = found, "the database was promoted or restored: proxies get all routes anew");
            }
            let sql = "INSERT INTO specola_meta (name, value) VALUES ($1, $2)
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            tx.execute(sql, params![NAME, &found]).await?;
        }
        tx.commit().await?;
        server.trust().settle(Some(found));
        Ok(())
    }

    /// The proxies that reported after an instant and do not have a revision in force yet.
    pub async fn proxies_behind(&self, revision: i64, seen_after: Time) -> Result<Vec<Proxy>> {
        let sql = "SELECT id, revision, seen_at FROM specola_proxies WHERE revision < $1 AND seen_at > $2 ORDER BY id";
        self.pool.rows(sql, params![revision, seen_after]).await?.iter().map(proxy).collect()
    }

    /// Records that a proxy is connected, whatever it has in force.
    pub async fn saw_proxy(&self, id: &str, now: Time) -> Result<bool> {
        let sql = format!("UPDATE specola_proxies SET seen_at = {} WHERE id = $1", self.pool.present("$2"));
        self.changed(sql, params![id, now]).await
    }

    /// The proxies that were heard since `heard_since`, as seen from `now`.
    pub async fn connected_proxies(&self, now: Time, heard_since: Time) -> Result<Vec<Proxy>> {
        let sql = format!(
            "SELECT id, revision, seen_at FROM specola_proxies WHERE seen_at > {} ORDER BY id",
            self.pool.relative("$1", "$2")
        );
        self.pool.rows(sql, params![now, heard_since]).await?.iter().map(proxy).collect()
    }

    /// All proxies known.
    pub async fn list_proxies(&self) -> Result<Vec<Proxy>> {
        let sql = "SELECT id, revision, seen_at FROM specola_proxies ORDER BY id";
        self.pool.rows(sql, params![]).await?.iter().map(proxy).collect()
    }

    /// Forgets a proxy.
    pub async fn delete_proxy(&self, id: &str) -> Result<bool> {
        self.changed("DELETE FROM specola_proxies WHERE id = $1", params![id]).await
    }
}

/// The route of a row, if an outer join found one.
fn route(row: &Row) -> Result<Option<Route>> {
    let Some(prefix) = row.get::<Option<String>>("prefix")? else { return Ok(None) };
    let (target, data, revision) = (row.get("target")?, row.json("data")?, row.get("revision")?);
    Ok(Some(Route { prefix, target, data, revision }))
}

fn proxy(row: &Row) -> Result<Proxy> {
    Ok(Proxy { id: row.get("id")?, revision: row.get("revision")?, seen_at: row.get("seen_at")? })
}

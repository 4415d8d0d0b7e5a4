//! Which hubs use this database at the moment: each says so again and again, by the database's own clock.

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use serde_json::Value;

/// A hub that said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Hub {
    /// The name under which it holds what only one hub may hold.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// Its program.
    pub version: String,
    /// Digests of what all hubs of a database have to have in common, by what it is.
    pub shared: Value,
    pub started_at: Time,
    pub seen_at: Time,
}

impl Store {
    /// Records that a hub is at work, since an instant of its own clock.
    pub async fn saw_hub(&self, id: &str, host: &str, version: &str, shared: &Value, started_at: Time) -> Result<()> {
        let now = self.pool.now();
        let sql = format!(
            "INSERT INTO specola_hubs (id, host, version, shared, started_at, seen_at) VALUES ($1, $2, $3, $4, $5, {now})
             ON CONFLICT (id) DO UPDATE SET host = excluded.host, version = excluded.version, shared = excluded.shared,
             started_at = excluded.started_at, seen_at = excluded.seen_at"
        );
        self.pool.execute(sql, params![id, host, version, shared, started_at]).await.map(drop)
    }

    /// The hubs that were at work in the last seconds, the oldest first.
    pub async fn hubs(&self, seconds: u32) -> Result<Vec<Hub>> {
        let since = self.pool.in_seconds("$1");
        let sql = format!(
            "SELECT id, host, version, shared, started_at, seen_at FROM specola_hubs WHERE seen_at > {since}
             ORDER BY started_at, id"
        );
        self.pool.rows(sql, params![-i64::from(seconds)]).await?.iter().map(hub).collect()
    }

    /// A hub has ended, and all are forgotten that said nothing for so many seconds.
    pub async fn forget_hubs(&self, id: &str, seconds: u32) -> Result<()> {
        let before = self.pool.in_seconds("$2");
        let sql = format!("DELETE FROM specola_hubs WHERE id = $1 OR seen_at < {before}");
        self.pool.execute(sql, params![id, -i64::from(seconds)]).await.map(drop)
    }
}

fn hub(row: &Row) -> Result<Hub> {
    Ok(Hub {
        id: row.get("id")?,
        host: row.get("host")?,
        version: row.get("version")?,
        shared: row.json("shared")?,
        started_at: row.get("started_at")?,
        seen_at: row.get("seen_at")?,
    })
}

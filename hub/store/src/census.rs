//! Numbers for the metrics.

use crate::error::Result;
use crate::server::ACTIVE;
use crate::store::{Store, returned};
use crate::value::params;
use hub_core::clock::Time;

impl Store {
    /// How many servers can be used. An index holds just these.
    pub async fn count_ready_servers(&self) -> Result<i64> {
        let sql = "SELECT COUNT(*) AS total FROM specola_servers WHERE phase = 'ready'";
        returned(self.pool.row(sql, params![]).await?, "total")
    }

    /// How many servers run, start, stop, or are wanted.
    pub async fn count_active_servers(&self) -> Result<i64> {
        let sql = format!("SELECT COUNT(*) AS total FROM ({ACTIVE}) AS active");
        returned(self.pool.row(sql, params![]).await?, "total")
    }

    /// The plans that servers have, each with how often all servers that have it were started. Reads all servers: for once in
    /// a while.
    pub async fn plans_by_starts(&self) -> Result<Vec<(Option<serde_json::Value>, i64)>> {
        let sql = "SELECT plan, CAST(SUM(generation) AS BIGINT) AS starts FROM specola_servers
                   WHERE generation > 0 GROUP BY plan";
        let rows = self.pool.rows(sql, params![]).await?;
        rows.iter().map(|row| Ok((row.json_option("plan")?, row.get("starts")?))).collect()
    }

    /// How many users there are. Walks an index of all of them: for once in a while.
    pub async fn count_users(&self) -> Result<i64> {
        returned(self.pool.row("SELECT COUNT(*) AS total FROM users", params![]).await?, "total")
    }

    /// How many users were active since each of these instants. Reads all users: for once in a while.
    pub async fn count_active_users(&self, since: [Time; 3]) -> Result<[i64; 3]> {
        let sql = "SELECT COUNT(CASE WHEN last_activity >= $1 THEN 1 END) AS first,
                          COUNT(CASE WHEN last_activity >= $2 THEN 1 END) AS second,
                          COUNT(CASE WHEN last_activity >= $3 THEN 1 END) AS third FROM users";
        let [first, second, third] = since;
        let row = self.pool.row(sql, params![first, second, third]).await?;
        let row = row.ok_or_else(|| crate::error::StoreError::Corrupt("a count was not returned".to_owned()))?;
        Ok([row.get("first")?, row.get("second")?, row.get("third")?])
    }
}

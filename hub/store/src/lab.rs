//! What labs tell of themselves, for hubs that they do not speak to. A row goes when its server has stopped.

use crate::error::Result;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use serde_json::Value;

impl Store {
    /// Keeps what a server tells of this run of it, if it is still in it.
    pub async fn put_lab(&self, id: SpawnerId, generation: Generation, status: &Value, now: Time) -> Result<bool> {
        let sql = "INSERT INTO specola_labs (spawner_id, generation, told_at, status)
                   SELECT p.spawner_id, p.generation, $3, $4 FROM specola_servers p
                   WHERE p.spawner_id = $1 AND p.generation = $2 AND p.phase <> 'stopped'
                   ON CONFLICT (spawner_id) DO UPDATE SET generation = excluded.generation,
                   told_at = excluded.told_at, status = excluded.status";
        self.changed(sql, params![id, generation, now, status]).await
    }

    /// What these servers have told since then of the run that they are in.
    pub async fn labs(&self, ids: &[SpawnerId], since: Time) -> Result<Vec<(SpawnerId, Value)>> {
        let sql = "SELECT l.spawner_id, l.status FROM specola_labs l
                   JOIN specola_servers p ON p.spawner_id = l.spawner_id AND p.generation = l.generation
                   WHERE l.spawner_id = ANY($1) AND l.told_at > $2";
        let rows = self.pool.rows(sql, params![ids, since]).await?;
        rows.iter().map(|row| Ok((row.get("spawner_id")?, row.json_option("status")?.unwrap_or_default()))).collect()
    }
}

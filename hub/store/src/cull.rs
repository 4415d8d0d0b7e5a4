//! What the culler asks of the database: who was not active for long, and stops that hold only if nothing changed.

use crate::error::Result;
use crate::row::Row;
use crate::server::{COLUMNS, Server, server};
use crate::store::Store;
use crate::user::{User, user};
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId, UserId};

/// A server as it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    pub id: SpawnerId,
    pub generation: Generation,
    pub last_activity: Option<Time>,
}

impl Store {
    /// Takes the turn of some periodic work until `until`; tells whether it was free. Of several hubs one gets it.
    pub async fn take_turn(&self, name: &str, now: Time, until: Time) -> Result<bool> {
        let (present, end) = (self.pool.present("$2"), self.pool.relative("$2", "$3"));
        let sql = format!(
            "INSERT INTO specola_turns (name, next_at) VALUES ($1, {end})
             ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE specola_turns.next_at <= {present}"
        );
        self.changed(sql, params![name, now, until]).await
    }

    /// Ready servers that were not active since the one instant, or started before the other, by id; a part of at
    /// most `limit` behind the id `after`.
    pub async fn idle_servers(
        &self,
        active_before: Time,
        started_before: Option<Time>,
        after: SpawnerId,
        limit: u32,
    ) -> Result<Vec<Server>> {
        let sql = format!(
            "{COLUMNS}WHERE s.id IN (SELECT spawner_id FROM specola_servers WHERE phase = 'ready' AND spawner_id > $3)
             AND p.desired = 'running' AND (COALESCE(s.last_activity, s.started) <= $1 OR s.started <= $2) ORDER BY s.id LIMIT $4"
        );
        let rows = self.pool.rows(sql, params![active_before, started_before, after, limit]).await?;
        rows.iter().map(server).collect()
    }

    /// Asks for a server to stop, if it is still ready, in the same generation, and was not active since it was
    /// judged. With `remove` it is marked to be deleted afterwards. Tells whether the stop was recorded.
    pub async fn want_idle_stopped(&self, judged: &Judged, remove: bool, now: Time) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "UPDATE specola_servers SET desired = 'stopped', due_at = {}, changed_at = $3
             WHERE spawner_id = $1 AND generation = $2 AND desired = 'running' AND phase = 'ready'",
            self.pool.present("$3")
        );
        if tx.execute(sql, params![judged.id, judged.generation, now]).await? == 0 {
            return Ok(false);
        }
        // Locks the row, so that no activity comes between the look and the stop.
        let sql = "UPDATE spawners SET last_activity = last_activity WHERE id = $1 RETURNING last_activity";
        let row = tx.row(sql, params![judged.id]).await?;
        let active: Option<Time> = row.map(|row| row.get("last_activity")).transpose()?.flatten();
        if active != judged.last_activity {
            return Ok(false);
        }
        if remove {
            let sql = "INSERT INTO specola_culled (spawner_id, generation) VALUES ($1, $2) ON CONFLICT (spawner_id)
                       DO UPDATE SET generation = excluded.generation, asked_by = NULL";
            tx.execute(sql, params![judged.id, judged.generation]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Servers that were marked to be deleted and have stopped, with who wanted that; nothing where the culler did. Marks of
    /// those started again are taken away.
    pub async fn marked_servers(&self) -> Result<Vec<(Server, Option<serde_json::Value>)>> {
        if self.pool.row("SELECT spawner_id FROM specola_culled LIMIT 1", params![]).await?.is_none() {
            return Ok(Vec::new());
        }
        let sql = "DELETE FROM specola_culled WHERE NOT EXISTS (SELECT 1 FROM specola_servers p
                   WHERE p.spawner_id = specola_culled.spawner_id AND p.generation = specola_culled.generation
                   AND p.desired = 'stopped')";
        self.pool.execute(sql, params![]).await?;
        let columns = COLUMNS.replacen("SELECT ", "SELECT c.asked_by, ", 1);
        let sql = format!(
            "{columns}JOIN specola_culled c ON c.spawner_id = s.id WHERE p.phase = 'stopped' AND s.server_id IS NULL
             ORDER BY s.id"
        );
        let rows = self.pool.rows(sql, params![]).await?;
        rows.iter().map(|row| Ok((server(row)?, row.json_option("asked_by")?))).collect()
    }

    /// Users without a server in use who were not active since the one instant, or made before the other, by id; a
    /// part of at most `limit` behind the id `after`.
    pub async fn idle_users(
        &self,
        active_before: Time,
        created_before: Option<Time>,
        after: UserId,
        limit: u32,
    ) -> Result<Vec<User>> {
        let sql = "SELECT u.id, u.name, COALESCE(u.admin, FALSE) AS admin, u.created, u.last_activity, u.cookie_id,
            u.user_info FROM users u
            WHERE u.id IN (SELECT id FROM users WHERE last_activity <= $1
                UNION SELECT id FROM users WHERE last_activity IS NULL AND created <= $1
                UNION SELECT id FROM users WHERE created <= $2)
            AND u.id > $3 AND NOT EXISTS (SELECT 1 FROM spawners s LEFT JOIN specola_servers p ON p.spawner_id = s.id
                WHERE s.user_id = u.id AND (s.server_id IS NOT NULL OR p.phase <> 'stopped' OR p.desired = 'running'))
            ORDER BY u.id LIMIT $4";
        let rows = self.pool.rows(sql, params![active_before, created_before, after, limit]).await?;
        rows.iter().map(|row: &Row| user(row)).collect()
    }
}

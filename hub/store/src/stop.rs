//! The way of a server down, as the keeper records it, guarded as the way up.

use crate::after_stop;
use crate::device;
use crate::error::Result;
use crate::oauth::HUB_CLIENT;
use crate::server;
use crate::start::user_was_there;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};

impl Store {
    /// Records why a server that was wanted will not run, and wants it stopped. A stop that somebody asked for
    /// meanwhile stands: then nothing has failed.
    pub async fn fail(
        &self,
        id: SpawnerId,
        holder: &str,
        generation: Generation,
        failure: &serde_json::Value,
        now: Time,
    ) -> Result<bool> {
        let sql = "UPDATE specola_servers SET desired = 'stopped', failure = $4, changed_at = $5
                   WHERE spawner_id = $1 AND held_by = $2 AND generation = $3 AND desired = 'running'";
        self.changed(sql, params![id, holder, generation, failure, now]).await
    }

    /// Begins the stop of a server, whether it was wanted or has failed: phase `stopping`.
    pub async fn begin_stop(
        &self,
        id: SpawnerId,
        holder: &str,
        generation: Generation,
        deadline_at: Time,
        now: Time,
    ) -> Result<bool> {
        let sql = format!(
            "UPDATE specola_servers SET phase = 'stopping', deadline_at = {}, changed_at = $5
             WHERE spawner_id = $1 AND held_by = $2 AND generation = $3 AND phase <> 'stopped'",
            self.pool.relative("$5", "$4")
        );
        self.changed(sql, params![id, holder, generation, deadline_at, now]).await
    }

    /// Records that nothing is left of a server: token, OAuth client, address, devices and what it told of itself go, phase
    /// `stopped`. `question` is to be told to a hook because of that.
    pub async fn finish(
        &self,
        id: SpawnerId,
        holder: &str,
        generation: Generation,
        question: Option<&serde_json::Value>,
        now: Time,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        // The token's id is needed below, so it is taken out of the row last.
        let sql = "UPDATE specola_servers SET changed_at = $4 WHERE spawner_id = $1 AND held_by = $2
                   AND generation = $3 AND phase = 'stopping' RETURNING failure";
        let Some(row) = tx.row(sql, params![id, holder, generation, now]).await? else { return Ok(false) };
        let failed = row.get::<Option<String>>("failure")?.is_some();
        device::release(&mut tx, id, !failed, now).await?;
        // JupyterHub gives the server's token to its own client and marks it only by the note.
        let sql = "DELETE FROM api_tokens WHERE id IN (
                   SELECT token_id FROM specola_servers WHERE spawner_id = $1
                   UNION SELECT t.id FROM spawners s JOIN api_tokens t ON t.client_id = s.oauth_client_id
                       WHERE s.id = $1 AND t.client_id <> $2
                   UNION SELECT t.id FROM api_tokens t
                       JOIN spawners s ON s.user_id = t.user_id JOIN servers v ON v.id = s.server_id
                       JOIN specola_servers p ON p.spawner_id = s.id
                       WHERE s.id = $1 AND p.token_id IS NULL AND t.client_id = $2
                       AND t.note = 'Server at ' || v.base_url)";
        tx.execute(sql, params![id, HUB_CLIENT]).await?;
        let sql = "DELETE FROM oauth_clients WHERE identifier <> $2
                   AND identifier IN (SELECT oauth_client_id FROM spawners WHERE id = $1)";
        tx.execute(sql, params![id, HUB_CLIENT]).await?;
        let sql = "DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners WHERE id = $1)";
        tx.execute(sql, params![id]).await?;
        let left = server::lasting_state(&mut tx, id, None).await?;
        let sql = "UPDATE spawners SET server_id = NULL, oauth_client_id = NULL, started = NULL, last_activity = $2,
                   state = $3 WHERE id = $1";
        tx.execute(sql, params![id, now, &left]).await?;
        user_was_there(&mut tx, id, now).await?;
        tx.execute("DELETE FROM specola_labs WHERE spawner_id = $1", params![id]).await?;
        if let Some(question) = question {
            after_stop::note(&mut tx, self.pool.present("$4"), id, generation, question, now).await?;
        }
        let sql = "UPDATE specola_servers SET phase = 'stopped', deadline_at = NULL, url = NULL, token_id = NULL
                   WHERE spawner_id = $1";
        tx.execute(sql, params![id]).await?;
        tx.commit().await?;
        Ok(true)
    }
}

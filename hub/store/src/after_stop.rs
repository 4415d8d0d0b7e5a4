//! What is to be told to a hook once a server has stopped: rows, so that no crash swallows one.
//!
//! Rows belong to no server's row, which may be deleted meanwhile.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterStop {
    pub id: i64,
    pub spawner_id: SpawnerId,
    /// What the hook is asked.
    pub question: serde_json::Value,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

impl Store {
    /// Takes up to `max` that are due, and counts the attempt. Nobody else gets them before `until`.
    pub async fn claim_after_stop(&self, now: Time, until: Time, max: u32) -> Result<Vec<AfterStop>> {
        let mut tx = self.pool.begin().await?;
        let (present, end) = (self.pool.present("$1"), self.pool.relative("$1", "$2"));
        let sql = format!(
            "UPDATE specola_after_stop SET due_at = {end}, attempts = attempts + 1
             WHERE id IN (SELECT id FROM specola_after_stop WHERE due_at <= {present} ORDER BY due_at, id LIMIT $3)
             AND due_at <= {present} RETURNING id, spawner_id, question, attempts"
        );
        let rows = tx.rows(sql, params![now, until, max]).await?;
        let claimed = rows.iter().map(after_stop).collect::<Result<Vec<AfterStop>>>()?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Puts one off to a later try.
    pub async fn put_off_after_stop(&self, id: i64, due_at: Time) -> Result<bool> {
        self.changed("UPDATE specola_after_stop SET due_at = $2 WHERE id = $1", params![id, due_at]).await
    }

    /// Takes one off the list: told, or given up.
    pub async fn forget_after_stop(&self, id: i64) -> Result<bool> {
        self.changed("DELETE FROM specola_after_stop WHERE id = $1", params![id]).await
    }
}

/// Notes, within the transaction that ends a stop, what is to be told of it at once. `present` is the instant by which that is
/// measured, made of `$4`.
pub(crate) async fn note(
    tx: &mut Tx,
    present: &str,
    id: SpawnerId,
    generation: Generation,
    question: &serde_json::Value,
    now: Time,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO specola_after_stop (spawner_id, generation, question, attempts, due_at)
         VALUES ($1, $2, $3, 0, {present}) ON CONFLICT (spawner_id, generation) DO NOTHING"
    );
    tx.execute(sql, params![id, generation, question, now]).await.map(drop)
}

fn after_stop(row: &Row) -> Result<AfterStop> {
    Ok(AfterStop {
        id: row.get("id")?,
        spawner_id: row.get("spawner_id")?,
        question: row.json_option("question")?.unwrap_or_default(),
        attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(u32::MAX),
    })
}

//! Progress of a server, kept so that any hub can tell it to anyone, from the start or from where a listener was.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::Phase;

/// An event to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub spawner_id: SpawnerId,
    pub generation: Generation,
    pub at: Time,
    /// Percent; more than 100 counts as 100.
    pub progress: u8,
    pub phase: Phase,
    pub message: String,
    /// Anything else for the listener: `html_message`, `failed` …
    pub detail: Option<serde_json::Value>,
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Rises with every event, over all servers.
    pub id: i64,
    pub at: Time,
    /// Percent.
    pub progress: u8,
    pub phase: Phase,
    pub message: String,
    pub detail: Option<serde_json::Value>,
}

const INSERT: &str = "INSERT INTO specola_events (spawner_id, generation, at, progress, phase, message, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";

impl NewEvent {
    fn values(&self, generation: Generation) -> Vec<Value> {
        params![
            self.spawner_id,
            generation,
            self.at,
            i64::from(self.progress.min(100)),
            self.phase,
            &self.message,
            self.detail.as_ref(),
        ]
    }
}

/// Records events of a start with what they tell of.
pub(crate) async fn append(tx: &mut Tx, generation: Generation, events: &[NewEvent]) -> Result<()> {
    for event in events {
        tx.rows(INSERT, event.values(generation)).await?;
    }
    Ok(())
}

impl Store {
    /// Records an event; returns its id. `Missing` when the server does not exist.
    pub async fn append_event(&self, event: &NewEvent) -> Result<i64> {
        returned(self.pool.write_row(INSERT, event.values(event.generation)).await?, "id")
    }

    /// The events of one start that came after the given one (0 for all), in their order.
    pub async fn events_since(&self, id: SpawnerId, generation: Generation, after: i64) -> Result<Vec<Event>> {
        let sql = "SELECT id, at, progress, phase, message, detail FROM specola_events
                   WHERE spawner_id = $1 AND generation = $2 AND id > $3 ORDER BY id";
        self.pool.rows(sql, params![id, generation, after]).await?.iter().map(event).collect()
    }

    /// Deletes events from before an instant; returns how many.
    pub async fn purge_events(&self, before: Time) -> Result<u64> {
        self.pool.patient().execute("DELETE FROM specola_events WHERE at < $1", params![before]).await
    }
}

fn event(row: &Row) -> Result<Event> {
    Ok(Event {
        id: row.get("id")?,
        at: row.get("at")?,
        progress: u8::try_from(row.get::<i64>("progress")?).unwrap_or(100),
        phase: row.get("phase")?,
        message: row.get("message")?,
        detail: row.json_option("detail")?,
    })
}

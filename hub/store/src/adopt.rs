//! Servers that JupyterHub started or stopped while it had the database: our rows follow what it left.
//!
//! Our own writes keep `spawners.server_id` and the phase in step within one transaction. Where they differ,
//! JupyterHub was at work; so this is safe at any time, also while other hubs run.

use crate::database::Tx;
use crate::error::Result;
use crate::server::{COLUMNS, server};
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::SpawnerId;

/// Makes the row of ours for one server, if it is missing. Tells whether there is such a server.
pub(crate) async fn ensure_row(tx: &mut Tx, id: SpawnerId, now: Time) -> Result<bool> {
    let sql = "SELECT s.id, p.spawner_id FROM spawners s LEFT JOIN specola_servers p ON p.spawner_id = s.id
               WHERE s.id = $1";
    let Some(row) = tx.row(sql, params![id]).await? else { return Ok(false) };
    if row.get::<Option<i64>>("spawner_id")?.is_none() {
        take(tx, id, now).await?;
    }
    Ok(true)
}

/// Brings all rows of ours to what `spawners` tells.
pub(crate) async fn adopt(tx: &mut Tx, now: Time) -> Result<()> {
    // What JupyterHub stopped.
    let sql = "UPDATE specola_servers SET desired = 'stopped', phase = 'stopped', due_at = NULL, deadline_at = NULL,
               held_by = NULL, held_until = NULL, url = NULL, token_id = NULL, changed_at = $1
               WHERE phase IN ('waiting', 'routing', 'ready')
               AND spawner_id IN (SELECT id FROM spawners WHERE server_id IS NULL)";
    tx.execute(sql, params![now]).await?;
    // What it made and left stopped, all at once: there may be one for each of its users.
    let sql = "INSERT INTO specola_servers (spawner_id, desired, phase, generation, changed_at)
               SELECT s.id, 'stopped', 'stopped', 0, $1 FROM spawners s WHERE s.server_id IS NULL
               AND NOT EXISTS (SELECT 1 FROM specola_servers p WHERE p.spawner_id = s.id)";
    tx.execute(sql, params![now]).await?;
    // What it started: there is a server where we know of none, or it has moved.
    let sql = format!(
        "{COLUMNS} WHERE p.spawner_id IS NULL OR (s.server_id IS NOT NULL
         AND p.phase IN ('stopped', 'starting', 'waiting', 'routing', 'ready')) ORDER BY s.id"
    );
    for row in tx.rows(sql, params![]).await? {
        let server = server(&row)?;
        let known = row.get::<Option<String>>("url")?;
        let here = server.address.as_ref().map(|address| address.url());
        if server.changed_at.is_none() || known != here {
            take(tx, server.id, now).await?;
        }
    }
    Ok(())
}

/// Records a server as `spawners` tells: ready and to be looked at soon, or stopped. A row that was there begins a
/// new generation, because what ran under the old one is not what runs now.
async fn take(tx: &mut Tx, id: SpawnerId, now: Time) -> Result<()> {
    let row = tx.row(format!("{COLUMNS} WHERE s.id = $1"), params![id]).await?;
    let Some(address) = row.map(|row| crate::server::address(&row)).transpose()? else { return Ok(()) };
    let (desired, phase, due_at) = match &address {
        Some(_) => ("running", "ready", Some(now)),
        None => ("stopped", "stopped", None),
    };
    let url = address.map(|address| address.url());
    let sql = "INSERT INTO specola_servers (spawner_id, desired, phase, generation, due_at, url, changed_at)
               VALUES ($1, $2, $3, 0, $4, $5, $6) ON CONFLICT (spawner_id) DO UPDATE SET desired = excluded.desired,
               phase = excluded.phase, generation = specola_servers.generation + 1, due_at = excluded.due_at,
               deadline_at = NULL, held_by = NULL, held_until = NULL, failure = NULL, plan = NULL, driver = NULL,
               url = excluded.url, token_id = NULL, changed_at = excluded.changed_at";
    tx.execute(sql, params![id, desired, phase, due_at, url, now]).await.map(drop)
}

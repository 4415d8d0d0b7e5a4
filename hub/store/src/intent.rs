//! What people want of a server. Handlers come here and nowhere else; the keeper does the rest.

use crate::adopt::ensure_row;
use crate::database::Tx;
use crate::device;
use crate::error::Result;
use crate::reservation::{self, Over, Reservation};
use crate::site::site_of;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::SpawnerId;
use hub_core::life::{Desired, Phase};
use std::collections::BTreeMap;

/// How many servers there may be at once over the whole hub, `None` for any number; and what this one takes of quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartLimits {
    /// Servers between wanted and ready.
    pub concurrent: Option<u32>,
    /// Servers that run, start, stop, or are wanted.
    pub active: Option<u32>,
    /// What the server takes, and whose quotas it counts against.
    pub reservation: Option<Reservation>,
    /// How many devices it is to have, by resource: it gets a place in each queue.
    pub devices: BTreeMap<String, u64>,
}

impl StartLimits {
    /// Whether anything has to be counted that others take too.
    fn are_counted(&self) -> bool {
        let charges = self.reservation.iter().flat_map(|reservation| &reservation.charges);
        self.concurrent.is_some() || self.active.is_some() || charges.into_iter().any(|charge| !charge.quota.is_empty())
    }
}

/// What became of the wish to start a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantRunning {
    /// It will be started.
    Accepted,
    AlreadyReady,
    AlreadyStarting,
    /// It is being stopped, or its stop is wanted: first that, then another start.
    Stopping,
    TooManyStarting,
    TooManyActive,
    /// It would take more than a quota has left.
    OverQuota(Over),
    /// There is no such server.
    Gone,
}

/// What became of the wish to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantStopped {
    /// It will be stopped.
    Accepted,
    AlreadyStopping,
    AlreadyStopped,
    /// There is no such server.
    Gone,
}

impl Store {
    /// Asks for a server to run, with new options or those it has, within the limits and quotas. One transaction: of two
    /// that ask for the last free place, or for the last of a quota, one gets it.
    pub async fn want_running(
        &self,
        id: SpawnerId,
        options: Option<&serde_json::Value>,
        plan: &serde_json::Value,
        limits: StartLimits,
        now: Time,
    ) -> Result<WantRunning> {
        let mut tx = self.pool.begin().await?;
        if !limits.devices.is_empty() {
            // Before the row of the server, as all who take devices.
            device::lock(&mut tx).await?;
        }
        let Some((desired, phase)) = locked(&mut tx, id, now).await? else { return Ok(WantRunning::Gone) };
        if let Some(answer) = already(desired, phase) {
            return Ok(answer);
        }
        device::queue(&mut tx, id, &limits.devices, now).await?;
        // What a start told that was called off before it began is not about this one.
        let sql = "DELETE FROM specola_events WHERE spawner_id = $1
                   AND generation > (SELECT p.generation FROM specola_servers p WHERE p.spawner_id = $1)";
        tx.execute(sql, params![id]).await?;
        let sql = format!(
            "UPDATE specola_servers SET desired = 'running', due_at = {}, failure = NULL, plan = $3, changed_at = $2
             WHERE spawner_id = $1",
            self.pool.present("$2")
        );
        tx.execute(sql, params![id, now, plan]).await?;
        // A start wins over a wish that it be deleted, also if it is stopped again before anybody has looked.
        tx.execute("DELETE FROM specola_culled WHERE spawner_id = $1", params![id]).await?;
        if options.is_some() {
            tx.execute("UPDATE spawners SET user_options = $2 WHERE id = $1", params![id, options]).await?;
        }
        let reservation = limits.reservation.as_ref();
        if limits.are_counted() {
            // The counter's row is the lock of all starts; without it two could count the same free place. It is taken last,
            // since all wait for who has it.
            tx.execute("UPDATE specola_counters SET value = value + 1 WHERE name = 'starts'", params![]).await?;
            if let Some(refusal) = over_limit(&mut tx, id, &limits).await? {
                return Ok(refusal);
            }
        }
        if let Some(over) = reservation::reserve(&mut tx, id, reservation).await? {
            return Ok(WantRunning::OverQuota(over));
        }
        tx.commit().await?;
        Ok(WantRunning::Accepted)
    }

    /// Asks for a server to stop, also while it starts.
    pub async fn want_stopped(&self, id: SpawnerId, now: Time) -> Result<WantStopped> {
        let mut tx = self.pool.begin().await?;
        let wanted = want_stopped(&mut tx, self.pool.present("$2"), id, now).await?;
        tx.commit().await?;
        Ok(wanted)
    }

    /// Asks for a server to stop, and to be deleted once it has, unless somebody starts it again first. `by` is who wants
    /// that, in the hub's own form.
    pub async fn want_removed(&self, id: SpawnerId, by: &serde_json::Value, now: Time) -> Result<WantStopped> {
        let mut tx = self.pool.begin().await?;
        let wanted = want_stopped(&mut tx, self.pool.present("$2"), id, now).await?;
        let sql = "INSERT INTO specola_culled (spawner_id, generation, asked_by)
                   SELECT p.spawner_id, p.generation, $2 FROM specola_servers p WHERE p.spawner_id = $1
                   ON CONFLICT (spawner_id) DO UPDATE SET generation = excluded.generation,
                   asked_by = excluded.asked_by";
        tx.execute(sql, params![id, by]).await?;
        tx.commit().await?;
        Ok(wanted)
    }

    /// Asks for a server to stop if it is, or is to be, at a site, and keeps why for its person. Tells whether it did. A server
    /// whose plan names none is at the `first`.
    pub async fn want_stopped_at(
        &self,
        id: SpawnerId,
        (site, first): (&str, &str),
        why: &serde_json::Value,
        now: Time,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        // Locked first: a start at another site may have been wanted since somebody looked.
        locked(&mut tx, id, now).await?;
        let row = tx.row("SELECT plan FROM specola_servers WHERE spawner_id = $1", params![id]).await?;
        if row.map(|row| site_of(&row, first)).transpose()?.as_deref() != Some(site) {
            return Ok(false);
        }
        if want_stopped(&mut tx, self.pool.present("$2"), id, now).await? != WantStopped::Accepted {
            return Ok(false);
        }
        tx.execute("UPDATE specola_servers SET failure = $2 WHERE spawner_id = $1", params![id, why]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Makes somebody look at a server soon, for a watch that saw it change. Tells whether there is one.
    pub async fn nudge(&self, id: SpawnerId, now: Time) -> Result<bool> {
        let present = self.pool.present("$2");
        let sql = format!(
            "UPDATE specola_servers SET due_at = {present} WHERE spawner_id = $1 AND (due_at IS NULL OR due_at > {present})"
        );
        self.changed(sql, params![id, now]).await
    }
}

/// `present` is the instant by which leases are measured, made of `$2`.
async fn want_stopped(tx: &mut Tx, present: &str, id: SpawnerId, now: Time) -> Result<WantStopped> {
    let Some((desired, phase)) = locked(tx, id, now).await? else { return Ok(WantStopped::Gone) };
    match (desired, phase) {
        (Desired::Stopped, Phase::Stopped) => return Ok(WantStopped::AlreadyStopped),
        (Desired::Stopped, _) => return Ok(WantStopped::AlreadyStopping),
        (Desired::Running, _) => {}
    }
    let sql = format!(
        "UPDATE specola_servers SET desired = 'stopped', due_at = {present}, changed_at = $2 WHERE spawner_id = $1"
    );
    tx.execute(sql, params![id, now]).await?;
    if phase == Phase::Stopped {
        // Nothing was made yet, so that nothing is left to be stopped.
        device::release(tx, id, false, now).await?;
    }
    Ok(WantStopped::Accepted)
}

/// What is recorded of a server, with its row locked until the transaction ends.
async fn locked(tx: &mut Tx, id: SpawnerId, now: Time) -> Result<Option<(Desired, Phase)>> {
    if !ensure_row(tx, id, now).await? {
        return Ok(None);
    }
    let sql = "UPDATE specola_servers SET changed_at = changed_at WHERE spawner_id = $1 RETURNING desired, phase";
    let row = tx.row(sql, params![id]).await?;
    row.map(|row| Ok((row.get("desired")?, row.get("phase")?))).transpose()
}

/// The answer where a start changes nothing.
fn already(desired: Desired, phase: Phase) -> Option<WantRunning> {
    match (desired, phase) {
        (Desired::Stopped, Phase::Stopped) => None,
        (_, Phase::Stopping) | (Desired::Stopped, _) => Some(WantRunning::Stopping),
        (Desired::Running, Phase::Ready) => Some(WantRunning::AlreadyReady),
        (Desired::Running, Phase::Stopped | Phase::Starting | Phase::Waiting | Phase::Routing) => {
            Some(WantRunning::AlreadyStarting)
        }
    }
}

/// Whether the others are as many as there may be.
async fn over_limit(tx: &mut Tx, id: SpawnerId, limits: &StartLimits) -> Result<Option<WantRunning>> {
    if is_reached(tx, id, limits.active, COUNT_ACTIVE).await? {
        return Ok(Some(WantRunning::TooManyActive));
    }
    let starting = is_reached(tx, id, limits.concurrent, COUNT_STARTING).await?;
    Ok(starting.then_some(WantRunning::TooManyStarting))
}

/// Each has an index of just these rows: all starts wait for one that counts.
const COUNT_ACTIVE: &str =
    "SELECT COUNT(*) AS number FROM specola_servers WHERE (phase <> 'stopped' OR desired = 'running')
    AND spawner_id <> $1";
/// Who waits for a device keeps nobody else from starting.
const COUNT_STARTING: &str = "SELECT COUNT(*) AS number FROM specola_servers
    WHERE desired = 'running' AND phase NOT IN ('ready', 'stopping') AND spawner_id <> $1
    AND NOT (phase = 'stopped' AND spawner_id IN (SELECT q.spawner_id FROM specola_device_queue q))";

async fn is_reached(tx: &mut Tx, id: SpawnerId, limit: Option<u32>, count: &'static str) -> Result<bool> {
    let Some(limit) = limit else { return Ok(false) };
    let number: i64 = tx.row(count, params![id]).await?.map_or(Ok(0), |row| row.get("number"))?;
    Ok(number >= i64::from(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_taken_only_where_nothing_is_left_of_the_last_one() {
        let table = [
            (Desired::Stopped, Phase::Stopped, None),
            (Desired::Running, Phase::Stopped, Some(WantRunning::AlreadyStarting)),
            (Desired::Running, Phase::Routing, Some(WantRunning::AlreadyStarting)),
            (Desired::Running, Phase::Ready, Some(WantRunning::AlreadyReady)),
            (Desired::Running, Phase::Stopping, Some(WantRunning::Stopping)),
            (Desired::Stopped, Phase::Ready, Some(WantRunning::Stopping)),
            (Desired::Stopped, Phase::Starting, Some(WantRunning::Stopping)),
        ];
        for (desired, phase, answer) in table {
            assert_eq!(already(desired, phase), answer, "{desired:?} {phase:?}");
        }
    }

    #[tokio::test]
    async fn what_every_start_counts_is_counted_along_an_index_of_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:///{}", directory.path().join("hub.sqlite").display());
        let store = Store::open(&url, crate::OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap();
        for (sql, index) in [(COUNT_ACTIVE, "specola_servers_active"), (COUNT_STARTING, "specola_servers_starting")] {
            let rows = store.pool.rows(format!("EXPLAIN QUERY PLAN {sql}"), params![1]).await.unwrap();
            let plan: String = rows[0].get("detail").unwrap();
            assert!(plan.contains(index), "{plan}");
        }
        store.close().await;
    }
}

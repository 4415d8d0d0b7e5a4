//! Which devices servers have, GPUs and slices of them, and who waits for some.
//!
//! A lease is a row with the device as its key, and is written in one transaction with the look at what is free. It
//! counts while its server runs, starts, stops or is wanted, and a place in the queue while its server is to be started:
//! what a crash left is passed over, and cleared away by whoever comes next. The row `devices` of the counters is the
//! lock of all who take or clear away; it comes before rows of servers, and `starts` after them.

use crate::database::Tx;
use crate::error::Result;
use crate::server::ACTIVE;
use crate::store::Store;
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::device::Kind;
use hub_core::id::{Generation, SpawnerId};
use std::collections::{BTreeMap, BTreeSet};

/// Devices by the name of the resource, such as `nvidia.com/gpu`.
pub type Devices = BTreeMap<String, Vec<String>>;

/// For whom devices are taken: a server that is held by a hub, in the generation it was read in.
#[derive(Debug, Clone, Copy)]
pub struct Taker<'a> {
    pub id: SpawnerId,
    pub holder: &'a str,
    pub generation: Generation,
}

/// What became of the wish for devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// It has these, and nobody else has.
    Held(Devices),
    /// It waits since that instant, at this place.
    Waits { place: DevicePlace, since: Time },
    /// It asks for more than there are.
    Short { resource: String, wanted: u64, total: u64 },
    /// It is not wanted any more, or another hub has it.
    Lost,
}

/// Where somebody stands in the queue for one kind of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlace {
    pub resource: String,
    /// How many are waited for.
    pub number: u64,
    /// From 1.
    pub place: u64,
    /// How many wait.
    pub of: u64,
    /// How long it may be; nothing where none was given back yet.
    pub wait: Option<TimeDelta>,
}

/// What is in use at present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceUse {
    /// Every device that some server has.
    pub taken: BTreeSet<String>,
    /// How many servers wait, by resource.
    pub waiting: BTreeMap<String, u64>,
}

/// The ids of servers that are to be started.
const TO_BE_STARTED: &str =
    "SELECT spawner_id FROM specola_servers WHERE desired = 'running' AND phase IN ('stopped', 'starting')";
/// Each time so many uses are counted, they count half.
const MOST_USES: i64 = 32;

struct Lease {
    device: String,
    spawner: SpawnerId,
    since: Time,
}

struct Ticket {
    spawner: SpawnerId,
    number: u64,
    since: Time,
}

/// Keeps others from taking devices until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx) -> Result<()> {
    tx.execute("UPDATE specola_counters SET value = value + 1 WHERE name = 'devices'", params![]).await.map(drop)
}

/// Clears away what does not count any more; tells how many devices that were.
async fn clear_away(tx: &mut Tx) -> Result<u64> {
    let sql = format!("DELETE FROM specola_device_queue WHERE spawner_id NOT IN ({TO_BE_STARTED})");
    tx.execute(sql, params![]).await?;
    tx.execute(format!("DELETE FROM specola_devices WHERE spawner_id NOT IN ({ACTIVE})"), params![]).await
}

/// Gives a server a new place in the queues, at the end of each. They are locked.
pub(crate) async fn queue(tx: &mut Tx, id: SpawnerId, wanted: &BTreeMap<String, u64>, now: Time) -> Result<()> {
    tx.execute("DELETE FROM specola_device_queue WHERE spawner_id = $1", params![id]).await?;
    for (resource, number) in wanted {
        enter(tx, id, resource, *number, now).await?;
    }
    Ok(())
}

/// Keeps the place in a queue, or takes the last.
async fn enter(tx: &mut Tx, id: SpawnerId, resource: &str, number: u64, now: Time) -> Result<()> {
    let sql = "INSERT INTO specola_device_queue (spawner_id, resource, number, since) VALUES ($1, $2, $3, $4)
               ON CONFLICT (spawner_id, resource) DO UPDATE SET number = excluded.number";
    tx.execute(sql, params![id, resource, whole(number), now]).await.map(drop)
}

/// Gives back what a server has, and takes it out of the queues. `counts` tells that it was used as it was meant to be.
pub(crate) async fn release(tx: &mut Tx, id: SpawnerId, counts: bool, now: Time) -> Result<()> {
    tx.execute("DELETE FROM specola_device_queue WHERE spawner_id = $1", params![id]).await?;
    let sql = "DELETE FROM specola_devices WHERE spawner_id = $1 RETURNING resource, since";
    let mut used: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in tx.rows(sql, params![id]).await? {
        let (uses, seconds) = used.entry(row.get("resource")?).or_default();
        *uses += 1;
        *seconds = seconds.saturating_add((now - row.get::<Time>("since")?).num_seconds().max(0));
    }
    if !counts {
        return Ok(());
    }
    for (resource, (uses, seconds)) in used {
        let sql = "INSERT INTO specola_device_uses (resource, uses, seconds) VALUES ($1, $2, $3)
                   ON CONFLICT (resource) DO UPDATE SET
                   uses = excluded.uses + specola_device_uses.uses / CASE WHEN specola_device_uses.uses >= $4 THEN 2 ELSE 1 END,
                   seconds = excluded.seconds
                       + specola_device_uses.seconds / CASE WHEN specola_device_uses.uses >= $4 THEN 2 ELSE 1 END";
        tx.execute(sql, params![resource, uses, seconds, MOST_USES]).await?;
    }
    Ok(())
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What is to be leased, read and locked.
struct Round<'a> {
    taker: Taker<'a>,
    known: &'a Devices,
    now: Time,
    leases: Vec<Lease>,
}

impl Store {
    /// Takes devices for a server, as many of each resource as are wanted and all or none; or keeps its place in the queues.
    /// What it has already counts. `known` are all devices there are.
    pub async fn lease_devices(
        &self,
        taker: Taker<'_>,
        wanted: &BTreeMap<String, u64>,
        known: &Devices,
        now: Time,
    ) -> Result<Leased> {
        let id = taker.id;
        let mut tx = self.pool.begin().await?;
        lock(&mut tx).await?;
        let sql = "UPDATE specola_servers SET changed_at = changed_at WHERE spawner_id = $1 AND held_by = $2
                   AND generation = $3 AND desired = 'running' AND phase IN ('stopped', 'starting')";
        if tx.execute(sql, params![id, taker.holder, taker.generation]).await? == 0 {
            return Ok(Leased::Lost);
        }
        clear_away(&mut tx).await?;
        let leases = leases(&mut tx).await?;
        let mut round = Round { taker, known, now, leases };
        let held = round.held(&mut tx, wanted).await?;
        let mut places = Vec::new();
        let mut since = now;
        let mut taking: Vec<(&String, Vec<String>)> = Vec::new();
        for (resource, number) in wanted {
            let has = held.get(resource).map_or(0, |devices| count(devices.len()));
            let missing = number.saturating_sub(has);
            let total = known.get(resource).map_or(0, |devices| count(devices.len()));
            if total < *number {
                tx.execute("DELETE FROM specola_device_queue WHERE spawner_id = $1", params![id]).await?;
                tx.commit().await?;
                return Ok(Leased::Short { resource: resource.clone(), wanted: *number, total });
            }
            if missing == 0 {
                continue;
            }
            enter(&mut tx, id, resource, missing, now).await?;
            let (kind, mut place) = round.look(&mut tx, resource, missing, total, &mut since).await?;
            if kind.is_turn() {
                taking.push((
                    resource,
                    round.free(resource).take(usize::try_from(missing).unwrap_or(usize::MAX)).collect(),
                ));
            } else {
                place.wait = kind.wait();
                places.push(place);
            }
        }
        if let Some(place) = places.into_iter().max_by_key(|place| place.place) {
            tx.commit().await?;
            return Ok(Leased::Waits { place, since });
        }
        let mut held = held;
        for (resource, devices) in taking {
            for device in devices {
                let sql = "INSERT INTO specola_devices (device, resource, spawner_id, generation, since)
                           VALUES ($1, $2, $3, $4, $5)";
                tx.execute(sql, params![&device, resource, id, taker.generation, now]).await?;
                held.entry(resource.clone()).or_default().push(device);
            }
        }
        tx.execute("DELETE FROM specola_device_queue WHERE spawner_id = $1", params![id]).await?;
        tx.commit().await?;
        Ok(Leased::Held(held))
    }

    /// The devices that a server has.
    pub async fn devices_of(&self, id: SpawnerId) -> Result<Devices> {
        let sql = "SELECT resource, device FROM specola_devices WHERE spawner_id = $1 ORDER BY resource, device";
        let mut devices = Devices::new();
        for row in self.pool.rows(sql, params![id]).await? {
            devices.entry(row.get("resource")?).or_default().push(row.get("device")?);
        }
        Ok(devices)
    }

    /// Notes devices that a running server without any is known to have, as far as nobody else has them. Tells how many.
    pub async fn note_devices(
        &self,
        id: SpawnerId,
        generation: Generation,
        devices: &Devices,
        now: Time,
    ) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx).await?;
        let sql = "SELECT device FROM specola_devices WHERE spawner_id = $1";
        if tx.row(sql, params![id]).await?.is_some() {
            return Ok(0);
        }
        let mut noted = 0;
        let sql = "INSERT INTO specola_devices (device, resource, spawner_id, generation, since)
                   SELECT $1, $2, p.spawner_id, $4, $5 FROM specola_servers p
                   WHERE p.spawner_id = $3 AND p.generation = $4 AND p.phase <> 'stopped'
                   ON CONFLICT (device) DO NOTHING";
        for (resource, devices) in devices {
            for device in devices {
                noted += tx.execute(sql, params![device, resource, id, generation, now]).await?;
            }
        }
        tx.commit().await?;
        Ok(noted)
    }

    /// Frees the devices of servers that do not run; tells how many.
    pub async fn settle_devices(&self) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx).await?;
        let freed = clear_away(&mut tx).await?;
        tx.commit().await?;
        Ok(freed)
    }

    /// What is in use, and how many wait.
    pub async fn device_use(&self) -> Result<DeviceUse> {
        let sql = format!("SELECT device FROM specola_devices WHERE spawner_id IN ({ACTIVE})");
        let taken = self.pool.rows(sql, params![]).await?.iter().map(|row| row.get("device")).collect::<Result<_>>()?;
        let sql = format!(
            "SELECT resource, COUNT(*) AS waiting FROM specola_device_queue WHERE spawner_id IN ({TO_BE_STARTED})
             GROUP BY resource"
        );
        let rows = self.pool.rows(sql, params![]).await?;
        let waiting = rows.iter().map(|row| Ok((row.get("resource")?, unsigned(row.get("waiting")?))));
        Ok(DeviceUse { taken, waiting: waiting.collect::<Result<_>>()? })
    }

    /// The servers that wait for a device, the first ones first.
    pub async fn waiting_for_devices(&self) -> Result<Vec<SpawnerId>> {
        let rows = self.pool.rows("SELECT spawner_id FROM specola_device_queue ORDER BY id", params![]).await?;
        rows.iter().map(|row| row.get("spawner_id")).collect()
    }
}

impl Round<'_> {
    /// What the server has already of what it wants. The rest of what it has is given back.
    async fn held(&mut self, tx: &mut Tx, wanted: &BTreeMap<String, u64>) -> Result<Devices> {
        let (held, surplus) = self.sorted(wanted);
        for device in &surplus {
            tx.execute("DELETE FROM specola_devices WHERE device = $1", params![device]).await?;
        }
        self.leases.retain(|lease| !surplus.contains(&lease.device));
        Ok(held)
    }

    /// What the server has of what it wants, and what it has besides.
    fn sorted(&self, wanted: &BTreeMap<String, u64>) -> (Devices, Vec<String>) {
        let (mut held, mut surplus) = (Devices::new(), Vec::new());
        for lease in self.leases.iter().filter(|lease| lease.spawner == self.taker.id) {
            let of = |(resource, devices): (&String, &Vec<String>)| {
                (devices.contains(&lease.device) && wanted.contains_key(resource)).then(|| resource.clone())
            };
            let resource = self.known.iter().find_map(of);
            let fits = resource.filter(|resource| {
                let has = held.get(resource).map_or(0, |devices: &Vec<String>| count(devices.len()));
                wanted.get(resource).is_some_and(|number| has < *number)
            });
            match fits {
                Some(resource) => held.entry(resource).or_default().push(lease.device.clone()),
                None => surplus.push(lease.device.clone()),
            }
        }
        (held, surplus)
    }

    /// The devices of a kind that nobody has.
    fn free(&self, resource: &str) -> impl Iterator<Item = String> {
        let taken = move |device: &&String| !self.leases.iter().any(|lease| lease.device == **device);
        self.known.get(resource).into_iter().flatten().filter(taken).cloned()
    }

    /// One kind as the server sees it, and its place. `since` becomes the earliest it waits since.
    async fn look(
        &self,
        tx: &mut Tx,
        resource: &str,
        wanted: u64,
        total: u64,
        since: &mut Time,
    ) -> Result<(Kind, DevicePlace)> {
        let (mut queue, usual) = (tickets(tx, resource).await?, usual(tx, resource).await?);
        // Whoever wants more than there are will be told so, and must not be in the way of the others.
        queue.retain(|ticket| ticket.number <= total);
        let before = queue.iter().position(|ticket| ticket.spawner == self.taker.id).unwrap_or(queue.len());
        if let Some(own) = queue.get(before) {
            *since = own.since.min(*since);
        }
        let known = self.known.get(resource).map(Vec::as_slice).unwrap_or_default();
        let in_use = self.leases.iter().filter(|lease| known.contains(&lease.device));
        let kind = Kind {
            free: count(self.free(resource).count()),
            ahead: queue.iter().take(before).fold(0, |sum: u64, ticket| sum.saturating_add(ticket.number)),
            wanted,
            in_use: in_use.map(|lease| self.now - lease.since).collect(),
            usual,
        };
        let (place, of) = (count(before) + 1, count(queue.len()));
        Ok((kind, DevicePlace { resource: resource.to_owned(), number: wanted, place, of, wait: None }))
    }
}

async fn leases(tx: &mut Tx) -> Result<Vec<Lease>> {
    let sql = "SELECT device, spawner_id, since FROM specola_devices ORDER BY device";
    let lease = |row: &crate::row::Row| {
        Ok(Lease { device: row.get("device")?, spawner: row.get("spawner_id")?, since: row.get("since")? })
    };
    tx.rows(sql, params![]).await?.iter().map(lease).collect()
}

async fn tickets(tx: &mut Tx, resource: &str) -> Result<Vec<Ticket>> {
    let sql = "SELECT spawner_id, number, since FROM specola_device_queue WHERE resource = $1 ORDER BY id";
    let ticket = |row: &crate::row::Row| {
        let (spawner, since) = (row.get("spawner_id")?, row.get("since")?);
        Ok(Ticket { spawner, number: unsigned(row.get("number")?), since })
    };
    tx.rows(sql, params![resource]).await?.iter().map(ticket).collect()
}

/// For how long a device of a kind is used as a rule.
async fn usual(tx: &mut Tx, resource: &str) -> Result<Option<TimeDelta>> {
    let sql = "SELECT seconds / uses AS usual FROM specola_device_uses WHERE resource = $1";
    let Some(row) = tx.row(sql, params![resource]).await? else { return Ok(None) };
    Ok(TimeDelta::try_seconds(row.get("usual")?))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

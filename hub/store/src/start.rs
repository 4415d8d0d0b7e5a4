//! The way of a server up, as the keeper records it. Each write is guarded by the holder of the lease and by the
//! generation: who comes late changes nothing.

use crate::database::Tx;
use crate::error::Result;
use crate::event::{self, NewEvent};
use crate::oauth::{self, HUB_CLIENT, OAuthClient};
use crate::server::{self, Address, MemoryFull, Server};
use crate::store::{Store, returned};
use crate::token::{self, NewToken};
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId, TokenId};
use hub_core::life::Phase;

/// What a server gets before it is created.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The server's own token. Those of an attempt before are revoked.
    pub token: NewToken,
    /// The OAuth client by which people reach it.
    pub client: OAuthClient,
    pub driver: String,
    pub deadline_at: Time,
    /// Keeps what the driver remembers, for one that resumes what it left.
    pub keep_state: bool,
    /// Where it starts; `None` where there are no sites.
    pub place: Option<StartPlace>,
    /// What is told of it, in the generation that begins.
    pub told: Vec<NewEvent>,
    pub now: Time,
}

/// Who takes a server a step on: whoever holds it in this generation, and goes on holding it.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    pub holder: &'a str,
    pub generation: Generation,
    /// How much longer it is held.
    pub lease: TimeDelta,
    /// What is told of it.
    pub told: Vec<NewEvent>,
    pub now: Time,
}

/// The site of a start, which its state tells from the beginning: a look finds it there, also where nothing was made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPlace {
    pub site: String,
    /// Whether states that tell no site are of this one.
    pub is_first: bool,
}

/// Where a server that is up can be reached.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub address: Address,
    /// What the driver remembers; `None` leaves it as it is.
    pub state: Option<serde_json::Value>,
    pub deadline_at: Time,
}

impl Store {
    /// Begins a start, or begins it again where the first attempt was lost with its secret: the next generation, in
    /// phase `starting`, with token and OAuth client. `None` when the lease is lost or the server is not wanted.
    pub async fn prepare(&self, id: SpawnerId, holder: &str, prepared: &Prepared) -> Result<Option<Server>> {
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "UPDATE specola_servers SET phase = 'starting', generation = generation + 1, deadline_at = {},
             driver = $4, url = NULL, memory_full_at = NULL, memory_full_limit = NULL, changed_at = $5
             WHERE spawner_id = $1 AND held_by = $2 AND desired = 'running' AND phase IN ('stopped', 'starting')
             RETURNING generation",
            self.pool.relative("$5", "$3")
        );
        let values = params![id, holder, prepared.deadline_at, &prepared.driver, prepared.now];
        let Some(row) = tx.row(sql, values).await? else { return Ok(None) };
        event::append(&mut tx, row.get("generation")?, &prepared.told).await?;
        // The hub's own client is everybody's: what belongs to it is none of this server's.
        // A union of what indexes find: PostgreSQL would read all tokens for conditions that are joined by OR.
        let sql = "DELETE FROM api_tokens WHERE id IN (
                   SELECT id FROM api_tokens WHERE client_id = $2 AND client_id <> $3
                   UNION SELECT token_id FROM specola_servers WHERE spawner_id = $1)";
        tx.execute(sql, params![id, &prepared.client.identifier, HUB_CLIENT]).await?;
        oauth::sync(&mut tx, &prepared.client).await?;
        let token = token::insert(&mut tx, &prepared.token).await?;
        let sql = "UPDATE specola_servers SET token_id = $2 WHERE spawner_id = $1";
        tx.execute(sql, params![id, token]).await?;
        let left = server::lasting_state(&mut tx, id, prepared.place.as_ref()).await?;
        let sql = "UPDATE spawners SET oauth_client_id = $2, started = $3, last_activity = $3,
                   state = CASE WHEN $4 THEN state ELSE $5 END WHERE id = $1";
        let values = params![id, &prepared.client.identifier, prepared.now, prepared.keep_state, &left];
        let changed = tx.execute(sql, values).await? > 0;
        user_was_there(&mut tx, id, prepared.now).await?;
        self.fresh(tx, id, changed, prepared.now).await
    }

    /// Records what the driver must remember, before it creates anything. Only the generation guards it: a driver
    /// that is in the midst of creating has to be able to say what.
    pub async fn save_state(&self, id: SpawnerId, generation: Generation, state: &serde_json::Value) -> Result<bool> {
        let sql = "UPDATE spawners SET state = $3 WHERE id = $1 AND EXISTS (
                   SELECT 1 FROM specola_servers p WHERE p.spawner_id = $1 AND p.generation = $2)";
        self.changed(sql, params![id, generation, state]).await
    }

    /// Records where a server can be reached: phase `waiting`, and running for JupyterHub. Gives its row as it is then; `None`
    /// when the lease is lost, or the server is not on its way up any more.
    pub async fn arrive(&self, id: SpawnerId, arrived: &Arrived, step: &Step<'_>) -> Result<Option<Server>> {
        let Arrived { address, state, deadline_at } = arrived;
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "UPDATE specola_servers SET phase = 'waiting', url = $4, deadline_at = {}, changed_at = $6,
             held_until = {}, due_at = NULL
             WHERE spawner_id = $1 AND held_by = $2 AND generation = $3 AND phase IN ('starting', 'waiting')",
            self.pool.relative("$6", "$5"),
            self.pool.relative("$6", "$7")
        );
        let Step { holder, generation, now, .. } = *step;
        let values = params![id, holder, generation, address.url(), *deadline_at, now, now + step.lease];
        if tx.execute(sql, values).await? == 0 {
            return Ok(None);
        }
        let sql = "UPDATE servers SET proto = $2, ip = $3, port = $4, base_url = $5, cookie_name = $6
                   WHERE id = (SELECT server_id FROM spawners WHERE id = $1)";
        let port = i64::from(address.port);
        let (proto, ip, base_url, cookie) = (&address.proto, &address.ip, &address.base_url, &address.cookie_name);
        if tx.execute(sql, params![id, proto, ip, port, base_url, cookie]).await? == 0 {
            let sql = "INSERT INTO servers (proto, ip, port, base_url, cookie_name)
                       VALUES ($1, $2, $3, $4, $5) RETURNING id";
            let row = tx.row(sql, params![proto, ip, port, base_url, cookie]).await?;
            let server: i64 = returned(row, "id")?;
            tx.execute("UPDATE spawners SET server_id = $2 WHERE id = $1", params![id, server]).await?;
        }
        if let Some(state) = state {
            tx.execute("UPDATE spawners SET state = $2 WHERE id = $1", params![id, state]).await?;
        }
        event::append(&mut tx, generation, &step.told).await?;
        self.fresh(tx, id, true, now).await
    }

    /// Moves a server that has an address on to `waiting`, `routing` or `ready`. Gives its row, as `arrive`.
    pub async fn advance(
        &self,
        id: SpawnerId,
        phase: Phase,
        deadline_at: Option<Time>,
        step: &Step<'_>,
    ) -> Result<Option<Server>> {
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "UPDATE specola_servers SET phase = $4, deadline_at = {}, changed_at = $6, held_until = {}, due_at = NULL
             WHERE spawner_id = $1 AND held_by = $2 AND generation = $3
             AND phase IN ('waiting', 'routing', 'ready') AND $4 IN ('waiting', 'routing', 'ready')",
            self.pool.relative("$6", "$5"),
            self.pool.relative("$6", "$7")
        );
        let Step { holder, generation, now, .. } = *step;
        let values = params![id, holder, generation, phase, deadline_at, now, now + step.lease];
        let changed = tx.execute(sql, values).await? > 0;
        if changed {
            event::append(&mut tx, generation, &step.told).await?;
        }
        self.fresh(tx, id, changed, now).await
    }

    /// Puts off the deadline of a start that waits for something that is no fault of the server.
    pub async fn put_off(&self, id: SpawnerId, generation: Generation, deadline_at: Time, now: Time) -> Result<bool> {
        let sql = format!(
            "UPDATE specola_servers SET deadline_at = {} WHERE spawner_id = $1 AND generation = $2 AND phase = 'starting'",
            self.pool.relative("$4", "$3")
        );
        self.changed(sql, params![id, generation, deadline_at, now]).await
    }

    /// Begins the deadline anew of a server on its way up, which passed while nobody could be at work.
    pub async fn begin_deadline_anew(
        &self,
        id: SpawnerId,
        generation: Generation,
        deadline_at: Time,
        now: Time,
    ) -> Result<bool> {
        let sql = format!(
            "UPDATE specola_servers SET deadline_at = {}
             WHERE spawner_id = $1 AND generation = $2 AND phase IN ('starting', 'waiting', 'routing')",
            self.pool.relative("$4", "$3")
        );
        self.changed(sql, params![id, generation, deadline_at, now]).await
    }

    /// Records that the memory of a server was full, in this run of it. What happened before what is known already
    /// changes nothing.
    pub async fn note_memory_full(&self, id: SpawnerId, generation: Generation, full: &MemoryFull) -> Result<bool> {
        let limit = full.limit.and_then(|limit| i64::try_from(limit).ok());
        let sql = "UPDATE specola_servers SET memory_full_at = $3, memory_full_limit = $4
                   WHERE spawner_id = $1 AND generation = $2 AND phase <> 'stopped'
                   AND (memory_full_at IS NULL OR memory_full_at < $3)";
        self.changed(sql, params![id, generation, full.at, limit]).await
    }

    /// The token that `prepare` recorded for a server, while it has one.
    pub async fn server_token(&self, id: SpawnerId) -> Result<Option<TokenId>> {
        let row = self.pool.row("SELECT token_id FROM specola_servers WHERE spawner_id = $1", params![id]).await?;
        Ok(row.map(|row| row.get("token_id")).transpose()?.flatten())
    }
}

/// As JupyterHub does, a start and an end of a server count as activity of its user.
pub(crate) async fn user_was_there(tx: &mut Tx, id: SpawnerId, now: Time) -> Result<()> {
    let sql = "UPDATE users SET last_activity = $2 WHERE id IN (SELECT user_id FROM spawners WHERE id = $1)
               AND (last_activity IS NULL OR last_activity < $2)";
    tx.execute(sql, params![id, now]).await.map(drop)
}

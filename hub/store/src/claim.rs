//! Leases: which hub works on a server at the moment, so that no two do.
//!
//! A claim takes `due_at` away. An intent written meanwhile sets it again, and `release` keeps the earlier of that and
//! its own: no wish is lost. A hub that dies holds its servers until the lease runs out; then they are due by that. Where
//! hubs on several machines share a database, its clock measures all of this, and deadlines (see `Leases`).

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::server::{COLUMNS, Server, server};
use crate::store::Store;
use crate::value::{Value, params};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};

impl Store {
    /// Takes up to `max` servers that are due and that nobody holds, the longest waiting first.
    pub async fn claim_due(&self, holder: &str, now: Time, lease: TimeDelta, max: u32) -> Result<Vec<Server>> {
        let mut tx = self.pool.begin().await?;
        let (present, end) = (self.pool.present("$2"), self.pool.relative("$2", "$3"));
        // The outer condition repeats the inner one: PostgreSQL checks it again on a row that another hub has just
        // changed.
        let sql = format!(
            "UPDATE specola_servers SET held_by = $1, held_until = {end}, due_at = NULL
             WHERE spawner_id IN (SELECT spawner_id FROM specola_servers
                 WHERE (due_at <= {present} AND held_until IS NULL) OR held_until <= {present}
                 ORDER BY COALESCE(due_at, held_until) LIMIT $4)
             AND (held_until IS NULL OR held_until <= {present}) RETURNING spawner_id"
        );
        let rows = tx.rows(sql, params![holder, now, now + lease, max]).await?;
        let ids = rows.iter().map(|row| row.get("spawner_id")).collect::<Result<Vec<SpawnerId>>>()?;
        let condition = "WHERE s.id = ANY($1) ORDER BY s.id";
        let servers = match ids.is_empty() {
            true => Vec::new(),
            false => self.seen_at(&mut tx, condition, (&ids[..]).into(), now).await?,
        };
        tx.commit().await?;
        Ok(servers)
    }

    /// Takes one server, due or not. `None` when another hub holds it, or it does not exist. The same holder may
    /// claim again.
    pub async fn claim(&self, id: SpawnerId, holder: &str, now: Time, lease: TimeDelta) -> Result<Option<Server>> {
        let mut tx = self.pool.begin().await?;
        let (present, end) = (self.pool.present("$3"), self.pool.relative("$3", "$4"));
        let sql = format!(
            "UPDATE specola_servers SET held_by = $2, held_until = {end}, due_at = NULL
             WHERE spawner_id = $1 AND (held_until IS NULL OR held_until <= {present} OR held_by = $2)"
        );
        let values = || params![id, holder, now, now + lease];
        let mut claimed = tx.execute(sql.clone(), values()).await? > 0;
        // JupyterHub may have made it.
        if !claimed && crate::adopt::ensure_row(&mut tx, id, now).await? {
            claimed = tx.execute(sql, values()).await? > 0;
        }
        self.fresh(tx, id, claimed, now).await
    }

    /// Holds on to a server and reads its row anew. `None` when the lease was lost to another hub, or the server is
    /// in another generation: whoever asked has nothing to do with it any more.
    pub async fn renew(
        &self,
        id: SpawnerId,
        holder: &str,
        generation: Generation,
        now: Time,
        lease: TimeDelta,
    ) -> Result<Option<Server>> {
        let mut tx = self.pool.begin().await?;
        let end = self.pool.relative("$4", "$5");
        let sql = format!(
            "UPDATE specola_servers SET held_until = {end} WHERE spawner_id = $1 AND held_by = $2 AND generation = $3"
        );
        let renewed = tx.execute(sql, params![id, holder, generation, now, now + lease]).await? > 0;
        self.fresh(tx, id, renewed, now).await
    }

    /// Lets go of a server. It is due at `due_at`, or earlier where somebody wants something of it.
    pub async fn release(&self, id: SpawnerId, holder: &str, due_at: Option<Time>) -> Result<bool> {
        let sql = "UPDATE specola_servers SET held_by = NULL, held_until = NULL,
                   due_at = CASE WHEN $3 IS NULL OR due_at < $3 THEN due_at ELSE $3 END
                   WHERE spawner_id = $1 AND held_by = $2";
        self.changed(sql, params![id, holder, due_at]).await
    }

    /// Lets go of a server at rest, unless something else is wanted of it, or came of it, than its holder has read. It is due
    /// when somebody wants something of it.
    pub async fn release_as_read(&self, server: &Server, holder: &str) -> Result<bool> {
        let sql = "UPDATE specola_servers SET held_by = NULL, held_until = NULL
                   WHERE spawner_id = $1 AND held_by = $2 AND generation = $3 AND desired = $4 AND phase = $5";
        let values = params![server.id, holder, server.generation, server.desired, server.phase];
        self.changed(sql, values).await
    }

    /// Lets go of a server that is not at rest: another hub goes on at once.
    pub async fn hand_over(&self, id: SpawnerId, holder: &str, now: Time) -> Result<bool> {
        let present = self.pool.present("$3");
        let sql = format!(
            "UPDATE specola_servers SET held_by = NULL, held_until = NULL,
             due_at = CASE WHEN due_at < {present} THEN due_at ELSE {present} END
             WHERE spawner_id = $1 AND held_by = $2"
        );
        self.changed(sql, params![id, holder, now]).await
    }

    /// Makes everything a hub held due at once: for a hub that knows an earlier life of it has ended.
    pub async fn release_all(&self, holder: &str, now: Time) -> Result<u64> {
        let sql = format!(
            "UPDATE specola_servers SET held_by = NULL, held_until = NULL, due_at = {} WHERE held_by = $1",
            self.pool.present("$2")
        );
        self.pool.execute(sql, params![holder, now]).await
    }

    /// Ends a transaction: with the row as it is now when the change was made, without a trace otherwise.
    pub(crate) async fn fresh(&self, mut tx: Tx, id: SpawnerId, changed: bool, now: Time) -> Result<Option<Server>> {
        if !changed {
            return Ok(None);
        }
        let server = self.seen_at(&mut tx, "WHERE s.id = $1", id.into(), now).await?.into_iter().next();
        tx.commit().await?;
        Ok(server)
    }

    /// Servers as a hub sees them whose clock says `now`: their deadlines are kept by the clock that measures leases.
    async fn seen_at(&self, tx: &mut Tx, condition: &'static str, which: Value, now: Time) -> Result<Vec<Server>> {
        let present = format!("SELECT {} AS present, ", self.pool.present("$2"));
        let sql = format!("{}{condition}", COLUMNS.replacen("SELECT ", &present, 1));
        let rows = tx.rows(sql, vec![which, now.into()]).await?;
        let seen = |row: &Row| {
            let (mut server, present) = (server(row)?, row.get::<Time>("present")?);
            server.deadline_at = server.deadline_at.map(|deadline| now + (deadline - present));
            Ok(server)
        };
        rows.iter().map(seen).collect()
    }
}

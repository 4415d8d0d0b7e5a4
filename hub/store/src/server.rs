//! Servers as one view: the row of `spawners`, its address in `servers`, and Specola's row beside them.
//!
//! How a server moves is in `intent` (what people want), `claim` (who works on it), `start` and `stop`.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::start::StartPlace;
use crate::store::{Store, returned};
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId, TokenId, UserId};
use hub_core::life::{Desired, Phase};

/// One server of one user, running or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub id: SpawnerId,
    pub user_id: UserId,
    pub user_name: String,
    /// When the user's account was made.
    pub user_created: Option<Time>,
    /// Empty for the default server.
    pub name: String,
    pub display_name: Option<String>,
    /// What its driver remembers, as JupyterHub's spawner of that kind writes it.
    pub state: Option<serde_json::Value>,
    pub user_options: Option<serde_json::Value>,
    pub started: Option<Time>,
    pub last_activity: Option<Time>,
    pub oauth_client_id: Option<String>,
    pub address: Option<Address>,
    pub desired: Desired,
    pub phase: Phase,
    pub generation: Generation,
    /// When somebody should look at it, besides when a lease runs out.
    pub due_at: Option<Time>,
    /// When the present phase has taken too long, by the clock that measures leases; in what a claim or a renewal returns, by
    /// that of who asked.
    pub deadline_at: Option<Time>,
    pub held_by: Option<String>,
    pub held_until: Option<Time>,
    /// Why it is stopped although it was wanted.
    pub failure: Option<serde_json::Value>,
    pub driver: Option<String>,
    /// What the policy granted it, for the driver.
    pub plan: Option<serde_json::Value>,
    /// Where it answers, without a path: `http://127.0.0.1:45123`.
    pub url: Option<String>,
    pub changed_at: Option<Time>,
    /// When a process of it was ended, in its present run, because its memory was full.
    pub memory_full: Option<MemoryFull>,
}

/// What is asked of many servers at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    pub id: SpawnerId,
    pub user_name: String,
    pub name: String,
    pub last_activity: Option<Time>,
}

/// A server's memory was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryFull {
    /// The last time.
    pub at: Time,
    /// How much it may have, in bytes, if that is known.
    pub limit: Option<u64>,
}

/// A row of `servers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// `http` or `https`.
    pub proto: String,
    /// An address or a host name; empty for the loopback.
    pub ip: String,
    pub port: u16,
    pub base_url: String,
    pub cookie_name: String,
}

impl Address {
    /// The address as a URL without a path.
    pub fn url(&self) -> String {
        let host = match self.ip.as_str() {
            "" | "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
            ip if ip.contains(':') => format!("[{ip}]"),
            ip => ip.to_owned(),
        };
        format!("{}://{host}:{}", self.proto, self.port)
    }
}

/// A running server without a row of ours is JupyterHub's: taken as ready.
pub(crate) const COLUMNS: &str = "SELECT s.id, s.user_id, u.name AS user_name, u.created AS user_created, s.name,
    s.display_name, s.state, s.user_options, s.started, s.last_activity, s.oauth_client_id, v.id AS server_id, v.proto, v.ip, v.port, v.base_url,
    v.cookie_name,
    COALESCE(p.desired, CASE WHEN s.server_id IS NULL THEN 'stopped' ELSE 'running' END) AS desired,
    COALESCE(p.phase, CASE WHEN s.server_id IS NULL THEN 'stopped' ELSE 'ready' END) AS phase,
    COALESCE(p.generation, 0) AS generation, p.due_at, p.deadline_at, p.held_by, p.held_until, p.failure, p.driver,
    p.plan, p.url, p.changed_at, p.memory_full_at, p.memory_full_limit
    FROM spawners s JOIN users u ON u.id = s.user_id LEFT JOIN servers v ON v.id = s.server_id
    LEFT JOIN specola_servers p ON p.spawner_id = s.id ";

/// The ids of servers that run, start, stop, or are wanted. Both halves have an index of just these rows.
pub(crate) const ACTIVE: &str = "SELECT id FROM spawners WHERE server_id IS NOT NULL
    UNION SELECT spawner_id FROM specola_servers WHERE phase <> 'stopped' OR desired = 'running'";

impl Store {
    /// Finds a server of a user by name; the default one has the empty name.
    pub async fn server(&self, user: UserId, name: &str) -> Result<Option<Server>> {
        let condition = "WHERE s.user_id = $1 AND COALESCE(s.name, '') = $2 ORDER BY s.id";
        Ok(self.servers(condition, params![user, name]).await?.into_iter().next())
    }

    /// Finds a server by id.
    pub async fn server_by_id(&self, id: SpawnerId) -> Result<Option<Server>> {
        Ok(self.servers("WHERE s.id = $1", params![id]).await?.into_iter().next())
    }

    /// Finds the server that an OAuth client belongs to.
    pub async fn server_by_client(&self, client_id: &str) -> Result<Option<Server>> {
        Ok(self.servers("WHERE s.oauth_client_id = $1", params![client_id]).await?.into_iter().next())
    }

    /// Finds the server that was started with a token.
    pub async fn server_of_token(&self, token: TokenId) -> Result<Option<Server>> {
        let condition = "WHERE s.id = (SELECT spawner_id FROM specola_servers WHERE token_id = $1)";
        Ok(self.servers(condition, params![token]).await?.into_iter().next())
    }

    /// All servers of the users, running or not, by user and name.
    pub async fn servers_of(&self, users: &[UserId]) -> Result<Vec<Server>> {
        self.servers("WHERE s.user_id = ANY($1) ORDER BY s.user_id, s.name, s.id", params![users]).await
    }

    /// Servers that run, start, stop, or are wanted, in the order they were first made.
    pub async fn active_servers(&self) -> Result<Vec<Server>> {
        self.servers(format!("WHERE s.id IN ({ACTIVE}) ORDER BY s.id"), params![]).await
    }

    /// Servers that have an address, of users of these names.
    pub async fn running_servers(&self, users: &[String]) -> Result<Vec<Running>> {
        let sql = "SELECT s.id, u.name AS user_name, s.name, s.last_activity FROM users u
                   JOIN spawners s ON s.user_id = u.id WHERE u.name = ANY($1) AND s.server_id IS NOT NULL";
        self.pool.rows(sql, params![users.to_vec()]).await?.iter().map(running).collect()
    }

    async fn servers(&self, condition: impl std::fmt::Display, params: Vec<Value>) -> Result<Vec<Server>> {
        self.pool.rows(format!("{COLUMNS}{condition}"), params).await?.iter().map(server).collect()
    }

    /// Creates a stopped server, or returns the one that has the name already. `None` when there is no such user.
    pub async fn create_server(
        &self,
        user: UserId,
        name: &str,
        display_name: Option<&str>,
        options: Option<&serde_json::Value>,
        now: Time,
    ) -> Result<Option<Server>> {
        Ok(self.find_or_create_server(user, name, display_name, options, now).await?.map(|(server, _)| server))
    }

    /// As `create_server`, and tells whether it was made by this call.
    pub async fn find_or_create_server(
        &self,
        user: UserId,
        name: &str,
        display_name: Option<&str>,
        options: Option<&serde_json::Value>,
        now: Time,
    ) -> Result<Option<(Server, bool)>> {
        let mut tx = self.pool.begin().await?;
        if !lock_names(&mut tx, user).await? {
            return Ok(None);
        }
        let known = named(&mut tx, user, name).await?;
        let id = match known {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO spawners (user_id, name, display_name, user_options, state)
                           VALUES ($1, $2, $3, $4, '{}') RETURNING id";
                returned(tx.row(sql, params![user, name, display_name, options]).await?, "id")?
            }
        };
        crate::adopt::ensure_row(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(self.server_by_id(id).await?.map(|server| (server, known.is_none())))
    }

    /// Deletes a server that is stopped and not wanted; tells whether it did.
    pub async fn delete_server(&self, id: SpawnerId) -> Result<bool> {
        self.changed(format!("DELETE FROM spawners WHERE id = $1 AND {AT_REST}"), params![id]).await
    }

    /// Gives a server that is stopped and not wanted another name; tells whether it did. `false` also when the user
    /// has a server of that name.
    pub async fn rename_server(&self, id: SpawnerId, name: &str) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let row = tx.row("SELECT user_id FROM spawners WHERE id = $1", params![id]).await?;
        let Some(user) = row.map(|row| row.get("user_id")).transpose()?.flatten() else { return Ok(false) };
        if !lock_names(&mut tx, user).await? || named(&mut tx, user, name).await?.is_some() {
            return Ok(false);
        }
        let sql = format!("UPDATE spawners SET name = $2 WHERE id = $1 AND {AT_REST}");
        let changed = tx.execute(sql, params![id, name]).await? > 0;
        tx.commit().await?;
        Ok(changed)
    }

    /// Replaces the options of the next start.
    pub async fn set_server_options(&self, id: SpawnerId, options: Option<&serde_json::Value>) -> Result<bool> {
        self.changed("UPDATE spawners SET user_options = $2 WHERE id = $1", params![id, options]).await
    }

    /// Replaces the name that people see.
    pub async fn set_server_display_name(&self, id: SpawnerId, display_name: Option<&str>) -> Result<bool> {
        self.changed("UPDATE spawners SET display_name = $2 WHERE id = $1", params![id, display_name]).await
    }
}

/// What of a driver's state outlives a start. By the name of its claim a server finds its files again; KubeSpawner keeps it
/// too when it clears its state. The claim is of one site.
const CLAIM: &str = "pvc_name";
const SITE: &str = "site";

/// The state that is left to a server between two starts, or with which a start at this place begins.
pub(crate) async fn lasting_state(tx: &mut Tx, id: SpawnerId, place: Option<&StartPlace>) -> Result<serde_json::Value> {
    let row = tx.row("SELECT state FROM spawners WHERE id = $1", params![id]).await?;
    let mut state = match row.map(|row| row.json("state")).transpose()? {
        Some(serde_json::Value::Object(state)) => state,
        _ => serde_json::Map::new(),
    };
    let has_claim = state.contains_key(CLAIM);
    state.retain(|name, _| has_claim && [CLAIM, SITE].contains(&name.as_str()));
    if let Some(StartPlace { site, is_first }) = place {
        let is_there = state.get(SITE).map_or(*is_first, |there| there == site.as_str());
        state.retain(|_, _| is_there);
        state.insert(SITE.to_owned(), site.as_str().into());
    }
    Ok(state.into())
}

/// The condition on the row `$1` of `spawners` that nothing of it exists, and nothing is wanted.
const AT_REST: &str = "server_id IS NULL AND NOT EXISTS (SELECT 1 FROM specola_servers p WHERE p.spawner_id = $1
    AND (p.phase <> 'stopped' OR p.desired = 'running'))";

/// Keeps others from naming servers of a user until the transaction ends: JupyterHub's table has no unique key for
/// it, so the user's row is the lock. Tells whether there is such a user.
async fn lock_names(tx: &mut Tx, user: UserId) -> Result<bool> {
    Ok(tx.execute("UPDATE users SET name = name WHERE id = $1", params![user]).await? > 0)
}

async fn named(tx: &mut Tx, user: UserId, name: &str) -> Result<Option<SpawnerId>> {
    let sql = "SELECT id FROM spawners WHERE user_id = $1 AND COALESCE(name, '') = $2 ORDER BY id";
    tx.row(sql, params![user, name]).await?.map(|row| row.get("id")).transpose()
}

fn running(row: &Row) -> Result<Running> {
    Ok(Running {
        id: row.get("id")?,
        user_name: row.get("user_name")?,
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        last_activity: row.get("last_activity")?,
    })
}

pub(crate) fn server(row: &Row) -> Result<Server> {
    let mut server = Server {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        user_name: row.get::<Option<String>>("user_name")?.unwrap_or_default(),
        user_created: row.get("user_created")?,
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        display_name: row.get("display_name")?,
        state: row.json_option("state")?,
        user_options: row.json_option("user_options")?,
        started: row.get("started")?,
        last_activity: row.get("last_activity")?,
        oauth_client_id: row.get("oauth_client_id")?,
        address: address(row)?,
        desired: row.get("desired")?,
        phase: row.get("phase")?,
        generation: row.get("generation")?,
        due_at: row.get("due_at")?,
        deadline_at: row.get("deadline_at")?,
        held_by: row.get("held_by")?,
        held_until: row.get("held_until")?,
        failure: row.json_option("failure")?,
        driver: row.get("driver")?,
        plan: row.json_option("plan")?,
        url: row.get("url")?,
        changed_at: row.get("changed_at")?,
        memory_full: memory_full(row)?,
    };
    if server.url.is_none() {
        server.url = server.address.as_ref().map(Address::url);
    }
    Ok(server)
}

fn memory_full(row: &Row) -> Result<Option<MemoryFull>> {
    let Some(at) = row.get("memory_full_at")? else { return Ok(None) };
    let limit = row.get::<Option<i64>>("memory_full_limit")?.and_then(|limit| u64::try_from(limit).ok());
    Ok(Some(MemoryFull { at, limit }))
}

/// The address of a row that joins `servers`, with its id as `server_id`.
pub(crate) fn address(row: &Row) -> Result<Option<Address>> {
    if row.get::<Option<i64>>("server_id")?.is_none() {
        return Ok(None);
    }
    let text = |column| row.get::<Option<String>>(column).map(Option::unwrap_or_default);
    let port = row.get::<Option<i64>>("port")?.unwrap_or(0);
    let port =
        u16::try_from(port).map_err(|_| crate::StoreError::Corrupt(format!("the table servers has a port {port}")))?;
    Ok(Some(Address {
        proto: text("proto")?,
        ip: text("ip")?,
        port,
        base_url: text("base_url")?,
        cookie_name: text("cookie_name")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_that_can_be_dialled() {
        let url = |ip: &str| {
            let (proto, base_url, cookie_name) = ("http".into(), "/user/a/".into(), "cookie".into());
            Address { proto, ip: ip.into(), port: 8080, base_url, cookie_name }.url()
        };
        assert_eq!(url("10.0.0.7"), "http://10.0.0.7:8080");
        assert_eq!(url("lab.example"), "http://lab.example:8080");
        assert_eq!(url("fd00::7"), "http://[fd00::7]:8080");
        assert_eq!(url(""), "http://127.0.0.1:8080");
        assert_eq!(url("0.0.0.0"), "http://127.0.0.1:8080");
    }
}

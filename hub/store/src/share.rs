//! `shares`: access to one server that its owner gave to a user or to a group.
//!
//! JupyterHub's table has no key over server and holder, and its filters in `scopes` are those of the day they were
//! written. So a share changes under a lock of its server's row, and every reader gets the present names beside the scopes.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::user::{Page, page_limit};
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::{GroupId, ShareId, SpawnerId, UserId};
use hub_core::scope;

/// A row of `shares` that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    pub id: ShareId,
    pub server: SharedServer,
    pub with: ShareWith,
    /// The name of the user or group it is shared with.
    pub with_name: String,
    /// As stored. Their filters may name what the server was called before: read them through `as_scopes`.
    pub scopes: Vec<String>,
    pub created_at: Time,
    /// JupyterHub makes shares that never expire.
    pub expires_at: Option<Time>,
}

/// A server somebody shares, as it is called now.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedServer {
    pub id: SpawnerId,
    pub owner_id: UserId,
    pub owner: String,
    /// Empty for the default server.
    pub name: String,
    /// Whether people can use it.
    pub ready: bool,
}

/// Whom a server is shared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShareWith {
    User(UserId),
    Group(GroupId),
}

/// Which shares or share codes to list, in the order they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareQuery {
    pub of: Shares,
    pub offset: u32,
    /// `None` for all.
    pub limit: Option<u32>,
}

/// What shares have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// They are of one server.
    OfServer(SpawnerId),
    /// They are of any server of this user.
    OfOwner(UserId),
    /// They are good for this user, by itself or as a member of a group.
    WithUser(UserId),
    /// They are of this group.
    WithGroup(GroupId),
}

impl Share {
    /// For the functions about scopes.
    pub fn as_scopes(&self) -> scope::Share<'_> {
        scope::Share { owner: &self.server.owner, server: &self.server.name, scopes: &self.scopes }
    }
}

/// A running server without a row of ours is JupyterHub's: taken as ready.
pub(crate) const SERVER: &str = "s.id AS spawner_id, s.name AS server, s.user_id AS owner_id, o.name AS owner,
    COALESCE(p.phase = 'ready' AND p.desired = 'running', s.server_id IS NOT NULL) AS ready";

const COLUMNS: &str = "SELECT h.id, h.scopes, h.created_at, h.expires_at, h.user_id, w.name AS user_name, h.group_id,
    g.name AS group_name, ";

/// A share whose server or holder is gone is gone with it (foreign keys); one without any is of no use to anyone.
const FROM: &str = " FROM shares h JOIN spawners s ON s.id = h.spawner_id JOIN users o ON o.id = s.user_id
    LEFT JOIN users w ON w.id = h.user_id LEFT JOIN groups g ON g.id = h.group_id
    LEFT JOIN specola_servers p ON p.spawner_id = s.id
    WHERE (h.user_id IS NOT NULL OR h.group_id IS NOT NULL) AND (h.expires_at IS NULL OR h.expires_at > $1) AND ";

impl Store {
    /// Lists shares in force, with the number of all that match.
    pub async fn list_shares(&self, query: &ShareQuery, now: Time) -> Result<Page<Share>> {
        let (condition, value) = query.of.condition();
        let count = format!("SELECT COUNT(*) AS total{FROM}{condition}");
        let total = self.pool.row(count, params![now, value.clone()]).await?;
        let sql = format!("{COLUMNS}{SERVER}{FROM}{condition} ORDER BY h.id LIMIT $3 OFFSET $4");
        let rows = self.pool.rows(sql, params![now, value, page_limit(query.limit), query.offset]).await?;
        let items = rows.iter().map(share).collect::<Result<_>>()?;
        Ok(Page { items, total: total.map_or(Ok(0), |row| row.get("total"))? })
    }

    /// All shares in force that are good for a user, by itself or as a member of a group.
    pub async fn shares_with(&self, user: UserId, now: Time) -> Result<Vec<Share>> {
        let (condition, value) = Shares::WithUser(user).condition();
        let sql = format!("{COLUMNS}{SERVER}{FROM}{condition} ORDER BY h.id");
        self.pool.rows(sql, params![now, value]).await?.iter().map(share).collect()
    }

    /// Finds the share of a server with somebody.
    pub async fn share(&self, server: SpawnerId, with: ShareWith, now: Time) -> Result<Option<Share>> {
        let sql = format!("{COLUMNS}{SERVER}{FROM} h.spawner_id = $2 AND {} = $3 ORDER BY h.id", with.column());
        self.pool.row(sql, params![now, server, with.id()]).await?.as_ref().map(share).transpose()
    }

    /// Makes, changes or ends the share of a server with somebody: `change` is told the present scopes, none if nothing
    /// is shared yet, and gives those that are to be. Returns what is left; `None` also when there is no such server.
    /// `Missing` when there is nobody to share with.
    pub async fn change_share(
        &self,
        server: SpawnerId,
        with: ShareWith,
        now: Time,
        change: impl FnOnce(scope::Share<'_>) -> Vec<String>,
    ) -> Result<Option<Share>> {
        let mut tx = self.pool.begin().await?;
        let share = change_share(&mut tx, server, with, now, change).await?;
        tx.commit().await?;
        Ok(share)
    }

    /// Ends the share of a server with somebody; tells whether there was one.
    pub async fn delete_share(&self, server: SpawnerId, with: ShareWith) -> Result<bool> {
        let sql = format!("DELETE FROM shares AS h WHERE h.spawner_id = $1 AND {} = $2", with.column());
        self.changed(sql, params![server, with.id()]).await
    }

    /// Ends all shares of a server; returns how many there were.
    pub async fn delete_shares_of(&self, server: SpawnerId) -> Result<u64> {
        self.pool.execute("DELETE FROM shares WHERE spawner_id = $1", params![server]).await
    }
}

impl ShareWith {
    /// The column that says so, of `shares` as `h`.
    fn column(self) -> &'static str {
        match self {
            Self::User(_) => "h.user_id",
            Self::Group(_) => "h.group_id",
        }
    }

    fn id(self) -> i64 {
        match self {
            Self::User(id) => id.0,
            Self::Group(id) => id.0,
        }
    }
}

impl Shares {
    /// The condition on `shares` or `share_codes` as `h` with their server as `s`, and its argument `$2`.
    pub(crate) fn condition(self) -> (&'static str, Value) {
        match self {
            Self::OfServer(id) => ("s.id = $2", id.into()),
            Self::OfOwner(id) => ("s.user_id = $2", id.into()),
            Self::WithGroup(id) => ("h.group_id = $2", id.into()),
            Self::WithUser(id) => {
                // Not an OR: PostgreSQL would read the whole table.
                let either = "h.id IN (SELECT a.id FROM shares a WHERE a.user_id = $2 UNION
                    SELECT b.id FROM shares b JOIN user_group_map m ON m.group_id = b.group_id WHERE m.user_id = $2)";
                (either, id.into())
            }
        }
    }
}

/// As `Store::change_share`, in a transaction.
pub(crate) async fn change_share(
    tx: &mut Tx,
    server: SpawnerId,
    with: ShareWith,
    now: Time,
    change: impl FnOnce(scope::Share<'_>) -> Vec<String>,
) -> Result<Option<Share>> {
    // The lock: of two that share the same server with the same person, one waits for the other.
    let locked = tx.execute("UPDATE spawners SET name = name WHERE id = $1", params![server]).await? > 0;
    let sql = "SELECT s.name, o.id AS owner_id, o.name AS owner FROM spawners s JOIN users o ON o.id = s.user_id WHERE s.id = $1";
    let Some(named) = tx.row(sql, params![server]).await?.filter(|_| locked) else { return Ok(None) };
    let text = |column| named.get::<Option<String>>(column).map(Option::unwrap_or_default);
    let (owner_id, owner, name): (UserId, _, _) = (named.get("owner_id")?, text("owner")?, text("name")?);
    let (ids, held) = present(tx, server, with, now).await?;
    let scopes = change(scope::Share { owner: &owner, server: &name, scopes: &held });
    let kept = if scopes.is_empty() { None } else { ids.first() };
    for id in ids.iter().filter(|id| Some(*id) != kept) {
        tx.execute("DELETE FROM shares WHERE id = $1", params![*id]).await?;
    }
    let id = match kept {
        _ if scopes.is_empty() => return Ok(None),
        Some(id) => {
            tx.execute("UPDATE shares SET scopes = $2 WHERE id = $1", params![*id, &scopes]).await?;
            *id
        }
        None => {
            let (user, group) = match with {
                ShareWith::User(id) => (Some(id), None),
                ShareWith::Group(id) => (None, Some(id)),
            };
            let sql = "INSERT INTO shares (user_id, group_id, created_at, scopes, owner_id, spawner_id)
                       VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
            returned(tx.row(sql, params![user, group, now, &scopes, owner_id, server]).await?, "id")?
        }
    };
    let sql = format!("{COLUMNS}{SERVER}{FROM} h.id = $2");
    tx.row(sql, params![now, id]).await?.as_ref().map(share).transpose()
}

/// The rows of one share and their scopes together: two rows can be there if something else wrote them, and what is
/// revoked must be gone from both. Those that have expired go.
async fn present(tx: &mut Tx, server: SpawnerId, with: ShareWith, now: Time) -> Result<(Vec<ShareId>, Vec<String>)> {
    let column = with.column();
    let sql = format!("DELETE FROM shares AS h WHERE h.spawner_id = $1 AND {column} = $2 AND h.expires_at <= $3");
    tx.execute(sql, params![server, with.id(), now]).await?;
    let sql = format!("SELECT h.id, h.scopes FROM shares h WHERE h.spawner_id = $1 AND {column} = $2 ORDER BY h.id");
    let (mut ids, mut scopes) = (Vec::new(), Vec::new());
    for row in tx.rows(sql, params![server, with.id()]).await? {
        ids.push(row.get("id")?);
        scopes.extend(row.scopes("scopes")?);
    }
    Ok((ids, scopes))
}

/// The server of a row that selects `SERVER`.
pub(crate) fn server(row: &Row) -> Result<SharedServer> {
    Ok(SharedServer {
        id: row.get("spawner_id")?,
        owner_id: row.get("owner_id")?,
        owner: row.get::<Option<String>>("owner")?.unwrap_or_default(),
        name: row.get::<Option<String>>("server")?.unwrap_or_default(),
        ready: row.get("ready")?,
    })
}

fn share(row: &Row) -> Result<Share> {
    let (with, name) = match row.get::<Option<GroupId>>("group_id")? {
        Some(group) => (ShareWith::Group(group), "group_name"),
        None => (ShareWith::User(row.get("user_id")?), "user_name"),
    };
    Ok(Share {
        id: row.get("id")?,
        server: server(row)?,
        with,
        with_name: row.get::<Option<String>>(name)?.unwrap_or_default(),
        scopes: row.scopes("scopes")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
    })
}

//! `share_codes`: what somebody may exchange for a share. Of a code the database has a hash.

use crate::error::Result;
use crate::row::Row;
use crate::share::{SERVER, Share, ShareQuery, ShareWith, SharedServer, change_share, server};
use crate::store::{Store, returned};
use crate::user::{Page, page_limit};
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::{ShareCodeId, SpawnerId, UserId};
use hub_core::scope;
use hub_core::secret::Secret;

/// A row of `share_codes` that is in force.
#[derive(Debug, Clone)]
pub struct ShareCode {
    pub id: ShareCodeId,
    pub server: SharedServer,
    /// JupyterHub's `sha512:rounds:salt:hex`.
    pub hashed: Secret,
    /// As stored. Their filters may name what the server was called before: read them through `as_scopes`.
    pub scopes: Vec<String>,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub exchange_count: i64,
    pub last_exchanged_at: Option<Time>,
}

/// A share code to record.
#[derive(Debug, Clone)]
pub struct NewShareCode {
    pub server: SpawnerId,
    /// JupyterHub's `sha512:rounds:salt:hex`.
    pub hashed: Secret,
    /// The first four characters of the code.
    pub prefix: String,
    pub scopes: Vec<String>,
    pub expires_at: Time,
    pub now: Time,
}

impl ShareCode {
    /// For the functions about scopes.
    pub fn as_scopes(&self) -> scope::Share<'_> {
        scope::Share { owner: &self.server.owner, server: &self.server.name, scopes: &self.scopes }
    }
}

const COLUMNS: &str =
    "SELECT h.id, h.hashed, h.scopes, h.created_at, h.expires_at, h.exchange_count, h.last_exchanged_at, ";

const FROM: &str = " FROM share_codes h JOIN spawners s ON s.id = h.spawner_id JOIN users o ON o.id = s.user_id
    LEFT JOIN specola_servers p ON p.spawner_id = s.id WHERE (h.expires_at IS NULL OR h.expires_at > $1) AND ";

impl Store {
    /// Records a code. `None` when there is no such server.
    pub async fn insert_share_code(&self, new: &NewShareCode) -> Result<Option<ShareCode>> {
        let sql = "INSERT INTO share_codes (hashed, prefix, exchange_count, created_at, scopes, expires_at, owner_id,
                       spawner_id)
                   SELECT $1, $2, 0, $3, $4, $5, s.user_id, s.id FROM spawners s WHERE s.id = $6 RETURNING id";
        let values = params![&new.hashed, &new.prefix, new.now, &new.scopes, new.expires_at, new.server];
        let row = self.pool.write_row(sql, values).await?;
        if row.is_none() {
            return Ok(None);
        }
        let id: ShareCodeId = returned(row, "id")?;
        Ok(self.share_codes("h.id = $2 ORDER BY h.id", id.into(), new.now).await?.pop())
    }

    /// The codes in force that begin with these four characters, to compare with.
    pub async fn share_codes_by_prefix(&self, prefix: &str, now: Time) -> Result<Vec<ShareCode>> {
        self.share_codes("h.prefix = $2 AND h.hashed IS NOT NULL ORDER BY h.id", prefix.into(), now).await
    }

    /// Lists codes in force, with the number of all that match. Codes are with nobody yet: that part of a query finds
    /// none.
    pub async fn list_share_codes(&self, query: &ShareQuery, now: Time) -> Result<Page<ShareCode>> {
        let (condition, value) = match query.of {
            crate::Shares::OfServer(_) | crate::Shares::OfOwner(_) => query.of.condition(),
            crate::Shares::WithUser(_) | crate::Shares::WithGroup(_) => {
                return Ok(Page { items: Vec::new(), total: 0 });
            }
        };
        let count = format!("SELECT COUNT(*) AS total{FROM}{condition}");
        let total = self.pool.row(count, params![now, value.clone()]).await?;
        let sql = format!("{COLUMNS}{SERVER}{FROM}{condition} ORDER BY h.id LIMIT $3 OFFSET $4");
        let rows = self.pool.rows(sql, params![now, value, page_limit(query.limit), query.offset]).await?;
        let items = rows.iter().map(code).collect::<Result<_>>()?;
        Ok(Page { items, total: total.map_or(Ok(0), |row| row.get("total"))? })
    }

    /// Exchanges a code for a share with a user, or extends the one there is. `change` is as for `change_share`. Every
    /// exchange counts, also one that changes nothing. `None` when the code is gone or has expired.
    pub async fn exchange_share_code(
        &self,
        id: ShareCodeId,
        user: UserId,
        now: Time,
        change: impl FnOnce(scope::Share<'_>) -> Vec<String>,
    ) -> Result<Option<Share>> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE share_codes SET exchange_count = COALESCE(exchange_count, 0) + 1, last_exchanged_at = $2
                   WHERE id = $1 AND (expires_at IS NULL OR expires_at > $2) RETURNING spawner_id";
        let row = tx.row(sql, params![id, now]).await?;
        let Some(server) = row.map(|row| row.get("spawner_id")).transpose()?.flatten() else { return Ok(None) };
        let share = change_share(&mut tx, server, ShareWith::User(user), now, change).await?;
        tx.commit().await?;
        Ok(share)
    }

    /// Deletes one code of a server; tells whether there was one.
    pub async fn delete_share_code(&self, server: SpawnerId, id: ShareCodeId) -> Result<bool> {
        self.changed("DELETE FROM share_codes WHERE spawner_id = $1 AND id = $2", params![server, id]).await
    }

    /// Deletes all codes of a server; returns how many there were.
    pub async fn delete_share_codes_of(&self, server: SpawnerId) -> Result<u64> {
        self.pool.execute("DELETE FROM share_codes WHERE spawner_id = $1", params![server]).await
    }

    async fn share_codes(&self, condition: &'static str, value: Value, now: Time) -> Result<Vec<ShareCode>> {
        let sql = format!("{COLUMNS}{SERVER}{FROM}{condition}");
        self.pool.rows(sql, vec![now.into(), value]).await?.iter().map(code).collect()
    }
}

fn code(row: &Row) -> Result<ShareCode> {
    Ok(ShareCode {
        id: row.get("id")?,
        server: server(row)?,
        hashed: row.get::<Option<Secret>>("hashed")?.unwrap_or_default(),
        scopes: row.scopes("scopes")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        exchange_count: row.get::<Option<i64>>("exchange_count")?.unwrap_or(0),
        last_exchanged_at: row.get("last_exchanged_at")?,
    })
}

//! Passwords of the built-in log-in. Hashing and checking happen elsewhere.

use crate::database::Tx;
use crate::error::Result;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;

/// The password of a user.
#[derive(Debug, Clone)]
pub struct Password {
    /// A PHC string of argon2.
    pub hash: Secret,
    /// Somebody else has set it: the user has to choose another.
    pub must_change: bool,
    pub changed_at: Time,
}

impl Store {
    /// Reads the password of a user.
    pub async fn password(&self, user: UserId) -> Result<Option<Password>> {
        let sql = "SELECT hash, must_change, changed_at FROM specola_passwords WHERE user_id = $1";
        let Some(row) = self.pool.row(sql, params![user]).await? else { return Ok(None) };
        let (hash, must_change) = (row.get("hash")?, row.get("must_change")?);
        Ok(Some(Password { hash, must_change, changed_at: row.get("changed_at")? }))
    }

    /// Sets the password of a user. `Missing` when there is no such user.
    pub async fn set_password(&self, user: UserId, hash: &Secret, must_change: bool, now: Time) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        set(&mut tx, user, hash, must_change, now).await?;
        tx.commit().await
    }

    /// Deletes the password of a user: no log-in with one until another is set.
    pub async fn delete_password(&self, user: UserId) -> Result<bool> {
        self.changed("DELETE FROM specola_passwords WHERE user_id = $1", params![user]).await
    }
}

/// Sets a password within a transaction.
pub(crate) async fn set(tx: &mut Tx, user: UserId, hash: &Secret, must_change: bool, now: Time) -> Result<()> {
    let sql = "INSERT INTO specola_passwords (user_id, hash, must_change, changed_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, must_change = excluded.must_change,
               changed_at = excluded.changed_at";
    tx.execute(sql, params![user, hash, must_change, now]).await.map(drop)
}

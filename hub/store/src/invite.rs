//! Invitations: links by which a user sets the first password, each good for one time.

use crate::error::Result;
use crate::password;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;

impl Store {
    /// Records an invitation by the hash of its token. `Missing` when there is no such user.
    pub async fn insert_invite(&self, hashed: &Secret, user: UserId, expires_at: Time) -> Result<()> {
        let sql = "INSERT INTO specola_invites (hashed, user_id, expires_at) VALUES ($1, $2, $3)";
        self.pool.execute(sql, params![hashed, user, expires_at]).await.map(drop)
    }

    /// Whom an invitation is for, while it can be used.
    pub async fn invite(&self, hashed: &Secret, now: Time) -> Result<Option<(UserId, Time)>> {
        let sql =
            "SELECT user_id, expires_at FROM specola_invites WHERE hashed = $1 AND used_at IS NULL AND expires_at > $2";
        let row = self.pool.row(sql, params![hashed, now]).await?;
        row.map(|row| Ok((row.get("user_id")?, row.get("expires_at")?))).transpose()
    }

    /// Uses an invitation up to set the password of whom it was for, by its hash: both or neither. Tells whom. Of two that
    /// try, one succeeds.
    pub async fn accept_invite(&self, hashed: &Secret, password: &Secret, now: Time) -> Result<Option<UserId>> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE specola_invites SET used_at = $2
                   WHERE hashed = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id";
        let Some(row) = tx.row(sql, params![hashed, now]).await? else { return Ok(None) };
        let user = row.get("user_id")?;
        password::set(&mut tx, user, password, false, now).await?;
        tx.commit().await?;
        Ok(Some(user))
    }
}

//! Invitations: links by which a user sets the first password, each good for one time.

use crate::error::Result;
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

    /// Uses an invitation up and tells whom it was for. Of two that try, one succeeds.
    pub async fn take_invite(&self, hashed: &Secret, now: Time) -> Result<Option<UserId>> {
        let sql = "UPDATE specola_invites SET used_at = $2
                   WHERE hashed = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id";
        self.pool.write_row(sql, params![hashed, now]).await?.map(|row| row.get("user_id")).transpose()
    }
}

//! Access tokens for an audience or a scope of somebody's own wish, encrypted by the caller: those that one hub was given, the
//! others give out too. They go with the person, with the login, and when they end.

use crate::database::Tx;
use crate::error::Result;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::UserId;

/// A token to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewUpstreamOther<'a> {
    pub user: UserId,
    /// What it was given for, in the hub's own form.
    pub want: &'a str,
    pub sealed: &'a [u8],
    pub got_at: Time,
    pub expires_at: Time,
    /// So many of a person are kept, the newest.
    pub most: u32,
}

impl Store {
    /// The token that was given for a wish of somebody's, if it has not ended.
    pub async fn upstream_other(&self, user: UserId, want: &str, now: Time) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT sealed FROM specola_upstream_others WHERE user_id = $1 AND want = $2 AND expires_at > $3";
        self.pool.row(sql, params![user, want, now]).await?.map(|row| row.get("sealed")).transpose()
    }

    /// Keeps a token in the place of the one before for the same wish.
    pub async fn put_upstream_other(&self, new: NewUpstreamOther<'_>) -> Result<()> {
        let NewUpstreamOther { user, want, sealed, got_at, expires_at, most } = new;
        let mut tx = self.pool.begin().await?;
        let sql = "INSERT INTO specola_upstream_others (user_id, want, sealed, got_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, want) DO UPDATE SET sealed = excluded.sealed,
                   got_at = excluded.got_at, expires_at = excluded.expires_at";
        tx.execute(sql, params![user, want, sealed, got_at, expires_at]).await?;
        let sql = "DELETE FROM specola_upstream_others WHERE user_id = $1 AND want <> $2 AND (expires_at <= $3
                   OR want NOT IN (SELECT o.want FROM specola_upstream_others o WHERE o.user_id = $1
                       ORDER BY o.got_at DESC, o.want LIMIT $4))";
        tx.execute(sql, params![user, want, got_at, most]).await?;
        tx.commit().await
    }

    /// Deletes the tokens that have ended; returns how many.
    pub async fn purge_upstream_others(&self, now: Time) -> Result<u64> {
        self.pool.execute("DELETE FROM specola_upstream_others WHERE expires_at <= $1", params![now]).await
    }
}

/// Deletes the tokens of a login that is over.
pub(crate) async fn forget(tx: &mut Tx, user: UserId) -> Result<()> {
    tx.execute("DELETE FROM specola_upstream_others WHERE user_id = $1", params![user]).await.map(drop)
}

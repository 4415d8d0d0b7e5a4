//! The regular removal of what has run out.

use crate::error::Result;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;

/// How many rows went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    pub tokens: u64,
    pub codes: u64,
    pub shares: u64,
    pub share_codes: u64,
    pub invites: u64,
    pub sessions: u64,
}

impl Store {
    /// Deletes tokens, codes, shares, share codes, invitations and sessions whose time is over. Each kind is a
    /// statement of its own: what one of them leaves behind goes the next time.
    pub async fn purge_expired(&self, now: Time) -> Result<Purged> {
        // The only one of these that keeps seconds since 1970.
        let codes = "DELETE FROM oauth_codes WHERE expires_at <= $1";
        Ok(Purged {
            tokens: self.purge("api_tokens", now).await?,
            codes: self.pool.patient().execute(codes, params![now.timestamp()]).await?,
            shares: self.purge("shares", now).await?,
            share_codes: self.purge("share_codes", now).await?,
            invites: self.purge("specola_invites", now).await?,
            sessions: self.purge("specola_sessions", now).await?,
        })
    }

    async fn purge(&self, table: &'static str, now: Time) -> Result<u64> {
        self.pool.patient().execute(format!("DELETE FROM {table} WHERE expires_at <= $1"), params![now]).await
    }
}

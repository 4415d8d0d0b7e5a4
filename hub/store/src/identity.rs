//! Who people are at identity providers, and who is refused until another login succeeds.

use crate::error::Result;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::UserId;

/// Somebody's account at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider's own name.
    pub issuer: String,
    /// The provider's own number of the person.
    pub subject: String,
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// When it was last used for a login.
    pub seen_at: Time,
}

/// Why somebody is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Since when.
    pub since: Time,
    /// What was recorded as the reason.
    pub reason: String,
}

impl Store {
    /// Records that somebody logged in with an account; one account of each provider is kept.
    pub async fn note_identity(&self, user: UserId, identity: &Identity) -> Result<()> {
        let sql = "INSERT INTO specola_identities (user_id, issuer, subject, provider, seen_at)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, issuer)
                   DO UPDATE SET subject = excluded.subject, provider = excluded.provider, seen_at = excluded.seen_at";
        let Identity { issuer, subject, provider, seen_at } = identity;
        self.pool.execute(sql, params![user, issuer, subject, provider, *seen_at]).await.map(drop)
    }

    /// The accounts of somebody, the latest used first.
    pub async fn identities_of(&self, user: UserId) -> Result<Vec<Identity>> {
        let sql = "SELECT issuer, subject, provider, seen_at FROM specola_identities WHERE user_id = $1
                   ORDER BY seen_at DESC, issuer";
        let rows = self.pool.rows(sql, params![user]).await?;
        let identity = |row: &crate::row::Row| {
            Ok(Identity {
                issuer: row.get("issuer")?,
                subject: row.get("subject")?,
                provider: row.get("provider")?,
                seen_at: row.get("seen_at")?,
            })
        };
        rows.iter().map(identity).collect()
    }

    /// Refuses somebody until `admit`. Returns false when that was so already; the first reason stays.
    pub async fn refuse(&self, user: UserId, reason: &str, now: Time) -> Result<bool> {
        let sql = "INSERT INTO specola_refusals (user_id, since, reason) VALUES ($1, $2, $3)
                   ON CONFLICT (user_id) DO NOTHING";
        self.changed(sql, params![user, now, reason]).await
    }

    /// Ends a refusal. Returns whether there was one.
    pub async fn admit(&self, user: UserId) -> Result<bool> {
        self.changed("DELETE FROM specola_refusals WHERE user_id = $1", params![user]).await
    }

    /// Why somebody is refused; `None` of everybody else.
    pub async fn refusal(&self, user: UserId) -> Result<Option<Refusal>> {
        let sql = "SELECT since, reason FROM specola_refusals WHERE user_id = $1";
        let Some(row) = self.pool.row(sql, params![user]).await? else { return Ok(None) };
        Ok(Some(Refusal { since: row.get("since")?, reason: row.get("reason")? }))
    }
}

//! Who did what to whom. Written, never changed.

use crate::error::Result;
use crate::store::{Store, returned};
use crate::value::params;
use hub_core::clock::Time;

/// An act to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    pub at: Time,
    /// `user:NAME`, `service:NAME`, `hub`.
    pub actor: String,
    /// `login`, `server.start`, `user.delete` …
    pub action: String,
    /// What it was done to, as the actor.
    pub object: String,
    /// Never a secret.
    pub detail: Option<serde_json::Value>,
}

impl Store {
    /// Records an act; returns its id.
    pub async fn append_audit(&self, audit: &NewAudit) -> Result<i64> {
        let sql = "INSERT INTO specola_audit (at, actor, action, object, detail) VALUES ($1, $2, $3, $4, $5)
                   RETURNING id";
        let values = params![audit.at, &audit.actor, &audit.action, &audit.object, audit.detail.as_ref()];
        returned(self.pool.write_row(sql, values).await?, "id")
    }

    /// The acts after the given id (0 for all), in their order, at most `limit`.
    pub async fn audit_since(&self, after: i64, limit: u32) -> Result<Vec<(i64, NewAudit)>> {
        let sql = "SELECT id, at, actor, action, object, detail FROM specola_audit
                   WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.pool.rows(sql, params![after, limit]).await?;
        let audit = |row: &crate::row::Row| {
            let detail = row.json_option("detail")?;
            let (actor, action, object) = (row.get("actor")?, row.get("action")?, row.get("object")?);
            Ok((row.get("id")?, NewAudit { at: row.get("at")?, actor, action, object, detail }))
        };
        rows.iter().map(audit).collect()
    }
}

//! Who did what to whom. Written, never changed; triggers in the database see to it.

use crate::error::Result;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::user::Page;
use crate::value::{Value, datetime_text, params};
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

/// Which acts to read. What is not said does not restrict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditQuery {
    /// The actor, in full.
    pub actor: Option<String>,
    /// The object, in full.
    pub object: Option<String>,
    /// Any of these actions, in full.
    pub actions: Option<Vec<String>>,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
    /// So many of the newest are left out.
    pub offset: u32,
    /// How many at most.
    pub limit: u32,
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
        self.pool.rows(sql, params![after, limit]).await?.iter().map(audit).collect()
    }

    /// The acts that a query asks for, the newest first, each with its id.
    pub async fn list_audit(&self, query: &AuditQuery) -> Result<Page<(i64, NewAudit)>> {
        let (condition, mut values) = restriction(query);
        let count = format!("SELECT COUNT(*) AS total FROM specola_audit{condition}");
        let total = returned(self.pool.row(count, values.clone()).await?, "total")?;
        let (limit, offset) = (values.len() + 1, values.len() + 2);
        let sql = format!(
            "SELECT id, at, actor, action, object, detail FROM specola_audit{condition}
             ORDER BY id DESC LIMIT ${limit} OFFSET ${offset}"
        );
        values.extend(params![query.limit, query.offset]);
        let items = self.pool.rows(sql, values).await?.iter().map(audit).collect::<Result<_>>()?;
        Ok(Page { items, total })
    }

    /// Deletes the acts from before an instant, the only ones that the database lets go; returns how many. The mark
    /// that allows it never moves back.
    pub async fn purge_audit(&self, before: Time) -> Result<u64> {
        let mut tx = self.pool.patient().begin().await?;
        let mark = "INSERT INTO specola_meta (name, value) VALUES ('audit_kept_since', $1)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value
                    WHERE excluded.value > specola_meta.value";
        tx.execute(mark, params![datetime_text(before)]).await?;
        let deleted = tx.execute("DELETE FROM specola_audit WHERE at < $1", params![before]).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

/// The condition of a query, with its arguments.
fn restriction(query: &AuditQuery) -> (String, Vec<Value>) {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(condition.replace("$n", &format!("${}", values.len())));
    };
    if let Some(actor) = &query.actor {
        add("actor = $n", actor.into());
    }
    if let Some(object) = &query.object {
        add("object = $n", object.into());
    }
    if let Some(actions) = &query.actions {
        add("action = ANY($n)", actions.clone().into());
    }
    if let Some(since) = query.since {
        add("at >= $n", since.into());
    }
    if let Some(until) = query.until {
        add("at < $n", until.into());
    }
    let text = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    (text, values)
}

fn audit(row: &Row) -> Result<(i64, NewAudit)> {
    let (actor, action, object) = (row.get("actor")?, row.get("action")?, row.get("object")?);
    Ok((row.get("id")?, NewAudit { at: row.get("at")?, actor, action, object, detail: row.json_option("detail")? }))
}

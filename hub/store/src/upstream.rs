//! Whom identity providers are to be asked about anew: when, by which hub, and what went wrong the last time.
//!
//! A lease keeps two hubs from using one refresh token at the same time: many providers take the second use for a theft. It
//! is measured by the database's clock alone: those of two machines may differ by more than a lease lasts.

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use serde_json::Value;

/// How it stands with the tokens of one person.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Upstream {
    /// When the provider is to be asked next; `None`: not until somebody wants something.
    pub due_at: Option<Time>,
    /// When the provider last vouched for them.
    pub checked_at: Option<Time>,
    /// What went wrong the last time, in the hub's own form.
    pub failure: Option<Value>,
    /// When it went wrong.
    pub failed_at: Option<Time>,
    /// How often it went wrong in a row.
    pub failures: u32,
}

const COLUMNS: &str = "SELECT due_at, checked_at, failure, failed_at, failures FROM specola_upstream";

impl Store {
    /// How it stands with somebody's tokens; `None` where no hub has looked yet.
    pub async fn upstream(&self, user: UserId) -> Result<Option<Upstream>> {
        let row = self.pool.row(format!("{COLUMNS} WHERE user_id = $1"), params![user]).await?;
        row.as_ref().map(upstream).transpose()
    }

    /// Records that the provider vouched for somebody, at a login or when it was asked: nothing is wrong.
    pub async fn upstream_good(&self, user: UserId, now: Time, due_at: Option<Time>) -> Result<()> {
        let sql = "INSERT INTO specola_upstream (user_id, due_at, checked_at) VALUES ($1, $3, $2)
                   ON CONFLICT (user_id) DO UPDATE SET due_at = $3, checked_at = $2, failure = NULL, failed_at = NULL,
                   failures = 0";
        self.pool.execute(sql, params![user, now, due_at]).await.map(drop)
    }

    /// Records that somebody has good tokens and when to look again, and nothing of whether the provider vouched for them.
    pub async fn upstream_renewed(&self, user: UserId, due_at: Option<Time>) -> Result<()> {
        let sql = "INSERT INTO specola_upstream (user_id, due_at) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET
                   due_at = $2, failure = NULL, failed_at = NULL, failures = 0";
        self.pool.execute(sql, params![user, due_at]).await.map(drop)
    }

    /// Records that somebody proved who they are in another way, whatever is wrong with their tokens.
    pub async fn upstream_vouched(&self, user: UserId, now: Time) -> Result<()> {
        let sql = "UPDATE specola_upstream SET checked_at = $2 WHERE user_id = $1";
        self.pool.execute(sql, params![user, now]).await.map(drop)
    }

    /// Records what went wrong, and when to try again, if at all by itself.
    pub async fn upstream_failed(&self, user: UserId, failure: &Value, now: Time, due_at: Option<Time>) -> Result<()> {
        let sql = "INSERT INTO specola_upstream (user_id, due_at, failure, failed_at, failures)
                   VALUES ($1, $4, $2, $3, 1) ON CONFLICT (user_id) DO UPDATE SET due_at = $4, failure = $2,
                   failed_at = $3, failures = specola_upstream.failures + 1";
        self.pool.execute(sql, params![user, failure, now, due_at]).await.map(drop)
    }

    /// Takes somebody's tokens for one hub, or holds on to them. False when another one has them.
    ///
    /// One that did not give them back may hold what the database was not there to take: when its lease has run out it
    /// gets `notice` more, from the moment that anybody asks, and only then they are another's.
    pub async fn claim_upstream(
        &self,
        user: UserId,
        holder: &str,
        lease: TimeDelta,
        notice: TimeDelta,
    ) -> Result<bool> {
        let (now, until) = (self.pool.now(), self.pool.in_seconds("$3"));
        let sql = format!(
            "INSERT INTO specola_upstream (user_id, held_by, held_until) VALUES ($1, $2, {until})
             ON CONFLICT (user_id) DO UPDATE SET held_by = $2, held_until = excluded.held_until, noticed = FALSE
             WHERE specola_upstream.held_until IS NULL OR specola_upstream.held_by = $2
                OR (specola_upstream.noticed AND specola_upstream.held_until <= {now})"
        );
        if self.changed(sql, params![user, holder, lease.num_seconds()]).await? {
            return Ok(true);
        }
        let sql = format!(
            "UPDATE specola_upstream SET noticed = TRUE, held_until = {until}
             WHERE user_id = $1 AND held_by <> $2 AND NOT noticed AND held_until <= {now}"
        );
        self.pool.execute(sql, params![user, holder, notice.num_seconds()]).await?;
        Ok(false)
    }

    /// Whether another hub has somebody's tokens.
    pub async fn is_upstream_held(&self, user: UserId, holder: &str) -> Result<bool> {
        let now = self.pool.now();
        let sql =
            format!("SELECT user_id FROM specola_upstream WHERE user_id = $1 AND held_by <> $2 AND held_until > {now}");
        Ok(self.pool.row(sql, params![user, holder]).await?.is_some())
    }

    /// Lets go of somebody's tokens.
    pub async fn release_upstream(&self, user: UserId, holder: &str) -> Result<bool> {
        let sql = "UPDATE specola_upstream SET held_by = NULL, held_until = NULL, noticed = FALSE
                   WHERE user_id = $1 AND held_by = $2";
        self.changed(sql, params![user, holder]).await
    }

    /// Who is due and about: with a server that is not stopped, a session that is valid, or a token used since `seen`. The
    /// longest waiting first.
    pub async fn due_upstreams(&self, now: Time, seen: Time, max: u32) -> Result<Vec<UserId>> {
        let by_database = self.pool.now();
        let sql = format!(
            "SELECT w.user_id FROM specola_upstream w
             WHERE w.due_at <= $1 AND (w.held_until IS NULL OR w.held_until <= {by_database}) AND (
                 EXISTS (SELECT 1 FROM specola_sessions s
                         WHERE s.user_id = w.user_id AND s.revoked_at IS NULL AND s.expires_at > $1)
                 OR EXISTS (SELECT 1 FROM spawners p JOIN specola_servers v ON v.spawner_id = p.id
                         WHERE p.user_id = w.user_id AND v.phase <> 'stopped')
                 OR EXISTS (SELECT 1 FROM api_tokens t WHERE t.user_id = w.user_id AND t.last_activity > $2))
             ORDER BY w.due_at LIMIT $3"
        );
        self.pool.rows(sql, params![now, seen, max]).await?.iter().map(|row| row.get("user_id")).collect()
    }
}

fn upstream(row: &Row) -> Result<Upstream> {
    Ok(Upstream {
        due_at: row.get("due_at")?,
        checked_at: row.get("checked_at")?,
        failure: row.json_option("failure")?,
        failed_at: row.get("failed_at")?,
        failures: u32::try_from(row.get::<i64>("failures")?).unwrap_or(u32::MAX),
    })
}

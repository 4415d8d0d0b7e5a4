//! Failed log-ins, counted by any key (a user's name, an address), so that guessing takes long on all hubs together.

use crate::error::Result;
use crate::store::{Store, returned};
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;

/// When a key is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Failures within the window that block; those before are free.
    pub failures: u32,
    /// The time after the first failure in which others count with it.
    pub window: TimeDelta,
    /// How long a key is blocked.
    pub block: TimeDelta,
}

impl Store {
    /// Counts a failure; returns until when the key is blocked, if it is. Failures at once are all counted.
    pub async fn record_login_failure(&self, key: &str, throttle: Throttle, now: Time) -> Result<Option<Time>> {
        let Throttle { failures, window, block } = throttle;
        // $3: failures before it are of an older window. The first failure blocks too where one is enough.
        let sql = "INSERT INTO specola_login_failures (key, failures, first_at, blocked_until)
                   VALUES ($1, 1, $2, CASE WHEN $4 <= 1 THEN $5 END)
                   ON CONFLICT (key) DO UPDATE SET
                   failures = CASE WHEN specola_login_failures.first_at <= $3 THEN 1
                       ELSE specola_login_failures.failures + 1 END,
                   first_at = CASE WHEN specola_login_failures.first_at <= $3 THEN excluded.first_at
                       ELSE specola_login_failures.first_at END,
                   blocked_until = CASE
                       WHEN specola_login_failures.first_at <= $3 THEN excluded.blocked_until
                       WHEN specola_login_failures.failures + 1 >= $4 THEN $5
                       ELSE specola_login_failures.blocked_until END
                   RETURNING blocked_until";
        let row = self.pool.write_row(sql, params![key, now, now - window, failures, now + block]).await?;
        Ok(returned::<Option<Time>>(row, "blocked_until")?.filter(|until| *until > now))
    }

    /// Until when a log-in is refused, by any of its keys. `None` when none is blocked.
    pub async fn login_blocked_until(&self, keys: &[String], now: Time) -> Result<Option<Time>> {
        let sql = "SELECT MAX(blocked_until) AS until FROM specola_login_failures
                   WHERE key = ANY($1) AND blocked_until > $2";
        let row = self.pool.row(sql, params![keys.to_vec(), now]).await?;
        Ok(row.map(|row| row.get("until")).transpose()?.flatten())
    }

    /// Forgets the failures of a key, after a log-in that succeeded.
    pub async fn clear_login_failures(&self, key: &str) -> Result<bool> {
        self.changed("DELETE FROM specola_login_failures WHERE key = $1", params![key]).await
    }

    /// Forgets keys whose first failure was before an instant and that are not blocked; returns how many.
    pub async fn purge_login_failures(&self, before: Time, now: Time) -> Result<u64> {
        let sql = "DELETE FROM specola_login_failures
                   WHERE first_at < $1 AND (blocked_until IS NULL OR blocked_until <= $2)";
        self.pool.execute(sql, params![before, now]).await
    }
}

//! Browser sessions, so that people can see and end them. JupyterHub's cookies work without a row here as well; what
//! that means is the caller's decision.

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;

/// A session to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    pub session_id: String,
    pub user_id: UserId,
    pub now: Time,
    pub expires_at: Time,
    /// Where the log-in came from.
    pub address: Option<String>,
    /// The browser, by its own words.
    pub agent: Option<String>,
}

/// A session as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub session_id: String,
    pub user_id: UserId,
    pub created_at: Time,
    pub last_seen_at: Time,
    pub expires_at: Time,
    pub revoked_at: Option<Time>,
    pub address: Option<String>,
    pub agent: Option<String>,
}

impl Session {
    /// Whether it is neither revoked nor over.
    pub fn is_valid(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

const COLUMNS: &str = "SELECT session_id, user_id, created_at, last_seen_at, expires_at, revoked_at, address, agent
                       FROM specola_sessions ";

impl Store {
    /// Records a session. `Conflict` when the id is taken, `Missing` when there is no such user.
    pub async fn insert_session(&self, session: &NewSession) -> Result<()> {
        let sql = "INSERT INTO specola_sessions (session_id, user_id, created_at, last_seen_at, expires_at, address,
                   agent) VALUES ($1, $2, $3, $3, $4, $5, $6)";
        let values = params![
            &session.session_id,
            session.user_id,
            session.now,
            session.expires_at,
            session.address.as_deref(),
            session.agent.as_deref(),
        ];
        self.pool.execute(sql, values).await.map(drop)
    }

    /// Finds a session, valid or not: one that was revoked must be told from one that never had a row.
    pub async fn session(&self, session_id: &str) -> Result<Option<Session>> {
        let sql = format!("{COLUMNS}WHERE session_id = $1");
        self.pool.row(sql, params![session_id]).await?.as_ref().map(session).transpose()
    }

    /// The valid sessions of a user, the latest seen first.
    pub async fn sessions_of(&self, user: UserId, now: Time) -> Result<Vec<Session>> {
        let sql = format!(
            "{COLUMNS}WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
             ORDER BY last_seen_at DESC, session_id"
        );
        self.pool.rows(sql, params![user, now]).await?.iter().map(session).collect()
    }

    /// Records that a session was used, unless that was recorded less than `resolution` ago.
    pub async fn touch_session(&self, session_id: &str, now: Time, resolution: TimeDelta) -> Result<bool> {
        let sql = "UPDATE specola_sessions SET last_seen_at = $2 WHERE session_id = $1 AND last_seen_at < $3";
        self.changed(sql, params![session_id, now, now - resolution]).await
    }

    /// Ends a session.
    pub async fn revoke_session(&self, session_id: &str, now: Time) -> Result<bool> {
        let sql = "UPDATE specola_sessions SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL";
        self.changed(sql, params![session_id, now]).await
    }

    /// Ends every session of a user; returns how many.
    pub async fn revoke_sessions_of(&self, user: UserId, now: Time) -> Result<u64> {
        let sql = "UPDATE specola_sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL";
        self.pool.execute(sql, params![user, now]).await
    }
}

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        session_id: row.get("session_id")?,
        user_id: row.get("user_id")?,
        created_at: row.get("created_at")?,
        last_seen_at: row.get("last_seen_at")?,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
        address: row.get("address")?,
        agent: row.get("agent")?,
    })
}

//! `specola_services` and `specola_config_tokens`: who runs a managed service, whether a service answers, and which
//! tokens the configuration has made.

use crate::error::Result;
use crate::store::Store;
use crate::token::{self, NewToken};
use crate::value::params;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{ServiceId, TokenId};

/// What was found when a service was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    pub id: ServiceId,
    /// Nothing, as long as nobody has asked.
    pub answers: Option<bool>,
    /// Why it does not.
    pub detail: Option<String>,
    /// Since when that is so.
    pub changed_at: Time,
}

impl Store {
    /// Takes a service, so that no other hub runs its process, or holds on to it. Whether it is ours.
    pub async fn claim_service(&self, id: ServiceId, holder: &str, now: Time, lease: TimeDelta) -> Result<bool> {
        let (present, end) = (self.pool.present("$3"), self.pool.relative("$3", "$4"));
        let sql = format!(
            "INSERT INTO specola_services (service_id, held_by, held_until, changed_at) VALUES ($1, $2, {end}, $3)
             ON CONFLICT (service_id) DO UPDATE SET held_by = excluded.held_by, held_until = excluded.held_until
             WHERE specola_services.held_by IS NULL OR specola_services.held_by = $2
             OR specola_services.held_until <= {present}"
        );
        self.changed(sql, params![id, holder, now, now + lease]).await
    }

    /// Lets go of a service.
    pub async fn release_service(&self, id: ServiceId, holder: &str) -> Result<bool> {
        let sql =
            "UPDATE specola_services SET held_by = NULL, held_until = NULL WHERE service_id = $1 AND held_by = $2";
        self.changed(sql, params![id, holder]).await
    }

    /// Notes whether a service answers; whether that is news.
    pub async fn note_service(&self, id: ServiceId, answers: bool, detail: Option<&str>, now: Time) -> Result<bool> {
        let sql = "INSERT INTO specola_services (service_id, answers, detail, changed_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (service_id) DO UPDATE SET answers = excluded.answers, detail = excluded.detail,
                   changed_at = excluded.changed_at
                   WHERE specola_services.answers IS NULL OR specola_services.answers <> excluded.answers";
        self.changed(sql, params![id, answers, detail, now]).await
    }

    /// What is known of all services.
    pub async fn service_states(&self) -> Result<Vec<ServiceState>> {
        let rows = self
            .pool
            .rows("SELECT service_id, answers, detail, changed_at FROM specola_services ORDER BY service_id", params![])
            .await?;
        let state = |row: &crate::row::Row| {
            Ok(ServiceState {
                id: row.get("service_id")?,
                answers: row.get("answers")?,
                detail: row.get("detail")?,
                changed_at: row.get("changed_at")?,
            })
        };
        rows.iter().map(state).collect()
    }

    /// Records a token that the configuration names.
    pub async fn insert_config_token(&self, token: &NewToken) -> Result<TokenId> {
        let mut tx = self.pool.begin().await?;
        let id = token::insert(&mut tx, token).await?;
        tx.execute("INSERT INTO specola_config_tokens (token_id) VALUES ($1)", params![id]).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Deletes the tokens that the configuration had made, and those JupyterHub made for services of its own, but for
    /// those that are still wanted. Services of the API keep theirs, on which JupyterHub writes the same note. Returns
    /// how many.
    pub async fn delete_config_tokens_but(&self, wanted: &[TokenId]) -> Result<u64> {
        let wanted: Vec<i64> = wanted.iter().map(|id| id.0).collect();
        let sql = "DELETE FROM api_tokens WHERE (id IN (SELECT token_id FROM specola_config_tokens)
                   OR (note = 'from config' AND service_id IN (SELECT id FROM services WHERE from_config)))
                   AND NOT (id = ANY($1))";
        self.pool.execute(sql, params![wanted]).await
    }

    /// Deletes the tokens of a service that carry a note; returns how many.
    pub async fn delete_service_tokens(&self, id: ServiceId, note: &str) -> Result<u64> {
        self.pool.execute("DELETE FROM api_tokens WHERE service_id = $1 AND note = $2", params![id, note]).await
    }
}

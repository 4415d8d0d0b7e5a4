//! When servers, people and tokens were active last: of many at once, in one statement a table, and only ever forward.

use crate::database::Tx;
use crate::error::Result;
use crate::store::Store;
use crate::value::{datetime_text, params};
use hub_core::clock::Time;
use hub_core::id::{SpawnerId, TokenId, UserId};
use serde_json::{Value, json};

impl Store {
    /// Records that a server and its user were active.
    pub async fn touch_server(&self, id: SpawnerId, at: Time) -> Result<()> {
        self.touch_servers(&[(id, at)]).await
    }

    /// Records the activity of many servers and their users at once; unknown servers are passed over.
    pub async fn touch_servers(&self, seen: &[(SpawnerId, Time)]) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let seen = list(seen.iter().map(|(id, at)| (id.0, *at)));
        // Servers first, then users: two hubs never wait for each other's rows.
        let mut tx = self.pool.begin().await?;
        tx.touch("spawners", "SELECT t.id, t.at FROM", "", &seen).await?;
        let users = "SELECT s.user_id AS id, t.at FROM spawners s JOIN";
        tx.touch("users", users, "ON t.id = s.id WHERE s.user_id IS NOT NULL", &seen).await?;
        tx.commit().await
    }

    /// Records the use of many tokens and the activity of many users at once.
    pub async fn touch(&self, tokens: &[(TokenId, Time)], users: &[(UserId, Time)]) -> Result<()> {
        let tokens = list(tokens.iter().map(|(id, at)| (id.0, *at)));
        let users = list(users.iter().map(|(id, at)| (id.0, *at)));
        let mut tx = self.pool.begin().await?;
        for (table, seen) in [("api_tokens", tokens), ("users", users)] {
            tx.touch(table, "SELECT t.id, t.at FROM", "", &seen).await?;
        }
        tx.commit().await
    }
}

/// Instants by id, as one argument.
fn list(seen: impl Iterator<Item = (i64, Time)>) -> Value {
    seen.map(|(id, at)| json!({ "id": id, "at": datetime_text(at) })).collect()
}

impl Tx {
    /// Moves the last activity of rows of a table forward. `before` and `after` stand around the list `t` of ids and instants.
    async fn touch(
        &mut self,
        table: &'static str,
        before: &'static str,
        after: &'static str,
        seen: &Value,
    ) -> Result<()> {
        if seen.as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        // Rows are locked in order of id, whatever order they are changed in: two hubs never wait for each other's.
        let (seen_by_id, lock) = match self {
            Self::Sqlite(_) => ("(SELECT value ->> 'id' AS id, value ->> 'at' AS at FROM json_each($1)) AS t", ""),
            Self::Postgres(_) => {
                ("json_to_recordset(CAST($1 AS json)) AS t (id bigint, at timestamp)", "FOR NO KEY UPDATE OF o")
            }
        };
        let sql = format!(
            "WITH seen AS (SELECT id, MAX(at) AS at FROM ({before} {seen_by_id} {after}) AS one GROUP BY id),
             late AS (SELECT o.id, seen.at FROM {table} o JOIN seen ON seen.id = o.id
                 WHERE o.last_activity IS NULL OR o.last_activity < seen.at ORDER BY o.id {lock})
             UPDATE {table} SET last_activity = late.at FROM late WHERE {table}.id = late.id"
        );
        self.execute(sql, params![seen]).await.map(drop)
    }
}

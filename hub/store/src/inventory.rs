//! What a database of JupyterHub holds, counted and listed for an operator who wants to take it over.

use crate::candidate::Candidate;
use crate::error::Result;
use crate::row::Row;
use crate::value::{Value, params};
use hub_core::clock::Time;

/// What there is, of all kinds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    /// Names of users.
    pub users: Vec<String>,
    /// How many of them administer the hub.
    pub admins: i64,
    /// How many were active within the last 30 days.
    pub active: i64,
    /// Names of groups.
    pub groups: Vec<String>,
    /// How many times somebody is a member.
    pub memberships: i64,
    /// Names of roles.
    pub roles: Vec<String>,
    /// Tokens of users and of services that are good now, those of browsers and servers not counted.
    pub tokens: i64,
    /// How many of those were used within the last 30 days.
    pub used_tokens: i64,
    /// Tokens that servers and browsers were given.
    pub oauth_tokens: i64,
    /// Browser sessions that hold a token.
    pub sessions: i64,
    /// Shares that are good now.
    pub shares: i64,
    /// Share codes that are good now.
    pub share_codes: i64,
    /// Names of services.
    pub services: Vec<String>,
    /// Servers that are not running.
    pub stopped: i64,
    /// Servers that are.
    pub running: Vec<RunningServer>,
    /// Names of all named servers, with their owners.
    pub named: Vec<(String, String)>,
    /// Rows whose scopes cannot be read.
    pub unreadable_scopes: i64,
}

/// A server that JupyterHub believes to run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningServer {
    /// Its owner.
    pub user: String,
    /// Its name, empty for the default one.
    pub server: String,
    /// What its spawner saved; null for nothing.
    pub state: serde_json::Value,
    /// Whether it speaks TLS, as servers do with `internal_ssl`.
    pub tls: bool,
}

/// An encrypted auth state and whose it is.
pub type AuthState = (String, Vec<u8>);

const LATELY: chrono::TimeDelta = chrono::TimeDelta::days(30);

impl Candidate {
    /// Counts and lists everything that a hub would take over.
    pub async fn inventory(&mut self, now: Time) -> Result<Inventory> {
        let (has_shares, good) = (self.has("shares"), "(expires_at IS NULL OR expires_at > $1)");
        let lately = now - LATELY;
        let own = format!("FROM api_tokens WHERE session_id IS NULL AND client_id = 'jupyterhub' AND {good}");
        let others = format!("FROM api_tokens WHERE (session_id IS NOT NULL OR client_id <> 'jupyterhub') AND {good}");
        let mut inventory = Inventory {
            users: self.names("users").await?,
            admins: self.count("SELECT COUNT(*) AS count FROM users WHERE admin = TRUE", params![]).await?,
            active: self.count("SELECT COUNT(*) AS count FROM users WHERE last_activity > $1", params![lately]).await?,
            groups: self.names("groups").await?,
            memberships: self.count("SELECT COUNT(*) AS count FROM user_group_map", params![]).await?,
            roles: self.names("roles").await?,
            tokens: self.count(format!("SELECT COUNT(*) AS count {own}"), params![now]).await?,
            used_tokens: self
                .count(format!("SELECT COUNT(*) AS count {own} AND last_activity > $2"), params![now, lately])
                .await?,
            oauth_tokens: self.count(format!("SELECT COUNT(*) AS count {others}"), params![now]).await?,
            sessions: self
                .count(format!("SELECT COUNT(DISTINCT session_id) AS count FROM api_tokens WHERE {good}"), params![now])
                .await?,
            services: self.names("services").await?,
            stopped: self.count("SELECT COUNT(*) AS count FROM spawners WHERE server_id IS NULL", params![]).await?,
            unreadable_scopes: self.unreadable("api_tokens").await? + self.unreadable("roles").await?,
            ..Inventory::default()
        };
        if has_shares {
            let sql = |table| format!("SELECT COUNT(*) AS count FROM {table} WHERE {good}");
            inventory.shares = self.count(sql("shares"), params![now]).await?;
            inventory.share_codes = self.count(sql("share_codes"), params![now]).await?;
        }
        self.servers(&mut inventory).await?;
        Ok(inventory)
    }

    /// Every encrypted auth state.
    pub async fn auth_states(&mut self) -> Result<Vec<AuthState>> {
        let sql = "SELECT name, encrypted_auth_state AS state FROM users WHERE encrypted_auth_state IS NOT NULL";
        let rows = self.tx.rows(sql, params![]).await?;
        rows.iter().map(|row| Ok((text(row, "name")?, row.get("state")?))).collect()
    }

    async fn servers(&mut self, inventory: &mut Inventory) -> Result<()> {
        let sql = "SELECT u.name AS user_name, s.name, s.server_id, s.state, v.proto FROM spawners s
                   JOIN users u ON u.id = s.user_id LEFT JOIN servers v ON v.id = s.server_id ORDER BY s.id";
        for row in self.tx.rows(sql, params![]).await? {
            let (user, server) = (text(&row, "user_name")?, text(&row, "name")?);
            if !server.is_empty() {
                inventory.named.push((user.clone(), server.clone()));
            }
            if row.get::<Option<i64>>("server_id")?.is_some() {
                let tls = row.get::<Option<String>>("proto")?.as_deref() == Some("https");
                inventory.running.push(RunningServer { user, server, state: row.json("state")?, tls });
            }
        }
        Ok(())
    }

    async fn names(&mut self, table: &str) -> Result<Vec<String>> {
        let rows = self.tx.rows(format!("SELECT name FROM {table} ORDER BY id"), params![]).await?;
        rows.iter().map(|row| text(row, "name")).collect()
    }

    async fn count(&mut self, sql: impl Into<crate::database::Sql>, params: Vec<Value>) -> Result<i64> {
        self.tx.row(sql, params).await?.map_or(Ok(0), |row| row.get("count"))
    }

    async fn unreadable(&mut self, table: &str) -> Result<i64> {
        let rows = self.tx.rows(format!("SELECT DISTINCT scopes FROM {table}"), params![]).await?;
        Ok(rows.iter().filter(|row| row.scopes("scopes").is_err()).count() as i64)
    }
}

/// A text that may be missing.
fn text(row: &Row, column: &'static str) -> Result<String> {
    Ok(row.get::<Option<String>>(column)?.unwrap_or_default())
}

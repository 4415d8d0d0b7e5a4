//! `api_tokens`: hashes of tokens. Hashing and comparing happen elsewhere.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::{ServiceId, TokenId, UserId};
use hub_core::secret::Secret;

/// Whose rights a token carries at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenOwner {
    User(UserId),
    Service(ServiceId),
}

/// A row of `api_tokens`.
#[derive(Debug, Clone)]
pub struct Token {
    pub id: TokenId,
    pub owner: TokenOwner,
    /// JupyterHub's `sha512:rounds:salt:hex`.
    pub hashed: Secret,
    /// The first four characters of the token.
    pub prefix: String,
    /// The OAuth client it was made for; `jupyterhub` for those people and the API make.
    pub client_id: Option<String>,
    /// The description of that client.
    pub client_description: Option<String>,
    /// The browser session it was made in by an OAuth log-in.
    pub session_id: Option<String>,
    pub note: String,
    /// Unexpanded scopes.
    pub scopes: Vec<String>,
    pub created: Option<Time>,
    pub expires_at: Option<Time>,
    pub last_activity: Option<Time>,
}

/// A token to record.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub owner: TokenOwner,
    /// JupyterHub's `sha512:rounds:salt:hex`.
    pub hashed: Secret,
    /// The first four characters of the token.
    pub prefix: String,
    /// An existing OAuth client; `HUB_CLIENT` for a token of the API.
    pub client_id: String,
    pub session_id: Option<String>,
    pub note: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Time>,
    pub now: Time,
}

/// A token whose owner is gone cannot exist (foreign key), one without an owner is of no use to anyone.
const COLUMNS: &str = "SELECT t.id, t.user_id, t.service_id, t.hashed, t.prefix, t.client_id, t.session_id, t.created,
    t.expires_at, t.last_activity, t.note, t.scopes, c.description FROM api_tokens t
    LEFT JOIN oauth_clients c ON c.identifier = t.client_id
    WHERE (t.user_id IS NOT NULL OR t.service_id IS NOT NULL) AND ";

const TOUCH: &str = "UPDATE api_tokens SET last_activity = $2
                     WHERE id = $1 AND (last_activity IS NULL OR last_activity < $2)";

impl Store {
    /// Records a token. `Missing` when its owner or client does not exist.
    pub async fn insert_token(&self, token: &NewToken) -> Result<TokenId> {
        let mut tx = self.pool.begin().await?;
        let id = insert(&mut tx, token).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The tokens that begin with these four characters and have not expired, to compare with.
    pub async fn tokens_by_prefix(&self, prefix: &str, now: Time) -> Result<Vec<Token>> {
        self.tokens("t.prefix = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)", params![prefix, now]).await
    }

    /// The tokens of an owner that have not expired, in the order they were made.
    pub async fn tokens_of(&self, owner: TokenOwner, now: Time) -> Result<Vec<Token>> {
        let not_expired = "(t.expires_at IS NULL OR t.expires_at > $2) ORDER BY t.id";
        match owner {
            TokenOwner::User(id) => self.tokens(&format!("t.user_id = $1 AND {not_expired}"), params![id, now]).await,
            TokenOwner::Service(id) => {
                self.tokens(&format!("t.service_id = $1 AND {not_expired}"), params![id, now]).await
            }
        }
    }

    /// Finds a token by its id, expired or not.
    pub async fn token(&self, id: TokenId) -> Result<Option<Token>> {
        Ok(self.tokens("t.id = $1", params![id]).await?.into_iter().next())
    }

    async fn tokens(&self, condition: &str, params: Vec<Value>) -> Result<Vec<Token>> {
        self.pool.rows(format!("{COLUMNS}{condition}"), params).await?.iter().map(token).collect()
    }

    /// Deletes one token.
    pub async fn delete_token(&self, id: TokenId) -> Result<bool> {
        self.changed("DELETE FROM api_tokens WHERE id = $1", params![id]).await
    }

    /// Deletes what an OAuth client holds of a user; returns how many tokens.
    pub async fn delete_tokens_of_client(&self, user: UserId, client_id: &str) -> Result<u64> {
        let sql = "DELETE FROM api_tokens WHERE user_id = $1 AND client_id = $2";
        self.pool.execute(sql, params![user, client_id]).await
    }

    /// Deletes what was made in a browser session of a user, at log-out; returns how many tokens.
    pub async fn delete_tokens_of_session(&self, user: UserId, session_id: &str) -> Result<u64> {
        let sql = "DELETE FROM api_tokens WHERE user_id = $1 AND session_id = $2";
        self.pool.execute(sql, params![user, session_id]).await
    }

    /// Deletes every token of a user that was made by an OAuth log-in; returns how many.
    pub async fn delete_oauth_tokens_of(&self, user: UserId) -> Result<u64> {
        let sql = "DELETE FROM api_tokens WHERE user_id = $1 AND session_id IS NOT NULL";
        self.pool.execute(sql, params![user]).await
    }

    /// Records that a token was used; only ever moves forward.
    pub async fn touch_token(&self, id: TokenId, at: Time) -> Result<bool> {
        self.changed(TOUCH, params![id, at]).await
    }
}

/// Records a token within a transaction.
pub(crate) async fn insert(tx: &mut Tx, token: &NewToken) -> Result<TokenId> {
    let (user, service) = match token.owner {
        TokenOwner::User(id) => (Some(id), None),
        TokenOwner::Service(id) => (None, Some(id)),
    };
    const NAMES: &str = "user_id, service_id, hashed, prefix, client_id, session_id, created, expires_at, note, scopes";
    const VALUES: &str = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10";
    let id = next_id(tx).await?;
    let sql = match id {
        Some(_) => format!("INSERT INTO api_tokens ({NAMES}, id) VALUES ({VALUES}, $11) RETURNING id"),
        None => format!("INSERT INTO api_tokens ({NAMES}) VALUES ({VALUES}) RETURNING id"),
    };
    let mut values = params![
        user,
        service,
        &token.hashed,
        &token.prefix,
        &token.client_id,
        token.session_id.as_deref(),
        token.now,
        token.expires_at,
        &token.note,
        &token.scopes,
    ];
    values.extend(id.map(Value::from));
    returned(tx.row(sql, values).await?, "id")
}

/// The id of the next token, where the database would give that of a deleted one again: SQLite takes the highest there
/// is, and one more. Whoever revokes a token by its id must not meet the next one. PostgreSQL never goes back.
async fn next_id(tx: &mut Tx) -> Result<Option<i64>> {
    if matches!(tx, Tx::Postgres(_)) {
        return Ok(None);
    }
    note_highest_id(tx).await?;
    let sql = "UPDATE specola_counters SET value = value + 1 WHERE name = 'tokens' RETURNING value";
    returned(tx.row(sql, params![]).await?, "value").map(Some)
}

/// Remembers the highest id of a token there is, so that it is not given again. JupyterHub may have made some as well.
pub(crate) async fn note_highest_id(tx: &mut Tx) -> Result<()> {
    if matches!(tx, Tx::Postgres(_)) {
        return Ok(());
    }
    let sql =
        "INSERT INTO specola_counters (name, value) SELECT 'tokens', COALESCE(MAX(id), 0) FROM api_tokens WHERE TRUE
               ON CONFLICT (name) DO UPDATE SET value = MAX(specola_counters.value, excluded.value)";
    tx.execute(sql, params![]).await.map(drop)
}

fn token(row: &Row) -> Result<Token> {
    let owner = match row.get::<Option<UserId>>("user_id")? {
        Some(id) => TokenOwner::User(id),
        None => TokenOwner::Service(row.get("service_id")?),
    };
    Ok(Token {
        id: row.get("id")?,
        owner,
        // JupyterHub allows a token without a hash: it opens nothing.
        hashed: row.get::<Option<Secret>>("hashed")?.unwrap_or_else(|| Secret::new("")),
        prefix: row.get::<Option<String>>("prefix")?.unwrap_or_default(),
        client_id: row.get("client_id")?,
        client_description: row.get("description")?,
        session_id: row.get("session_id")?,
        note: row.get::<Option<String>>("note")?.unwrap_or_default(),
        scopes: row.scopes("scopes")?,
        created: row.get("created")?,
        expires_at: row.get("expires_at")?,
        last_activity: row.get("last_activity")?,
    })
}

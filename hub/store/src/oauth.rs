//! `oauth_clients` and `oauth_codes`: who may ask for log-ins, and the codes on their way.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::token::{self, NewToken};
use crate::value::params;
use hub_core::clock::Time;
use hub_core::id::{TokenId, UserId};
use hub_core::secret::Secret;
use hub_core::token as hashes;

/// The client of the hub itself, which its own tokens belong to.
pub const HUB_CLIENT: &str = "jupyterhub";

/// How long a code may be exchanged, in seconds (oauthlib's default, which JupyterHub keeps).
pub const CODE_SECONDS: i64 = 300;

/// A row of `oauth_clients`.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// `jupyterhub-user-…` for servers, `service-…` for services.
    pub identifier: String,
    pub description: String,
    /// The hash of the client's secret; empty for a client that cannot ask for tokens.
    pub secret: Secret,
    pub redirect_uri: String,
    pub allowed_scopes: Vec<String>,
}

/// A code to record.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// As the client gets it; the database has its hash.
    pub code: Secret,
    pub client_id: String,
    pub user_id: UserId,
    pub redirect_uri: String,
    pub session_id: String,
    pub scopes: Vec<String>,
    /// PKCE, where the client asked for it.
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
}

/// A code that was exchanged, and is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    pub user_id: UserId,
    pub redirect_uri: Option<String>,
    pub session_id: Option<String>,
    pub scopes: Vec<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
}

impl Store {
    /// Finds a client.
    pub async fn oauth_client(&self, identifier: &str) -> Result<Option<OAuthClient>> {
        let sql = "SELECT identifier, description, secret, redirect_uri, allowed_scopes FROM oauth_clients
                   WHERE identifier = $1";
        self.pool.row(sql, params![identifier]).await?.as_ref().map(client).transpose()
    }

    /// Creates a client, or replaces what is known of it; its tokens stay.
    pub async fn sync_oauth_client(&self, client: &OAuthClient) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        sync(&mut tx, client).await?;
        tx.commit().await
    }

    /// Deletes a client with its tokens and codes.
    pub async fn delete_oauth_client(&self, identifier: &str) -> Result<bool> {
        self.changed("DELETE FROM oauth_clients WHERE identifier = $1", params![identifier]).await
    }

    /// Records a code, good for `CODE_SECONDS` from now. `Missing` when its client or user does not exist.
    pub async fn insert_code(&self, code: &NewCode, now: Time) -> Result<()> {
        let sql = "INSERT INTO oauth_codes (client_id, code, expires_at, redirect_uri, session_id, user_id, scopes,
                   code_challenge, code_challenge_method) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = params![
            &code.client_id,
            hashes::hash_code(code.code.expose()),
            now.timestamp() + CODE_SECONDS,
            &code.redirect_uri,
            &code.session_id,
            code.user_id,
            &code.scopes,
            code.code_challenge.as_deref(),
            code.code_challenge_method.as_deref(),
        ];
        self.pool.execute(sql, values).await.map(drop)
    }

    /// Takes a code away from the database, and records the token that `decide` makes of it: all of it or nothing, so that
    /// a code is never used up for nothing. `None` where there is no such code of this client, or it had expired. Of two
    /// that ask at once, one gets it. What `decide` refuses is used up as well.
    pub async fn exchange_code<T>(
        &self,
        code: &str,
        client_id: &str,
        now: Time,
        decide: impl FnOnce(Code) -> (T, Option<NewToken>),
    ) -> Result<Option<(T, Option<TokenId>)>> {
        let mut tx = self.pool.begin().await?;
        let Some(found) = take(&mut tx, code, client_id, now).await? else {
            // One that had expired is gone.
            tx.commit().await?;
            return Ok(None);
        };
        let (decided, token) = decide(found);
        let id = match &token {
            Some(token) => Some(token::insert(&mut tx, token).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(Some((decided, id)))
    }
}

async fn take(tx: &mut Tx, code: &str, client_id: &str, now: Time) -> Result<Option<Code>> {
    // One that JupyterHub made stands there in clear. A hash that somebody read in the database is not such a one.
    let plain = Some(code).filter(|code| hashes::is_plain_code(code));
    let sql = "DELETE FROM oauth_codes WHERE (code = $1 OR code = $3) AND client_id = $2 RETURNING user_id,
               redirect_uri, session_id, scopes, code_challenge, code_challenge_method, expires_at";
    let Some(row) = tx.row(sql, params![hashes::hash_code(code), client_id, plain]).await? else { return Ok(None) };
    let fresh = row.get::<Option<i64>>("expires_at")?.is_none_or(|until| until > now.timestamp());
    let Some(user_id) = row.get("user_id")? else { return Ok(None) };
    let code = Code {
        user_id,
        redirect_uri: row.get("redirect_uri")?,
        session_id: row.get("session_id")?,
        scopes: row.scopes("scopes")?,
        code_challenge: row.get("code_challenge")?,
        code_challenge_method: row.get("code_challenge_method")?,
    };
    Ok(Some(code).filter(|_| fresh))
}

/// Creates or replaces a client within a transaction.
pub(crate) async fn sync(tx: &mut Tx, client: &OAuthClient) -> Result<()> {
    let sql = "INSERT INTO oauth_clients (identifier, description, secret, redirect_uri, allowed_scopes)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identifier) DO UPDATE SET description = excluded.description,
               secret = excluded.secret, redirect_uri = excluded.redirect_uri, allowed_scopes = excluded.allowed_scopes";
    let values =
        params![&client.identifier, &client.description, &client.secret, &client.redirect_uri, &client.allowed_scopes];
    tx.execute(sql, values).await.map(drop)
}

/// Creates the hub's own client where it is missing, as JupyterHub does at start.
pub(crate) async fn ensure_hub_client(tx: &mut Tx) -> Result<()> {
    let sql = "INSERT INTO oauth_clients (identifier, description, secret, redirect_uri, allowed_scopes)
               VALUES ($1, 'JupyterHub', '', '', '[]') ON CONFLICT (identifier) DO NOTHING";
    tx.execute(sql, params![HUB_CLIENT]).await.map(drop)
}

fn client(row: &Row) -> Result<OAuthClient> {
    Ok(OAuthClient {
        identifier: row.get("identifier")?,
        description: row.get::<Option<String>>("description")?.unwrap_or_default(),
        secret: row.get::<Option<Secret>>("secret")?.unwrap_or_default(),
        redirect_uri: row.get::<Option<String>>("redirect_uri")?.unwrap_or_default(),
        allowed_scopes: row.scopes("allowed_scopes")?,
    })
}

//! The provider's control endpoint: people, clients, switches, faults, and what was counted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Client, Provider};
use crate::session::Body;

/// What befalls the requests to an endpoint: `discovery`, `authorize`, `token`, `refresh` (the token endpoint asked for a
/// refresh), `userinfo`, `jwks`, `introspect`, `revoke`, `registration`, `logout`, `login` or `all`.
#[derive(Clone)]
pub struct Fault(Value);

impl Fault {
    /// The connection is closed without an answer, and nothing is done.
    pub fn refuse() -> Fault {
        Fault(json!({"kind": "refuse"}))
    }

    /// No answer, until the fault is cleared; then the connection is closed.
    pub fn hang() -> Fault {
        Fault(json!({"kind": "hang"}))
    }

    /// This status with an error of OAuth in the body.
    pub fn status(status: u16) -> Fault {
        Fault(json!({"kind": "status", "status": status}))
    }

    /// This status with this body, said to be JSON.
    pub fn body(status: u16, body: &str) -> Fault {
        Fault(json!({"kind": "status", "status": status, "body": body}))
    }

    /// 200 with something that is not JSON.
    pub fn garbage() -> Fault {
        Fault(json!({"kind": "garbage"}))
    }

    /// 200 with a body of 64 MiB.
    pub fn endless() -> Fault {
        Fault(json!({"kind": "endless"}))
    }

    /// All is done as asked, but the answer is lost.
    pub fn lost() -> Fault {
        Fault(json!({"kind": "lost"}))
    }

    /// All goes well, after a while.
    pub fn slow(by: Duration) -> Fault {
        Fault(json!({"kind": "slow", "milliseconds": u64::try_from(by.as_millis()).unwrap_or(u64::MAX)}))
    }

    /// How many requests it befalls; without this, all until it is cleared.
    pub fn times(mut self, times: u32) -> Fault {
        self.0["times"] = times.into();
        self
    }
}

/// What was asked and given, for everybody, one person or one client.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Count {
    /// How often the form was filled in rightly.
    pub logins: u64,
    /// Good answers of the token endpoint, refreshes included.
    pub tokens: u64,
    pub refreshes: u64,
    pub refused_refreshes: u64,
    pub refreshes_under_way: u64,
    pub most_refreshes_at_once: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Counters {
    /// Requests by endpoint. A refresh counts as `token`.
    pub requests: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub all: Count,
    users: BTreeMap<String, Count>,
    clients: BTreeMap<String, Count>,
}

impl Counters {
    pub fn user(&self, name: &str) -> Count {
        self.users.get(name).cloned().unwrap_or_default()
    }

    pub fn client(&self, id: &str) -> Count {
        self.clients.get(id).cloned().unwrap_or_default()
    }

    pub fn requests_to(&self, endpoint: &str) -> u64 {
        self.requests.get(endpoint).copied().unwrap_or_default()
    }
}

/// A request as it came.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// Seconds since 1970.
    pub at: f64,
    pub endpoint: String,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
    pub json: Option<Value>,
    pub client: Option<String>,
    /// The first word of the header.
    pub authorization: Option<String>,
    pub user_agent: Option<String>,
    /// None while it is not answered; 0 when the connection was closed before.
    pub status: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Code,
    AccessToken,
    RefreshToken,
    IdToken,
    ClientSecret,
    RegistrationAccessToken,
}

/// Something that was given out, once or more often.
#[derive(Clone, Debug, Deserialize)]
pub struct Issued {
    pub kind: Kind,
    pub value: String,
    pub user: Option<String>,
    pub client: Option<String>,
    /// Whether the provider still takes it; None for what is not a token.
    pub alive: Option<bool>,
}

impl Issued {
    /// Whether it must never leave the hub, whatever the hub is told to share.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::RefreshToken | Kind::ClientSecret | Kind::RegistrationAccessToken)
    }
}

impl Provider {
    /// Adds a person or changes one: `sub`, `email`, `email_verified`, `full_name`, `groups`, `optional_groups`,
    /// `suspended`, `aup_signed`, `denied_scopes`, `claims` (more claims of any kind). Gives the subject.
    pub async fn set_user(&self, name: &str, changes: Value) -> Result<String> {
        let person: Value = self.put("users", name, changes).await?;
        Ok(person["sub"].as_str().context("a subject")?.to_owned())
    }

    pub async fn remove_user(&self, name: &str) -> Result<()> {
        self.tell(Method::DELETE, &format!("/users/{name}"), Value::Null).await
    }

    /// Changes one setting of `settings.mjs`.
    pub async fn switch(&self, setting: &str, value: impl Into<Value>) -> Result<()> {
        self.switch_all(json!({setting: value.into()})).await
    }

    /// Changes several settings at once.
    pub async fn switch_all(&self, changes: Value) -> Result<()> {
        self.tell(Method::PATCH, "/settings", changes).await
    }

    /// Makes a client with a secret, known to the provider as if an administrator had registered it.
    pub async fn register(&self, id: &str, redirects: &[&str], scope: &str) -> Result<Client> {
        self.set_client(id, json!({"redirect_uris": redirects, "scope": scope})).await
    }

    /// The same with any metadata: `grant_types`, `token_endpoint_auth_method`, `post_logout_redirect_uris`,
    /// `code_challenge_method`, `client_secret`, and IAM's flags `reuse_refresh_token` and
    /// `clear_access_tokens_on_refresh`. Changes a client that is there.
    pub async fn set_client(&self, id: &str, metadata: Value) -> Result<Client> {
        Client::of(self, self.put("clients", id, metadata).await?)
    }

    pub async fn set_fault(&self, endpoint: &str, fault: &Fault) -> Result<()> {
        self.put("faults", endpoint, fault.0.clone()).await
    }

    pub async fn clear_fault(&self, endpoint: &str) -> Result<()> {
        self.tell(Method::DELETE, &format!("/faults/{endpoint}"), Value::Null).await
    }

    /// Signs with new keys from now on. The old ones stay published or not.
    pub async fn rotate_keys(&self, keep_old: bool) -> Result<()> {
        self.tell(Method::POST, "/keys", json!({"keep_old": keep_old})).await
    }

    /// Signs with one RSA key alone, which has a certificate; gives the certificate's SHA-1 thumbprint.
    pub async fn certify_keys(&self) -> Result<String> {
        let made: Value = self.call(Method::POST, "/certificate", Value::Null).await?;
        Ok(made["thumbprint"].as_str().context("a thumbprint")?.to_owned())
    }

    /// Stops listening: connections are refused, those open are closed.
    pub async fn go_down(&self) -> Result<()> {
        self.tell(Method::POST, "/down", Value::Null).await
    }

    /// Listens again, at the same address, with all it had given out.
    pub async fn come_up(&self) -> Result<()> {
        self.tell(Method::POST, "/up", Value::Null).await
    }

    /// Ends every token of a person, as an administrator can.
    pub async fn revoke_tokens_of(&self, name: &str) -> Result<()> {
        self.tell(Method::DELETE, &format!("/grants/{name}"), Value::Null).await
    }

    /// Everybody has to fill in the form anew; tokens stay good.
    pub async fn end_sessions(&self) -> Result<()> {
        self.tell(Method::DELETE, "/sessions", Value::Null).await
    }

    pub async fn counters(&self) -> Result<Counters> {
        self.ask("/counters").await
    }

    /// Counts from nought again, and forgets the requests.
    pub async fn forget_counters(&self) -> Result<()> {
        self.tell(Method::DELETE, "/counters", Value::Null).await
    }

    /// The requests to an endpoint, oldest first; the last 2000 of all are kept.
    pub async fn requests(&self, endpoint: &str) -> Result<Vec<Request>> {
        self.ask(&format!("/requests/{endpoint}")).await
    }

    /// Everything given out so far, for a test to look for where it must not be.
    pub async fn issued(&self) -> Result<Vec<Issued>> {
        self.ask("/tokens").await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Value::Null).await
    }

    async fn put<T: DeserializeOwned>(&self, what: &str, which: &str, value: Value) -> Result<T> {
        self.call(Method::PUT, &format!("/{what}/{which}"), value).await
    }

    async fn tell(&self, method: Method, path: &str, value: Value) -> Result<()> {
        self.call::<Value>(method, path, value).await.map(|_| ())
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, value: Value) -> Result<T> {
        let body = if value.is_null() { Body::Empty } else { Body::Json(value) };
        let mut session = self.control.clone();
        let answer = session.send(method, path, body).await?.expect(&[200]).context(path.to_owned())?;
        serde_json::from_slice(&answer.body).with_context(|| format!("{path}: {}", answer.text()))
    }
}

//! A client of the provider as plain as can be: what a hub would send, for the tests of the provider itself and for those
//! that want to know what a token is still worth.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Provider, Visitor};
use crate::session::{Answer, Body, Session};

pub type Claims = serde_json::Map<String, Value>;

/// What the token endpoint gives.
#[derive(Clone, Debug, Deserialize)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub id_token: Option<String>,
    pub scope: Option<String>,
    pub expires_in: u64,
}

#[derive(Clone)]
pub struct Client {
    pub id: String,
    pub secret: String,
    pub redirect_uri: String,
    session: Session,
    paths: Paths,
}

/// Where a provider has its endpoints, below its origin.
#[derive(Clone, Copy)]
pub struct Paths {
    pub authorize: &'static str,
    pub token: &'static str,
    pub userinfo: &'static str,
    pub introspect: &'static str,
    pub revoke: &'static str,
}

const IAM: Paths = Paths {
    authorize: "/authorize",
    token: "/token",
    userinfo: "/userinfo",
    introspect: "/introspect",
    revoke: "/revoke",
};

/// What a token says, not verified.
pub fn claims(token: &str) -> Result<Claims> {
    let part = token.split('.').nth(1).context("a JWT has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

impl Client {
    pub(super) fn of(provider: &Provider, metadata: Value) -> Result<Client> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let redirect_uri = text(&metadata["redirect_uris"][0]);
        let session = provider.session()?;
        Ok(Client::new(session, IAM, &text(&metadata["client_id"]), &text(&metadata["client_secret"]), &redirect_uri))
    }

    /// A client that any provider has been told of.
    pub fn new(session: Session, paths: Paths, id: &str, secret: &str, redirect_uri: &str) -> Client {
        let [id, secret, redirect_uri] = [id, secret, redirect_uri].map(str::to_owned);
        Client { id, secret, redirect_uri, session, paths }
    }

    /// Where somebody who wants to sign in is sent. `more` is added to the query.
    pub fn authorize(&self, scope: &str, verifier: &str, more: &[(&str, &str)]) -> Result<Url> {
        let mut url = self.session.origin().join(self.paths.authorize)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let mut query = url.query_pairs_mut();
        query.extend_pairs([("response_type", "code"), ("client_id", &self.id), ("redirect_uri", &self.redirect_uri)]);
        query.extend_pairs([("scope", scope), ("state", "the state"), ("nonce", "the nonce")]);
        query.extend_pairs([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        query.extend_pairs(more);
        drop(query);
        Ok(url)
    }

    /// The whole code flow with PKCE: somebody signs in and the code is exchanged.
    pub async fn sign_in(&self, visitor: &mut Visitor, scope: &str) -> Result<Tokens> {
        self.sign_in_with(visitor, scope, &[]).await
    }

    /// The same with more in the query.
    pub async fn sign_in_with(&self, visitor: &mut Visitor, scope: &str, more: &[(&str, &str)]) -> Result<Tokens> {
        let back = self.answer(visitor, scope, more).await?;
        let code = parameter(&back, "code").with_context(|| back.to_string())?;
        tokens(self.exchange(&code, VERIFIER).await?)
    }

    /// What comes back to the redirect address when somebody is sent to sign in.
    pub async fn answer(&self, visitor: &mut Visitor, scope: &str, more: &[(&str, &str)]) -> Result<Url> {
        match visitor.walk(&self.authorize(scope, VERIFIER, more)?).await? {
            Ok(url) => Ok(url),
            Err(page) => bail!("the provider shows a page: {} {}", page.status, page.text()),
        }
    }

    pub async fn exchange(&self, code: &str, verifier: &str) -> Result<Answer> {
        let fields = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", verifier)];
        let redirect = [("redirect_uri", self.redirect_uri.as_str())];
        self.post(self.paths.token, &[&fields[..], &redirect[..]].concat()).await
    }

    /// `more` is `scope`, `audience` or the like.
    pub async fn refresh(&self, refresh_token: &str, more: &[(&str, &str)]) -> Result<Answer> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.post(self.paths.token, &[&fields[..], more].concat()).await
    }

    pub async fn introspect(&self, token: &str) -> Result<Value> {
        self.post(self.paths.introspect, &[("token", token)]).await?.expect(&[200])?.json()
    }

    pub async fn revoke(&self, token: &str) -> Result<Answer> {
        self.post(self.paths.revoke, &[("token", token)]).await
    }

    /// With an access token in place of the client's own name.
    pub async fn userinfo(&self, access_token: &str) -> Result<Answer> {
        self.session.authorized(&format!("Bearer {access_token}")).get(self.paths.userinfo).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let basic = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.session.authorized(&format!("Basic {basic}")).send(Method::POST, path, Body::Form(fields)).await
    }
}

/// Long enough for PKCE, which a test need not keep secret.
const VERIFIER: &str = "a-verifier-is-at-least-forty-three-characters-long";

pub fn tokens(answer: Answer) -> Result<Tokens> {
    Ok(serde_json::from_value(answer.expect(&[200])?.json()?)?)
}

pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
}

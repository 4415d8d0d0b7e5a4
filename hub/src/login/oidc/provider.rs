//! One identity provider: a login begins there and comes back, tokens are refreshed, people are looked up again.
//!
//! Nothing here knows of the hub's people, cookies or pages.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hub_core::clock::Time;
use hub_core::pkce;
use hub_core::secret::Secret;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::attempt::Attempt;
use super::claims::{self, Before, Claims, Heard, Said};
use super::discovery::{Description, Discovery};
use super::http::Client;
use super::preset::Preset;
use super::scopes::Scopes;
use super::statement::Statement;
use super::tokens::Tokens;
use super::trouble::{RefreshError, Trouble};
use super::verify::{Measure, Unproven};
use super::{github, globus, google};
use crate::config::ProviderConfig;
use crate::hook::auth_state::AuthState;

/// What a new access token is to be good for; by default the same as the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Some of the scopes of the first one, with spaces between.
    pub scope: Option<&'a str>,
    /// For whom it is; several with spaces between.
    pub audience: Option<&'a str>,
}

/// Somebody who has come back from a login.
#[derive(Clone)]
pub struct Known {
    /// Who it is.
    pub claims: Claims,
    /// Who told which groups.
    pub told_groups: Statement,
    /// Who told which roles.
    pub told_roles: Option<Statement>,
    /// What was given.
    pub tokens: Tokens,
    /// What the userinfo endpoint, or GitHub's `/user`, says.
    pub userinfo: Value,
    /// GitHub's teams, where they are wanted.
    pub teams: Option<Vec<Value>>,
}

/// A provider as configured.
pub struct Provider {
    config: ProviderConfig,
    issuer: String,
    client: Client,
    discovery: Discovery,
    scopes: Scopes,
    directory: Option<google::Directory>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({:?})", self.config.name)
    }
}

impl Provider {
    /// Asks nothing yet: the provider may be down. `keeps_tokens`: whether a refresh token would be kept. The error says
    /// what of the configuration cannot be used.
    pub fn new(config: &ProviderConfig, keeps_tokens: bool) -> Result<Self, String> {
        let issuer = config.issuer().ok_or("it has no issuer")?.to_owned();
        let directory = google::Directory::new(config, groups_url(config).unwrap_or_default())?;
        Ok(Self {
            directory,
            client: Client::new(config.ca_file.as_deref(), config.timeout.duration())?,
            discovery: Discovery::new(&issuer, config),
            scopes: Scopes::new(config, keeps_tokens),
            config: config.clone(),
            issuer,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its own name: what tells its people from those of others.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Why it cannot be used at present, as far as is known without asking.
    pub fn failure(&self) -> Option<Trouble> {
        self.discovery.failure()
    }

    /// Finds out whether it can be used.
    pub async fn look(&self) -> Result<(), Trouble> {
        self.description().await.map(drop)
    }

    /// Where the browser goes to log in. An error means that no login can begin.
    pub async fn begin(&self, attempt: &Attempt) -> Result<String, Trouble> {
        let description = self.description().await?;
        let scope = self.scopes.choice(attempt.choice, &description.scopes_supported).unwrap_or_default().join(" ");
        let challenge = pkce::Method::S256.challenge(&attempt.verifier);
        let mut url = url::Url::parse(&description.authorization_endpoint)
            .map_err(|error| Trouble::Broken(format!("where logins begin: {error}")))?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", &attempt.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", pkce::Method::S256.as_str());
        if self.config.preset != Preset::Github {
            query.append_pair("nonce", &attempt.nonce);
        }
        let preset = self.config.preset.defaults().authorize_params;
        let preset = preset.iter().filter(|(name, _)| !self.config.extra_authorize_params.contains_key(*name));
        for (name, value) in preset {
            query.append_pair(name, value);
        }
        for (name, value) in &self.config.extra_authorize_params {
            query.append_pair(name, value);
        }
        drop(query);
        Ok(url.into())
    }

    /// Whether a login that was refused for its scopes can be tried with others.
    pub async fn has_another_choice(&self, attempt: &Attempt) -> bool {
        match self.description().await {
            Ok(description) => self.scopes.choice(attempt.choice + 1, &description.scopes_supported).is_some(),
            Err(_) => false,
        }
    }

    /// The scopes that a login asked for, for the log.
    pub async fn asked(&self, attempt: &Attempt) -> Vec<String> {
        let supported = self.description().await.map(|known| known.scopes_supported.clone()).unwrap_or_default();
        self.scopes.choice(attempt.choice, &supported).unwrap_or_default()
    }

    /// Exchanges the code that came back, and finds out who it is.
    pub async fn finish(&self, attempt: &Attempt, code: &Secret, now: Time) -> Result<Known, Trouble> {
        let description = self.description().await?;
        let asked = self.scopes.choice(attempt.choice, &description.scopes_supported).unwrap_or_default();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", attempt.redirect_uri.as_str()),
            ("code_verifier", attempt.verifier.as_str()),
        ];
        let tokens = self.tokens(&description, &form, &asked, now).await?;
        let missing: Vec<&String> = asked.iter().filter(|scope| !tokens.scope.contains(scope)).collect();
        if !missing.is_empty() {
            tracing::info!(provider = self.name(), ?missing, "not all scopes that were asked for were granted");
        }
        self.known(tokens, Some(attempt.nonce.as_str()), None, now).await
    }

    /// Gives the next tokens for a refresh token. If the answer holds a refresh token, the one used may be dead: keep the
    /// new one before the access token is given to anybody.
    pub async fn refresh(&self, refresh_token: &Secret, ask: &Ask<'_>, now: Time) -> Result<Tokens, RefreshError> {
        let description = self.description().await?;
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        form.extend(ask.scope.map(|scope| ("scope", scope)));
        let parameter = self.config.audience_parameter.as_deref();
        let parameter = parameter.unwrap_or(self.config.preset.defaults().audience_parameter);
        form.extend(ask.audience.map(|audience| (parameter, audience)));
        let asked: Vec<String> = ask.scope.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(self.tokens(&description, &form, &asked, now).await?)
    }

    /// Who somebody is now, after a refresh. `before` is who it was, and anybody else is an error; what it tells stands
    /// where the provider says nothing.
    pub async fn look_again(&self, tokens: Tokens, before: &Before, now: Time) -> Result<Known, Trouble> {
        self.known(tokens, None, Some(before), now).await
    }

    /// What the userinfo endpoint says of the owner of an access token; null where there is no such endpoint.
    pub async fn userinfo(&self, access_token: &Secret) -> Result<Value, Trouble> {
        let description = self.description().await?;
        let Some(url) = &description.userinfo_endpoint else { return Ok(Value::Null) };
        let answer = self.client.get(url, Some(access_token.expose())).await?;
        match answer.status.as_u16() {
            401 | 403 => Err(Trouble::Denied {
                code: "invalid_token".to_owned(),
                description: format!("userinfo answers {}", answer.status),
            }),
            // IAM's answer to a token that is of no person, or was given without the scope openid.
            404 => Err(Trouble::Incomplete("userinfo knows nobody for this token (404)".to_owned())),
            _ => answer.object("userinfo"),
        }
    }

    /// What the provider says of itself that is for everybody: its keys, who somebody is, its scopes.
    pub async fn public(&self) -> Result<Value, Trouble> {
        let description = self.description().await?;
        Ok(json!({
            "jwks_uri": description.jwks_uri,
            "userinfo_endpoint": description.userinfo_endpoint,
            "authorization_endpoint": description.authorization_endpoint,
            "scopes_supported": description.scopes_supported,
        }))
    }

    /// Where people go to log out of the provider as well; `None` where that is nowhere. `back` is where it sends them.
    pub async fn logout_url(&self, id_token: Option<&Secret>, back: &str) -> Option<String> {
        if let Some(url) = &self.config.logout_redirect_url {
            return Some(url.as_str().to_owned());
        }
        // Nobody waits for a provider that is down in order to leave.
        self.failure().is_none().then_some(())?;
        let mut url = url::Url::parse(self.description().await.ok()?.end_session_endpoint.as_deref()?).ok()?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", back);
        if let Some(id_token) = id_token {
            url.query_pairs_mut().append_pair("id_token_hint", id_token.expose());
        }
        Some(url.into())
    }

    async fn description(&self) -> Result<Arc<Description>, Trouble> {
        if self.config.preset == Preset::Github {
            return Ok(Arc::new(github::description(&self.issuer, &self.config)));
        }
        self.discovery.description(&self.client).await
    }

    async fn tokens(
        &self,
        description: &Description,
        form: &[(&str, &str)],
        asked: &[String],
        now: Time,
    ) -> Result<Tokens, Trouble> {
        let mut form = form.to_vec();
        let secret = self.config.client_secret.as_ref();
        let basic = secret.filter(|_| self.is_basic(description)).map(|secret| {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            STANDARD.encode(format!("{}:{}", encoded(&self.config.client_id), encoded(secret.expose())))
        });
        if basic.is_none() {
            form.push(("client_id", &self.config.client_id));
            form.extend(secret.map(|secret| ("client_secret", secret.expose())));
        }
        let answer = self.client.post(&description.token_endpoint, &form, basic.as_deref()).await?;
        Tokens::read(&answer, asked, now)
    }

    /// How the secret is sent: as configured, or as the provider says; basic if it says nothing.
    fn is_basic(&self, description: &Description) -> bool {
        let methods = &description.token_endpoint_auth_methods_supported;
        let takes = |name: &str| methods.iter().any(|method| method == name);
        self.config.basic_auth.unwrap_or_else(|| methods.is_empty() || takes("client_secret_basic"))
    }

    async fn known(
        &self,
        tokens: Tokens,
        nonce: Option<&str>,
        before: Option<&Before>,
        now: Time,
    ) -> Result<Known, Trouble> {
        let said = match self.config.preset {
            Preset::Github => github::said(&self.client, &self.issuer, &tokens).await?,
            _ => self.said(&tokens, nonce, before, now).await?,
        };
        let heard = claims::read(&self.config, &self.issuer, &said, before.unwrap_or(&Before::default()))?;
        let Heard { claims, groups: told_groups, roles: told_roles } = heard;
        if before.is_some_and(|before| claims.subject != before.subject) {
            return Err(Trouble::Untrusted("the tokens are of somebody else".to_owned()));
        }
        let teams = said.teams.filter(|_| self.config.populate_teams_in_auth_state);
        Ok(Known { claims, told_groups, told_roles, tokens, userinfo: said.userinfo, teams })
    }

    async fn said(
        &self,
        tokens: &Tokens,
        nonce: Option<&str>,
        before: Option<&Before>,
        now: Time,
    ) -> Result<Said, Trouble> {
        let fresh = match &tokens.id_token {
            Some(token) => Some(self.id_token(token, nonce, now).await?),
            // A refresh need not give a new one; a login must.
            None if nonce.is_none() => None,
            None => return Err(Trouble::Broken("it gave no ID token".to_owned())),
        };
        let is_id_token_old = fresh.is_none();
        let id_token = fresh.or_else(|| before.map(of_before)).unwrap_or_default();
        let subject = id_token["sub"].as_str().unwrap_or_default().to_owned();
        let userinfo = self.userinfo(&tokens.access_token).await?;
        if !userinfo.is_null() && userinfo["sub"].as_str() != Some(subject.as_str()) {
            return Err(Trouble::Untrusted("userinfo is of somebody else than the ID token".to_owned()));
        }
        let keys = self.discovery.keys(&self.client, false).await?;
        let access_token = self.measure(&keys, now).access_token(&tokens.access_token, &subject);
        let person = if userinfo["email"].is_string() { &userinfo } else { &id_token };
        let more_groups = match (&self.directory, groups_url(&self.config)) {
            (Some(directory), _) => Some(directory.groups(&self.client, person, now).await?),
            (None, Some(url)) if self.config.preset != Preset::Google => Some(self.list(url, tokens, now).await?),
            (None, _) => None,
        };
        let access_token = access_token.unwrap_or_default();
        Ok(Said { id_token, is_id_token_old, userinfo, access_token, more_groups, teams: None })
    }

    /// The groups that are asked for with a token of the person's. One that is over is renewed: Globus gives a refresh token
    /// for each of its services, and none of the others with a refresh of the first.
    async fn list(&self, url: &str, tokens: &Tokens, now: Time) -> Result<Vec<String>, Trouble> {
        let token = globus::token(tokens);
        let denied = match globus::groups(&self.client, url, token).await {
            Err(denied @ Trouble::Denied { .. }) => denied,
            outcome => return outcome,
        };
        let Some(refresh_token) = globus::refresh_token(tokens) else { return Err(denied) };
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let description = self.description().await?;
        let fresh = self.tokens(&description, &form, &[], now).await?;
        globus::groups(&self.client, url, fresh.access_token.expose()).await
    }

    fn measure<'m>(&'m self, keys: &'m openidconnect::core::CoreJsonWebKeySet, now: Time) -> Measure<'m> {
        Measure { client_id: &self.config.client_id, issuer: &self.issuer, keys, now }
    }

    /// The claims of an ID token; one that was signed with a key not seen before makes the keys be asked for anew, once.
    async fn id_token(&self, token: &Secret, nonce: Option<&str>, now: Time) -> Result<Value, Trouble> {
        let mut outcome = Err(Unproven::UnknownKey);
        for anew in [false, true] {
            let keys = self.discovery.keys(&self.client, anew).await?;
            outcome = self.measure(&keys, now).id_token(token, nonce);
            if outcome != Err(Unproven::UnknownKey) {
                break;
            }
        }
        outcome.map_err(|unproven| match unproven {
            Unproven::UnknownKey => Trouble::Untrusted("the ID token is signed with a key it does not name".to_owned()),
            Unproven::Wrong(what) => Trouble::Untrusted(what),
        })
    }
}

/// Where groups are asked for: as configured, or as the preset says.
fn groups_url(config: &ProviderConfig) -> Option<&str> {
    let own = config.groups_url.as_ref().map(crate::config::address::HttpUrl::as_str);
    own.or(config.preset.defaults().groups_url)
}

/// What the last ID token said, in place of one that did not come.
fn of_before(before: &Before) -> Value {
    let is_theirs = before.id_token["sub"].as_str() == Some(before.subject.as_str());
    if is_theirs { before.id_token.clone() } else { json!({ "sub": before.subject }) }
}

impl Known {
    /// What is kept of it: oauthenticator's names, and ours below `specola`.
    pub fn auth_state(&self) -> AuthState {
        let Self { claims, told_groups, told_roles, tokens, userinfo, teams } = self;
        let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let mut state = json!({
            "access_token": tokens.access_token.expose(),
            "refresh_token": text(&tokens.refresh_token),
            "id_token": text(&tokens.id_token),
            "scope": tokens.scope,
            "token_response": tokens.response,
            "oauth_user": userinfo,
            "specola": {
                "provider": claims.provider,
                "expires_at": tokens.expires_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
                "groups": claims.raw_groups,
                "sub": claims.subject,
                "issuer": claims.issuer,
                "told": { "groups": told_groups, "roles": told_roles },
            },
        });
        // Where other hubs put what their rules look at.
        if !claims.groups.is_empty() {
            state["groups"] = json!(claims.groups);
        }
        if let Some(teams) = teams {
            state["teams"] = json!(teams);
        }
        AuthState(state)
    }
}

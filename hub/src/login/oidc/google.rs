//! Google: the groups of somebody, from the Directory API of their organisation.
//!
//! Google puts no groups into tokens. A service account with domain-wide delegation asks in the name of an administrator, as
//! oauthenticator's `GoogleOAuthenticator` does: the account's key signs an assertion, which is exchanged for an access token
//! (RFC 7523), which opens `GET admin/directory/v1/groups?userKey=…`. Whoever cannot be asked about has not no groups: it is
//! an error.

mod assertion;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::Value;
use tokio::sync::Mutex;

use self::assertion::ServiceAccount;
use super::http::{Answer, Client};
use super::tokens::{Tokens, excerpt};
use super::trouble::Trouble;
use crate::config::ProviderConfig;

/// What may be done in the administrator's name.
const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.group.readonly";
/// How an assertion is presented (RFC 7523, section 2.1).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A list is read as far as this many pages of two hundred.
const MOST_PAGES: usize = 50;
/// So many groups are looked into for the groups that they are in.
const MOST_LOOKS: usize = 500;
/// A token is not used any more so long before its end.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// Asks about the members of some organisations.
pub struct Directory {
    /// By domain, in small letters.
    organisations: BTreeMap<String, Organisation>,
    url: String,
    /// Whether the groups that groups are in count too.
    nested: bool,
    /// Domains that names of groups are without.
    strip: Vec<String>,
}

struct Organisation {
    account: ServiceAccount,
    /// In whose name is asked.
    administrator: String,
    /// Whoever holds it asks for a token; the others wait for what it brings.
    token: Mutex<Option<(Arc<Secret>, Time)>>,
}

impl Directory {
    /// As configured; `None` where no service account is. The error says which file cannot be used.
    pub fn new(config: &ProviderConfig, url: &str) -> Result<Option<Self>, String> {
        let mut organisations = BTreeMap::new();
        for (domain, file) in &config.google_service_account_keys {
            let administrator = config.gsuite_administrator.get(domain);
            let administrator = administrator.ok_or_else(|| format!("gsuite_administrator has none for {domain}"))?;
            let administrator = match administrator.contains('@') {
                true => administrator.clone(),
                false => format!("{administrator}@{domain}"),
            };
            let account = ServiceAccount::read(file).map_err(|what| format!("google_service_account_keys: {what}"))?;
            let organisation = Organisation { account, administrator, token: Mutex::default() };
            organisations.insert(domain.to_lowercase(), organisation);
        }
        let (url, strip) = (url.to_owned(), config.strip_domain.clone());
        let directory = Self { organisations, url, nested: config.include_nested_groups, strip };
        Ok((!directory.organisations.is_empty()).then_some(directory))
    }

    /// The groups of somebody: none of people of other organisations.
    pub async fn groups(&self, client: &Client, person: &Value, now: Time) -> Result<Vec<String>, Trouble> {
        let Some(email) = person["email"].as_str().map(str::to_lowercase) else {
            return Err(Trouble::Incomplete(
                "the e-mail address, by which groups are asked for, is not told".to_owned(),
            ));
        };
        let Some(organisation) = self.organisation(&email) else { return Ok(Vec::new()) };
        if person["email_verified"] != Value::Bool(true) && person["email_verified"].as_str() != Some("true") {
            let what = "the e-mail address, by which groups are asked for, is not verified";
            return Err(Trouble::Incomplete(what.to_owned()));
        }
        let mut found = BTreeSet::new();
        let mut waiting = vec![email];
        let mut looks = 0;
        while let Some(member) = waiting.pop() {
            looks += 1;
            if looks > MOST_LOOKS {
                return Err(Trouble::Broken(format!("the groups are nested in more than {MOST_LOOKS} groups")));
            }
            // A group of another organisation may hold one of ours: who asks about it is that one's own.
            let asked = self.organisation(&member).unwrap_or(organisation);
            for group in self.list(client, asked, &member, now).await? {
                if found.insert(group.clone()) && self.nested && self.organisation(&group).is_some() {
                    waiting.push(group);
                }
            }
        }
        Ok(found.into_iter().map(|address| self.name(&address)).collect())
    }

    fn organisation(&self, address: &str) -> Option<&Organisation> {
        self.organisations.get(address.rsplit_once('@')?.1)
    }

    /// The name of a group here: its address, without a domain that names of people are without.
    fn name(&self, address: &str) -> String {
        match address.rsplit_once('@') {
            Some((name, domain)) if self.strip.iter().any(|known| known.eq_ignore_ascii_case(domain)) => {
                name.to_owned()
            }
            _ => address.to_owned(),
        }
    }

    /// The addresses of the groups that a person or a group is in.
    async fn list(
        &self,
        client: &Client,
        organisation: &Organisation,
        member: &str,
        now: Time,
    ) -> Result<Vec<String>, Trouble> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let url = self.page(member, page.as_deref())?;
            let mut answer = client.get(&url, Some(organisation.token(client, now).await?.expose())).await?;
            if answer.status == http::StatusCode::UNAUTHORIZED {
                // It was taken back before its time.
                organisation.forget().await;
                answer = client.get(&url, Some(organisation.token(client, now).await?.expose())).await?;
            }
            let said = read(&answer)?;
            let groups = said["groups"].as_array().into_iter().flatten();
            all.extend(groups.filter_map(|group| group["email"].as_str()).map(str::to_lowercase));
            page = said["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
            if page.is_none() {
                return Ok(all);
            }
        }
        Err(Trouble::Broken(format!("the list of groups has more than {MOST_PAGES} pages")))
    }

    fn page(&self, member: &str, page: Option<&str>) -> Result<String, Trouble> {
        let url = url::Url::parse(&self.url);
        let mut url = url.map_err(|error| Trouble::Broken(format!("groups_url: {error}")))?;
        let mut query = url.query_pairs_mut();
        query.append_pair("userKey", member).append_pair("maxResults", "200");
        if let Some(page) = page {
            query.append_pair("pageToken", page);
        }
        drop(query);
        Ok(url.into())
    }
}

impl Organisation {
    /// A token that is good for a while.
    async fn token(&self, client: &Client, now: Time) -> Result<Arc<Secret>, Trouble> {
        let mut kept = self.token.lock().await;
        if let Some((token, end)) = kept.as_ref()
            && *end - now > MARGIN
        {
            return Ok(token.clone());
        }
        let assertion = self.account.assertion(&self.administrator, SCOPE, now)?;
        let form = [("grant_type", GRANT), ("assertion", assertion.expose())];
        let answer = client.post(self.account.token_uri(), &form, None).await?;
        // Its refusals are about the hub, never about the person.
        let tokens = Tokens::read(&answer, &[], now).map_err(|trouble| match trouble {
            Trouble::Denied { code, description } => {
                let who = (self.account.name(), &self.administrator);
                Trouble::Broken(format!(
                    "the service account {} may not act for {}: {code} ({description})",
                    who.0, who.1
                ))
            }
            other => other,
        })?;
        let token = Arc::new(tokens.access_token);
        *kept = Some((token.clone(), tokens.expires_at.unwrap_or(now)));
        Ok(token)
    }

    async fn forget(&self) {
        *self.token.lock().await = None;
    }
}

/// Reads an answer, or tells what Google said: `{"error": {"code": 403, "message": "…", "errors": [{"reason": "…"}]}}`.
fn read(answer: &Answer) -> Result<Value, Trouble> {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words = excerpt(said["error"]["message"].as_str().unwrap_or_default());
    let reasons = said["error"]["errors"].as_array().into_iter().flatten();
    let is_hurried = reasons.filter_map(|one| one["reason"].as_str()).any(|reason| {
        ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "backendError"].contains(&reason)
    });
    if answer.is_out_of_order() || is_hurried {
        return Err(Trouble::Unreachable(format!("the Directory API answers {} ({words})", answer.status)));
    }
    if !answer.status.is_success() || !said.is_object() {
        return Err(Trouble::Broken(format!("the Directory API answers {} ({words})", answer.status)));
    }
    Ok(said)
}

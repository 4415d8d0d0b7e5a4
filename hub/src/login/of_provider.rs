//! People who come from an identity provider: their name in the hub, and whether the rules let them in.

use std::net::IpAddr;

use hub_core::name::UserName;
use hub_core::role::is_valid_name;
use hub_store::{Store, User};

use super::allow::Verdict;
use super::oidc::{self, Claims, Known};
use super::{Account, Identity, Login, Outcome, Refusal, said, shown};
use crate::collaboration;
use crate::config::hub::RoleConfig;
use hub_core::policy::group::GroupRule;

/// So many groups of somebody who is refused go into the log.
const LOGGED_GROUPS: usize = 20;

/// The roles that a provider tells of, where the configuration says where they are. What cannot be a role is left out.
pub fn roles_of(claims: &Claims) -> Option<Vec<RoleConfig>> {
    let role = |name: &String| RoleConfig { name: name.clone(), ..RoleConfig::default() };
    claims.roles.as_ref().map(|roles| roles.iter().filter(|name| is_valid_name(name)).map(role).collect())
}

impl Login {
    /// The rules of which one would let in somebody of a provider by a group.
    pub fn admitting(&self, provider: &str) -> Vec<&GroupRule> {
        self.rules.admitting(provider)
    }

    /// Decides about a person of the hub whom a provider was asked about anew. Changes nothing.
    pub fn readmit(&self, user: &User, claims: &Claims) -> Verdict {
        self.rules.readmit(&UserName::stored(&user.name), true, claims)
    }

    /// Finds out whether somebody who comes from a provider is let in. `address` is the browser's.
    pub async fn admit_known(&self, store: &Store, known: &Known, address: Option<IpAddr>) -> Outcome {
        let claims = &known.claims;
        match self.try_admit(store, known, address).await {
            Ok(outcome) => outcome,
            Err(cause) => {
                tracing::error!(
                    provider = claims.provider,
                    name = shown(&claims.username),
                    "login not possible: {cause}"
                );
                Outcome::Unavailable
            }
        }
    }

    async fn try_admit(&self, store: &Store, known: &Known, address: Option<IpAddr>) -> Result<Outcome, String> {
        let claims = &known.claims;
        let Some(names) = self.rules.names(&claims.username) else {
            tracing::warn!(provider = claims.provider, name = shown(&claims.username), "this cannot be a user name");
            return Ok(Outcome::Refused(Refusal::BadName));
        };
        let user = store.user(names.hub.as_str()).await.map_err(said)?;
        if let Some(user) = &user
            && self.is_of_somebody_else(store, user, claims).await?
        {
            tracing::warn!(name = user.name, provider = claims.provider, "the name came with another subject before");
            return Ok(Outcome::Refused(Refusal::NameTaken));
        }
        if let Some(user) = &user
            && collaboration::is_account(store, user).await.map_err(said)?
        {
            tracing::warn!(
                name = user.name,
                provider = claims.provider,
                "it is the account of a lab for working together"
            );
            return Ok(Outcome::Refused(Refusal::NameTaken));
        }
        let verdict = self.rules.readmit(&names.hub, user.is_some(), claims);
        let admin = match verdict {
            Verdict::Allowed { admin } => admin,
            Verdict::Blocked | Verdict::NotListed => {
                tracing::warn!(name = names.hub.as_str(), ?verdict, groups = ?claims.groups.get(..claims.groups.len().min(LOGGED_GROUPS)), "login refused by the allow rules");
                let refusal = if verdict == Verdict::Blocked { Refusal::NotAllowed } else { Refusal::NoGroup };
                return Ok(Outcome::Refused(refusal));
            }
        };
        let identity = Identity {
            name: names.hub,
            admin,
            groups: Some(claims.groups.clone()),
            roles: roles_of(claims),
            must_change_password: false,
            auth_state: Some(known.auth_state()),
            account: Some(Account {
                provider: claims.provider.clone(),
                issuer: claims.issuer.clone(),
                subject: claims.subject.clone(),
                display: claims.display.clone(),
            }),
        };
        Ok(self.without_foreign_groups(self.post_auth.ask(identity, address).await?))
    }

    /// The name in the hub of somebody who comes from a provider, if there can be such a name.
    pub fn name_of_claims(&self, claims: &Claims) -> Option<UserName> {
        self.rules.names(&claims.username).map(|names| names.hub)
    }

    /// Whether a user is another account of the same provider than this one.
    async fn is_of_somebody_else(&self, store: &Store, user: &User, claims: &Claims) -> Result<bool, String> {
        if !self.provider(Some(&claims.provider)).is_none_or(|provider| provider.config().check_subject) {
            return Ok(false);
        }
        let accounts = store.identities_of(user.id).await.map_err(said)?;
        let same_issuer = |issuer: &str| oidc::is_same_issuer(issuer, &claims.issuer);
        Ok(accounts.iter().any(|account| same_issuer(&account.issuer) && account.subject != claims.subject))
    }
}

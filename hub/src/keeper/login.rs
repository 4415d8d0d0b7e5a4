//! What a server is told of its person's login at an identity provider, where the configuration wants that.
//!
//! The names are those of INFN's deployments. What is given for a secret and a refresh token is the server's own token: it
//! is good at the hub only (`api::facade`), and ends with the server.

use anyhow::Result;
use hub_core::secret::Secret;
use hub_store::{Server, ShareQuery, Shares};
use spawners::Plan;

use super::Inner;
use crate::config::spawner::OidcVariable;
use crate::http::url::client_of_server;
use crate::upstream::Kept;

impl Inner {
    /// Adds the variables that are wanted; what the configuration sets itself stays.
    pub(crate) async fn tell_login(&self, plan: &mut Plan, server: &Server, token: &Secret) -> Result<()> {
        let wanted = &self.recipe.oidc_environment;
        if wanted.is_empty() {
            return Ok(());
        }
        let opened = self.settings.hooks.auth_states.open(&self.store, server.user_id).await?;
        // Who does not come from a provider has nothing to be told.
        let Some(kept) = opened.and_then(|(sealed, state)| Kept::new(sealed, state)) else { return Ok(()) };
        let Some(provider) = kept.provider().or(self.recipe.provider.as_deref()) else { return Ok(()) };
        for variable in wanted {
            let value = match variable {
                // What can be read in a server that others use is theirs as well.
                OidcVariable::AccessToken if self.is_shared(server).await? => continue,
                OidcVariable::AccessToken => {
                    let tokens = kept.tokens();
                    tokens.map(|tokens| tokens.access_token.expose().to_owned()).unwrap_or_default()
                }
                OidcVariable::RefreshToken | OidcVariable::IamClientSecret => token.expose().to_owned(),
                OidcVariable::IamServer => format!("{}/iam/{provider}", self.recipe.api_url),
                OidcVariable::IamClientId => client_of_server(&server.user_name, &server.name),
                OidcVariable::Username => server.user_name.clone(),
                OidcVariable::Groups => self.store.groups_of(server.user_id).await?.join(" "),
            };
            if !plan.environment.iter().any(|(name, _)| name == variable.name()) {
                plan.environment.push((variable.name().to_owned(), value));
            }
        }
        Ok(())
    }

    async fn is_shared(&self, server: &Server) -> Result<bool> {
        if self.recipe.tokens_in_shared_servers {
            return Ok(false);
        }
        let query = ShareQuery { of: Shares::OfServer(server.id), offset: 0, limit: Some(1) };
        Ok(self.store.list_shares(&query, self.now()).await?.total > 0)
    }
}

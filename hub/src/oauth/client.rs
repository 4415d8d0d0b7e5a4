//! OAuth clients as they are met: a registered client with the server or service behind it.

use hub_core::scope::{self, Catalogue, RawScope, Scope, Target};
use hub_store::{OAuthClient, Server, Service, StoreError};

use crate::app::App;
use crate::http::Caller;

/// What is behind a client.
pub enum Behind {
    /// A person's server, and the groups of that person.
    Server(Box<Server>, Vec<String>),
    /// A service.
    Service(Box<Service>),
}

/// A client that may ask for codes.
pub struct Client {
    /// The registered client.
    pub row: OAuthClient,
    /// What is behind it.
    pub behind: Behind,
}

impl Client {
    /// Finds a client; `None` when it is unknown or nothing is behind it.
    pub async fn find(app: &App, identifier: &str) -> Result<Option<Self>, StoreError> {
        let Some(row) = app.store.oauth_client(identifier).await? else { return Ok(None) };
        if let Some(server) = app.store.server_by_client(identifier).await? {
            let groups = app.store.groups_of(server.user_id).await?;
            return Ok(Some(Self { row, behind: Behind::Server(Box::new(server), groups) }));
        }
        let service = app.store.service_by_client(identifier).await?;
        Ok(service.map(|service| Self { row, behind: Behind::Service(Box::new(service)) }))
    }

    /// For the functions about scopes.
    pub fn scope_client(&self) -> scope::Client<'_> {
        match &self.behind {
            Behind::Server(server, _) => scope::Client::Server { user: &server.user_name, name: &server.name },
            Behind::Service(service) => scope::Client::Service(&service.spec.name),
        }
    }

    /// Whether the caller may open what is behind it.
    pub fn admits(&self, caller: &Caller) -> bool {
        match &self.behind {
            Behind::Server(server, groups) => {
                let target = Target::Server { user: &server.user_name, name: &server.name, groups };
                caller.rights.reach(Scope::AccessServers).covers(&target)
            }
            Behind::Service(service) => {
                caller.rights.reach(Scope::AccessServices).covers(&Target::Service(&service.spec.name))
            }
        }
    }

    /// Whether the operator or the ownership makes asking superfluous.
    pub fn is_trusted_by(&self, app: &App, caller: &Caller) -> bool {
        match &self.behind {
            Behind::Server(server, _) => {
                let is_own = caller.user().is_some_and(|user| user.id == server.user_id);
                // The operator put the lab up for them; what it may ask for beyond who they are, they are asked about.
                let is_theirs = app.config.collaboration_of(&server.user_name).is_some();
                is_own || (is_theirs && self.row.allowed_scopes.is_empty())
            }
            Behind::Service(service) => service.spec.oauth_no_confirm == Some(true),
        }
    }

    /// What its tokens always may: identify the person, and open what is behind the client.
    pub fn required(&self) -> Vec<RawScope> {
        let mut scopes = scope::identify_anybody();
        scopes.extend(scope::access_scopes(self.scope_client()));
        scopes
    }

    /// What it may ask for beyond that.
    pub fn allowed(&self, catalogue: &Catalogue) -> Vec<RawScope> {
        self.row.allowed_scopes.iter().filter_map(|text| catalogue.parse(text).ok()).collect()
    }
}

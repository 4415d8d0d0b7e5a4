//! What a server is started with: its token, its OAuth client, its environment and command.

use std::collections::{BTreeMap, BTreeSet};

use hub_core::clock::Time;
use hub_core::name;
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{HUB_CLIENT, NewToken, OAuthClient, Server, TokenOwner};
use rand::Rng;
use spawners::{Identity, Plan};

use crate::config::spawner::OidcVariable;
use crate::http::url::{client_of_server, server_prefix};

use super::environment::{Surroundings, environment};

/// What all servers of this hub have in common, from the configuration.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The database's own mark.
    pub hub: String,
    /// With slashes at both ends.
    pub base_url: String,
    /// As servers reach it.
    pub api_url: String,
    /// Scheme and host for browsers; may be empty.
    pub public_origin: String,
    /// `Spawner.cmd`.
    pub cmd: Vec<String>,
    /// `Spawner.args`.
    pub args: Vec<String>,
    /// `Spawner.environment`.
    pub environment: BTreeMap<String, String>,
    /// `Spawner.notebook_dir`.
    pub notebook_dir: String,
    /// `Spawner.default_url`.
    pub default_url: String,
    /// `Spawner.server_token_scopes`; empty for those of the role `server`.
    pub token_scopes: Vec<String>,
    /// `Spawner.oauth_client_allowed_scopes`.
    pub client_allowed_scopes: Vec<String>,
    /// Bytes.
    pub mem_limit: Option<u64>,
    /// Bytes.
    pub mem_guarantee: Option<u64>,
    /// Cores.
    pub cpu_limit: Option<f64>,
    /// Cores.
    pub cpu_guarantee: Option<f64>,
    /// `Spawner.debug`.
    pub debug: bool,
    /// `Spawner.disable_user_config`.
    pub disable_user_config: bool,
    /// The address local servers listen on.
    pub local_ip: String,
    /// What servers are told of their person's login.
    pub oidc_environment: BTreeSet<OidcVariable>,
    /// The only identity provider, by its name.
    pub provider: Option<String>,
}

impl Recipe {
    /// The path a server is reached at, base URL included.
    pub fn prefix(&self, user: &str, server: &str) -> String {
        server_prefix(&self.base_url, user, server)
    }

    /// The token of one start, as it is stored. `role` has the scopes of the role `server`.
    pub fn token(
        &self,
        server: &Server,
        secret: &Secret,
        role: &[String],
        random: &mut impl Rng,
        now: Time,
    ) -> NewToken {
        NewToken {
            owner: TokenOwner::User(server.user_id),
            hashed: Secret::new(token::hash(secret.expose(), token::GENERATED_ROUNDS, random)),
            prefix: token::prefix(secret.expose()).to_owned(),
            client_id: HUB_CLIENT.to_owned(),
            session_id: None,
            note: format!("Server at {}", self.prefix(&server.user_name, &server.name)),
            scopes: self.scopes_of_token(server, role),
            expires_at: None,
            now,
        }
    }

    /// The server's scopes with its own name filled in, as JupyterHub stores them.
    fn scopes_of_token(&self, server: &Server, role: &[String]) -> Vec<String> {
        let own = format!("!server={}/{}", server.user_name, server.name);
        let resolve = |scope: &String| match scope.strip_suffix("!server") {
            Some(bare) => format!("{bare}{own}"),
            None => scope.clone(),
        };
        let wanted = if self.token_scopes.is_empty() { role } else { &self.token_scopes };
        let mut scopes: Vec<String> = wanted.iter().map(resolve).collect();
        let activity = "users:activity!user".to_owned();
        if !scopes.contains(&activity) {
            scopes.push(activity);
        }
        scopes
    }

    /// The OAuth client of one start.
    pub fn client(&self, server: &Server, secret: &Secret, random: &mut impl Rng) -> OAuthClient {
        OAuthClient {
            identifier: client_of_server(&server.user_name, &server.name),
            description: format!("Server at {}", self.prefix(&server.user_name, &server.name)),
            secret: Secret::new(token::hash(secret.expose(), token::CHOSEN_ROUNDS, random)),
            redirect_uri: format!("{}oauth_callback", self.prefix(&server.user_name, &server.name)),
            allowed_scopes: self.client_allowed_scopes.clone(),
        }
    }

    /// The plan a driver gets.
    pub fn plan(&self, server: &Server, identity: Identity, token: &Secret) -> Plan {
        let prefix = self.prefix(&server.user_name, &server.name);
        let escaped = name::escape_path(&server.user_name);
        let client_id = client_of_server(&server.user_name, &server.name);
        let environment = environment(&Surroundings {
            user: &server.user_name,
            escaped_user: &escaped,
            server: &server.name,
            prefix: &prefix,
            base_url: &self.base_url,
            api_url: &self.api_url,
            public_origin: &self.public_origin,
            client_id: &client_id,
            client_allowed_scopes: &self.client_allowed_scopes,
            token,
            mem_limit: self.mem_limit,
            mem_guarantee: self.mem_guarantee,
            cpu_limit: self.cpu_limit,
            cpu_guarantee: self.cpu_guarantee,
            notebook_dir: &self.notebook_dir,
            default_url: &self.default_url,
            debug: self.debug,
            disable_user_config: self.disable_user_config,
            extra: &self.environment,
        });
        let mut plan = Plan::new(identity, prefix, self.cmd.clone());
        plan.environment = environment.into_iter().collect();
        plan.args = self.args.clone();
        plan.ip = self.local_ip.clone();
        plan.mem_limit = self.mem_limit;
        plan.mem_guarantee = self.mem_guarantee;
        plan.cpu_limit = self.cpu_limit;
        plan.cpu_guarantee = self.cpu_guarantee;
        plan
    }
}

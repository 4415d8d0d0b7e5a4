//! What a server is started with: its token, its OAuth client, its environment and command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hub_core::clock::Time;
use hub_core::name;
use hub_core::policy::{Amounts, Resolved, amount};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{HUB_CLIENT, NewToken, OAuthClient, Server, TokenOwner};
use rand::Rng;
use spawners::{Identity, Plan};

use crate::config::CollaborationConfig;
use crate::config::spawner::OidcVariable;
use crate::control::site::Ways;
use crate::http::url::{Paths, client_of_server, server_prefix};
use crate::storage::Offer;

use super::environment::{Surroundings, environment};

/// What the policies granted with the intent; nothing in particular where there are none. `None` when it is not understood.
pub(crate) fn granted(server: &Server) -> Option<Resolved> {
    match &server.plan {
        None | Some(serde_json::Value::Null) => Some(Resolved::default()),
        Some(plan) => serde_json::from_value(plan.clone()).ok(),
    }
}

/// What all servers of this hub have in common, from the configuration.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The database's own mark.
    pub hub: String,
    /// Where things are.
    pub paths: Paths,
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
    /// Whether servers that others use get access tokens too.
    pub tokens_in_shared_servers: bool,
    /// The only identity provider, by its name.
    pub provider: Option<String>,
    /// Object stores that people have keys of.
    pub storage: Vec<Offer>,
    /// Labs for working together.
    pub collaboration: Vec<CollaborationConfig>,
    /// How servers of other sites are reached.
    pub ways: Arc<Ways>,
    /// What was chosen and granted, for what only drivers have a word for.
    pub chosen: Resolved,
}

impl Recipe {
    /// The path a server is reached at, base URL included.
    pub fn prefix(&self, user: &str, server: &str) -> String {
        server_prefix(&self.paths.base, user, server)
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
            redirect_uri: format!("{}oauth_callback", self.paths.server(&server.user_name, &server.name)),
            allowed_scopes: self.client_allowed_scopes.clone(),
        }
    }

    /// Lays what was chosen and granted over what all servers have in common.
    pub fn lay(&mut self, chosen: Resolved) {
        self.mem_limit = chosen.mem_limit.or(self.mem_limit);
        self.mem_guarantee = chosen.mem_guarantee.or(self.mem_guarantee);
        self.cpu_limit = chosen.cpu_limit.map(amount::as_cores).or(self.cpu_limit);
        self.cpu_guarantee = chosen.cpu_guarantee.map(amount::as_cores).or(self.cpu_guarantee);
        for (name, value) in &chosen.environment {
            match value {
                Some(value) => drop(self.environment.insert(name.clone(), value.clone())),
                None => drop(self.environment.remove(name)),
            }
        }
        if let Some(image) = &chosen.image {
            // The names that DockerSpawner and KubeSpawner give it.
            for name in ["JUPYTER_IMAGE_SPEC", "JUPYTER_IMAGE"] {
                self.environment.entry(name.to_owned()).or_insert_with(|| image.clone());
            }
        }
        if let Some(cmd) = &chosen.cmd {
            self.cmd.clone_from(cmd);
        }
        if let Some(args) = &chosen.args {
            self.args.clone_from(args);
        }
        if let Some(default_url) = &chosen.default_url {
            self.default_url.clone_from(default_url);
        }
        if let Some(folder) = &chosen.notebook_dir {
            self.notebook_dir.clone_from(folder);
        }
        self.chosen = chosen;
    }

    /// Whether this is the account of a lab for working together: it has no login, so nothing that takes one.
    pub fn is_collaboration(&self, user: &str) -> bool {
        self.collaboration.iter().any(|one| one.name == user)
    }

    /// Makes it a lab for working together, if the account is that of one.
    pub fn join_people(&mut self, user: &str) {
        let Some(one) = self.collaboration.iter().find(|one| one.name == user) else { return };
        self.args.extend(one.arguments());
        if let Some(folder) = &one.notebook_dir {
            self.notebook_dir.clone_from(folder);
        }
    }

    /// Brings limits that something raised afterwards down to what the policies allow at most.
    pub fn bound(&mut self, caps: &Amounts) {
        if let Some(most) = caps.memory {
            self.mem_limit = Some(self.mem_limit.map_or(most, |limit| limit.min(most)));
            self.mem_guarantee = self.mem_guarantee.map(|sure| sure.min(most));
        }
        if let Some(most) = caps.cpu.map(amount::as_cores) {
            self.cpu_limit = Some(self.cpu_limit.map_or(most, |limit| limit.min(most)));
            self.cpu_guarantee = self.cpu_guarantee.map(|sure| sure.min(most));
        }
    }

    /// The plan a driver gets.
    pub fn plan(&self, server: &Server, identity: Identity, token: &Secret) -> Plan {
        let prefix = self.prefix(&server.user_name, &server.name);
        let escaped = name::escape_path(&server.user_name);
        let client_id = client_of_server(&server.user_name, &server.name);
        let user_origin = self.paths.origin_of_user(&server.user_name);
        let environment = environment(&Surroundings {
            user: &server.user_name,
            escaped_user: &escaped,
            server: &server.name,
            prefix: &prefix,
            base_url: &self.paths.base,
            api_url: &self.api_url,
            public_origin: &self.public_origin,
            user_origin: &user_origin,
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
        plan.templates = self.environment.keys().cloned().collect();
        plan.args = self.args.clone();
        plan.ip = self.local_ip.clone();
        plan.mem_limit = self.mem_limit;
        plan.mem_guarantee = self.mem_guarantee;
        plan.cpu_limit = self.cpu_limit;
        plan.cpu_guarantee = self.cpu_guarantee;
        plan.image.clone_from(&self.chosen.image);
        plan.site.clone_from(&self.chosen.site);
        plan.gpus.clone_from(&self.chosen.gpus);
        plan.volumes.clone_from(&self.chosen.volumes);
        plan.extra.clone_from(&self.chosen.extra);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};
    use serde_json::json;

    fn recipe() -> Recipe {
        let config = crate::config::Config::default();
        crate::start::recipe(&config, &Paths::new("/"), "hub")
    }

    fn server() -> Server {
        Server {
            id: SpawnerId(1),
            user_id: hub_core::id::UserId(1),
            user_name: "anna".into(),
            user_created: None,
            name: String::new(),
            display_name: None,
            state: None,
            user_options: None,
            started: None,
            last_activity: None,
            oauth_client_id: None,
            address: None,
            desired: hub_core::life::Desired::Running,
            phase: hub_core::life::Phase::Starting,
            generation: Generation(1),
            due_at: None,
            deadline_at: None,
            held_by: None,
            held_until: None,
            failure: None,
            driver: None,
            plan: None,
            url: None,
            changed_at: None,
            memory_full: None,
        }
    }

    fn plan(recipe: &Recipe) -> Plan {
        let identity = Identity {
            hub: "hub".into(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        recipe.plan(&server(), identity, &Secret::new("t"))
    }

    #[test]
    fn what_was_granted_reaches_limits_environment_and_driver() {
        let mut recipe = recipe();
        recipe.environment.insert("GONE".into(), "1".into());
        let chosen = json!({
            "image": "quay.io/a/b:1", "cpu_limit": 2000, "mem_limit": 4294967296u64, "gpus": {"nvidia.com/gpu": 1},
            "environment": {"MORE": "x", "GONE": null}, "args": ["--debug"], "default_url": "/rstudio",
            "volumes": {"data": {"path": "/data"}}, "extra": {"node_selector": {"pool": "gpu"}},
        });
        recipe.lay(serde_json::from_value(chosen).unwrap());
        let plan = plan(&recipe);
        assert_eq!(
            (plan.image.as_deref(), plan.cpu_limit, plan.mem_limit),
            (Some("quay.io/a/b:1"), Some(2.0), Some(4 << 30))
        );
        assert_eq!((plan.gpus["nvidia.com/gpu"], plan.args.as_slice()), (1, &["--debug".to_owned()][..]));
        assert_eq!(
            (&plan.volumes["data"]["path"], &plan.extra["node_selector"]["pool"]),
            (&json!("/data"), &json!("gpu"))
        );
        let variable =
            |name: &str| plan.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let expected = [
            ("CPU_LIMIT", Some("2.0")),
            ("MEM_LIMIT", Some("4294967296")),
            ("MORE", Some("x")),
            ("GONE", None),
            ("JUPYTER_IMAGE_SPEC", Some("quay.io/a/b:1")),
            ("JUPYTERHUB_DEFAULT_URL", Some("/rstudio")),
        ];
        for (name, value) in expected {
            assert_eq!(variable(name), value, "{name}");
        }
        // What an operator wrote may be a template of the driver's; what the hub says never is.
        let templates: Vec<&str> = plan.templates.iter().map(String::as_str).collect();
        assert_eq!(templates, ["JUPYTER_IMAGE", "JUPYTER_IMAGE_SPEC", "MORE"]);
    }

    #[test]
    fn nothing_that_comes_later_raises_a_limit_above_the_most() {
        let mut recipe = recipe();
        (recipe.mem_limit, recipe.cpu_limit, recipe.cpu_guarantee) = (Some(8 << 30), None, Some(16.0));
        recipe.bound(&Amounts { cpu: Some(4000), memory: Some(2 << 30), ..Amounts::default() });
        assert_eq!((recipe.mem_limit, recipe.cpu_limit, recipe.cpu_guarantee), (Some(2 << 30), Some(4.0), Some(4.0)));
        recipe.bound(&Amounts::default());
        assert_eq!(recipe.cpu_limit, Some(4.0));
    }
}

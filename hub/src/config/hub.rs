//! `[hub]`: addresses, database, cookies, tokens, servers, limits. The names are JupyterHub's own where it has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hub_core::secret::Secret;
use hub_core::subdomain::{Hook, Hosts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::{BasePath, BindUrl, HttpUrl};
use super::service::{ServiceConfig, TokenConfig};
use super::unit::Seconds;

/// How the host of a user is made of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubdomainHook {
    /// Always valid.
    Idna,
    /// As JupyterHub before version 5.
    Legacy,
}

/// The hub itself: addresses, database, cookies, tokens and the limits on servers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HubConfig {
    /// Where browsers reach the proxy: `http://HOST:PORT/BASE/`, or `https://…` with the options of `[proxy]` that say
    /// which certificate is shown. An empty host listens on every address.
    pub bind_url: BindUrl,
    /// The path everything lives under, when `bind_url` names none.
    pub base_url: BasePath,
    /// The address the hub's own API listens on, for the proxy and for people's servers.
    pub hub_ip: String,
    /// The port of the hub's own API.
    pub hub_port: u16,
    /// How people's servers reach the hub, when it is not `http://HUB_IP:HUB_PORT`.
    pub hub_connect_url: Option<HttpUrl>,
    /// Lets hub, proxy and servers speak TLS with each other, each showing a certificate: see [tls.md](tls.md). With the
    /// drivers `local` and `kubernetes`.
    pub internal_ssl: bool,
    /// The folder of the authorities that sign for them, made at the first start. All hubs of a database need the same one.
    /// Without one: `internal-ssl` in `data_dir`.
    #[schemars(extend("format" = "path"))]
    pub internal_certs_location: Option<PathBuf>,
    /// Further names in the certificate of the hub: host names or addresses, also as `DNS:NAME` and `IP:ADDRESS`.
    pub trusted_alt_names: Vec<String>,
    /// The site this hub is at, by its name in `[[sites]]`.
    pub site: Option<String>,
    /// The address people see, when another proxy stands in front: `https://hub.example.org/BASE/`.
    pub public_url: Option<HttpUrl>,
    /// Gives every user and every service a host of their own below this address, `https://hub.example.org[:PORT]`, so
    /// that pages of one cannot read those of another: `https://alice.hub.example.org/user/alice/`. All these names have
    /// to lead here (a record `*.hub.example.org` in the DNS), and the certificate has to have `*.hub.example.org`.
    pub subdomain_host: Option<HttpUrl>,
    /// How the host of a user is made of the name: `idna` is always valid and gives each service a host; `legacy` is that
    /// of JupyterHub before version 5, where all services share `services.hub.example.org`.
    pub subdomain_hook: SubdomainHook,
    /// Addresses or networks of proxies in front, whose `X-Forwarded-*` headers are believed. Those of `specola proxy` are
    /// believed in any case.
    pub trusted_downstream_ips: Vec<String>,
    /// Where the database, the cookie secret, logs and the proxy's files are kept.
    pub data_dir: PathBuf,
    /// The database: `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`, with a primary and its standbys
    /// `postgresql://USER:PASSWORD@HOST1,HOST2/NAME`. Without one: `jupyterhub.sqlite` in `data_dir`.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    pub db_url: Option<Secret>,
    /// How many connections to PostgreSQL a hub has at most; on SQLite, how many that read. All hubs together must stay
    /// below the server's `max_connections`.
    #[schemars(range(min = 2, max = 1000))]
    pub db_connections: u32,
    /// A file whose content is `db_url`.
    #[schemars(extend("format" = "path"))]
    pub db_url_file: Option<PathBuf>,
    /// The key that signs cookies: 64 hexadecimal digits. Better kept in `cookie_secret_file`.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    pub cookie_secret: Option<Secret>,
    /// The file with the key that signs cookies, made at the first start.
    /// Without one: `jupyterhub_cookie_secret` in `data_dir`.
    #[schemars(extend("format" = "path"))]
    pub cookie_secret_file: Option<PathBuf>,
    /// How many days a login lasts.
    #[schemars(range(min = 0))]
    pub cookie_max_age_days: f64,
    /// How many seconds an OAuth token lasts; 0 means as long as a login.
    pub oauth_token_expires_in: u64,
    /// For so long a hub that is told to stop goes on serving, while `/hub/health` and `/hub/health/ready` answer 503: for a load
    /// balancer that leads to several hubs.
    pub stop_delay: Seconds,
    /// Refuses OAuth clients that do not use PKCE.
    pub oauth_require_pkce: bool,
    /// The longest life of an API token in seconds; 0 means no limit.
    pub token_expires_in_max_seconds: u64,
    /// Lets people have further servers beside their default one.
    pub allow_named_servers: bool,
    /// Lets servers be started whose names are older than the rule for names.
    pub allow_invalid_named_server_start: bool,
    /// How many named servers one person may have; 0 means no limit.
    pub named_server_limit_per_user: u32,
    /// The name of the server started when none is named.
    pub default_server_name: String,
    /// Sends people to their server after login, not to the home page.
    pub redirect_to_server: bool,
    /// Where people land after login, instead of their server or the home page.
    pub default_url: Option<String>,
    /// How many servers may be starting at once; 0 means no limit.
    pub concurrent_spawn_limit: u32,
    /// How many servers may run at once; 0 means no limit.
    pub active_server_limit: u32,
    /// The shortest and longest wait in seconds proposed to those who came when too many servers were starting.
    pub spawn_throttle_retry_range: [u32; 2],
    /// How many seconds the not-running page waits before it starts the server by itself; 0 means never.
    pub implicit_spawn_seconds: Seconds,
    /// How many seconds a request to start a server waits for it before answering "still starting".
    pub slow_spawn_timeout: Seconds,
    /// How many seconds a request to stop a server waits for it before answering "still stopping".
    pub slow_stop_timeout: Seconds,
    /// Stops a person's servers when they log out.
    pub shutdown_on_logout: bool,
    /// Asks for the right `read:metrics` before `/hub/metrics` is shown.
    pub authenticate_prometheus: bool,
    /// Activity closer together than this is recorded once.
    pub activity_resolution: Seconds,
    /// How many entries a REST list returns when none is asked for.
    #[schemars(range(min = 1))]
    pub api_page_default_limit: u32,
    /// How many entries a REST list returns at most.
    #[schemars(range(min = 1))]
    pub api_page_max_limit: u32,
    /// Roles there are, beside the four that every hub has. One that is not named any more is deleted at start.
    pub load_roles: Vec<RoleConfig>,
    /// Groups to create at start, by name.
    pub load_groups: BTreeMap<String, GroupConfig>,
    /// Scopes for services of your own, by name: `custom:…`.
    pub custom_scopes: BTreeMap<String, ScopeConfig>,
    /// Scopes everybody has beside those of the role `user`.
    pub extra_user_scopes: Vec<String>,
    /// Services beside people's servers.
    pub services: Vec<ServiceConfig>,
    /// Tokens of services that were made elsewhere. A service that is not in `services` is made for them.
    pub service_tokens: Vec<TokenConfig>,
    /// Tokens of people that were made elsewhere. Prefer a service with the rights it needs.
    pub api_tokens: Vec<TokenConfig>,
    /// How often the services with a url are asked whether they answer; 0 means never.
    pub service_check_interval: Seconds,
    /// How many threads serve requests; without it, one a processor.
    #[schemars(range(min = 1, max = 1024))]
    pub worker_threads: Option<usize>,
}

/// A role and who has it. A list of holders is exact, and one left out is empty, but for people who have the roles
/// `user` and `admin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct RoleConfig {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// What it allows.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// People who have it.
    #[serde(default)]
    pub users: Option<Vec<String>>,
    /// Groups whose members have it.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Services that have it.
    #[serde(default)]
    pub services: Option<Vec<String>>,
}

/// A group of people.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GroupConfig {
    /// Its members.
    pub users: Vec<String>,
    /// What is known about the group, free in form.
    pub properties: BTreeMap<String, Value>,
}

/// A scope that services of your own ask for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScopeConfig {
    /// What it allows, in a sentence; shown when people are asked for consent.
    pub description: String,
    /// Custom scopes it contains.
    pub subscopes: Vec<String>,
}

impl HubConfig {
    /// As JupyterHub: whoever names the host above those of users has named that of the hub.
    pub(super) fn see_subdomains(&mut self) {
        if let (None, Some(host)) = (&self.public_url, &self.subdomain_host) {
            self.public_url = HttpUrl::parse(&format!("{}{}", host.as_str(), self.base_path().as_str())).ok();
        }
    }

    /// The hosts of users and services, where those have their own.
    pub fn hosts(&self) -> Option<Hosts> {
        let hook = match self.subdomain_hook {
            SubdomainHook::Idna => Hook::Idna,
            SubdomainHook::Legacy => Hook::Legacy,
        };
        Hosts::new(self.subdomain_host.as_ref()?.as_str(), hook)
    }
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            bind_url: BindUrl { host: "127.0.0.1".into(), port: 8000, base: None, https: false },
            base_url: BasePath::default(),
            hub_ip: "127.0.0.1".into(),
            hub_port: 8081,
            hub_connect_url: None,
            internal_ssl: false,
            internal_certs_location: None,
            trusted_alt_names: Vec::new(),
            site: None,
            public_url: None,
            subdomain_host: None,
            subdomain_hook: SubdomainHook::Idna,
            trusted_downstream_ips: Vec::new(),
            data_dir: ".".into(),
            db_url: None,
            db_connections: 10,
            db_url_file: None,
            cookie_secret: None,
            cookie_secret_file: None,
            cookie_max_age_days: 14.0,
            oauth_token_expires_in: 0,
            stop_delay: Seconds(0.0),
            oauth_require_pkce: false,
            token_expires_in_max_seconds: 0,
            allow_named_servers: false,
            allow_invalid_named_server_start: true,
            named_server_limit_per_user: 0,
            default_server_name: String::new(),
            redirect_to_server: true,
            default_url: None,
            concurrent_spawn_limit: 100,
            active_server_limit: 0,
            spawn_throttle_retry_range: [30, 60],
            implicit_spawn_seconds: Seconds(0.0),
            slow_spawn_timeout: Seconds(10.0),
            slow_stop_timeout: Seconds(10.0),
            shutdown_on_logout: false,
            authenticate_prometheus: true,
            activity_resolution: Seconds(30.0),
            api_page_default_limit: 50,
            api_page_max_limit: 200,
            load_roles: Vec::new(),
            load_groups: BTreeMap::new(),
            custom_scopes: BTreeMap::new(),
            extra_user_scopes: Vec::new(),
            services: Vec::new(),
            service_tokens: Vec::new(),
            api_tokens: Vec::new(),
            service_check_interval: Seconds(60.0),
            worker_threads: None,
        }
    }
}

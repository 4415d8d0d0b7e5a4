//! The configuration: one struct a section, read from a TOML file and the environment, and checked as a whole.
//!
//! The structs' own schema says what may be written (`shape`); one walk finds unknown names and wrong types (`check`),
//! and the same schema becomes the reference page (`reference`). What values must mean is said in `validate`.

pub mod address;
pub mod audit;
pub mod auth;
pub mod callout;
mod check;
pub mod collaboration;
pub mod cookie_secret;
pub mod culler;
pub mod docker;
mod document;
pub mod environment;
pub mod events;
pub mod folders;
pub mod hub;
pub mod infn;
mod internal_ssl;
pub mod kubernetes;
mod load;
pub mod log;
pub mod metrics;
pub mod options;
pub mod pages;
pub mod problem;
pub mod provider;
pub mod proxy;
pub mod reference;
pub mod rules;
pub mod secret_file;
pub mod service;
pub mod shape;
pub mod site;
pub mod spawner;
pub mod storage;
#[cfg(test)]
mod tests;
pub mod unit;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hub_core::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use self::address::BasePath;
pub use self::audit::AuditConfig;
pub use self::auth::AuthConfig;
pub use self::callout::{CalloutConfig, HooksConfig};
pub use self::collaboration::CollaborationConfig;
pub use self::culler::CullerConfig;
pub use self::environment::Environment;
pub use self::events::EventsConfig;
pub use self::folders::FoldersConfig;
pub use self::hub::HubConfig;
pub use self::load::{CRYPT_KEY, crypt_keys_of};
pub use self::log::LogConfig;
pub use self::metrics::MetricsConfig;
pub use self::options::OptionsConfig;
pub use self::pages::PagesConfig;
pub use self::problem::{ConfigErrors, Problem};
pub use self::provider::ProviderConfig;
pub use self::proxy::ProxyConfig;
pub use self::site::SiteConfig;
pub use self::spawner::SpawnerConfig;
pub use self::storage::StorageConfig;

/// Everything an operator can set. `Config::default()` is what an empty file means.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The hub itself: addresses, database, cookies, tokens and the limits on servers.
    pub hub: HubConfig,
    /// How people prove who they are, and who of them is let in.
    pub auth: AuthConfig,
    /// What a person's server is started with.
    pub spawner: SpawnerConfig,
    /// Places with an engine or a cluster of their own: see [sites.md](sites.md). Without any, there is one. The environment
    /// has them all in `SPECOLA_SITES`, as JSON.
    pub sites: Vec<SiteConfig>,
    /// What people choose before a server starts, and who may: see [options.md](options.md). Without any, nothing is asked.
    pub options: OptionsConfig,
    /// Labs in which people work on the same documents at once: see [operate.md](operate.md#working-together). The
    /// environment has them all in `SPECOLA_COLLABORATION`, as JSON.
    pub collaboration: Vec<CollaborationConfig>,
    /// Folders of the machine that people find in their servers: see [folders.md](folders.md).
    pub folders: FoldersConfig,
    /// Object stores whose credentials the hub gets for people: see [storage.md](storage.md). The environment has them all
    /// in `SPECOLA_STORAGE`, as JSON.
    pub storage: Vec<StorageConfig>,
    /// When servers that nobody uses are stopped. Does what jupyterhub-idle-culler does, without a service.
    pub culler: CullerConfig,
    /// Programs and addresses of your own that are asked or told when something happens: see [hooks.md](hooks.md).
    pub hooks: HooksConfig,
    /// The proxy in front of the hub and of people's servers. It reads these when it starts, and limits again when it gets SIGHUP.
    pub proxy: ProxyConfig,
    /// What people see: name, logo, colour and words of your own.
    pub pages: PagesConfig,
    /// What is written to standard error.
    pub log: LogConfig,
    /// What is measured once in a while for `/hub/metrics`. Names as in JupyterHub's `PeriodicMetricsCollector`.
    pub metrics: MetricsConfig,
    /// Starts and stops of servers for other programs: JupyterHub's event `server-action`, one JSON object a line.
    pub events: EventsConfig,
    /// The record of who did what to whom. It cannot be turned off.
    pub audit: AuditConfig,
    /// The file it was read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What was noticed while reading, without being wrong.
    #[serde(skip)]
    notes: Vec<String>,
    /// What the variables of INFN's deployments gave.
    #[serde(skip)]
    infn: infn::Taken,
    /// The keys of what is kept of people, newest first: `JUPYTERHUB_CRYPT_KEY`, or the content of the file that
    /// `JUPYTERHUB_CRYPT_KEY_FILE` names.
    #[serde(skip)]
    pub crypt_keys: Option<Secret>,
    /// A digest of each option that was written, by its name, to tell what changed between two starts.
    #[serde(skip)]
    pub digests: BTreeMap<String, [u8; 32]>,
}

/// The sections in the order of the reference page.
const SECTIONS: [&str; 16] = [
    "hub",
    "auth",
    "spawner",
    "sites",
    "options",
    "collaboration",
    "folders",
    "storage",
    "culler",
    "hooks",
    "proxy",
    "pages",
    "log",
    "metrics",
    "events",
    "audit",
];

impl Config {
    /// Reads a file (or none) and the environment over it. Returns every problem at once.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigErrors> {
        load::load(path, environment)
    }

    /// Checks the rules between options, for a configuration that was made or changed by the program.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let problems = validate::validate(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigErrors::new(problems)) }
    }

    /// Whether servers run at sites: those of the driver `local` are processes of the hub's machine in any case.
    pub fn has_sites(&self) -> bool {
        !self.sites.is_empty() && self.spawner.driver != spawner::Driver::Local
    }

    /// What servers are started with: at each site, or at the only place there is.
    pub fn spawners(&self) -> Vec<&SpawnerConfig> {
        match self.has_sites() {
            true => self.sites.iter().map(|site| site.spawner_of(self)).collect(),
            false => vec![&self.spawner],
        }
    }

    /// The options that the variables of INFN's deployments gave, each with its variable.
    pub fn taken(&self) -> &[(String, String)] {
        &self.infn.options
    }

    /// The client to complete before the hub can be used, when those variables give no secret.
    pub fn claim(&self) -> Option<&infn::Claim> {
        self.infn.claim.as_ref()
    }

    /// The proxy in front that an older hub told routes, when those variables name its token.
    pub fn front(&self) -> Option<&infn::Front> {
        self.infn.front.as_ref()
    }

    /// What is allowed and worth a second look, as sentences without secrets.
    pub fn warnings(&self) -> Vec<String> {
        validate::warnings(self)
    }
}

impl HubConfig {
    /// The database's URL: what was configured, or `jupyterhub.sqlite` in the data folder.
    pub fn database_url(&self) -> Secret {
        match &self.db_url {
            Some(url) => url.clone(),
            None => Secret::new(format!("sqlite:///{}", self.data_dir.join("jupyterhub.sqlite").display())),
        }
    }

    /// The path everything lives under; begins and ends with a slash.
    pub fn base_path(&self) -> &BasePath {
        self.bind_url.base.as_ref().unwrap_or(&self.base_url)
    }

    /// Where the hub's own API listens: `HOST:PORT`.
    pub fn hub_listen(&self) -> String {
        let every = matches!(self.hub_ip.as_str(), "" | "*");
        address::join(if every { "0.0.0.0" } else { &self.hub_ip }, self.hub_port)
    }

    /// How servers and the proxy reach the hub, without a slash at the end: `http://127.0.0.1:8081`.
    pub fn hub_url(&self) -> String {
        match &self.hub_connect_url {
            Some(url) => url.as_str().to_owned(),
            None => {
                let every = matches!(self.hub_ip.as_str(), "" | "*" | "0.0.0.0" | "::");
                let scheme = if self.internal_ssl { "https" } else { "http" };
                format!("{scheme}://{}", address::join(if every { "127.0.0.1" } else { &self.hub_ip }, self.hub_port))
            }
        }
    }

    /// The folder of the authorities that sign for hub, proxy and servers.
    pub fn internal_certs_path(&self) -> PathBuf {
        self.internal_certs_location.clone().unwrap_or_else(|| self.data_dir.join("internal-ssl"))
    }

    /// `trusted_alt_names` without what says of which kind they are.
    pub fn alt_names(&self) -> Vec<String> {
        let bare = |name: &String| name.strip_prefix("DNS:").or(name.strip_prefix("IP:")).unwrap_or(name).to_owned();
        self.trusted_alt_names.iter().map(bare).collect()
    }

    /// The file with the key that signs cookies.
    pub fn cookie_secret_path(&self) -> PathBuf {
        self.cookie_secret_file.clone().unwrap_or_else(|| self.data_dir.join("jupyterhub_cookie_secret"))
    }

    /// How long a login lasts.
    pub fn cookie_max_age(&self) -> std::time::Duration {
        unit::Seconds(self.cookie_max_age_days * 86_400.0).duration()
    }

    /// How long an OAuth token lasts; as long as a login unless said otherwise.
    pub fn oauth_token_lifetime(&self) -> std::time::Duration {
        match self.oauth_token_expires_in {
            0 => self.cookie_max_age(),
            seconds => std::time::Duration::from_secs(seconds),
        }
    }
}

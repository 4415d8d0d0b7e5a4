//! What every handler may use.

use std::sync::Arc;

use hub_core::clock::{Clock, Time};
use hub_core::cookie::CookieSecret;
use hub_core::scope::Catalogue;
use hub_store::Store;
use spawners::Spawner;

use crate::config::Config;
use crate::hook::Hooks;
use crate::http::caller::{Holder, TokenDigest};
use crate::http::url::Paths;
use crate::keeper::Keeper;
use crate::login::Login;
use crate::memory::Memory;
use crate::people::Register;

/// The version of JupyterHub whose contract this is, told in `X-JupyterHub-Version`.
pub const JUPYTERHUB_VERSION: &str = "6.1.1";

/// The parts of the running hub.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// What people may choose and start; `None` where nothing is asked and nothing is limited by policy.
    pub rules: Option<hub_core::policy::Rules>,
    /// The paths everything lives under.
    pub paths: Paths,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is remembered of people while the database does not change.
    pub people: Register,
    /// What is remembered of tokens likewise.
    pub tokens: Memory<TokenDigest, Holder>,
    /// When tokens and people were last seen, to be written.
    pub seen: crate::task::seen::Seen,
    /// Secrets that were proved right.
    pub proofs: crate::http::proof::Proofs,
    /// The services as pages show them.
    pub services: crate::service::board::Board,
    /// What operators tell people on top of pages.
    pub announcements: crate::announcements::Board,
    /// What operators say of sites.
    pub sites: Arc<crate::sites::Sites>,
    /// What a request carries that a proxy of this hub has passed on.
    pub proxy_proof: hub_core::secret::Secret,
    /// Room for those who follow the admin panel.
    pub watchers: Arc<tokio::sync::Semaphore>,
    /// Set when the hub is about to stop: who asks for its health is told to go elsewhere.
    pub leaving: std::sync::atomic::AtomicBool,
    /// This hub among others with the same database.
    pub holder: String,
    /// All scopes of this hub.
    pub catalogue: Catalogue,
    /// Who brings servers to the state their rows ask for.
    pub keeper: Keeper,
    /// Where servers run; only for questions that change nothing.
    pub driver: Arc<dyn Spawner>,
    /// Who leads to the driver of each site, where there are any: the same as in `driver`. It is told which are given up.
    pub by_site: Option<spawners::Sites>,
    /// How people prove who they are.
    pub login: Login,
    /// Keeps their tokens at identity providers fresh.
    pub upstream: crate::upstream::Broker,
    /// Gets them keys of object stores.
    pub storage: crate::storage::Storages,
    /// Buckets as folders of servers, where they are mounted.
    pub mounts: Option<crate::mounts::Mounts>,
    /// Volumes that are one person's, where servers are containers.
    pub volumes: Option<crate::folders::volumes::Volumes>,
    /// What running labs tell of themselves.
    pub labs: crate::labs::Labs,
    /// The operator's own programs and addresses that are asked or told.
    pub hooks: Arc<Hooks>,
    /// What cookies are signed with.
    pub cookie_secret: CookieSecret,
    /// TLS with proxies and servers, where there is.
    pub internal_ssl: Option<Arc<crate::internal_ssl::InternalSsl>>,
    /// How pages look.
    pub site: Arc<pages::Site>,
    /// Since when Specola has used this database; logins of before are JupyterHub's.
    pub adopted_at: Time,
    /// Asks the process to stop: how, and who asks.
    pub shutdown: tokio::sync::watch::Sender<Option<(crate::run::Shutdown, crate::audit::Actor)>>,
}

impl App {
    /// The present instant.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether the hub is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(std::sync::atomic::Ordering::Relaxed)
    }
}

//! The configuration: one struct a section, read from a TOML file and the environment, and checked as a whole.
//!
//! One walk over the structs' own schema finds unknown names and wrong types (`check`), the same schema becomes the
//! reference page (`reference`). What a value must mean is said by each section's `validate`.

pub mod auth;
pub mod hub;
pub mod log;
pub mod pages;
pub mod proxy;
pub mod spawner;
pub mod unit;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::auth::AuthConfig;
pub use self::hub::HubConfig;
pub use self::log::LogConfig;
pub use self::pages::PagesConfig;
pub use self::proxy::ProxyConfig;
pub use self::spawner::SpawnerConfig;

/// Everything an operator can set. `Config::default()` is what an empty file means.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// `[hub]`
    pub hub: HubConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[spawner]`
    pub spawner: SpawnerConfig,
    /// `[proxy]`
    pub proxy: ProxyConfig,
    /// `[pages]`
    pub pages: PagesConfig,
    /// `[log]`
    pub log: LogConfig,
}

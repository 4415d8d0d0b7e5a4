//! What commands share that work on the database directly, whether a hub runs or not.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use hub_core::clock::{Clock, SystemClock, Time};
use hub_core::name::UserName;
use hub_core::token;
use hub_store::{OpenOptions, Store, User};

use crate::audit::{Act, Actor, Object};
use crate::config::Config;

/// Where a command looks for the hub.
#[derive(Debug, Args)]
pub struct Hub {
    /// The configuration file. Without it: specola.toml here, or that of `specola quickstart` in specola-data.
    #[arg(short = 'f', long, value_name = "FILE", env = "SPECOLA_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

impl Hub {
    /// The file to read, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        let usual = ["specola.toml", "specola-data/specola.toml"];
        let found = || usual.iter().map(PathBuf::from).find(|path| path.is_file());
        self.config.clone().or_else(found)
    }

    /// Loads the configuration.
    pub fn load(&self) -> Result<Config> {
        super::load(self.file().as_deref())
    }
}

/// The present instant.
pub fn now() -> Time {
    SystemClock.now()
}

/// Opens the database that a hub has made; does not make one, which would only hide a wrong folder.
pub async fn open(config: &Config) -> Result<Store> {
    let url = config.hub.database_url();
    if let Some(file) = sqlite_file(url.expose())
        && !file.exists()
    {
        let advice = "start the hub once, or name its configuration with --config";
        return Err(anyhow!("there is no database {}: {advice}", file.display()));
    }
    Store::open(url.expose(), OpenOptions::new(now())).await.context("cannot open the database")
}

/// The file of an SQLite database.
pub fn sqlite_file(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:///")?;
    let path = path.split('?').next().unwrap_or(path);
    (!path.is_empty() && path != ":memory:").then(|| Path::new(path))
}

/// The name that a person has in the hub, as login makes it of what is typed.
pub fn parse_name(config: &Config, typed: &str) -> Result<UserName> {
    UserName::parse(&UserName::normalise(typed, &config.auth.username_map)).map_err(|error| anyhow!("{error}"))
}

/// Finds a user, or says who there is not.
pub async fn find(config: &Config, store: &Store, typed: &str) -> Result<User> {
    let name = parse_name(config, typed)?;
    let missing = || anyhow!("there is no user {name}; `specola user add {name}` makes one");
    store.user(name.as_str()).await?.ok_or_else(missing)
}

/// Creates a user, or says that there is one.
pub async fn create(store: &Store, name: &UserName, admin: bool) -> Result<User> {
    if store.user(name.as_str()).await?.is_some() {
        return Err(anyhow!("there is a user {name} already"));
    }
    Ok(store.create_user(name.as_str(), admin, &token::generate_id(&mut rand::rng()), now()).await?)
}

/// Records what a command did. The command says so when it cannot.
pub async fn audited(store: &Store, act: Act, object: Object<'_>, detail: serde_json::Value) -> Result<()> {
    let written = crate::audit::write(store, now(), &Actor::command(), act, object, detail).await;
    written.context("it is done, but the audit could not be written")
}

/// Ends every browser session of a user, as after a password was reset.
pub async fn end_sessions(store: &Store, user: &User) -> Result<()> {
    store.set_cookie_id(user.id, &token::generate_id(&mut rand::rng())).await?;
    store.revoke_sessions_of(user.id, now()).await?;
    store.delete_oauth_tokens_of(user.id).await?;
    Ok(())
}

//! `specola quickstart`: from nothing to a running hub on this machine, and on with it at the next start.
//!
//! Everything it makes is in one folder: a configuration file to change, the database, the notebook software when
//! there is none on PATH, and people's home folders. What is there already is never made again.

mod settings;
mod software;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use hub_core::secret::Secret;
use hub_store::{OpenOptions as DatabaseOptions, Store};
use nix::fcntl::{Flock, FlockArg};

use self::software::Software;
use super::database;
use crate::config::Config;
use crate::login::Passwords;
use crate::login::password::one_time;

/// Try Specola on this machine: installs JupyterLab if there is none, makes an administrator, and serves.
#[derive(Debug, Args)]
pub struct Quickstart {
    /// The folder for everything that is made.
    #[arg(long, value_name = "FOLDER", default_value = "specola-data")]
    data_dir: PathBuf,
    /// The port to open in the browser. Without it: 8000, or that of the last start.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The name of the administrator made at the first start.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: String,
}

/// Runs the command until it is stopped.
pub async fn run(arguments: Quickstart) -> Result<()> {
    let folder = make_folder(&arguments.data_dir)?;
    let file = folder.join("specola.toml");
    let alone = lock(&folder)?;
    let is_first = !file.exists();
    if is_first {
        let software = Software::find_or_install(&folder).await?;
        settings::write(&file, &folder, &software, arguments.port.unwrap_or(8000))?;
    }
    let mut config = super::load(Some(&file))?;
    if let Some(port) = arguments.port {
        config.hub.bind_url.port = port;
        config.validate().map_err(|errors| anyhow!("{errors}"))?;
    }
    // The file may be older than the software it names: taken away by hand, or left half-made.
    Software::named_by(&config, &folder).repair(&folder).await?;
    super::init_log(&config);
    tell_about_root(&config);
    let name = &arguments.admin;
    let admin = make_admin(&config, name).await?;
    drop(alone);
    match &admin {
        Admin::Made(password) => println!("Log in as {name} with the one-time password {}", password.expose()),
        Admin::Waiting => println!("{name} has not used the one-time password yet."),
        Admin::Settled => {}
    }
    if !matches!(admin, Admin::Settled) {
        println!("Lost it? specola user password {name} --reset --config {}", file.display());
    }
    prefer_own_programs(&mut config);
    super::serve::serve(config, move |app| {
        println!("Ready at {}{}", app.config.hub.bind_url.local_url(), app.config.hub.base_path().as_str());
        println!("Settings are in {}. Stop with Ctrl-C.", file.display());
    })
    .await
}

/// Makes the folder, for its owner only, and returns its full path.
fn make_folder(folder: &Path) -> Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("cannot use the folder {}", folder.display()))
}

/// Keeps a second quickstart in the same folder from preparing it at the same time.
fn lock(folder: &Path) -> Result<Flock<File>> {
    let path = folder.join("quickstart.lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot write in {}", folder.display()))?;
    let busy = |_| anyhow!("another quickstart is preparing {} at this moment", folder.display());
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(busy)
}

fn tell_about_root(config: &Config) {
    if nix::unistd::Uid::effective().is_root() && config.spawner.local.allow_root {
        eprintln!("You are root, and so will be everybody's notebooks. Good for a try on a machine of your own only.");
    }
}

/// Puts the folder of the notebook software first on servers' PATH, so that `!pip` in a notebook is the right one.
fn prefer_own_programs(config: &mut Config) {
    let Some(folder) = config.spawner.cmd.first().and_then(|command| Path::new(command).parent()) else { return };
    if !folder.is_absolute() || config.spawner.environment.contains_key("PATH") {
        return;
    }
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&usual));
    if let Some(path) = std::env::join_paths(folders).ok().and_then(|path| path.into_string().ok()) {
        config.spawner.environment.insert("PATH".into(), path);
    }
}

/// How far the administrator is.
#[derive(Debug)]
enum Admin {
    /// Just made, with this password to show.
    Made(Secret),
    /// Made at an earlier start, and never logged in.
    Waiting,
    /// All is as its owner wants it.
    Settled,
}

/// Makes the administrator when there is nobody yet.
async fn make_admin(config: &Config, name: &str) -> Result<Admin> {
    let url = config.hub.database_url();
    let store = Store::open(url.expose(), DatabaseOptions::new(database::now())).await?;
    let made = first_admin(config, &store, name).await;
    store.close().await;
    made
}

async fn first_admin(config: &Config, store: &Store, name: &str) -> Result<Admin> {
    let query = hub_store::UserQuery { limit: Some(1), ..hub_store::UserQuery::default() };
    let total = store.list_users(&query).await?.total;
    let name = database::parse_name(config, name)?;
    let user = match store.user(name.as_str()).await? {
        None if total == 0 => database::create(store, &name, true).await?,
        None => return Ok(Admin::Settled),
        Some(user) => match store.password(user.id).await? {
            // Killed between the user and the password: as if it were the first start.
            None if total == 1 => user,
            Some(password) if password.must_change => return Ok(Admin::Waiting),
            _ => return Ok(Admin::Settled),
        },
    };
    let password = one_time(&mut rand::rng());
    Passwords::new(&config.auth.password)?.reset(store, user.id, &password, database::now()).await?;
    Ok(Admin::Made(password))
}

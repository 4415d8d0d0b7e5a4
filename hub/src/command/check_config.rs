//! `specola check-config`: what is wrong with a configuration, or what would run with it. Never shows a secret.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::Args;
use hub_core::fernet::KeyRing;
use hub_core::secret::Secret;

use super::database::{Hub, sqlite_file};
use crate::config::auth::Authenticator;
use crate::config::spawner::{Driver, LocalMode};
use crate::config::{CRYPT_KEY, Config, ProviderConfig, reference};

/// Check a configuration: name each problem with its line, or say what would run.
#[derive(Debug, Args)]
pub struct CheckConfig {
    #[command(flatten)]
    hub: Hub,
    /// Print the reference of all options, in Markdown, instead.
    #[arg(long)]
    reference: bool,
}

/// Runs the command. An error means that the hub would not start.
pub fn run(arguments: &CheckConfig) -> Result<()> {
    if arguments.reference {
        print!("{}", reference::markdown());
        return Ok(());
    }
    let file = arguments.hub.file();
    let shown = file.as_deref().map_or("no file: all defaults".into(), |file| file.display().to_string());
    let config = arguments.hub.load().map_err(|errors| {
        let count = errors.to_string().lines().count();
        let noun = if count == 1 { "problem" } else { "problems" };
        anyhow!("{count} {noun} in the configuration\n{errors}")
    })?;
    check_key(config.auth.enable_auth_state, config.crypt_keys.as_ref().map(Secret::expose))?;
    println!("The configuration is right ({shown}).\n");
    for (what, value) in summary(&config) {
        println!("  {what:<22}{value}");
    }
    if !config.taken().is_empty() {
        println!("\nFrom the variables of INFN's deployments:");
        config.taken().iter().for_each(|(option, variable)| println!("  {variable:<30}{option}"));
    }
    if let Some(claim) = config.claim() {
        println!("  {:<30}reads the secret of the client {} at each start", "IAM_TOKEN", claim.client_id);
    }
    let mut warnings = config.warnings();
    warnings.extend(of_this_machine(&config));
    if !warnings.is_empty() {
        println!("\nWorth a second look:");
        warnings.iter().for_each(|warning| println!("  - {warning}"));
    }
    Ok(())
}

/// The one thing that lies outside the configuration and without which the hub does not start.
fn check_key(is_needed: bool, keys: Option<&str>) -> Result<()> {
    match keys.filter(|keys| !keys.trim().is_empty()) {
        Some(keys) => KeyRing::parse(keys).map(drop).map_err(|error| anyhow!("{CRYPT_KEY}: {error}")),
        None if is_needed => Err(anyhow!(
            "the hub does not start without {CRYPT_KEY}, which auth.enable_auth_state needs: set it once, such as by \
             `openssl rand -hex 32`, and keep it"
        )),
        None => Ok(()),
    }
}

/// What would run, as pairs of a name and a value.
fn summary(config: &Config) -> Vec<(&'static str, String)> {
    let (hub, spawner) = (&config.hub, &config.spawner);
    let public = hub.public_url.as_ref().map(|url| format!(", seen as {}", url.as_str())).unwrap_or_default();
    let mut rows = vec![
        (
            "Browsers",
            format!("{}://{}{}{public}", hub.bind_url.scheme(), hub.bind_url.listen(), hub.base_path().as_str()),
        ),
        ("Hub API", format!("{}, reached at {}", hub.hub_listen(), hub.hub_url())),
        ("Data folder", hub.data_dir.display().to_string()),
        ("Database", database(hub.database_url().expose())),
        ("Login", format!("{}; {}", ways(config), who(config))),
        ("Servers", format!("{}: {}", spawner.driver.as_str(), spawner.cmd.join(" "))),
        ("Servers run as", run_as(config).into()),
    ];
    if config.has_sites() {
        let here = config.hub.site.as_deref();
        let sites = config.sites.iter().map(|site| match here == Some(site.name.as_str()) {
            true => format!("{} (this hub)", site.name),
            false => site.name.clone(),
        });
        rows.push(("Sites", sites.collect::<Vec<_>>().join(", ")));
    }
    let limits: Vec<String> = [
        spawner.mem_limit.map(|size| format!("{} MiB memory", size.0 >> 20)),
        spawner.cpu_limit.map(|cpus| format!("{cpus} processors")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !limits.is_empty() {
        rows.push(("Each server", limits.join(", ")));
    }
    if !config.collaboration.is_empty() {
        let whom = |groups: &[String]| match groups {
            [] => "everybody who is let in".to_owned(),
            groups => groups.join(", "),
        };
        let labs = config.collaboration.iter().map(|one| format!("{} ({})", one.title(), whom(&one.groups)));
        rows.push(("Working together", labs.collect::<Vec<_>>().join(", ")));
    }
    rows
}

fn run_as(config: &Config) -> &'static str {
    match config.spawner.driver {
        Driver::External => return "what [spawner.external] makes of it",
        Driver::Docker => return "the user of their image, each in a container of its own",
        Driver::Kubernetes => return "the user of their image, each in a pod of its own",
        Driver::Local => {}
    }
    let root = nix::unistd::Uid::effective().is_root();
    match config.spawner.local.mode {
        Some(LocalMode::System) => "the system user of that name",
        None if root => "the system user of that name",
        Some(LocalMode::Folders) if root => "root, each in a home folder of its own",
        _ => "the hub's own user, each in a home folder of its own",
    }
}

/// The ways to log in.
fn ways(config: &Config) -> String {
    let auth = &config.auth;
    let method =
        Some(auth.authenticator).filter(|method| *method != Authenticator::Oidc).map(|one| one.as_str().to_owned());
    let of = |provider: &ProviderConfig| format!("{} ({})", provider.name, provider.preset.as_str());
    method.into_iter().chain(auth.providers.iter().map(of)).collect::<Vec<String>>().join(", ")
}

fn who(config: &Config) -> String {
    let auth = &config.auth;
    let mut who = Vec::new();
    if auth.allows_all() {
        who.push("everybody".to_owned());
    } else {
        if auth.allows_existing_users() {
            who.push("whom the database knows".to_owned());
        }
        if !auth.allowed_users.is_empty() {
            who.push(format!("{} listed", auth.allowed_users.len()));
        }
    }
    let groups = |list: &BTreeSet<String>| list.iter().map(String::as_str).take(5).collect::<Vec<_>>().join(", ");
    let mut by_group = |of: &str, allowed: &BTreeSet<String>, admins: &BTreeSet<String>| {
        if !allowed.is_empty() {
            who.push(format!("members of {}{of}", groups(allowed)));
        }
        if !admins.is_empty() {
            who.push(format!("administrators by {}{of}", groups(admins)));
        }
    };
    by_group("", &auth.allowed_groups, &auth.admin_groups);
    for provider in &auth.providers {
        by_group(&format!(" at {}", provider.name), &provider.allowed_groups, &provider.admin_groups);
    }
    for provider in &auth.providers {
        if provider.allow_all {
            who.push(format!("everybody at {}", provider.name));
        }
        if !provider.owner_subjects.is_empty() {
            who.push(format!("{} owners at {}", provider.owner_subjects.len(), provider.name));
        }
    }
    if !auth.admin_users.is_empty() {
        let names: Vec<&str> = auth.admin_users.iter().map(String::as_str).take(5).collect();
        who.push(format!("administrators {}", names.join(", ")));
    }
    if !auth.blocked_users.is_empty() {
        who.push(format!("{} blocked", auth.blocked_users.len()));
    }
    if who.is_empty() { "nobody is let in".into() } else { who.join(", ") }
}

/// The database without its password.
fn database(text: &str) -> String {
    if let Some(file) = sqlite_file(text) {
        return format!("SQLite, {} (for one hub process; PostgreSQL serves several)", file.display());
    }
    match url::Url::parse(text) {
        Ok(url) => {
            let (host, name) = (url.host_str().unwrap_or("this machine"), url.path().trim_start_matches('/'));
            format!("PostgreSQL, {name} on {host}{}", url.port().map(|port| format!(":{port}")).unwrap_or_default())
        }
        Err(_) => text.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// What this machine lacks. The hub may run on another, so these are no errors.
fn of_this_machine(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = nix::unistd::Uid::effective().is_root();
    if let Some(command) = config.spawner.cmd.first()
        && config.spawner.driver == Driver::Local
        && !on_path(command)
    {
        warnings.push(format!("{command} is not on this machine (spawner.cmd): no server would start"));
    }
    let service = &config.auth.pam.service;
    let folders = ["/etc/pam.d", "/usr/lib/pam.d"];
    if config.auth.authenticator == Authenticator::Pam {
        if !folders.iter().any(|folder| Path::new(folder).join(service).exists()) {
            warnings.push(format!("there is no PAM service {service:?} here: the service \"other\" would decide"));
        }
        if !root {
            warnings.push("without root, PAM can check the password of the hub's own user only".into());
        }
    }
    if config.spawner.local.mode == Some(LocalMode::System) && !root {
        warnings.push("without root, servers cannot run as other system users (spawner.local.mode)".into());
    }
    if !config.hub.data_dir.exists() {
        warnings.push(format!("the data folder {} does not exist yet", config.hub.data_dir.display()));
    }
    warnings
}

/// Whether a command can be found: by its path, or in one of the folders of `PATH`.
fn on_path(command: &str) -> bool {
    if command.contains('/') {
        return Path::new(command).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H7: told before the hub is started, not only by a start that fails.
    #[test]
    fn a_key_that_is_missing_or_of_no_use_is_an_error_where_one_is_needed() {
        let key = "5f".repeat(32);
        for (keeps, keys, expected) in [
            (false, None, None),
            (false, Some(key.as_str()), None),
            (true, Some(key.as_str()), None),
            (true, None, Some("openssl rand -hex 32")),
            (true, Some("  "), Some("openssl rand -hex 32")),
            (true, Some("too short"), Some(CRYPT_KEY)),
            (false, Some("too short"), Some(CRYPT_KEY)),
        ] {
            let outcome = check_key(keeps, keys).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(outcome, Ok(()), "{keys:?}"),
                Some(words) => assert!(outcome.as_ref().is_err_and(|text| text.contains(words)), "{outcome:?}"),
            }
        }
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        let shown = database("postgresql+psycopg2://hub:hunter2@db.example.org:5433/jupyterhub?sslmode=require");
        assert_eq!(shown, "PostgreSQL, jupyterhub on db.example.org:5433");
        assert!(database("sqlite:////srv/hub.sqlite").starts_with("SQLite, /srv/hub.sqlite "));
        assert!(!database("postgresql://hub:hunt[er2@db/x").contains("hunt"));
    }
}

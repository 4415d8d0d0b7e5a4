//! `specola adopt`: looks at a database of JupyterHub's, says what is in it and what is in the way, and takes it over.
//! Without `--yes` nothing changes. What is taken over carries on at the next `specola serve`.

mod report;
mod users_of_file;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use hub_core::fernet::KeyRing;
use hub_store::{Candidate, OpenOptions, Store};

use super::database;
use crate::config::{CRYPT_KEY, crypt_keys_of, environment};
use report::{AuthStates, Findings};

/// Take over the database of a JupyterHub, with its users, tokens, sessions and running servers. Without --yes it only
/// looks and reports. JupyterHub 6.1 can go on with the same database at any time.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The database as in JupyterHub.db_url: sqlite:////srv/jupyterhub/jupyterhub.sqlite or postgresql://…
    #[arg(long, value_name = "URL")]
    from: String,
    /// JupyterHub's cookie secret, so that browsers stay logged in. Without it: jupyterhub_cookie_secret beside the file.
    #[arg(long, value_name = "FILE")]
    cookie_secret_file: Option<PathBuf>,
    /// Do it: bring an older schema to that of JupyterHub 6.1, with a backup first, and add Specola's own tables.
    #[arg(long)]
    yes: bool,
    /// Put a backup that an earlier run has made in the place of the database, for the JupyterHub it came from.
    #[arg(long, value_name = "BACKUP", conflicts_with = "yes")]
    restore: Option<String>,
}

/// Runs the command.
pub async fn run(arguments: Adopt) -> Result<()> {
    let options = OpenOptions::new(database::now());
    if let Some(backup) = &arguments.restore {
        refuse_in_use(&arguments.from, &options).await?;
        Store::restore(&arguments.from, backup, &options).await.context("the backup was not put back")?;
        println!("The database is again as in the backup {backup}. What came after it is gone from it.");
        return Ok(());
    }
    let findings = look(&arguments, &options).await?;
    print!("{findings}");
    if !arguments.yes {
        println!("\nNothing was changed. To take it over: stop JupyterHub, then run this again with --yes.");
        return Ok(());
    }
    if !findings.obstacles().is_empty() {
        bail!("not taken over: see \"In the way\" above");
    }
    refuse_in_use(&arguments.from, &options).await?;
    println!();
    let upgraded = Store::upgrade(&arguments.from, &options).await.context("the schema was not changed")?;
    if let Some(upgraded) = &upgraded {
        println!("Brought from schema {} to that of JupyterHub 6.1.", upgraded.from);
        println!("Backup:   {}", upgraded.backup);
        println!("Restore:  specola adopt --from URL --restore {}", upgraded.backup);
    }
    let store = Store::open(&arguments.from, options).await.context("cannot open the database")?;
    store.close().await;
    println!("The database is ready. {}", findings.next_steps());
    Ok(())
}

async fn look(arguments: &Adopt, options: &OpenOptions) -> Result<Findings> {
    let mut candidate = Candidate::open(&arguments.from, options).await?;
    let looked = async {
        let faults = candidate.faults().await?;
        let inventory = candidate.inventory(options.now).await?;
        let auth_states = auth_states(&mut candidate).await?;
        let (revision, release) = candidate.schema();
        let file = candidate.file().map(std::path::Path::to_owned);
        anyhow::Ok(Findings {
            url: file.as_deref().map_or_else(|| arguments.from.clone(), whole_url),
            made_by: format!("{release} (schema {revision})"),
            is_older: candidate.is_older(),
            knows_specola: candidate.knows_specola(),
            in_use_by: in_use(&mut candidate).await?,
            cookie_secret: cookie_secret(arguments, file.as_deref()),
            faults,
            auth_states,
            inventory,
        })
    };
    let findings = looked.await.context("cannot look into the database");
    candidate.close().await;
    findings
}

async fn auth_states(candidate: &mut Candidate) -> Result<AuthStates> {
    let sealed = candidate.auth_states().await?;
    let mut found = AuthStates { total: sealed.len(), opened: 0, key: None };
    let (keys, notes) = crypt_keys_of(&environment::of_process())?;
    notes.iter().for_each(|note| eprintln!("{note}"));
    if let Some(keys) = keys {
        let ring = KeyRing::parse(keys.expose()).map_err(|error| anyhow::anyhow!("{CRYPT_KEY}: {error}"))?;
        found.opened = sealed.iter().filter(|(_, state)| ring.open(state).is_some()).count();
        found.key = Some(CRYPT_KEY.to_owned());
    }
    Ok(found)
}

/// The URL of a file from wherever the hub is started.
fn whole_url(file: &std::path::Path) -> String {
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    format!("sqlite:///{}", whole.display())
}

/// The cookie secret file that was named, or that stands where JupyterHub keeps it by default.
fn cookie_secret(arguments: &Adopt, database: Option<&std::path::Path>) -> Option<PathBuf> {
    let beside = || database.map(|file| file.with_file_name("jupyterhub_cookie_secret")).filter(|file| file.is_file());
    let found = arguments.cookie_secret_file.clone().or_else(beside)?;
    Some(std::path::absolute(&found).unwrap_or(found))
}

/// Who works with the database at this moment, in words.
async fn in_use(candidate: &mut Candidate) -> Result<Vec<String>> {
    if let Some(file) = candidate.file() {
        return Ok(users_of_file::find(file));
    }
    let others = candidate.connected().await?;
    let words = |other: hub_store::Connected| {
        let program = if other.application.is_empty() { "a program" } else { &other.application };
        let place = if other.address.is_empty() { "this machine" } else { &other.address };
        format!("{program}, connected as {} from {place}", other.user)
    };
    Ok(others.into_iter().map(words).collect())
}

async fn refuse_in_use(url: &str, options: &OpenOptions) -> Result<()> {
    let mut candidate = Candidate::open(url, options).await?;
    let users = in_use(&mut candidate).await;
    candidate.close().await;
    match users?.as_slice() {
        [] => Ok(()),
        users => bail!("the database is in use by {}; stop the hub that it belongs to first", users.join(" and ")),
    }
}

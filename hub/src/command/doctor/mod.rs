//! `specola doctor`: tests what a hub of this configuration needs, and says what to do about what is missing.
//!
//! It changes nothing: no table, no person, no server. One file a check; what is asked for is judged by pure functions.

mod certificate;
mod clock;
mod database;
mod disk;
mod engine;
mod finding;
mod fuse;
mod gpu;
mod hub;
mod program;
mod provider;
mod proxy;
mod report;
mod storage;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};

use self::finding::{Finding, Level};
use crate::config::Config;

/// Test what the hub needs: identity providers, container engine, FUSE, GPUs, disk, clock, database, certificates. Says
/// what to do about each trouble. Exits with 1 when something fails.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    hub: super::database::Hub,
    /// Make this check only, also where the configuration has no use for it. Can be repeated.
    #[arg(long, value_name = "CHECK")]
    only: Vec<Check>,
    /// A file with an access token of somebody's, as labs have it in `BEARER_TOKEN_FILE`: the roles of object stores are
    /// taken with it.
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// The configuration can be read, and means what it should.
    Config,
    /// The database answers, and has tables that are understood.
    Database,
    /// The data folder can be written, and there is room in it and where the container engine keeps its data.
    Disk,
    /// Certificates are good and do not end soon.
    Certificate,
    /// Identity providers answer, know the hub's client, and give it the scopes it asks for.
    Provider,
    /// The clock agrees with the identity providers'.
    Clock,
    /// Object stores answer, and their role can be taken.
    Storage,
    /// The container engine answers and can do what is asked of it.
    Engine,
    /// Folders of object stores can be mounted.
    Fuse,
    /// GPUs are there, and containers can have them.
    Gpu,
    /// The hub of this configuration answers.
    Hub,
    /// The proxy of this configuration answers.
    Proxy,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Database => "database",
            Self::Disk => "disk",
            Self::Certificate => "certificate",
            Self::Provider => "provider",
            Self::Clock => "clock",
            Self::Storage => "storage",
            Self::Engine => "engine",
            Self::Fuse => "fuse",
            Self::Gpu => "gpu",
            Self::Hub => "hub",
            Self::Proxy => "proxy",
        }
    }

    /// `asked`: it was named, so that "not needed" is no answer. `token`: a file with somebody's.
    async fn make(self, config: &Config, asked: bool, token: Option<&Path>) -> Vec<Finding> {
        match self {
            Self::Config => of_config(config),
            Self::Database => database::check(config).await,
            Self::Disk => disk::check(config).await,
            Self::Certificate => certificate::check(config),
            Self::Provider => provider::check(config).await,
            Self::Clock => clock::check(config).await,
            Self::Storage => storage::check(config, token).await,
            Self::Engine => engine::check(config, asked).await,
            Self::Fuse => fuse::check(config, asked).await,
            Self::Gpu => gpu::check(config, asked).await,
            Self::Hub => hub::check(config, asked).await,
            Self::Proxy => proxy::check(config, asked).await,
        }
    }
}

/// Runs the command. An error means that something fails; all of it has been said.
pub async fn run(arguments: Doctor) -> Result<()> {
    let mut findings = Vec::new();
    match arguments.hub.load() {
        Ok(config) => {
            let asked = !arguments.only.is_empty();
            let all = Check::value_variants();
            for check in if asked { &arguments.only } else { all } {
                let made = check.make(&config, asked, arguments.token.as_deref()).await;
                findings.extend(made.into_iter().map(|finding| (check.name(), finding)));
            }
        }
        Err(error) => findings.push((Check::Config.name(), unusable(&error))),
    }
    if arguments.json {
        println!("{:#}", report::as_json(&findings));
    } else {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print!("{}", report::as_text(&findings, colours));
    }
    match findings.iter().filter(|(_, finding)| finding.level == Level::Bad).count() {
        0 => Ok(()),
        1 => Err(anyhow!("one check fails")),
        count => Err(anyhow!("{count} checks fail")),
    }
}

fn unusable(error: &anyhow::Error) -> Finding {
    Finding::bad("configuration", format!("{error:#}"), "`specola check-config` says more of each line")
}

fn of_config(config: &Config) -> Vec<Finding> {
    let notes = config.warnings().into_iter().map(|warning| Finding::note("configuration", warning, ""));
    let mut findings: Vec<Finding> = notes.collect();
    if findings.is_empty() {
        findings.push(Finding::good("configuration", "is right"));
    }
    findings
}

//! `specola images`: what a mirror of images, or a machine, needs to have.

use anyhow::{Result, bail};
use clap::Args;

use super::database::{self, Hub};
use crate::config::spawner::Driver;
use crate::images;

/// List the images that pods of servers may be started with, one a line, those started most first.
#[derive(Debug, Args)]
pub struct Images {
    #[command(flatten)]
    hub: Hub,
    /// In the order of the configuration; no database is needed.
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
pub async fn run(arguments: Images) -> Result<()> {
    let config = arguments.hub.load()?;
    if images::spawner(&config).driver != Driver::Kubernetes {
        bail!("images of pods are those of spawner.driver = \"kubernetes\"");
    }
    let mut all = images::offered(&config, config.rules()?.as_ref());
    if !arguments.offline {
        let store = database::open(&config).await?;
        let plans = store.plans_by_starts().await;
        store.close().await;
        all = images::by_use(all, &config, &plans?);
    }
    all.iter().for_each(|image| println!("{image}"));
    Ok(())
}

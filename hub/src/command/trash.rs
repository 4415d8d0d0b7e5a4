//! `specola trash`: the folders and volumes of people who were deleted.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use hub_core::clock::Time;
use hub_store::{Store, TrashedVolume};
use serde_json::json;

use super::database::{self, Hub};
use crate::audit::{Act, Object};
use crate::config::Config;
use crate::folders::volumes::Volumes;
use crate::folders::{people, trash};

/// Show what is kept of people who were deleted, bring it back, or remove it.
#[derive(Debug, Args)]
pub struct Trash {
    #[command(flatten)]
    hub: Hub,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what is in the trash, and when it is removed for good.
    List,
    /// Bring folders and volumes back to where they were. Somebody of that name finds them at the next start of a server.
    Restore {
        /// The entry, as `list` names it.
        entry: String,
    },
    /// Remove folders and volumes for good, before their day.
    Remove {
        /// The entry, as `list` names it.
        entry: String,
    },
}

/// Runs the command. Works whether the hub runs or not.
pub async fn run(arguments: Trash) -> Result<()> {
    let config = arguments.hub.load()?;
    if config.folders.root.is_none() && Volumes::of(&config).is_none() {
        bail!("there are neither folders (folders.root is not set) nor volumes of containers");
    }
    let store = database::open(&config).await?;
    let done = match arguments.what {
        What::List => list(&config, &store).await,
        What::Restore { entry } => restore(&config, &store, &entry).await,
        What::Remove { entry } => remove(&config, &store, &entry).await,
    };
    store.close().await;
    done
}

async fn list(config: &Config, store: &Store) -> Result<()> {
    let mut volumes = store.trashed_volumes().await?;
    let folders = config.folders.root.as_deref().map(trash::list).transpose()?.unwrap_or_default();
    if volumes.is_empty() && folders.is_empty() {
        println!("The trash is empty.");
    }
    for entry in folders {
        let own: Vec<TrashedVolume> = volumes.extract_if(.., |volume| volume.entry == entry.name).collect();
        println!("{}", line(&entry.name, &entry.user, entry.deleted_at, entry.remove_at, &own));
    }
    while let Some(first) = volumes.first().cloned() {
        let own: Vec<TrashedVolume> = volumes.extract_if(.., |volume| volume.entry == first.entry).collect();
        println!("{}", line(&first.entry, &first.user, first.deleted_at, first.remove_at, &own));
    }
    Ok(())
}

async fn restore(config: &Config, store: &Store, name: &str) -> Result<()> {
    let (volumes, root) = find(config, store, name).await?;
    if let Some(root) = root {
        let entry = trash::restore(root, name)?;
        for path in &entry.paths {
            println!("{}", root.join(path).display());
        }
        database::audited(store, Act::FoldersRestore, Object::User(&entry.user), people::detail(&entry)).await?;
    }
    if let Some(first) = volumes.first() {
        store.restore_volumes(name).await?;
        let detail = json!({ "entry": name, "volumes": names(&volumes) });
        database::audited(store, Act::FoldersRestore, Object::User(&first.user), detail).await?;
        volumes.iter().for_each(|volume| println!("{}", volume.volume));
    }
    Ok(())
}

async fn remove(config: &Config, store: &Store, name: &str) -> Result<()> {
    let (volumes, root) = find(config, store, name).await?;
    if let Some(first) = volumes.first() {
        let engine = Volumes::of(config).context("there is no container engine (spawner.driver)")?;
        for volume in &volumes {
            engine.remove(&volume.volume).await.with_context(|| format!("{} stays", volume.volume))?;
            store.forget_volume(&volume.volume).await?;
        }
        let detail = json!({ "entry": name, "volumes": names(&volumes) });
        database::audited(store, Act::FoldersRemove, Object::User(&first.user), detail).await?;
    }
    if let Some(root) = root {
        let entry = trash::remove(root, name)?;
        database::audited(store, Act::FoldersRemove, Object::User(&entry.user), people::detail(&entry)).await?;
    }
    println!("Removed {name}.");
    Ok(())
}

/// The volumes of an entry, and the root of its folders where it has some. An entry has something.
async fn find<'a>(config: &'a Config, store: &Store, name: &str) -> Result<(Vec<TrashedVolume>, Option<&'a Path>)> {
    let mut volumes = store.trashed_volumes().await?;
    volumes.retain(|volume| volume.entry == name);
    let root = match config.folders.root.as_deref() {
        Some(root) if trash::has(root, name)? => Some(root),
        _ => None,
    };
    if volumes.is_empty() && root.is_none() {
        bail!("there is no entry “{name}” in the trash");
    }
    Ok((volumes, root))
}

fn names(volumes: &[TrashedVolume]) -> Vec<&str> {
    volumes.iter().map(|volume| volume.volume.as_str()).collect()
}

/// `20261122T213904Z-anna  anna  deleted 2026-11-22  removed on 2026-12-22  volume specola-home-anna`
fn line(name: &str, user: &str, deleted_at: Time, remove_at: Option<Time>, volumes: &[TrashedVolume]) -> String {
    let removed = match remove_at {
        Some(end) => format!("removed on {}", end.format("%Y-%m-%d")),
        None => "kept".to_owned(),
    };
    let mut line = format!("{name}  {user}  deleted {}  {removed}", deleted_at.format("%Y-%m-%d"));
    for volume in volumes {
        line.push_str(&format!("  volume {}", volume.volume));
    }
    // A terminal obeys what stands in control characters, and people choose their names.
    line.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

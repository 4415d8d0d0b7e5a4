//! `specola trash`: the folders of people who were deleted.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::database::{self, Hub};
use crate::audit::{Act, Object};
use crate::folders::{people, trash};

/// Show what is kept of people who were deleted, or bring it back.
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
    /// Move folders back to where they were. Somebody of that name finds them at the next start of a server.
    Restore {
        /// The entry, as `list` names it.
        entry: String,
    },
}

/// Runs the command. Works whether the hub runs or not.
pub async fn run(arguments: Trash) -> Result<()> {
    let config = arguments.hub.load()?;
    let root = config.folders.root.as_ref().context("there are no folders: folders.root is not set")?;
    match arguments.what {
        What::List => {
            let entries = trash::list(root)?;
            if entries.is_empty() {
                println!("The trash is empty.");
            }
            for entry in entries {
                println!("{}", line(&entry));
            }
        }
        What::Restore { entry } => {
            let entry = trash::restore(root, &entry)?;
            for path in &entry.paths {
                println!("{}", root.join(path).display());
            }
            let store = database::open(&config).await?;
            let object = Object::User(&entry.user);
            database::audited(&store, Act::FoldersRestore, object, people::detail(&entry)).await?;
            store.close().await;
        }
    }
    Ok(())
}

/// `20261122T213904Z-anna  anna  deleted 2026-11-22  removed on 2026-12-22`
fn line(entry: &trash::Entry) -> String {
    let removed = match entry.remove_at {
        Some(end) => format!("removed on {}", end.format("%Y-%m-%d")),
        None => "kept".to_owned(),
    };
    let line = format!("{}  {}  deleted {}  {removed}", entry.name, entry.user, entry.deleted_at.format("%Y-%m-%d"));
    // A terminal obeys what stands in control characters, and people choose their names.
    line.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

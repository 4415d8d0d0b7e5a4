//! Folders that go with a person's account: to the trash, and under another name.

use std::path::PathBuf;

use anyhow::Result;
use pages::words::{ENGLISH, fill};
use serde_json::json;

use super::{rename, trash};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::FoldersConfig;
use crate::http::Problem;
use crate::keeper::folders::own;

/// Puts a person's folders into the trash. They are to have no server any more.
pub async fn put_away(app: &App, by: &Actor, user: &str) -> Result<Option<trash::Entry>, Problem> {
    let (config, name, now) = (app.config.folders.clone(), user.to_owned(), app.now());
    let put = move || match &config.root {
        Some(root) => trash::put(root, &own(&config, &name), &name, now, config.retention_days),
        None => Ok(None),
    };
    let entry = blocking(put).await.map_err(|error| {
        tracing::error!(user, "{error:#}");
        Problem::conflict(format!("The folders of {user} cannot be moved to the trash. The hub's log tells why."))
    })?;
    if let Some(entry) = &entry {
        app.audited(by, Act::FoldersTrash, Object::User(user), detail(entry)).await;
    }
    Ok(entry)
}

/// What the audit tells of an entry.
pub fn detail(entry: &trash::Entry) -> serde_json::Value {
    json!({ "entry": entry.name, "remove_at": entry.remove_at, "paths": entry.paths })
}

/// Takes back what `put_away` did, for somebody who was not deleted after all.
pub async fn take_back(app: &App, by: &Actor, entry: trash::Entry) {
    let Some(root) = app.config.folders.root.clone() else { return };
    let name = entry.name.clone();
    match blocking(move || trash::restore(&root, &name)).await {
        Ok(_) => app.audited(by, Act::FoldersRestore, Object::User(&entry.user), detail(&entry)).await,
        Err(error) => tracing::error!(user = entry.user, "their folders stay in the trash: {error:#}"),
    }
}

/// Gives a person's folders the person's new name.
pub async fn follow_name(config: &FoldersConfig, old: &str, new: &str) -> Result<()> {
    let Some(root) = config.root.clone() else { return Ok(()) };
    let pairs: Vec<(PathBuf, PathBuf)> = own(config, old).into_iter().zip(own(config, new)).collect();
    blocking(move || rename(&root, &pairs)).await
}

/// Removes for good what was in the trash for long enough.
pub async fn empty_trash(app: &App) {
    let Some(root) = app.config.folders.root.clone() else { return };
    let now = app.now();
    match blocking(move || trash::empty(&root, now)).await {
        Ok(removed) => {
            for entry in removed {
                app.audited(&Actor::part("trash"), Act::FoldersRemove, Object::User(&entry.user), detail(&entry)).await;
            }
        }
        Err(error) => tracing::error!("the trash cannot be emptied: {error:#}"),
    }
}

/// What becomes of people's files when they are deleted, for the question before it.
pub fn what_becomes(app: &App) -> String {
    let (config, words) = (&app.config.folders, &ENGLISH);
    match (&config.root, config.areas.is_empty(), config.retention_days) {
        (None, _, _) | (_, true, _) => words.admin_files_kept.to_owned(),
        (Some(_), false, 0) => words.admin_files_to_trash.to_owned(),
        (Some(_), false, days) => {
            let end = app.now() + chrono::TimeDelta::days(days.into());
            fill(&fill(words.admin_files_until, end.format("%Y-%m-%d")), days)
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

//! Folders that go with a person's account: to the trash, and under another name.

use std::path::PathBuf;

use anyhow::Result;
use hub_store::StoreError;
use pages::words::{ENGLISH, fill};
use serde_json::json;

use super::volumes::{Away, Volumes};
use super::{rename, trash};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::FoldersConfig;
use crate::http::Problem;
use crate::keeper::folders::own;

/// What was put into the trash of one person.
pub struct Trashed {
    /// The name of the entry.
    name: String,
    /// Folders, if there were any.
    folders: Option<trash::Entry>,
}

/// Puts a person's folders and volumes into the trash. They are to have no server any more; `servers` are those that they
/// had.
pub async fn put_away(app: &App, by: &Actor, user: &str, servers: &[String]) -> Result<Trashed, Problem> {
    let (now, days) = (app.now(), app.config.folders.retention_days);
    let folders = put_folders(app, by, user).await?;
    let name = folders.as_ref().map_or_else(|| trash::name_of(user, now), |entry| entry.name.clone());
    let trashed = Trashed { name, folders };
    let Some(volumes) = &app.volumes else { return Ok(trashed) };
    let away = Away { user, servers, entry: &trashed.name, now, remove_at: trash::end(now, days) };
    match volumes.put(&app.store, &away).await {
        Ok(put) if put.is_empty() => Ok(trashed),
        Ok(put) => {
            let detail = json!({ "entry": trashed.name, "remove_at": away.remove_at, "volumes": put });
            app.audited(by, Act::FoldersTrash, Object::User(user), detail).await;
            Ok(trashed)
        }
        Err(error) => {
            take_back(app, by, user, trashed).await;
            Err(error.into())
        }
    }
}

async fn put_folders(app: &App, by: &Actor, user: &str) -> Result<Option<trash::Entry>, Problem> {
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
pub async fn take_back(app: &App, by: &Actor, user: &str, trashed: Trashed) {
    match app.store.restore_volumes(&trashed.name).await {
        Ok(0) => {}
        Ok(_) => {
            app.audited(by, Act::FoldersRestore, Object::User(user), json!({ "entry": trashed.name })).await;
        }
        Err(error) => tracing::error!(user, "their volumes stay in the trash: {error}"),
    }
    let (Some(root), Some(entry)) = (app.config.folders.root.clone(), trashed.folders) else { return };
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
    if let Err(error) = empty_volumes(app).await {
        tracing::error!("the trash cannot be emptied of volumes: {error}");
    }
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

async fn empty_volumes(app: &App) -> Result<(), StoreError> {
    let Some(volumes) = &app.volumes else { return Ok(()) };
    let now = app.now();
    for due in app.store.trashed_volumes().await?.into_iter().filter(|one| one.remove_at.is_some_and(|end| end <= now))
    {
        // What a container still has, or an engine that is away: the next time.
        if let Err(error) = volumes.remove(&due.volume).await {
            tracing::warn!(volume = due.volume, "stays in the trash: {error}");
            continue;
        }
        app.store.forget_volume(&due.volume).await?;
        let detail = json!({ "entry": due.entry, "volumes": [due.volume] });
        app.audited(&Actor::part("trash"), Act::FoldersRemove, Object::User(&due.user), detail).await;
    }
    Ok(())
}

/// What becomes of people's files when they are deleted, for the question before it.
pub fn what_becomes(app: &App) -> String {
    let (config, words) = (&app.config.folders, &ENGLISH);
    let folders = config.root.is_some() && !config.areas.is_empty();
    if !folders && !app.volumes.as_ref().is_some_and(Volumes::are_had) {
        return words.admin_files_kept.to_owned();
    }
    match trash::end(app.now(), config.retention_days) {
        None => words.admin_files_to_trash.to_owned(),
        Some(end) => fill(&fill(words.admin_files_until, end.format("%Y-%m-%d")), config.retention_days),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

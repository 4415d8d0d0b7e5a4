//! Folders and volumes that go with a person's account: to the trash and back, and under another name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::{StoreError, User};
use pages::words::{ENGLISH, fill};
use serde_json::json;

use super::volumes::{Away, Volumes};
use super::{rename, trash};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::FoldersConfig;
use crate::http::Problem;
use crate::keeper::folders::own;

/// So long somebody may be on the way out, with their files in the trash and their account still there.
const ON_THE_WAY: TimeDelta = TimeDelta::minutes(10);

/// What was put into the trash of one person.
pub struct Trashed {
    /// The name of the entry.
    name: String,
    /// Folders, if there were any.
    folders: Option<trash::Entry>,
}

/// Puts a person's folders and volumes into the trash. They are to have no server any more; `servers` are those that they
/// had.
pub async fn put_away(app: &App, by: &Actor, user: &User, servers: &[String]) -> Result<Trashed, Problem> {
    let (now, days) = (app.now(), app.config.folders.retention_days);
    let folders = put_folders(app, by, user).await?;
    let (user, user_id, created) = (user.name.as_str(), user.id, user.created);
    let name = folders.as_ref().map_or_else(|| trash::name_of(user, now), |entry| entry.name.clone());
    let trashed = Trashed { name, folders };
    let Some(volumes) = &app.volumes else { return Ok(trashed) };
    let remove_at = trash::end(now, days);
    let away = Away { user, user_id, servers, entry: &trashed.name, now, remove_at, keep: &[] };
    let put = async {
        if let Some(since) = created {
            app.store.end_trash_of(user_id, since, remove_at).await?;
        }
        volumes.put(&app.store, &away).await
    };
    match put.await {
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

async fn put_folders(app: &App, by: &Actor, user: &User) -> Result<Option<trash::Entry>, Problem> {
    let (config, name, id, now) = (app.config.folders.clone(), user.name.clone(), user.id, app.now());
    let user = user.name.as_str();
    let put = move || match &config.root {
        Some(root) => trash::put(root, &own(&config, &name), (&name, id), now, config.retention_days),
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

/// Takes back what `put_away` did, for somebody who was not deleted after all. Whether they have all of it.
pub async fn take_back(app: &App, by: &Actor, user: &str, trashed: Trashed) -> bool {
    let mut has_all = true;
    match app.store.restore_volumes(&trashed.name).await {
        Ok(0) => {}
        Ok(_) => {
            app.audited(by, Act::FoldersRestore, Object::User(user), json!({ "entry": trashed.name })).await;
        }
        Err(error) => {
            tracing::error!(user, "their volumes stay in the trash: {error}");
            has_all = false;
        }
    }
    let (Some(root), Some(entry)) = (app.config.folders.root.clone(), trashed.folders) else { return has_all };
    let name = entry.name.clone();
    match blocking(move || trash::restore(&root, &name)).await {
        Ok(_) => app.audited(by, Act::FoldersRestore, Object::User(&entry.user), detail(&entry)).await,
        Err(error) => {
            tracing::error!(user = entry.user, "their folders stay in the trash: {error:#}");
            has_all = false;
        }
    }
    has_all
}

/// Gives somebody back what they left in the trash under a name that is theirs again.
pub async fn take_up(app: &App, by: &Actor, user: &User, name: &str) {
    // Without it nobody knows whose it was: numbers are given again.
    let Some(since) = user.created else { return };
    match app.store.restore_volumes_of(user.id, since, name).await {
        Ok(0) => {}
        Ok(count) => app.audited(by, Act::FoldersRestore, Object::User(name), json!({ "volumes": count })).await,
        Err(error) => tracing::error!(user = name, "their volumes stay in the trash for now: {error}"),
    }
}

/// Gives a person's folders the person's new name.
pub async fn follow_name(config: &FoldersConfig, old: &str, new: &str) -> Result<()> {
    let Some(root) = config.root.clone() else { return Ok(()) };
    let pairs: Vec<(PathBuf, PathBuf)> = own(config, old).into_iter().zip(own(config, new)).collect();
    blocking(move || rename(&root, &pairs)).await
}

/// Puts the volumes of a person who gets another name into the trash, without a day: an engine gives no volume another name,
/// and somebody new of the old one is not to find them. Gives the entry, if there were any. What they have under the new
/// name too stays with them.
pub async fn leave_volumes(app: &App, user: &User, new: &str, servers: &[String]) -> Result<Option<Left>, StoreError> {
    let Some(volumes) = &app.volumes else { return Ok(None) };
    let now = app.now();
    let entry = trash::name_of(&user.name, now);
    let keep = volumes.names(new, servers.iter().map(String::as_str).chain([""]));
    let (user, user_id) = (user.name.as_str(), user.id);
    let away = Away { user, user_id, servers, entry: &entry, now, remove_at: None, keep: &keep };
    let put = volumes.put(&app.store, &away).await?;
    Ok((!put.is_empty()).then_some(Left { entry, volumes: put }))
}

/// Volumes that were left under an old name.
pub struct Left {
    /// The name of the entry in the trash.
    pub entry: String,
    /// Which there are.
    pub volumes: Vec<String>,
}

/// Removes for good what was in the trash for long enough. Nothing of anybody who is there: where a hub died while it
/// deleted somebody, what they had is given back.
pub async fn empty_trash(app: &App) {
    if app.config.folders.root.is_none() && app.volumes.is_none() {
        return;
    }
    let stay = match give_back(app).await {
        Ok(stay) => stay,
        Err(error) => return tracing::error!("the trash is not emptied, for it is not known whose it is: {error:#}"),
    };
    if let Err(error) = empty_volumes(app, &stay).await {
        tracing::error!("the trash cannot be emptied of volumes: {error}");
    }
    let Some(root) = app.config.folders.root.clone() else { return };
    let now = app.now();
    match blocking(move || trash::empty(&root, now, &stay)).await {
        Ok(removed) => {
            for entry in removed {
                app.audited(&Actor::part("trash"), Act::FoldersRemove, Object::User(&entry.user), detail(&entry)).await;
            }
        }
        Err(error) => tracing::error!("the trash cannot be emptied: {error:#}"),
    }
}

/// What is in the trash under one name.
struct Put {
    user: String,
    user_id: Option<UserId>,
    deleted_at: Time,
    folders: Option<trash::Entry>,
}

/// Everything in the trash, by the name of the entry.
async fn all_put(app: &App) -> Result<BTreeMap<String, Put>> {
    let mut all = BTreeMap::new();
    for volume in app.store.trashed_volumes().await? {
        let (user, user_id, deleted_at) = (volume.user, volume.user_id, volume.deleted_at);
        all.insert(volume.entry, Put { user, user_id, deleted_at, folders: None });
    }
    if let Some(root) = app.config.folders.root.clone() {
        for entry in blocking(move || trash::list(&root)).await? {
            let (user, user_id, deleted_at) = (entry.user.clone(), entry.user_id, entry.deleted_at);
            all.insert(entry.name.clone(), Put { user, user_id, deleted_at, folders: Some(entry) });
        }
    }
    Ok(all)
}

/// Gives people back what is in the trash though they were not deleted: the hub died in between. Tells the entries that are
/// not to be removed, whatever their day.
async fn give_back(app: &App) -> Result<BTreeSet<String>> {
    let mut stay = BTreeSet::new();
    for (name, put) in all_put(app).await? {
        let user = match put.user_id {
            Some(id) => app.store.user_by_id(id).await?,
            None => app.store.user(&put.user).await?,
        };
        // A number may be given again once its person is gone, and so may a name: somebody new came later.
        let Some(user) = user.filter(|user| user.created.is_none_or(|created| created < put.deleted_at)) else {
            continue;
        };
        stay.insert(name.clone());
        if app.now() - put.deleted_at < ON_THE_WAY {
            continue;
        }
        if put.user_id.is_some() && put.user != user.name {
            // What was left under an old name, or would be under one.
            continue;
        }
        if put.user_id.is_none() {
            tracing::warn!(
                user = user.name,
                entry = name,
                "stays in the trash, for it may be theirs, who are there still"
            );
            continue;
        }
        let trashed = Trashed { name: name.clone(), folders: put.folders };
        if take_back(app, &Actor::part("trash"), &user.name, trashed).await {
            tracing::warn!(
                user = user.name,
                entry = name,
                "given back from the trash: they were not deleted after all"
            );
        }
    }
    Ok(stay)
}

async fn empty_volumes(app: &App, stay: &BTreeSet<String>) -> Result<(), StoreError> {
    let Some(volumes) = &app.volumes else { return Ok(()) };
    let now = app.now();
    for due in app.store.trashed_volumes().await?.into_iter().filter(|one| one.remove_at.is_some_and(|end| end <= now))
    {
        if stay.contains(&due.entry) {
            continue;
        }
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

/// Whether people have files that go into the trash with them.
fn are_had(app: &App) -> bool {
    let config = &app.config.folders;
    let folders = config.root.is_some() && !config.areas.is_empty();
    folders || app.volumes.as_ref().is_some_and(Volumes::are_had)
}

/// What becomes of the files of somebody who is deleted then, told to themselves.
pub fn what_becomes_of_own(app: &App, then: Time) -> String {
    let words = &ENGLISH;
    match trash::end(then, app.config.folders.retention_days) {
        _ if !are_had(app) => words.leaving_files_kept.to_owned(),
        None => words.leaving_files_to_trash.to_owned(),
        Some(end) => fill(words.leaving_files_until, end.format("%Y-%m-%d")),
    }
}

/// What becomes of people's files when they are deleted, for the question before it.
pub fn what_becomes(app: &App) -> String {
    let (config, words) = (&app.config.folders, &ENGLISH);
    if !are_had(app) {
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

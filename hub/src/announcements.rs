//! Announcements: the one road to change them, and the board that pages read them from.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::StatusCode;
use hub_core::announcement::Announcement;
use hub_store::{Store, StoreError, StoredAnnouncement};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::{Caller, Problem};

/// What another hub on the same database wrote is shown after so long at the latest.
const PERIOD: Duration = Duration::from_secs(5);

/// All announcements as they were last read, so that no page pays for them, and those that tell of a broken database
/// can be shown without it.
#[derive(Default)]
pub struct Board(RwLock<Arc<Vec<StoredAnnouncement>>>);

impl Board {
    /// Reads all of them anew.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let all = Arc::new(store.list_announcements().await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Arc<Vec<StoredAnnouncement>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the board true until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        if let Err(error) = app.announcements.refresh(&app.store).await {
            tracing::debug!("announcements: {error}");
        }
    }
}

/// Somebody who writes announcements: with name, and for the audit.
pub struct Author {
    name: String,
    by: Actor,
}

impl Author {
    /// The caller of a request.
    pub fn new(caller: &Caller, by: Actor) -> Self {
        Self { name: caller.name().to_owned(), by }
    }
}

/// Adds an announcement; returns it.
pub async fn add(app: &App, author: &Author, new: &Announcement) -> Result<StoredAnnouncement, Problem> {
    check(new)?;
    let id = app.store.add_announcement(new, &author.name, app.now()).await?;
    let id = id.ok_or_else(|| Problem::conflict("There are too many announcements; delete those that are over"))?;
    written(app, author, Act::AnnouncementCreate, json!({ "id": id, "text": new.text })).await?;
    find(app, id).await
}

/// Replaces an announcement; returns it.
pub async fn change(app: &App, author: &Author, id: i64, new: &Announcement) -> Result<StoredAnnouncement, Problem> {
    check(new)?;
    if !app.store.set_announcement(id, new, &author.name, app.now()).await? {
        return Err(no_such());
    }
    written(app, author, Act::AnnouncementChange, json!({ "id": id, "text": new.text })).await?;
    find(app, id).await
}

/// Writes the announcement that has this name.
pub async fn put(app: &App, author: &Author, name: &str, new: &Announcement) -> Result<(), Problem> {
    check(new)?;
    app.store.put_announcement(name, new, &author.name, app.now()).await?;
    written(app, author, Act::AnnouncementCreate, json!({ "name": name, "text": new.text })).await
}

/// Deletes an announcement.
pub async fn delete(app: &App, author: &Author, id: i64) -> Result<(), Problem> {
    if !app.store.delete_announcement(id).await? {
        return Err(no_such());
    }
    written(app, author, Act::AnnouncementDelete, json!({ "id": id })).await
}

/// Deletes the announcement that has this name, if there is one.
pub async fn delete_named(app: &App, author: &Author, name: &str) -> Result<(), Problem> {
    if app.store.delete_named_announcement(name).await? {
        written(app, author, Act::AnnouncementDelete, json!({ "name": name })).await?;
    }
    Ok(())
}

/// Finds an announcement.
pub async fn find(app: &App, id: i64) -> Result<StoredAnnouncement, Problem> {
    app.store.announcement(id).await?.ok_or_else(no_such)
}

fn check(new: &Announcement) -> Result<(), Problem> {
    new.check().map_err(Problem::bad)
}

fn no_such() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such announcement")
}

async fn written(app: &App, author: &Author, act: Act, detail: Value) -> Result<(), Problem> {
    app.audited(&author.by, act, Object::Hub, detail).await;
    Ok(app.announcements.refresh(&app.store).await?)
}

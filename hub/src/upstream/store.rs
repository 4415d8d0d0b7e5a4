//! The state of somebody in the database, encrypted: read, and replaced without losing a refresh token.

use std::sync::Arc;

use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::StoreError;
use serde_json::Value;

use super::unkept::{self, Held};
use super::{Failure, Kept};
use crate::app::App;

/// How often a state that was sealed anew meanwhile is replaced: keys change rarely.
const TRIES: usize = 3;

/// What became of a state that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is in the database.
    Done,
    /// The database refuses: it is in memory, and tried again.
    Later,
    /// There is nothing to put it over any more: another login came, or the person is gone.
    Superseded,
}

/// What is kept of somebody's provider; `None` where it is nothing, or no key opens it. What the database has still to take
/// counts as kept.
pub async fn kept(app: &App, user: UserId) -> Result<Option<Kept>, StoreError> {
    let there = in_database(app, user).await?;
    let held = app.upstream.unkept.get(user).zip(there.as_ref()).and_then(|(held, there)| held.over(there));
    Ok(held.or(there))
}

async fn in_database(app: &App, user: UserId) -> Result<Option<Kept>, StoreError> {
    let opened = app.hooks.auth_states.open(&app.store, user).await?;
    Ok(opened.and_then(|(sealed, state)| Kept::new(sealed, state)))
}

/// What went wrong the last time, and when.
pub async fn failure(app: &App, user: UserId) -> Result<Option<(Failure, Time)>, StoreError> {
    let Some(upstream) = app.store.upstream(user).await? else { return Ok(None) };
    let failure = upstream.failure.and_then(|failure| serde_json::from_value(failure).ok());
    Ok(failure.zip(upstream.failed_at))
}

/// Keeps what a provider has just given, in the place of the state it was got with. What is in it may be the only refresh
/// token that is good: it is never given up here.
pub async fn keep(app: &Arc<App>, user: UserId, before: &Kept, state: Value) -> Keeping {
    match put(app, user, before, &state).await {
        Ok(true) => {
            app.upstream.written.note(app, user, before.clone(), state);
            Keeping::Done
        }
        Ok(false) => Keeping::Superseded,
        Err(error) => {
            unkept::hold(app, user, Held { before: before.clone(), state }, &error);
            Keeping::Later
        }
    }
}

/// Puts a new state in the place of the one it was made of. False when there is nothing to put it over any more.
pub async fn put(app: &App, user: UserId, before: &Kept, state: &Value) -> Result<bool, StoreError> {
    let mut sealed = before.sealed.clone();
    for _ in 0..TRIES {
        let Some(after) = app.hooks.auth_states.seal(state, app.now()) else { return Ok(false) };
        if app.store.replace_auth_state(user, &sealed, &after).await? {
            return Ok(true);
        }
        // The same state may have been sealed anew with another key meanwhile.
        match in_database(app, user).await? {
            Some(now) if now.sealed != sealed && now.is_same_login(before) => sealed = now.sealed,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

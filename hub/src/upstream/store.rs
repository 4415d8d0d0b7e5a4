//! The state of somebody in the database, encrypted: read, and replaced without losing a refresh token.

use std::time::Duration;

use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::StoreError;
use serde_json::Value;

use super::{Failure, Kept};
use crate::app::App;

/// How long it is waited before the database is asked again to take a state.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// What is kept of somebody's provider; `None` where it is nothing, or no key opens it.
pub async fn kept(app: &App, user: UserId) -> Result<Option<Kept>, StoreError> {
    let opened = app.hooks.auth_states.open(&app.store, user).await?;
    Ok(opened.and_then(|(sealed, state)| Kept::new(sealed, state)))
}

/// What went wrong the last time, and when.
pub async fn failure(app: &App, user: UserId) -> Result<Option<(Failure, Time)>, StoreError> {
    let Some(upstream) = app.store.upstream(user).await? else { return Ok(None) };
    let failure = upstream.failure.and_then(|failure| serde_json::from_value(failure).ok());
    Ok(failure.zip(upstream.failed_at))
}

/// Puts a new state in the place of the one it was made of. Tries until the database takes it: what is in it may be the
/// only refresh token that is good. False when there is nothing to put it over any more: another login came, or the
/// person is gone.
pub async fn replace(app: &App, user: UserId, before: &Kept, state: &Value) -> Result<bool, StoreError> {
    let (mut sealed, mut pause) = (before.sealed.clone(), FIRST);
    loop {
        let Some(after) = app.hooks.auth_states.seal(state, app.now()) else { return Ok(false) };
        match app.store.replace_auth_state(user, &sealed, &after).await {
            Ok(true) => return Ok(true),
            // The same state may have been sealed anew with another key meanwhile.
            Ok(false) => match kept(app, user).await {
                Ok(Some(now)) if now.sealed != sealed && now.is_same_login(before) => sealed = now.sealed,
                Ok(_) => return Ok(false),
                Err(error) => wait(&mut pause, error).await?,
            },
            Err(error) => wait(&mut pause, error).await?,
        }
    }
}

async fn wait(pause: &mut Duration, error: StoreError) -> Result<(), StoreError> {
    if !error.is_temporary() {
        return Err(error);
    }
    tracing::warn!("fresh tokens cannot be kept yet: {error}");
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST);
    Ok(())
}

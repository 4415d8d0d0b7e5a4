//! Fresh tokens that the database did not take: it was away, full, or not to be written. The refresh token they were got with
//! may be dead, so that giving them up costs a login. They are held here, handed out, and tried again until they are kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hub_core::id::UserId;
use hub_store::StoreError;
use serde_json::Value;
use tokio::time::Instant;

use super::{Kept, LEASE, claim, release, store};
use crate::app::App;

/// How long it is waited before the database is asked again; longer from time to time. When it is back, other hubs wait
/// for this one (`NOTICE`).
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(3);
/// After this time they are given up: whoever repairs the database for longer has other worries.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// States that belong into the database, by whose they are. There is one of a person at most: nobody gets another token with
/// a refresh token that is not kept.
#[derive(Default)]
pub struct Unkept(Mutex<HashMap<UserId, Held>>);

/// One state with what it is to replace.
#[derive(Clone)]
pub struct Held {
    /// What stands in the database.
    pub before: Kept,
    /// What is to stand there.
    pub state: Value,
}

impl Held {
    /// The state as if it had been kept, while what it replaces is still there.
    pub fn over(self, there: &Kept) -> Option<Kept> {
        let is_its = there.sealed == self.before.sealed || there.is_same_login(&self.before);
        is_its.then(|| Kept::new(there.sealed.clone(), self.state)).flatten()
    }
}

impl Unkept {
    /// Whether there is one of somebody.
    pub fn has(&self, user: UserId) -> bool {
        self.lock().contains_key(&user)
    }

    /// That of somebody.
    pub fn get(&self, user: UserId) -> Option<Held> {
        self.lock().get(&user).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a state that the database has just refused, and goes on trying. Whoever calls has the turn.
pub fn hold(app: &Arc<App>, user: UserId, held: Held, error: &StoreError) {
    tracing::error!(%user, "fresh tokens cannot be kept; they are held in memory and tried again: {error}");
    let broker = &app.upstream;
    if broker.unkept.lock().insert(user, held).is_none() {
        broker.tracker.spawn_on(go_on(app.clone(), user), &broker.runtime);
    }
}

/// Tries to keep what is held of somebody. Whoever calls has the turn. Nothing held is as good as kept.
pub async fn settle(app: &App, user: UserId) -> Result<(), StoreError> {
    let Some(Held { before, state }) = app.upstream.unkept.get(user) else { return Ok(()) };
    // If there is nothing to put it over any more, somebody has logged in anew, or is gone.
    if store::put(app, user, &before, &state).await? {
        app.upstream.written.note(app, user, before, state);
    }
    app.upstream.unkept.lock().remove(&user);
    Ok(())
}

/// Tries until it is kept, for a while, and once more when the hub stops.
async fn go_on(app: Arc<App>, user: UserId) {
    let (begun, mut pause) = (Instant::now(), FIRST);
    loop {
        let is_last = tokio::select! {
            () = app.upstream.stop.cancelled() => true,
            () = tokio::time::sleep(pause) => begun.elapsed() > PATIENCE,
        };
        match again(&app, user).await {
            Ok(()) => break,
            Err(why) if is_last => {
                app.upstream.unkept.lock().remove(&user);
                let who = app.store.user_by_id(user).await.ok().flatten().map(|person| person.name);
                tracing::error!(
                    %user, name = who, "fresh tokens are lost, and with them the login at the identity provider: {why}. \
                     They have to log in again"
                );
                break;
            }
            Err(why) => tracing::debug!(%user, "fresh tokens cannot be kept yet: {why}"),
        }
        pause = (pause * 2).min(LONGEST);
    }
}

async fn again(app: &App, user: UserId) -> Result<(), String> {
    let turn = app.upstream.turns.wait(user.to_string()).await;
    let _turn = turn.ok_or_else(|| "somebody else has the turn".to_owned())?;
    if !app.upstream.unkept.has(user) {
        return Ok(());
    }
    // Other hubs wait for as long as this goes on, if the database takes that much.
    if let Err(error) = claim(app, user, LEASE).await {
        tracing::debug!(%user, "{error}");
    }
    settle(app, user).await.map_err(|error| error.to_string())?;
    tracing::info!(%user, "fresh tokens that were held in memory are kept now");
    // Who the person is now was not asked yet.
    if let Err(error) = app.store.upstream_renewed(user, Some(app.now())).await {
        tracing::warn!(%user, "who they are now is asked later: {error}");
    }
    // With the turn, so that it is nobody else's lease.
    release(app, user).await;
    Ok(())
}

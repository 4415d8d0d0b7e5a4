//! When tokens and people were last seen: gathered in memory and written together once a second.
//!
//! Every request may bring such a time. A write for each would make the database's disk the limit of all that only
//! asks. What a crash loses is less than a second of these times, which are recorded every 30 s anyway.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hub_core::clock::Time;
use hub_core::id::{TokenId, UserId};
use hub_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Between two writes.
const PERIOD: Duration = Duration::from_secs(1);
/// So many are written in one transaction, so that other writers get their turn.
const TOGETHER: usize = 500;

type Times<K> = Mutex<HashMap<K, Time>>;

/// What has not been written yet.
#[derive(Default)]
pub struct Seen {
    tokens: Times<TokenId>,
    users: Times<UserId>,
}

impl Seen {
    /// A token was used.
    pub fn token(&self, id: TokenId, at: Time) {
        note(&self.tokens, id, at);
    }

    /// A person did something.
    pub fn user(&self, id: UserId, at: Time) {
        note(&self.users, id, at);
    }
}

fn note<K: Eq + Hash>(times: &Times<K>, id: K, at: Time) {
    times.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
}

/// In order, so that many transactions are not about the same rows as those of another hub.
fn take<K: Ord>(times: &Times<K>) -> Vec<(K, Time)> {
    let mut taken: Vec<_> =
        std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
    taken.sort_unstable();
    taken
}

/// Runs until told to stop; writes what is left then.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        let stopped = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none();
        if let Err(error) = write(&app).await {
            // Not kept: whoever is still there will be seen again.
            tracing::warn!("activity of tokens and users not recorded: {error}");
        }
        if stopped {
            return;
        }
    }
}

/// Writes all there is; what fails does not take the rest with it. The error is the last one.
async fn write(app: &App) -> Result<(), StoreError> {
    let (tokens, users) = (take(&app.seen.tokens), take(&app.seen.users));
    let mut written = Ok(());
    for some in tokens.chunks(TOGETHER) {
        written = app.store.touch(some, &[]).await.and(written);
    }
    for some in users.chunks(TOGETHER) {
        written = app.store.touch(&[], some).await.and(written);
    }
    written
}

//! Stores what the route stream brought, then acknowledges it. Many lines become one write and one
//! acknowledgement.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    link::Control,
    snapshot::Store,
    state::Shared,
    wire::{self, Line},
};

/// Times an acknowledgement is sent again before the next heartbeat is waited for.
const ATTEMPTS: u32 = 3;

/// What happened on the route stream.
pub(crate) enum Event {
    /// The line changed the table.
    Changed(Line),
    /// The stream is up and the table is current: the hub may be a new process.
    Connected,
    /// A heartbeat.
    Current,
}

/// Runs until the stream's task ends.
pub(crate) async fn store_and_acknowledge(
    shared: Arc<Shared>,
    control: Control,
    mut store: Option<Store>,
    mut received: mpsc::Receiver<Event>,
) {
    // None when it is to be told, be it again: that a proxy is there is known by its own word alone.
    let mut acknowledged = None;
    let mut events = Vec::new();
    while received.recv_many(&mut events, 1024).await > 0 {
        let mut changes = Vec::new();
        let mut snapshot = false;
        for event in events.drain(..) {
            match event {
                Event::Changed(line) => {
                    snapshot |= matches!(line, Line::Snapshot { .. });
                    changes.push(line);
                }
                Event::Connected | Event::Current => acknowledged = None,
            }
        }
        if !changes.is_empty() {
            acknowledged = None;
        }
        // File and acknowledgement are another proxy's by now.
        if shared.leaving.is_set() {
            continue;
        }
        let stands = stands_after(&shared, &changes);
        if let Some(kept) = store.take() {
            store = Some(keep(&shared, kept, changes, snapshot).await);
        }
        if acknowledged.as_ref() != Some(&stands) && acknowledge(&shared, &control, &stands).await {
            acknowledged = Some(stands);
        }
    }
}

/// What may be acknowledged after storing: the last of the changes, or the table when there are none.
fn stands_after(shared: &Shared, changes: &[Line]) -> (String, u64) {
    match changes.last() {
        Some(Line::Snapshot { epoch, revision, .. } | Line::Change { epoch, revision, .. }) => {
            (epoch.clone(), *revision)
        }
        _ => {
            let routes = shared.routes.load();
            (routes.epoch.clone(), routes.revision)
        }
    }
}

/// Stores on a thread that may wait for the disk. A disk that fails is logged; routes must not wait.
async fn keep(shared: &Arc<Shared>, mut store: Store, changes: Vec<Line>, snapshot: bool) -> Store {
    if changes.is_empty() {
        return store;
    }
    let shared = Arc::clone(shared);
    let path = store.path().to_owned();
    let kept = tokio::task::spawn_blocking(move || {
        let written = if snapshot || store.wants_whole() {
            store.write(&shared.routes.load().to_line())
        } else {
            store.append(&changes.iter().collect::<Vec<_>>())
        };
        if let Err(problem) = written {
            tracing::warn!(%problem, "routes are not stored on disk");
        }
        store
    })
    .await;
    kept.unwrap_or_else(|_| Store::new(path))
}

async fn acknowledge(shared: &Shared, control: &Control, stands: &(String, u64)) -> bool {
    let (epoch, revision) = stands.clone();
    let ack = wire::Ack { proxy: shared.identity.clone(), epoch, revision };
    for attempt in 1..=ATTEMPTS {
        match shared.drain.until(control.post(wire::ACK_PATH, &ack)).await {
            Some(Ok(())) => return true,
            Some(Err(problem)) => tracing::debug!(%problem, attempt, "the hub did not take an acknowledgement"),
            None => return false,
        }
        tokio::time::sleep(Duration::from_millis(50) * attempt).await;
    }
    false
}

//! Notices the end of a server at once, whoever started it, and keeps the logs small meanwhile.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use spawners::{Marker, News};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::process::{Process, boot_id};
use crate::shared::Shared;

/// How often the notes are read for servers that another hub has started, and the logs' sizes looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// Nudges once for each server that ends, until told to stop.
pub async fn watch(shared: &Arc<Shared>, news: mpsc::Sender<News>, stop: CancellationToken) {
    let mut watched: HashSet<Marker> = HashSet::new();
    let mut ends: JoinSet<Marker> = JoinSet::new();
    loop {
        let reader = Arc::clone(shared);
        match tokio::task::spawn_blocking(move || chores(&reader)).await {
            Ok(Ok(servers)) => {
                let present: HashSet<&Marker> = servers.iter().map(|(marker, _)| marker).collect();
                watched.retain(|marker| present.contains(marker));
                for (marker, process) in servers {
                    if watched.insert(marker.clone()) {
                        ends.spawn(end_of(marker, process));
                    }
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "servers could not be watched"),
            Err(error) => tracing::error!(%error, "a look at the servers broke off"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.started.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
            Some(Ok(marker)) = ends.join_next() => {
                // A nudge that does not fit is not missed: whoever is so busy looks at everything anyway.
                news.try_send(News::Look(marker.spawner)).ok();
            }
        }
    }
}

fn chores(shared: &Shared) -> io::Result<Vec<(Marker, Process)>> {
    shared.logs.rotate()?;
    let boot_id = boot_id()?;
    let of_now = shared.runs.all()?.into_iter().filter(|run| run.boot_id == boot_id && run.hub == shared.config.hub);
    Ok(of_now.filter_map(|run| Some((run.marker(), run.process?))).collect())
}

/// Returns when the process has ended.
async fn end_of(marker: Marker, process: Process) -> Marker {
    match process.open() {
        Ok(None) => return marker,
        Ok(Some(handle)) => {
            // SAFETY: an owned descriptor stays the same and open for as long as it is registered.
            let registered = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
            if let Ok(handle) = registered
                && handle.readable().await.is_ok()
            {
                return marker;
            }
        }
        Err(error) => tracing::debug!(server = %marker, %error, "a process has no handle, so it is asked for"),
    }
    while process.alive().unwrap_or(true) {
        tokio::time::sleep(PERIOD).await;
    }
    marker
}

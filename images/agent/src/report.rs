//! Tells the hub what `status.json` tells the lab: at once after a change, and again after a while, so that the hub knows that
//! it still is so.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::folders::Folders;
use crate::hub::Hub;
use crate::status::Status;

/// How often folders are looked at, and the hub is tried again that could not be told.
const LOOK: Duration = Duration::from_secs(10);
/// How often the hub is told what it knows. It forgets after some of these.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a hub is left alone that did not want to know.
const REFUSED: Duration = Duration::from_secs(300);
/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Runs until it is aborted.
pub async fn run(hub: Arc<Hub>, status: Arc<Status>, mut folders: Folders) {
    let mut last: Option<(Value, Instant)> = None;
    loop {
        status.folders_seen(&folders.look().await);
        let told = status.told();
        if !last.as_ref().is_some_and(|(known, at)| *known == told && at.elapsed() < AGAIN) {
            last = match hub.report(&told).await {
                Ok(()) => Some((told, Instant::now())),
                // One that is older, has no such server any more, or admits its person no longer, which may change.
                Err(refusal) if matches!(refusal.status, 403..=405) => {
                    tokio::time::sleep(REFUSED).await;
                    None
                }
                Err(_) => None,
            };
        }
        tokio::time::sleep(TOGETHER).await;
        let _ = tokio::time::timeout(LOOK, status.changed()).await;
    }
}

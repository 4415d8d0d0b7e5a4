//! Listens to the engine's events, so that a server that ended is noticed at once.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use hub_core::id::SpawnerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::label;

/// The pauses before the engine is listened to again grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// What is worth a look.
const WORTH: [&str; 5] = ["die", "destroy", "oom", "start", "unpause"];

/// Nudges for each event, until told to stop.
pub(crate) async fn watch(engine: &Engine, hub: &str, nudge: mpsc::Sender<SpawnerId>, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    let mut since: Option<i64> = None;
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = listen(engine, hub, &mut since, &nudge) => heard,
        };
        match heard {
            Ok(true) => pause = PAUSES.0,
            Ok(false) => {}
            Err(error) => tracing::debug!("the engine's events are not heard: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Listens until the engine falls silent; whether it said anything. `since` is when it last did, so that what happened
/// while nobody listened is heard too.
async fn listen(
    engine: &Engine,
    hub: &str,
    since: &mut Option<i64>,
    nudge: &mpsc::Sender<SpawnerId>,
) -> Result<bool, Error> {
    let mut filters = label::filter(hub);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), WORTH.map(str::to_owned).to_vec());
    let mut options = EventsOptionsBuilder::default().filters(&filters);
    let from = since.map(|since| since.to_string());
    if let Some(from) = &from {
        options = options.since(from);
    }
    let mut events = engine.client()?.events(Some(options.build()));
    let mut heard = false;
    while let Some(event) = events.next().await {
        let event = event?;
        heard = true;
        *since = event.time.or(*since);
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let Some(identity) = label::identity(&attributes) else { continue };
        if event.action.as_deref() == Some("oom") {
            tracing::info!(
                user = identity.user,
                server = identity.server,
                "a process of the server needed too much memory"
            );
        }
        // A nudge that does not fit is not missed: whoever is so busy looks at everything anyway.
        nudge.try_send(identity.spawner).ok();
    }
    Ok(heard)
}

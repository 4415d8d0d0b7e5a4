//! Listens to the engine's events, so that a server that ended is noticed at once, and one whose memory was full at all.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::TimeDelta;
use futures_util::StreamExt;
use hub_core::clock::{Clock, SystemClock, Time};
use spawners::{Identity, MemoryFull, News};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::{label, memory};

/// The pauses before the engine is listened to again grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// What is worth a look.
const WORTH: [&str; 5] = ["die", "destroy", memory::EVENT, "start", "unpause"];
/// What happened so long before, while no hub was there, is heard too, as far as the engine remembers it.
const BEFORE: TimeDelta = TimeDelta::hours(1);
/// The memory of one server can be full many times a second. It is told once in so long a time.
const SPACING: TimeDelta = TimeDelta::seconds(5);

/// Tells of each event, until told to stop.
pub(crate) async fn watch(engine: &Engine, hub: &str, news: mpsc::Sender<News>, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    let since = (SystemClock.now() - BEFORE).timestamp();
    let mut ear = Ear { engine, hub, news, since, full: HashMap::new() };
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = ear.listen() => heard,
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

struct Ear<'a> {
    engine: &'a Engine,
    hub: &'a str,
    news: mpsc::Sender<News>,
    /// When something was heard last, so that what happened while nobody listened is heard too.
    since: i64,
    /// When the memory of which container was told to be full.
    full: HashMap<String, Time>,
}

impl Ear<'_> {
    /// Listens until the engine falls silent; whether it said anything.
    async fn listen(&mut self) -> Result<bool, Error> {
        let mut filters = label::filter(self.hub);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), WORTH.map(str::to_owned).to_vec());
        let since = self.since.to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since);
        let mut events = self.engine.client()?.events(Some(options.build()));
        let mut heard = false;
        while let Some(event) = events.next().await {
            let event = event?;
            heard = true;
            self.since = event.time.unwrap_or(self.since);
            self.hear(event).await;
        }
        Ok(heard)
    }

    async fn hear(&mut self, event: EventMessage) {
        let at = memory::at(&event);
        let Some(actor) = event.actor else { return };
        let attributes = actor.attributes.unwrap_or_default();
        let Some(server) = label::identity(&attributes) else { return };
        if event.action.as_deref() == Some(memory::EVENT)
            && let (Some(id), Some(at)) = (&actor.id, at)
        {
            self.memory_full(id, &server, attributes.contains_key(label::KEPT), at).await;
        }
        // News that do not fit are not missed: whoever is so busy looks at everything anyway.
        self.news.try_send(News::Look(server.spawner)).ok();
    }

    async fn memory_full(&mut self, id: &str, server: &Identity, kept: bool, at: Time) {
        if self.full.get(id).is_some_and(|told| at - *told < SPACING) {
            return;
        }
        self.full.retain(|_, told| at - *told < BEFORE);
        self.full.insert(id.to_owned(), at);
        // A container that is gone by now had some limit.
        let container = self.engine.inspect(id).await.ok().flatten();
        let limit = container.and_then(|container| container.host_config?.memory);
        let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        let (user, name) = (&server.user, &server.server);
        tracing::info!(user, server = name, ?limit, "a process of the server was ended: its memory was full");
        let full = MemoryFull { server: server.clone(), kept, at, limit };
        // This is told once: it waits for room.
        self.news.send(News::MemoryFull(full)).await.ok();
    }
}

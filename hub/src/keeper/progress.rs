//! Progress of a start as rows, so that any hub can stream it.

use std::time::Duration;

use async_trait::async_trait;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::Phase;
use hub_store::{NewEvent, Server, Step as Stride, StoreError};
use serde_json::Value;
use spawners::{Record, SaveError};

use super::{Inner, LEASE_DELTA, breakpoint};

/// The generation whose events are about a server as it is now: while it is only wanted, the one that is to come.
pub fn told_under(server: &Server) -> Generation {
    match server.phase {
        Phase::Stopped => Generation(server.generation.0.saturating_add(1)),
        _ => server.generation,
    }
}

impl Inner {
    /// Writes one event and wakes the streams. A lost event is not worth a failed start, so trouble is only logged.
    pub(crate) async fn tell_in_detail(
        &self,
        server: &Server,
        percent: u8,
        phase: Phase,
        message: &str,
        detail: Option<Value>,
    ) {
        self.append(NewEvent { detail, ..self.event(server.id, told_under(server), percent, phase, message) }).await;
    }

    async fn append(&self, event: NewEvent) {
        let server = event.spawner_id;
        if let Err(error) = self.store.append_event(&event).await {
            tracing::warn!(%server, "progress not recorded: {error}");
        }
        self.signals.progressed(server);
    }

    /// What is told of a server.
    pub(crate) fn event(
        &self,
        server: SpawnerId,
        generation: Generation,
        percent: u8,
        phase: Phase,
        message: &str,
    ) -> NewEvent {
        NewEvent {
            spawner_id: server,
            generation,
            at: self.now(),
            progress: percent,
            phase,
            message: message.to_owned(),
            detail: None,
        }
    }

    /// A step of a server, and what is told of it.
    pub(crate) fn stride(&self, server: &Server, percent: u8, phase: Phase, message: &str) -> Stride<'_> {
        Stride {
            holder: &self.holder,
            generation: server.generation,
            lease: LEASE_DELTA,
            told: vec![self.event(server.id, server.generation, percent, phase, message)],
            now: self.now(),
        }
    }
}

/// What a driver writes down while it starts a server.
pub(crate) struct Recorder<'a> {
    pub keeper: &'a Inner,
    pub server: SpawnerId,
    pub generation: Generation,
}

#[async_trait]
impl Record for Recorder<'_> {
    async fn save(&self, state: &Value) -> Result<(), SaveError> {
        match self.keeper.store.save_state(self.server, self.generation, state).await {
            Ok(true) => {
                breakpoint::pass("start.saved");
                Ok(())
            }
            Ok(false) => Err(SaveError::Overtaken),
            Err(error) => Err(SaveError::Failed(StoreError::into(error))),
        }
    }

    async fn progress(&self, percent: u8, message: &str) {
        // The driver's hundred percent is the server having an address; the hub's is its being ready.
        let percent = 10 + (u16::from(percent.min(100)) * 50 / 100) as u8;
        let event = self.keeper.event(self.server, self.generation, percent, Phase::Starting, message);
        self.keeper.append(event).await;
    }

    async fn patience(&self, at_most: Duration) {
        let now = self.keeper.now();
        let deadline = now + at_most + self.keeper.settings.start_timeout;
        let put_off = self.keeper.store.put_off(self.server, self.generation, deadline, now).await;
        match put_off {
            // Whoever attends the start reads the row again.
            Ok(_) => self.keeper.signals.server_changed(self.server),
            Err(error) => tracing::warn!(server = %self.server, "the deadline stays: {error}"),
        }
    }
}

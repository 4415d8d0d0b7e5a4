//! The services as pages show them: read now and then, so that no page pays for it.

use std::sync::{Arc, PoisonError, RwLock};

use hub_core::scope::{Scope, Target};
use hub_store::{Service, Store, StoreError};
use tokio::sync::Notify;

use crate::http::Caller;
use crate::http::url::Paths;

/// A service that is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its row.
    pub service: Service,
    /// Whether it answered when it was last asked; nothing when nobody asked.
    pub answers: Option<bool>,
}

/// What is known of all services.
#[derive(Default)]
pub struct Board {
    shown: RwLock<Arc<Vec<Shown>>>,
    changed: Notify,
}

impl Board {
    /// Reads all services anew.
    pub async fn refresh(&self, store: &Store) -> Result<Arc<Vec<Shown>>, StoreError> {
        let states = store.service_states().await?;
        let answers = |service: &Service| states.iter().find(|state| state.id == service.id)?.answers;
        let services = store.list_services().await?.into_iter();
        let shown = services.map(|service| Shown { answers: answers(&service), service });
        let shown = Arc::new(shown.collect());
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&shown);
        Ok(shown)
    }

    /// Wakes whoever looks after services: one was made or deleted.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Waits for a nudge.
    pub async fn nudged(&self) {
        self.changed.notified().await;
    }

    /// The services somebody may open, in the order they were made: those with a url, unless they are not to be shown.
    pub fn of(&self, caller: &Caller) -> Vec<Shown> {
        let all = Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter(|shown| is_for(&shown.service, caller)).cloned().collect()
    }
}

fn is_for(service: &Service, caller: &Caller) -> bool {
    let spec = &service.spec;
    let may = || caller.rights.covers(Scope::AccessServices, &Target::Service(&spec.name));
    spec.url.is_some() && spec.display != Some(false) && may()
}

impl Shown {
    /// Where people open it.
    pub fn path(&self, paths: &Paths) -> String {
        paths.service(&self.service.spec.name)
    }

    /// A sentence about it, from its `info`.
    pub fn description(&self) -> Option<String> {
        let text = self.service.spec.info.get("description")?.as_str()?;
        Some(text.to_owned()).filter(|text| !text.trim().is_empty())
    }
}

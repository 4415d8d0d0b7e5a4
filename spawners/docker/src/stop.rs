//! Ends a server, a step a call: asked, killed once its time is over, and once it has ended removed, or put to rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::query_parameters::KillContainerOptionsBuilder;
use spawners::Unreachable;

use crate::container::{Container, Doing};
use crate::driver::Parts;
use crate::engine::status;

/// How images ask to be ended that say nothing else.
const TERM: &str = "SIGTERM";
/// What nobody can refuse.
const KILL: &str = "SIGKILL";
/// What was asked to end longer ago than this is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// When which container was asked to end. Another hub that carries on asks again, and gives it its time anew.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<HashMap<String, Instant>>);

impl Asked {
    /// How long ago a container was asked; `None` when it is to be asked now.
    fn since(&self, id: &str) -> Option<Duration> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = asked.get(id) {
            return Some(at.elapsed());
        }
        asked.retain(|_, at| at.elapsed() < FORGOTTEN);
        asked.insert(id.to_owned(), Instant::now());
        None
    }

    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Parts {
    /// The step that is due for one container.
    pub(crate) async fn end(&self, container: &Container, force: bool) -> Result<(), Unreachable> {
        let id = container.id();
        let outcome = match container.doing() {
            _ if container.is_at_rest() => return Ok(()),
            Doing::Running if force && container.is_kept() => self.kill(id, KILL).await,
            Doing::Ended if container.is_kept() && !self.config.remove => self.rest(container).await,
            _ if force => self.engine.remove(id, true).await,
            Doing::Created | Doing::Ended => self.engine.remove(id, false).await,
            Doing::Running => match self.asked.since(id) {
                None => self.signal(container).await.inspect_err(|_| self.asked.forget(id)),
                Some(since) if since < self.config.stop_timeout => return Ok(()),
                Some(_) if container.is_kept() => self.kill(id, KILL).await,
                Some(_) => self.engine.remove(id, true).await,
            },
            Doing::Changing => return Ok(()),
        };
        match outcome {
            Ok(()) => Ok(()),
            // It ended, or began to be removed, meanwhile: the next look tells.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(Unreachable::new(error)),
        }
    }

    async fn signal(&self, container: &Container) -> Result<(), Error> {
        let wanted = container.0.config.as_ref().and_then(|config| config.stop_signal.as_deref());
        let signal = wanted.filter(|signal| !signal.is_empty()).unwrap_or(TERM);
        self.kill(container.id(), signal).await
    }

    async fn kill(&self, id: &str, signal: &str) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        self.engine.client()?.kill_container(id, Some(options)).await
    }

    /// Keeps an ended container for the next start. Its name tells that its end was seen.
    async fn rest(&self, container: &Container) -> Result<(), Error> {
        self.asked.forget(container.id());
        self.engine.rename(container.id(), &container.name_at_rest()).await
    }
}

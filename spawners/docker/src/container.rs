//! One container as the engine shows it.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use spawners::Identity;

use crate::label;

/// In the names of containers that are kept for a next start.
const REST: &str = "-kept-";

/// A container.
#[derive(Debug, Clone)]
pub(crate) struct Container(pub ContainerInspectResponse);

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It never ran.
    Created,
    /// It runs; perhaps it is paused.
    Running,
    /// The engine is about to start it again, or to take it away.
    Changing,
    /// It has ended.
    Ended,
}

impl Container {
    pub fn id(&self) -> &str {
        self.0.id.as_deref().unwrap_or_default()
    }

    /// Its name, without the slash that the engine puts before it.
    pub fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default().trim_start_matches('/')
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels()?.get(name).map(String::as_str)
    }

    fn labels(&self) -> Option<&HashMap<String, String>> {
        self.0.config.as_ref()?.labels.as_ref()
    }

    /// Whose it is; `None` for what is no server of any hub of ours.
    pub fn identity(&self) -> Option<Identity> {
        self.labels().and_then(label::identity)
    }

    /// Whether it stays when its server stops. It runs for whichever start is the server's, as none is written on it.
    pub fn is_kept(&self) -> bool {
        self.label(label::KEPT).is_some()
    }

    /// The name that it has while its server is stopped.
    pub fn name_at_rest(&self) -> String {
        let id = self.id().get(..12).unwrap_or_default();
        format!("{}{REST}{id}", self.name().split(REST).next().unwrap_or_default())
    }

    /// Whether it is kept for a next start, and nothing of the last one is left to do.
    pub fn is_at_rest(&self) -> bool {
        self.is_kept() && self.doing() != Doing::Running && self.name() == self.name_at_rest()
    }

    /// Whether it was made of this image, as it is now.
    pub fn has_image(&self, id: &str) -> bool {
        self.0.image.as_deref() == Some(id)
    }

    /// Whether it belongs to this very start.
    pub fn is_of(&self, server: &Identity) -> bool {
        self.identity().is_some_and(|identity| {
            let (own, asked) = (identity.marker(), server.marker());
            !identity.is_anothers(server) && (own == asked || self.is_kept() && own.same_server(&asked))
        })
    }

    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let environment = self.0.config.as_ref()?.env.as_ref()?;
        environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether it is what DockerSpawner made for a server, by what is in its environment.
    pub fn was_made_by_dockerspawner_for(&self, server: &Identity) -> bool {
        self.identity().is_none()
            && self.variable("JUPYTERHUB_USER") == Some(server.user.as_str())
            && self.variable("JUPYTERHUB_SERVER_NAME").unwrap_or_default() == server.server
    }

    pub fn doing(&self) -> Doing {
        let Some(state) = &self.0.state else { return Doing::Changing };
        match state.status {
            Some(Status::CREATED) => Doing::Created,
            Some(Status::RUNNING | Status::PAUSED | Status::STOPPING) => Doing::Running,
            Some(Status::EXITED | Status::DEAD) => Doing::Ended,
            Some(Status::RESTARTING | Status::REMOVING | Status::EMPTY) | None => Doing::Changing,
        }
    }
}

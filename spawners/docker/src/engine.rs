//! The engine: one connection for short questions, and what its errors mean.
//!
//! Every request goes without a version in its path, so that any engine answers. What an engine does not know it
//! passes over, which is why [`Engine::api`] is asked before anything that came later.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::anyhow;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use spawners::Unreachable;

use crate::config::Endpoint;
use crate::make::Recipe;

/// How long the engine may take to answer. Making a container can take long where many are made.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header with a login at a registry.
const REGISTRY_AUTH: &str = "X-Registry-Auth";

pub(crate) struct Engine {
    endpoint: Endpoint,
    client: OnceLock<Docker>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.endpoint.host)
    }
}

impl Engine {
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, client: OnceLock::new() }
    }

    /// The client. Made when it is first needed: a socket that is not there yet may come.
    pub fn client(&self) -> Result<&Docker, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = connect(&self.endpoint, PATIENCE)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// A client whose answers may take so long.
    pub fn patient(&self, patience: Duration) -> Result<Docker, Error> {
        Ok(self.client()?.clone().with_timeout(patience))
    }

    /// The version of the API that the engine speaks, asked each time: the engine may have been replaced.
    pub async fn api(&self) -> Result<(u32, u32), Unreachable> {
        let version = self.client().map_err(Unreachable::new)?.version().await.map_err(Unreachable::new)?;
        let text = version.api_version.unwrap_or_default();
        let parsed = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parsed.ok_or_else(|| Unreachable(anyhow!("the engine tells the version {text:?} of its API")))
    }

    /// One container, by id or name; `None` when there is no such container.
    pub async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Unreachable> {
        let client = self.client().map_err(Unreachable::new)?;
        match client.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(container) => Ok(Some(container)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(Unreachable::new(error)),
        }
    }

    /// All containers with some labels, whatever their state.
    pub async fn list(
        &self,
        filters: std::collections::HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, Unreachable> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let client = self.client().map_err(Unreachable::new)?;
        client.list_containers(Some(options)).await.map_err(Unreachable::new)
    }

    /// Creates a container, and tells its id.
    pub async fn create(&self, recipe: &Recipe, body: ContainerCreateBody) -> Result<String, Error> {
        let name = recipe.name.as_str();
        let mut options = CreateContainerOptionsBuilder::default().name(name);
        if let Some(platform) = &recipe.platform {
            options = options.platform(platform);
        }
        let created = self.client()?.create_container(Some(options.build()), body).await?;
        for warning in created.warnings {
            tracing::warn!(container = name, "the engine warns: {warning}");
        }
        Ok(created.id)
    }

    /// Gives a container another name.
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        self.client()?.rename_container(id, options).await
    }

    /// Removes a container with its nameless volumes. Without force, one that runs stays.
    pub async fn remove(&self, id: &str, force: bool) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().v(true).force(force).build();
        match self.client()?.remove_container(id, Some(options)).await {
            // Gone, or on its way.
            Err(error) if status(&error) == Some(404) || already(&error) => Ok(()),
            other => other,
        }
    }
}

/// What the engine answered; `None` when it did not.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the engine said.
pub(crate) fn message(error: &Error) -> Option<&str> {
    match error {
        Error::DockerResponseServerError { message, .. } => Some(message),
        Error::DockerStreamError { error } => Some(error),
        _ => None,
    }
}

fn already(error: &Error) -> bool {
    status(error) == Some(409) && message(error).is_some_and(|message| message.contains("is already in progress"))
}

fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Docker, Error> {
    let seconds = patience.as_secs();
    let client = match (endpoint.socket(), endpoint.tcp(), &endpoint.tls) {
        (Some(path), _, _) => Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)?,
        (None, Some(address), None) => Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION)?,
        (None, Some(address), Some(tls)) => {
            Docker::connect_with_ssl(address, &tls.key, &tls.cert, &tls.ca, seconds, API_DEFAULT_VERSION)?
        }
        (None, None, _) => return Err(Error::UnsupportedURISchemeError { uri: endpoint.host.clone() }),
    };
    Ok(client.with_request_modifier(for_urls))
}

/// Engines read a login in the alphabet of base64 that is meant for URLs, and pass over any other.
fn for_urls(mut request: BollardRequest) -> BollardRequest {
    let login = request.headers().get(REGISTRY_AUTH).and_then(|value| value.to_str().ok());
    if let Some(login) = login
        && let Ok(value) = login.replace('+', "-").replace('/', "_").parse()
    {
        request.headers_mut().insert(REGISTRY_AUTH, value);
    }
    request
}

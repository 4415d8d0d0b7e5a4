//! Starts a server: what an older start left is cleared away, the image is made sure of, and the container is made,
//! looked into, and started. Cut off anywhere, it leaves nothing that a label does not lead to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, ExecConfig};
use bollard::query_parameters::StartContainerOptions;
use futures_util::StreamExt;
use spawners::{Identity, Plan, Record, SaveError, Sight, StartError, Started, Unreachable};

use crate::agent::{self, Agent};
use crate::command;
use crate::container::{Container, Doing};
use crate::driver::{Parts, state};
use crate::engine::{Engine, status};
use crate::gate;
use crate::image::Image;
use crate::label;
use crate::make::Recipe;
use crate::network::{self, Further};
use crate::refusal;

/// How long a container may take to be removed, or to have an address once it runs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at again that nobody announces.
const AGAIN: Duration = Duration::from_millis(50);
/// How long `post_start_cmd` may take.
const POST_START: Duration = Duration::from_secs(60);
/// So many lines of a log are told with a failure.
const LINES: usize = 40;

/// Starts a server, or adopts the one of the same start.
pub(crate) async fn start(parts: &Arc<Parts>, plan: &Plan, record: &dyn Record) -> Result<Started, StartError> {
    let server = &plan.identity;
    let recipe = Recipe::new(&parts.config, plan)?;
    let settled = parts.settle(server, &recipe).await?;
    if let Settled::Runs(container) = settled {
        let container = parts.name(container, &recipe.name).await;
        return parts.arrived(&container, record).await;
    }
    parts.gate(&recipe).await?;
    record.progress(5, "Looking for the image").await;
    let image = parts.image(&recipe.image, recipe.shape.pull_policy, record).await?;
    let mut body = recipe.body.clone();
    let further = network::take_further(&mut body);
    if let Some(image) = &image {
        command::complete(&mut body, &plan.args, image)?;
    }
    let agent = parts.agent(&body, image.as_ref()).await;
    let mut made = match settled {
        Settled::Rests(container) if image.as_ref().is_none_or(|image| container.has_image(&image.id)) => {
            record.progress(75, "Taking the container that was kept").await;
            Made { engine: Arc::clone(&parts.engine), id: container.id().to_owned(), kept: true, earlier: true }
        }
        _ => {
            parts.clear_kept(&settled).await?;
            // Before anything is made: what was saved says that something may have been.
            record.save(&state("", &recipe.name)).await?;
            record.progress(75, "Making the container").await;
            let asked = if agent.is_some() { agent::before(&body, image.as_ref()) } else { body.clone() };
            parts.make(server, &recipe, asked).await?
        }
    };
    if let Err(error) = record.save(&state(&made.id, &recipe.name)).await {
        made.clear().await;
        return Err(error.into());
    }
    record.progress(85, "Starting the container").await;
    // What ran before has its command.
    let image = image.as_ref().filter(|_| !made.earlier);
    let further = if made.earlier { Further::new() } else { further };
    if let Err(error) = parts.launch(&made.id, &body, image, further, agent).await {
        match &error {
            // Nobody knows whether it runs; a look tells.
            StartError::Unreachable(_) => made.keep(),
            _ => made.clear().await,
        }
        return Err(error);
    }
    made.keep();
    parts.after_start(&made.id, &recipe.shape.post_start_cmd).await;
    let container = parts.engine.inspect(&made.id).await?.map(Container).ok_or_else(gone)?;
    let container = parts.name(container, &recipe.name).await;
    parts.arrived(&container, record).await
}

/// What there is of a server when it is to be started.
enum Settled {
    /// Nothing that is in the way.
    Nothing,
    /// What this very start has made, and runs.
    Runs(Container),
    /// What was kept, and would be made the same.
    Rests(Container),
}

/// A container that was made and not started. Dropped, it is removed, unless it runs.
struct Made {
    engine: Arc<Engine>,
    id: String,
    kept: bool,
    /// It was there before this start, and stays whatever comes of it.
    earlier: bool,
}

impl Made {
    fn keep(&mut self) {
        self.kept = true;
    }

    async fn clear(&mut self) {
        self.kept = true;
        if self.earlier {
            return;
        }
        if let Err(error) = self.engine.remove(&self.id, true).await {
            tracing::warn!(container = self.id, "not removed, and left to the next survey: {error}");
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
            // Without force: should it have been started after all, it stays, and is found.
            runtime.spawn(async move { engine.remove(&id, false).await });
        }
    }
}

impl Parts {
    /// Clears away what is in the way of a start; returns what can be adopted, or started again.
    async fn settle(&self, server: &Identity, recipe: &Recipe) -> Result<Settled, StartError> {
        let mut settled = Settled::Nothing;
        for container in self.family(server).await? {
            let Some(identity) = container.identity() else { continue };
            let is_anothers = identity.is_anothers(server);
            if is_anothers && container.is_at_rest() {
                // There may be files in it.
                continue;
            }
            if identity.generation > server.generation && !is_anothers {
                // This start comes too late.
                return Err(SaveError::Overtaken.into());
            }
            let same = container.is_of(server) && container.label(label::CONFIG) == Some(recipe.digest.as_str());
            let first = matches!(settled, Settled::Nothing);
            match container.doing() {
                Doing::Running if same && first => settled = Settled::Runs(container),
                Doing::Ended if same && first && container.is_kept() && !self.config.remove => {
                    settled = Settled::Rests(container);
                }
                _ => self.remove(&container).await?,
            }
        }
        Ok(settled)
    }

    /// Gives a container that runs again the name it has when it does. Not before it runs: cut off in between, it would
    /// look like one that ended by itself.
    async fn name(&self, mut container: Container, name: &str) -> Container {
        if container.name() != name {
            match self.engine.rename(container.id(), name).await {
                Ok(()) => container.0.name = Some(name.to_owned()),
                Err(error) => tracing::warn!(container = container.name(), "not called {name} again: {error}"),
            }
        }
        container
    }

    /// Removes what was kept and would not be made the same any more.
    async fn clear_kept(&self, settled: &Settled) -> Result<(), StartError> {
        match settled {
            Settled::Rests(container) => self.remove(container).await,
            _ => Ok(()),
        }
    }

    async fn remove(&self, container: &Container) -> Result<(), StartError> {
        self.engine.remove(container.id(), true).await.map_err(|error| refusal::of(error, "remove a container"))?;
        let deadline = Instant::now() + PATIENCE;
        while self.engine.inspect(container.id()).await?.is_some() {
            if Instant::now() >= deadline {
                return Err(StartError::failed("old_server", "The server that ran before does not end."));
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    /// Refuses what this engine would pass over without a word.
    async fn gate(&self, recipe: &Recipe) -> Result<(), StartError> {
        let asked = gate::asked(&recipe.body);
        if asked.is_empty() {
            return Ok(());
        }
        let api = self.engine.api().await?;
        let Some(gated) = asked.into_iter().find(|gated| api < gated.since) else { return Ok(()) };
        let (major, minor) = gated.since;
        tracing::error!("to {} an engine needs API {major}.{minor}; this one has {}.{}", gated.to, api.0, api.1);
        Err(StartError::refused(
            "engine_too_old",
            format!("The machine that runs servers is too old to {}. Ask the people who run this hub.", gated.to),
        ))
    }

    /// Makes the container. A name that somebody else's container has is theirs.
    async fn make(
        self: &Arc<Self>,
        server: &Identity,
        recipe: &Recipe,
        body: ContainerCreateBody,
    ) -> Result<Made, StartError> {
        let made = |id| Made { engine: Arc::clone(&self.engine), id, kept: false, earlier: false };
        match self.engine.create(recipe, body.clone()).await {
            Ok(id) => return Ok(made(id)),
            Err(error) if status(&error) == Some(409) => self.make_room(server, &recipe.name, error).await?,
            Err(error) => return Err(refusal::of(error, "create the container")),
        }
        let again = self.engine.create(recipe, body).await;
        again.map(made).map_err(|error| refusal::of(error, "create the container"))
    }

    /// Moves the stopped container that DockerSpawner left of this very server out of the way, and keeps it: there may
    /// be files in it.
    async fn make_room(&self, server: &Identity, name: &str, error: Error) -> Result<(), StartError> {
        let Some(holder) = self.engine.inspect(name).await?.map(Container) else {
            // It went away meanwhile.
            return Ok(());
        };
        if !holder.was_made_by_dockerspawner_for(server) || holder.doing() == Doing::Running {
            tracing::error!(container = name, "the name of the container is taken: {error}");
            return Err(StartError::refused(
                "name_taken",
                format!(
                    "There is another container with the name {name} on the machine that runs servers. Ask the people \
                     who run this hub."
                ),
            ));
        }
        let aside = format!("{name}-before-{}", holder.id().get(..12).unwrap_or_default());
        tracing::warn!(container = name, "left by DockerSpawner; kept, and renamed {aside}");
        self.engine.rename(holder.id(), &aside).await.map_err(|error| refusal::of(error, "rename a container"))
    }

    async fn launch(
        &self,
        id: &str,
        body: &ContainerCreateBody,
        image: Option<&Image>,
        further: Further,
        agent: Option<Agent>,
    ) -> Result<(), StartError> {
        if let Some(image) = image {
            self.check_command(id, body, image).await?;
        }
        self.join(id, further).await?;
        if let Some(agent) = agent {
            self.lay(id, agent).await?;
        }
        let client = self.engine.client().map_err(Unreachable::new)?;
        let started = client.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|error| refusal::of(error, "start the container"))
    }

    /// Waits until a running container has an address.
    async fn arrived(&self, container: &Container, record: &dyn Record) -> Result<Started, StartError> {
        let state = state(container.id(), container.name());
        record.save(&state).await?;
        let deadline = Instant::now() + PATIENCE;
        let mut container = container.clone();
        loop {
            match self.sight(&container).await? {
                Sight::Up { url } => return Ok(Started { url, state }),
                Sight::Exited { reason, .. } => {
                    let log = self.engine.tail(container.id(), LINES).await.unwrap_or_default();
                    let sentence = format!("The server ended before it was ready. {reason}");
                    return Err(StartError::Failed { code: "died", sentence, log });
                }
                Sight::Coming | Sight::Absent => {}
            }
            if Instant::now() >= deadline {
                return Err(StartError::failed("no_address", "The server runs, and has no address."));
            }
            tokio::time::sleep(AGAIN).await;
            container = self.engine.inspect(container.id()).await?.map(Container).ok_or_else(gone)?;
        }
    }

    /// Runs the command of the operator's in the container. As with DockerSpawner, its failure is only logged.
    async fn after_start(&self, id: &str, command: &[String]) {
        if command.is_empty() {
            return;
        }
        match tokio::time::timeout(POST_START, self.run(id, command)).await {
            Ok(Ok((Some(0), _))) => {}
            Ok(Ok((code, said))) => {
                tracing::warn!(container = id, ?code, "post_start_cmd failed: {}", callout::excerpt(&said, 600));
            }
            Ok(Err(error)) => tracing::warn!(container = id, "post_start_cmd could not be run: {error}"),
            Err(_) => tracing::warn!(container = id, "post_start_cmd took longer than {POST_START:?}; it goes on"),
        }
    }

    async fn run(&self, id: &str, command: &[String]) -> Result<(Option<i64>, Vec<u8>), Error> {
        const LARGEST: usize = 64 << 10;
        let client = self.engine.client()?;
        let wanted = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = client.create_exec(id, wanted).await?.id;
        let mut said = Vec::new();
        if let StartExecResults::Attached { mut output, .. } =
            client.start_exec(&exec, None::<StartExecOptions>).await?
        {
            while let Some(piece) = output.next().await {
                let piece = piece?;
                let room = LARGEST.saturating_sub(said.len());
                said.extend(piece.as_ref().iter().take(room));
            }
        }
        Ok((client.inspect_exec(&exec).await?.exit_code, said))
    }
}

fn gone() -> StartError {
    StartError::failed("gone", "The server was removed while it started.")
}

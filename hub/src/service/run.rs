//! Keeps the processes of managed services alive: one task a service, which starts it, hands its words to the log,
//! starts it again when it ends, and stops it with the hub.
//!
//! JupyterHub refuses to start when a managed service does not come up. Here the hub starts: people's servers must not
//! wait for an idle culler. What fails is logged as an error and tried again, ever more rarely.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chrono::TimeDelta;
use hub_core::service::restart_wait;
use hub_store::Service;
use serde_json::json;
use spawners::Certify;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::environment::{Surroundings, environment};
use super::launch::{Launch, spawn};
use super::{process, tokens};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::service::ServiceConfig;

/// For so long a service is ours without a word from us; then another hub may run it.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often we say that it still is.
const RENEW: Duration = Duration::from_secs(10);
/// A longer line of a service is cut into several of the log.
const LINE: u64 = 8 * 1024;

/// Runs until told to stop; returns when all processes are gone.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut keepers = JoinSet::new();
    for config in app.config.hub.services.iter().filter(|service| service.is_managed()) {
        let keeper = Keeper { app: Arc::clone(&app), config: config.clone(), stop: stop.clone() };
        keepers.spawn(keeper.keep());
    }
    while let Some(ended) = keepers.join_next().await {
        if let Err(error) = ended {
            tracing::error!("services: {error}");
        }
    }
}

struct Keeper {
    app: Arc<App>,
    config: ServiceConfig,
    stop: CancellationToken,
}

/// How a process came to its end.
enum Ended {
    /// By itself, or not even started; the text says how.
    Alone(String),
    /// Another hub has it now.
    Lost,
    /// The hub stops.
    Stopping,
}

impl Keeper {
    async fn keep(self) {
        let (mut ended, mut service) = (0, None);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let wait = match self.once(&mut service).await {
                Ok(Ended::Stopping) => break,
                Ok(Ended::Lost) => RENEW,
                Ok(Ended::Alone(how)) => {
                    let (count, wait) = restart_wait(ended, began.elapsed());
                    ended = count;
                    tracing::error!(service = self.config.name, "{how}; started again in {} s", wait.as_secs());
                    wait
                }
                Err(error) => {
                    tracing::error!(service = self.config.name, "not started, tried again: {error:#}");
                    RENEW
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        if let Some(service) = service {
            self.leave(&service).await;
        }
    }

    /// One start, and what follows until its end.
    async fn once(&self, service: &mut Option<Service>) -> Result<Ended> {
        let store = &self.app.store;
        let Some(row) = store.service(&self.config.name).await?.filter(|row| row.spec.from_config) else {
            return Ok(Ended::Lost);
        };
        if !self.claim(&row).await? {
            return Ok(Ended::Lost);
        }
        *service = Some(row.clone());
        // What a hub that was killed has left, or the end before this start.
        process::end(self.mark()).await;
        let mut child = match self.start(&row).await {
            Ok(child) => child,
            Err(error) => return Ok(Ended::Alone(format!("{error:#}"))),
        };
        let pid = child.id().map(i64::from);
        store.set_service_pid(row.id, pid).await?;
        self.app
            .audited(&Actor::hub(), Act::ServiceStart, Object::Service(&row.spec.name), json!({ "pid": pid }))
            .await;
        let words = [child.stdout.take().map(Words::Out), child.stderr.take().map(Words::Err)];
        let mut relays = JoinSet::new();
        for words in words.into_iter().flatten() {
            relays.spawn(words.relay(row.spec.name.clone()));
        }
        let ended = self.attend(&row, &mut child).await;
        process::end(self.mark()).await;
        let _ = child.wait().await;
        store.set_service_pid(row.id, None).await?;
        // Nobody is left who could write; the rest was read, or is not worth waiting for.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while relays.join_next().await.is_some() {} }).await;
        Ok(ended)
    }

    async fn start(&self, service: &Service) -> Result<Child> {
        let (app, spec) = (&self.app, &service.spec);
        let token = match &self.config.api_token {
            Some(token) => token.clone(),
            None => tokens::begin(&app.store, service, app.now()).await.context("its token cannot be made")?,
        };
        let client = match &spec.oauth_client_id {
            Some(identifier) => app.store.oauth_client(identifier).await?,
            None => None,
        };
        let recipe = app.keeper.recipe();
        let surroundings = Surroundings {
            base_url: &recipe.paths.base,
            api_url: &recipe.api_url,
            public_origin: &recipe.public_origin,
            own_origin: &recipe.paths.origin_of_service(&spec.name),
            token: &token,
            redirect_uri: client.as_ref().map_or("", |client| client.redirect_uri.as_str()),
        };
        let papers = match &app.internal_ssl {
            Some(ssl) => {
                Some(ssl.certify(&names(spec.url.as_deref())).map_err(|what| anyhow!("its certificate: {what}"))?)
            }
            None => None,
        };
        spawn(Launch {
            papers,
            data_dir: &app.config.hub.data_dir,
            command: &spec.command,
            user: spec.user.as_deref(),
            cwd: spec.cwd.as_deref(),
            environment: environment(service, &surroundings),
            keep: &app.config.spawner.env_keep,
            mark: &self.mark(),
        })
    }

    /// Waits for the end of a process, and holds on to the service meanwhile.
    async fn attend(&self, service: &Service, child: &mut Child) -> Ended {
        let mut ticks = tokio::time::interval(RENEW);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ended::Stopping,
                status = child.wait() => return Ended::Alone(match status {
                    Ok(status) => format!("ended with {status}"),
                    Err(error) => format!("its end was not seen: {error}"),
                }),
                _ = ticks.tick() => match self.claim(service).await {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::warn!(service = service.spec.name, "another hub runs it now; stopped here");
                        return Ended::Lost;
                    }
                    // A database that is away is no reason to end a service: others cannot take it either.
                    Err(error) => tracing::warn!(service = service.spec.name, "not held on to: {error:#}"),
                },
            }
        }
    }

    async fn claim(&self, service: &Service) -> Result<bool> {
        Ok(self.app.store.claim_service(service.id, &self.app.holder, self.app.now(), LEASE).await?)
    }

    /// Lets go at the end: another hub may run it at once, and its token is good for nothing any more.
    async fn leave(&self, service: &Service) {
        let store = &self.app.store;
        if let Ok(true) = store.release_service(service.id, &self.app.holder).await
            && let Err(error) = tokens::end(store, service.id).await
        {
            tracing::warn!(service = service.spec.name, "its token is left: {error}");
        }
        tracing::info!(service = service.spec.name, "stopped");
    }

    fn mark(&self) -> String {
        format!("{}:{}", self.app.keeper.recipe().hub, self.config.name)
    }
}

/// What a process says, on either of its streams.
enum Words {
    Out(tokio::process::ChildStdout),
    Err(tokio::process::ChildStderr),
}

impl Words {
    async fn relay(self, service: String) {
        match self {
            Self::Out(stream) => relay(&service, stream).await,
            Self::Err(stream) => relay(&service, stream).await,
        }
    }
}

async fn relay(service: &str, stream: impl AsyncRead + Unpin) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {
                let text = plain(&line);
                if !text.is_empty() {
                    tracing::info!(target: "service", service, "{text}");
                }
            }
            Err(error) => {
                tracing::warn!(service, "its output cannot be read: {error}");
                return;
            }
        }
    }
}

/// A line as text, without what would steer a terminal.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The names in the certificate of a service.
fn names(url: Option<&str>) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    let url = url.and_then(|url| url::Url::parse(url).ok());
    let host = url.and_then(|url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()));
    names.extend(host.filter(|host| !names.contains(host)));
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_service_cannot_steer_the_terminal_that_shows_the_log() {
        assert_eq!(super::plain(b"a\tb \x1b[2Jc\r\n"), "a\tb \u{fffd}[2Jc");
        assert_eq!(super::plain(b"\xff\n"), "\u{fffd}");
    }
}

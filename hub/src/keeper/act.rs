//! The acts, one function each. Every one may be cut off anywhere and done again.

use std::time::{Duration, Instant};

use anyhow::Result;
use hub_core::id::Generation;
use hub_core::life::{Act, Phase};
use hub_core::secret::Secret;
use hub_core::{clock, role, token};
use hub_store::{Address, Arrived, Prepared, Proxy, Server};
use spawners::{SaveError, Sight, StartError, Stop};

use super::attend::Attended;
use super::devices::Lease;
use super::hook::{Amended, Before};
use super::probe::Reply;
use super::progress::Recorder;
use super::{Inner, breakpoint, state_of};
use crate::{events, metrics};

/// What to do after an act.
pub(crate) enum Step {
    /// Look and decide again at once.
    Again,
    /// The same for a row that was read just now.
    With(Box<Server>),
    /// Look and decide again after a while.
    Later(Duration),
    /// Nothing more to do.
    Rest,
}

impl Step {
    /// After a guarded write. One that changed nothing met a row that is not as it was thought: a stop was wanted
    /// meanwhile, or another hub has it. Reading it anew tells.
    pub(crate) fn after(changed: bool) -> Self {
        if changed { Self::Again } else { Self::Later(READ_ANEW) }
    }
}

/// Before a row is read anew that did not take a write; bounds what a loop could cost.
const READ_ANEW: Duration = Duration::from_millis(20);

/// What one run knows and no row does. Losing it costs a new preparation.
#[derive(Default)]
pub(crate) struct Run {
    token: Option<(Generation, Secret)>,
    pub last_reply: String,
    /// How often it was asked in vain since the last progress.
    waits: u32,
    /// Whether this run has had a try already. A deadline may have passed while no hub was at work, or none that could
    /// write: it begins anew.
    pub attended: bool,
    /// Since when the spawner cannot be asked.
    pub unheard: Option<clock::Time>,
    /// When the spawner was first asked to stop it.
    stopping: Option<Instant>,
    /// What the hooks made of the start.
    pub amended: Option<Amended>,
    /// What was told last of the place in a queue.
    pub place: Option<String>,
}

/// Between two questions to a server that does not answer yet.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// So many questions are asked before looking at the spawner again.
const PROBES_PER_LOOK: u32 = 10;

impl Inner {
    pub(crate) async fn perform(&self, act: Act, server: &Server, sight: Option<Sight>, run: &mut Run) -> Result<Step> {
        match act {
            Act::Rest => Ok(Step::Rest),
            Act::Wait => Ok(Step::Later(run.patience())),
            Act::Prepare => self.prepare(server, run).await,
            Act::Start => self.start(server, run).await,
            Act::Arrive => self.arrive(server, sight).await,
            Act::Probe => self.probe(server, sight, run).await,
            Act::Route => self.route(server, run).await,
            Act::Fail(cause) => self.fail(server, cause, sight, run).await,
            Act::Unroute => self.unroute(server).await,
            Act::Stop { force } => self.stop(server, force, run).await,
            Act::Finish => self.finish(server, run).await,
        }
    }

    async fn prepare(&self, server: &Server, run: &mut Run) -> Result<Step> {
        // While it waits for a device nothing of it is made, and no deadline runs.
        if let Lease::Not(step) = self.lease(server, run).await? {
            return Ok(step);
        }
        breakpoint::pass("prepare.before");
        let place = self.recipe.ways.place_of_start(server);
        let site = place.as_ref().map(|place| place.site.as_str());
        let kept = match self.driver.kept_token_at(&self.identity(server), site).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(user = server.user_name, server = server.name, "{error:#}");
                return Ok(Step::Later(run.patience()));
            }
        };
        let secret = kept.unwrap_or_else(|| token::generate(&mut rand::rng()));
        let role = self.store.role(role::SERVER.name).await?.map(|role| role.scopes).unwrap_or_default();
        let prepared = self.prepared(server, &secret, &role);
        let Some(fresh) = self.store.prepare(server.id, &self.holder, &prepared).await? else {
            return Ok(Step::after(false));
        };
        breakpoint::pass("prepare.after");
        *run = Run { token: Some((fresh.generation, secret)), attended: true, ..Run::default() };
        tracing::info!(user = fresh.user_name, server = fresh.name, generation = %fresh.generation, "starting");
        self.signals.progressed(fresh.id);
        self.start(&fresh, run).await
    }

    fn prepared(&self, server: &Server, secret: &Secret, role: &[String]) -> Prepared {
        let (now, mut random) = (self.now(), rand::rng());
        let event = |percent, phase, message| self.event(server.id, server.generation, percent, phase, message);
        Prepared {
            token: self.recipe.token(server, secret, role, &mut random, now),
            client: self.recipe.client(server, secret, &mut random),
            deadline_at: now + self.settings.start_timeout,
            driver: self.driver.kind().to_owned(),
            // What an unfinished start of before has saved leads to what it left.
            keep_state: server.phase == Phase::Starting,
            place: self.recipe.ways.place_of_start(server),
            told: vec![event(0, Phase::Stopped, "Server requested"), event(10, Phase::Starting, "Starting the server")],
            now,
        }
    }

    async fn start(&self, server: &Server, run: &mut Run) -> Result<Step> {
        let token = match &run.token {
            Some((generation, token)) if *generation == server.generation => token.clone(),
            // Only the token's hash is kept: whoever did not make it has to make another one.
            _ => return Box::pin(self.prepare(server, run)).await,
        };
        breakpoint::pass("start.before");
        let plan = match self.before_start(server, &token, run).await? {
            Before::Go(plan) => plan,
            Before::End(step) => return Ok(step),
        };
        breakpoint::pass("start.hooked");
        let recorder = Recorder { keeper: self, server: server.id, generation: server.generation };
        match self.attend(server, self.driver.start(&plan, state_of(server), &recorder)).await {
            Attended::Done(Ok(_)) => {
                breakpoint::pass("start.after");
                Ok(Step::Again)
            }
            Attended::Done(Err(StartError::Refused { code, sentence })) => {
                self.failed(server, &self.failure(server, code, sentence, String::new(), true)).await
            }
            Attended::Done(Err(StartError::Failed { code, sentence, log })) => {
                self.failed(server, &self.failure(server, code, sentence, log, false)).await
            }
            Attended::Done(Err(StartError::Unsaved(SaveError::Overtaken))) => Ok(Step::after(false)),
            Attended::Done(Err(error)) => {
                tracing::warn!(user = server.user_name, server = server.name, "{error:#}");
                if matches!(error, StartError::Unreachable(_)) {
                    run.unheard.get_or_insert_with(|| self.now());
                }
                Ok(Step::Later(run.patience()))
            }
            Attended::Overtaken => Ok(Step::Again),
            Attended::Lost => Ok(Step::after(false)),
        }
    }

    async fn arrive(&self, server: &Server, sight: Option<Sight>) -> Result<Step> {
        let Some(Sight::Up { url }) = sight else { return Ok(Step::Again) };
        let Ok(address) = url::Url::parse(&url) else {
            let sentence = "The server was started under an address that cannot be used.".to_owned();
            tracing::error!(user = server.user_name, server = server.name, url, "the spawner told no URL");
            return self.failed(server, &self.failure(server, "bad_address", sentence, String::new(), false)).await;
        };
        let address = Address {
            proto: address.scheme().to_owned(),
            ip: address.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: address.port_or_known_default().unwrap_or_default(),
            base_url: self.recipe.prefix(&server.user_name, &server.name),
            cookie_name: crate::http::url::client_of_server(&server.user_name, &server.name),
        };
        let arrived = Arrived { address, state: None, deadline_at: self.now() + self.settings.http_timeout };
        let stride = self.stride(server, 60, Phase::Waiting, "Waiting for the server to answer");
        let fresh = self.store.arrive(server.id, &arrived, &stride).await?;
        breakpoint::pass("arrive.after");
        Ok(self.onward(fresh))
    }

    async fn probe(&self, server: &Server, sight: Option<Sight>, run: &mut Run) -> Result<Step> {
        let Some(Sight::Up { url }) = sight else { return Ok(Step::Again) };
        if self.recipe.ways.to(server).is_some() {
            // It is asked through the proxies of its site, once they know the way: record 14.
            return self.open_the_way(server, "Opening the way to it").await;
        }
        let asked = self.attend(server, self.ask_a_few_times(server, &url, None, run)).await;
        match asked {
            Attended::Done(Some(version)) => self.answered(server, version, run).await,
            Attended::Done(None) | Attended::Overtaken => Ok(Step::Again),
            Attended::Lost => Ok(Step::after(false)),
        }
    }

    /// Returns the version the server told, once it answers: itself, or through proxies that are shown a proof.
    async fn ask_a_few_times(
        &self,
        server: &Server,
        url: &str,
        through: Option<&Secret>,
        run: &mut Run,
    ) -> Option<Option<String>> {
        let host = self.recipe.paths.host_of_user(&server.user_name);
        for _ in 0..PROBES_PER_LOOK {
            let reply = match through {
                None => self.prober.ask(url).await,
                Some(proof) => self.prober.ask_through(url, host.as_deref(), proof).await,
            };
            match reply {
                Reply::Answers { version } => return Some(version),
                Reply::NotYet(reply) => run.last_reply = reply,
                Reply::Garbage(reply) => run.last_reply = format!("it does not speak HTTP ({reply})"),
            }
            tokio::time::sleep(PROBE_PAUSE).await;
        }
        None
    }

    async fn answered(&self, server: &Server, version: Option<String>, run: &mut Run) -> Result<Step> {
        if version.is_none() {
            tracing::debug!(user = server.user_name, server = server.name, "tells no X-JupyterHub-Version");
        }
        run.last_reply.clear();
        self.open_the_way(server, "The server answers; opening the way to it").await
    }

    async fn open_the_way(&self, server: &Server, told: &str) -> Result<Step> {
        let deadline = self.now() + self.settings.http_timeout;
        let stride = self.stride(server, 80, Phase::Routing, told);
        let fresh = self.store.advance(server.id, Phase::Routing, Some(deadline), &stride).await?;
        breakpoint::pass("probe.after");
        Ok(self.onward(fresh))
    }

    async fn route(&self, server: &Server, run: &mut Run) -> Result<Step> {
        breakpoint::pass("route.before");
        let begun = Instant::now();
        let route = crate::task::routes::route_of(server, &self.recipe);
        let mut acknowledged = self.signals.follow_acknowledgements();
        let revision = self.store.put_route(&route.prefix, &route.target, &route.data).await?;
        breakpoint::pass("route.after");
        self.signals.routes_changed();
        let wait = async {
            loop {
                if self.is_in_force(revision).await? {
                    return Ok(());
                }
                // Another hub may have heard the acknowledgement, so the row is read again after a while.
                let _ = tokio::time::timeout(Duration::from_millis(250), acknowledged.changed()).await;
            }
        };
        match self.attend(server, wait).await {
            Attended::Done(Ok(())) => {
                metrics::route_added(true, begun.elapsed());
                self.opened(server, run).await
            }
            Attended::Done(Err(error)) => Err(hub_store::StoreError::into(error)),
            Attended::Overtaken => Ok(Step::Again),
            Attended::Lost => self.lost_with_its_route(server).await,
        }
    }

    /// Its proxies know the way. Where there are sites, it may be that nobody has asked it yet whether it answers: it is of
    /// another site, or was when a hub there began it.
    async fn opened(&self, server: &Server, run: &mut Run) -> Result<Step> {
        let ways = &self.recipe.ways;
        let (origin, proof) = match (ways.to(server), &server.url) {
            (Some((proxies, proof)), _) => (proxies, Some(proof)),
            (None, Some(url)) if ways.site_of(server).is_some() => (url.as_str(), None),
            _ => return self.ready(server, run).await,
        };
        let url = format!("{origin}{}", self.recipe.prefix(&server.user_name, &server.name));
        match self.attend(server, self.ask_a_few_times(server, &url, proof, run)).await {
            Attended::Done(Some(_)) => self.ready(server, run).await,
            Attended::Done(None) | Attended::Overtaken => Ok(Step::Again),
            Attended::Lost => self.lost_with_its_route(server).await,
        }
    }

    /// Routes carry no generation, so that one written or deleted by a hub that lost the server has to be put right.
    async fn lost_with_its_route(&self, server: &Server) -> Result<Step> {
        crate::task::routes::settle(&self.store, &self.recipe, server.id).await?;
        self.signals.routes_changed();
        Ok(Step::after(false))
    }

    pub(super) async fn proxies(&self) -> Result<Vec<Proxy>, hub_store::StoreError> {
        let (now, silence) = (self.now(), self.settings.proxy_silence);
        self.store.connected_proxies(now, now - (silence + self.signals.absence().grace(silence))).await
    }

    async fn ready(&self, server: &Server, run: &mut Run) -> Result<Step> {
        let place = self.recipe.paths.server(&server.user_name, &server.name);
        let stride = self.stride(server, 100, Phase::Ready, &format!("Server ready at {place}"));
        let fresh = self.store.advance(server.id, Phase::Ready, None, &stride).await?;
        breakpoint::pass("ready.after");
        if fresh.is_none() {
            return self.lost_with_its_route(server).await;
        }
        *run = Run { attended: true, ..Run::default() };
        let took = server.started.and_then(|started| (self.now() - started).to_std().ok());
        metrics::spawned("success", "", took.unwrap_or_default());
        events::server_action("start", server, self.now());
        tracing::info!(user = server.user_name, server = server.name, url = server.url.as_deref(), "ready");
        Ok(self.onward(fresh))
    }

    /// After a step that was told of; `fresh` is its row, if it was taken.
    fn onward(&self, fresh: Option<Server>) -> Step {
        let Some(fresh) = fresh else { return Step::after(false) };
        self.signals.progressed(fresh.id);
        Step::With(Box::new(fresh))
    }

    async fn unroute(&self, server: &Server) -> Result<Step> {
        breakpoint::pass("unroute.before");
        let begun = Instant::now();
        let deleted = self.store.delete_route(&self.recipe.paths.server_route(&server.user_name, &server.name)).await;
        metrics::route_deleted(deleted.is_ok(), begun.elapsed());
        deleted?;
        self.signals.routes_changed();
        breakpoint::pass("unroute.route");
        let now = self.now();
        let deadline = now + self.settings.stop_timeout;
        let changed = self.store.begin_stop(server.id, &self.holder, server.generation, deadline, now).await?;
        breakpoint::pass("unroute.after");
        if !changed {
            return self.lost_with_its_route(server).await;
        }
        tracing::info!(user = server.user_name, server = server.name, "stopping");
        self.signals.progressed(server.id);
        Ok(Step::Again)
    }

    async fn stop(&self, server: &Server, force: bool, run: &mut Run) -> Result<Step> {
        breakpoint::pass("stop.before");
        let identity = self.identity(server);
        let begun = *run.stopping.get_or_insert_with(Instant::now);
        let asked = self.attend(server, self.driver.stop(&identity, state_of(server), Stop { force })).await;
        breakpoint::pass("stop.after");
        match asked {
            Attended::Done(Ok(())) | Attended::Overtaken => Ok(Step::Later(run.patience())),
            Attended::Done(Err(unreachable)) => {
                tracing::warn!(user = server.user_name, server = server.name, "cannot stop it: {unreachable}");
                metrics::stopped(false, begun.elapsed());
                Ok(Step::Later(Duration::from_secs(1)))
            }
            Attended::Lost => Ok(Step::after(false)),
        }
    }

    async fn finish(&self, server: &Server, run: &mut Run) -> Result<Step> {
        breakpoint::pass("finish.before");
        let (id, generation, question) = (server.id, server.generation, self.of_stop(server));
        let changed = self.store.finish(id, &self.holder, generation, question.as_ref(), self.now()).await?;
        breakpoint::pass("finish.after");
        if changed {
            tracing::info!(user = server.user_name, server = server.name, "stopped");
            // One that ended by itself was not stopped by anybody.
            if let Some(begun) = run.stopping.take() {
                metrics::stopped(true, begun.elapsed());
                events::server_action("stop", server, self.now());
            }
            self.wake_waiting().await;
            self.signals.progressed(server.id);
        }
        Ok(Step::after(changed))
    }
}

impl Run {
    /// The next pause of a growing row, from 20 ms to a second.
    fn patience(&mut self) -> Duration {
        self.waits = self.waits.saturating_add(1);
        Duration::from_millis(20u64.saturating_mul(1 << self.waits.min(6))).min(Duration::from_secs(1))
    }

    /// Begins the row of pauses anew.
    pub(crate) fn moved(&mut self) {
        self.waits = 0;
    }
}

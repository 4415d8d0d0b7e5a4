//! Starts a server: what an older start left is cleared away, its claim is made sure of, and the pod is made and followed
//! until it is up. Cut off anywhere, it leaves nothing that a label does not lead to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod as Object;
use kube::Api;
use kube::api::PostParams;
use spawners::{Identity, Plan, Record, SaveError, Sight, StartError, Started};

use crate::cluster::Fault;
use crate::driver::Parts;
use crate::hook;
use crate::judge::{self, Verdict, Witness};
use crate::make::Recipe;
use crate::pod::{Doing, Pod};
use crate::refusal;

/// How long an older pod may take to go once it was killed.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a pod is asked for that nothing is told of.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is asked for while it goes.
const SOON: Duration = Duration::from_millis(100);
/// How long a new namespace may take to have what every namespace has.
const FURNISHED: Duration = Duration::from_secs(15);
/// So many lines of a log are told with a failure.
const LINES: usize = 40;

/// So often a pod is made that its node drops.
const TRIES: usize = 3;

/// Starts a server, or adopts the one of the same start.
pub(crate) async fn start(
    parts: &Parts,
    plan: &Plan,
    known: &serde_json::Value,
    record: &dyn Record,
) -> Result<Started, StartError> {
    for _ in 0..TRIES {
        if let Some(started) = once(parts, plan, known, record).await? {
            return Ok(started);
        }
        tracing::warn!(
            user = plan.identity.user,
            server = plan.identity.server,
            "its node dropped it: it is made again"
        );
    }
    Err(StartError::failed("dropped", "The machine of this server gave it up before it began. Start it again."))
}

/// `None` when its node dropped it, and nothing is left of it.
async fn once(
    parts: &Parts,
    plan: &Plan,
    known: &serde_json::Value,
    record: &dyn Record,
) -> Result<Option<Started>, StartError> {
    let server = &plan.identity;
    let recipe = Recipe::new(&parts.config, plan, parts.cluster.namespace().await?)?;
    parts.begin();
    if let Some(pod) = parts.settle(server).await? {
        let claim = pod.claims().next().map(str::to_owned).filter(|_| recipe.claim.is_some());
        let state = recipe.state(claim.as_deref());
        record.save(&state).await?;
        parts.tie_secret(&recipe, server, &pod).await?;
        parts.serve(&pod, &recipe.shape).await?;
        return parts.arrived(pod, state, record).await;
    }
    let claim = parts.choose(&recipe, server, known).await?;
    let name = claim.as_ref().map(|claim| claim.name.as_str());
    let pod = recipe.pod(&parts.config, plan, name)?;
    let pod = hook::asked(parts, &recipe, plan, pod, record).await?;
    let state = recipe.state(name);
    // Before anything is made: what was saved says that something may have been.
    record.save(&state).await?;
    if parts.config.enable_user_namespaces {
        parts.furnish(&recipe, server).await?;
    }
    parts.prepare_executors(&recipe, plan, record).await?;
    if let Some(claim) = &claim {
        if claim.missing {
            record.progress(12, "Claiming storage for the server").await;
        }
        parts.ensure(&recipe, server, claim).await?;
    }
    record.progress(15, "Asking the cluster for the server").await;
    parts.put_secret(&recipe, plan).await?;
    let pod = match parts.make(&recipe, server, &pod).await {
        Ok(pod) => pod,
        // It may have been made: the next try adopts it, with its secret.
        Err(StartError::Unreachable(unreachable)) => return Err(unreachable.into()),
        Err(error) => {
            if recipe.secret.is_some() {
                parts.drop_secret(server).await?;
            }
            return Err(error);
        }
    };
    parts.tie_secret(&recipe, server, &pod).await?;
    parts.serve(&pod, &recipe.shape).await?;
    parts.arrived(pod, state, record).await
}

impl Parts {
    /// Clears away what is in the way of a start; returns what can be adopted.
    async fn settle(&self, server: &Identity) -> Result<Option<Pod>, StartError> {
        // A pod that the watch has not told of yet has the name that this one is to have, and is met when it is made.
        if self.cache.is_synced() && !self.cache.knows(server.spawner) {
            return Ok(None);
        }
        let mut adopted = None;
        for pod in self.family(server).await? {
            let Some(identity) = pod.identity() else { continue };
            if identity.is_anothers(server) {
                // No row knows it any more, and a service of this start would lead to it.
                tracing::warn!(
                    pod = pod.name(),
                    user = server.user,
                    "removing a pod that has the number of this server"
                );
            } else if identity.generation > server.generation {
                // This start comes too late.
                return Err(SaveError::Overtaken.into());
            }
            let lives = matches!(pod.doing(), Doing::Coming | Doing::Running | Doing::Unknown);
            if pod.is_of(server) && lives && adopted.is_none() {
                adopted = Some(pod);
            } else {
                self.remove(&pod).await?;
            }
        }
        Ok(adopted)
    }

    /// Kills a pod of an older start, and waits until it has gone.
    async fn remove(&self, pod: &Pod) -> Result<(), StartError> {
        let deadline = Instant::now() + PATIENCE;
        self.kill(pod).await?;
        while self.get(pod.namespace(), pod.name()).await?.is_some_and(|left| left.uid() == pod.uid()) {
            if Instant::now() >= deadline {
                return Err(StartError::failed("old_server", "The server that ran before does not end."));
            }
            tokio::time::sleep(SOON).await;
        }
        Ok(())
    }

    /// Makes the pod. A name that somebody else's pod has is theirs.
    async fn make(&self, recipe: &Recipe, server: &Identity, wanted: &Object) -> Result<Pod, StartError> {
        let api: Api<Object> = self.cluster.of(&recipe.namespace).await?;
        let (begun, parameters) = (Instant::now(), PostParams::default());
        let mut cleared = false;
        loop {
            let fault = match self.within(&recipe.namespace, || api.create(&parameters, wanted)).await {
                Ok(pod) => return Ok(Pod(pod)),
                Err(fault) => fault,
            };
            match fault {
                Fault::Said(said) if said.code == 409 && said.reason == "AlreadyExists" => {
                    let Some(holder) = self.get(&recipe.namespace, &recipe.name).await? else { continue };
                    // It was made, and the answer lost.
                    if holder.is_of(server) && holder.doing() != Doing::Leaving {
                        return Ok(holder);
                    }
                    if cleared {
                        return Err(taken(&holder));
                    }
                    self.make_room(server, &holder).await?;
                    cleared = true;
                }
                // In a namespace that is new, what every namespace has comes a moment later.
                Fault::Said(said)
                    if self.config.enable_user_namespaces
                        && begun.elapsed() < FURNISHED
                        && said.message.contains("error looking up service account") =>
                {
                    tokio::time::sleep(SOON).await;
                }
                fault => return Err(refusal::of(fault, "make the pod")),
            }
        }
    }

    /// Takes a pod out of the way that has the name of a server: an older one of the same server, or one of KubeSpawner's
    /// that has ended. Whatever else has it keeps it.
    async fn make_room(&self, server: &Identity, holder: &Pod) -> Result<(), StartError> {
        let own = holder.identity().is_some_and(|identity| {
            identity.marker().same_server(&server.marker())
                && (identity.generation <= server.generation || identity.is_anothers(server))
        });
        let ended = matches!(holder.doing(), Doing::Ended | Doing::Leaving);
        if own || ended && holder.was_made_by_kubespawner_for(server) {
            return self.remove(holder).await;
        }
        Err(taken(holder))
    }

    /// Follows a pod until it is up, or will not be. `None` when its node dropped it.
    async fn arrived(
        &self,
        pod: Pod,
        state: serde_json::Value,
        record: &dyn Record,
    ) -> Result<Option<Started>, StartError> {
        let mut changes = self.cache.follow();
        let mut events = self.events.of(pod.uid());
        let mut witness = self.config.start_timeout.map_or_else(Witness::default, Witness::within);
        let mut told = Told::default();
        // What was told before somebody listened is not told again.
        let known = self.cache.get(pod.uid());
        let mut is_known = known.is_some();
        let mut pod = known.unwrap_or_else(|| Arc::new(pod));
        let made = Instant::now();
        let mut again = tokio::time::Instant::now() + AGAIN;
        'judged: loop {
            witness.see(&pod);
            match judge::judge(&pod, &witness, made.elapsed()) {
                Verdict::Ready => match pod.sight(None) {
                    Some(Sight::Up { url }) => return Ok(Some(Started { url, state })),
                    _ => return Err(StartError::failed("no_address", "The server runs, and has no address.")),
                },
                Verdict::Ended if pod.was_dropped() => {
                    self.remove(&pod).await?;
                    return Ok(None);
                }
                Verdict::Ended => return Err(self.died(&pod).await),
                Verdict::Failed { code, sentence } => {
                    let log = self.tail(&pod, LINES).await.unwrap_or_default();
                    self.clear(&pod).await;
                    return Err(StartError::Failed { code, sentence, log });
                }
                Verdict::Waiting(stage) => told.tell(stage, record).await,
            }
            loop {
                tokio::select! {
                    _ = changes.changed() => match self.cache.get(pod.uid()) {
                        // Most changes are other pods'.
                        Some(fresh) if Arc::ptr_eq(&fresh, &pod) => continue,
                        Some(fresh) => {
                            is_known = true;
                            pod = fresh;
                            continue 'judged;
                        }
                        // One that is new is told of a moment later.
                        None if !is_known || !self.cache.is_synced() => continue,
                        None => {}
                    },
                    event = events.next() => {
                        witness.hear(&event);
                        continue 'judged;
                    }
                    () = tokio::time::sleep_until(again) => {}
                }
                // What the watch does not know may have gone, or the watch be late.
                again = tokio::time::Instant::now() + AGAIN;
                match self.get(pod.namespace(), pod.name()).await {
                    Ok(Some(fresh)) if fresh.uid() == pod.uid() => pod = Arc::new(fresh),
                    Ok(_) => return Err(StartError::failed("gone", "The server was taken away while it started.")),
                    Err(error) => tracing::debug!("{error}"),
                }
                continue 'judged;
            }
        }
    }

    async fn died(&self, pod: &Pod) -> StartError {
        let log = self.tail(pod, LINES).await.unwrap_or_default();
        let sentence = judge::ended(pod);
        self.clear(pod).await;
        StartError::Failed { code: "died", sentence, log }
    }

    /// Takes away what did not come up. What is left is found by its label.
    async fn clear(&self, pod: &Pod) {
        if let Err(error) = self.kill(pod).await {
            tracing::warn!(pod = pod.name(), "not removed, and left to the next survey: {error}");
        }
    }
}

/// What a waiting person was told.
#[derive(Default)]
struct Told {
    last: String,
    patience: HashSet<String>,
}

impl Told {
    async fn tell(&mut self, stage: judge::Stage, record: &dyn Record) {
        if let Some(patience) = stage.patience
            && self.patience.insert(stage.sentence.clone())
        {
            record.patience(patience).await;
        }
        if self.last != stage.sentence {
            record.progress(stage.percent, &stage.sentence).await;
            self.last = stage.sentence;
        }
    }
}

fn taken(holder: &Pod) -> StartError {
    let name = holder.name();
    tracing::error!(pod = name, namespace = holder.namespace(), "the name of the pod is taken");
    StartError::refused(
        "name_taken",
        format!("There is another pod with the name {name} in the cluster. Ask the people who run this hub."),
    )
}

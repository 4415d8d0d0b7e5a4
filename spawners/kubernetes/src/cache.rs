//! The pods of this hub, as its watch told them last. It is listed once, then followed, and listed anew only when the API
//! server has forgotten what came after.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use hub_core::id::SpawnerId;
use k8s_openapi::api::core::v1::Pod as Object;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use spawners::{Identity, Unreachable};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::executors;
use crate::going::{AGAIN, kept_going, seconds};
use crate::label;
use crate::pod::{Doing, Pod};

/// The pauses before a watch is begun again grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// The pause before all is listed anew, where a watch is refused.
const LOST: Duration = Duration::from_secs(1);
/// So many nudges wait to be heard.
const NUDGES: usize = 4096;

/// What is remembered of the pods of a hub.
#[derive(Debug)]
pub(crate) struct Cache {
    shared: Arc<Shared>,
    begun: OnceLock<()>,
    stop: CancellationToken,
    _guard: DropGuard,
}

#[derive(Debug)]
struct Shared {
    table: RwLock<Table>,
    /// Whether all that there is was listed.
    synced: watch::Sender<bool>,
    /// What was wrong with the watch last.
    trouble: Mutex<String>,
    /// Goes up with every change.
    revision: watch::Sender<u64>,
    /// The servers whose pods do something else now.
    nudges: broadcast::Sender<SpawnerId>,
}

#[derive(Debug, Default)]
struct Table {
    pods: HashMap<String, Arc<Pod>>,
    of_server: HashMap<SpawnerId, Vec<String>>,
    /// The pods that are known to have their service.
    served: HashSet<String>,
}

impl Default for Cache {
    fn default() -> Self {
        let stop = CancellationToken::new();
        let shared = Shared {
            table: RwLock::default(),
            synced: watch::Sender::new(false),
            trouble: Mutex::default(),
            revision: watch::Sender::new(0),
            nudges: broadcast::Sender::new(NUDGES),
        };
        Self { shared: Arc::new(shared), begun: OnceLock::new(), _guard: stop.clone().drop_guard(), stop }
    }
}

impl Cache {
    /// Begins to watch, unless that was done. It ends when the cache is dropped.
    pub fn begin(&self, cluster: &Arc<Cluster>, config: &Config) {
        self.begun.get_or_init(|| {
            let (shared, cluster, stop) = (Arc::clone(&self.shared), Arc::clone(cluster), self.stop.clone());
            let (selector, everywhere) = (label::selector(&config.hub), config.enable_user_namespaces);
            let (watch, selector) =
                (watcher::Config::default().timeout(seconds(config.watch_timeout)), Arc::new(selector));
            let watching = move || {
                let (shared, cluster, selector) = (Arc::clone(&shared), Arc::clone(&cluster), Arc::clone(&selector));
                let watch = watch.clone().labels(&selector);
                async move { shared.run(&cluster, watch, everywhere).await }
            };
            tokio::spawn(stop.run_until_cancelled_owned(kept_going("the watch of pods", AGAIN, watching)));
        });
    }

    /// Waits until all that there is was listed.
    pub async fn synced(&self, at_most: Duration) -> Result<(), Unreachable> {
        let mut synced = self.shared.synced.subscribe();
        match tokio::time::timeout(at_most, synced.wait_for(|synced| *synced)).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                Err(Unreachable::new(anyhow::anyhow!("the pods of this hub were not listed yet: {trouble}")))
            }
        }
    }

    /// Whether all that there is was listed.
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// The pod of this very start, as it was told last.
    pub fn of(&self, server: &Identity) -> Option<Arc<Pod>> {
        let table = self.shared.table.read().unwrap_or_else(PoisonError::into_inner);
        let uids = table.of_server.get(&server.spawner)?;
        uids.iter().filter_map(|uid| table.pods.get(uid)).find(|pod| pod.is_of(server)).cloned()
    }

    /// Whether anything of a server was told, of whatever start.
    pub fn knows(&self, server: SpawnerId) -> bool {
        let table = self.shared.table.read().unwrap_or_else(PoisonError::into_inner);
        table.of_server.contains_key(&server)
    }

    /// A pod, as it was told last.
    pub fn get(&self, uid: &str) -> Option<Arc<Pod>> {
        self.shared.table.read().unwrap_or_else(PoisonError::into_inner).pods.get(uid).cloned()
    }

    /// All pods, as they were told last.
    pub fn all(&self) -> Vec<Arc<Pod>> {
        self.shared.table.read().unwrap_or_else(PoisonError::into_inner).pods.values().cloned().collect()
    }

    /// Whether a pod is known to have its service.
    pub fn is_served(&self, uid: &str) -> bool {
        self.shared.table.read().unwrap_or_else(PoisonError::into_inner).served.contains(uid)
    }

    /// Remembers pods that have their service, for as long as they are there.
    pub fn note_served(&self, uids: impl IntoIterator<Item = String>) {
        self.shared.table.write().unwrap_or_else(PoisonError::into_inner).served.extend(uids);
    }

    /// Tells of every change.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Tells which servers are worth a look.
    pub fn nudges(&self) -> broadcast::Receiver<SpawnerId> {
        self.shared.nudges.subscribe()
    }
}

impl Shared {
    async fn run(&self, cluster: &Cluster, config: watcher::Config, everywhere: bool) {
        let (client, namespace) = cluster.in_time().await;
        let pods: Api<Object> = if everywhere { Api::all(client) } else { Api::namespaced(client, &namespace) };
        loop {
            self.follow(cluster, pods.clone(), config.clone()).await;
            tokio::time::sleep(LOST).await;
        }
    }

    /// Lists and follows, until there is no going on from where it was.
    async fn follow(&self, cluster: &Cluster, pods: Api<Object>, config: watcher::Config) {
        let mut told = std::pin::pin!(kube::runtime::watcher(pods, config).backoff(Pauses(PAUSES.0)));
        let mut listed = Vec::new();
        while let Some(event) = told.next().await {
            if event.is_ok() {
                cluster.heard.now();
            }
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod) | Event::Apply(pod) | Event::Delete(pod))
                    if executors::is_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) => {}
                Ok(Event::InitApply(pod)) => listed.push(Pod(pod).pruned()),
                Ok(Event::InitDone) => {
                    self.replace(std::mem::take(&mut listed));
                    self.synced.send_replace(true);
                }
                Ok(Event::Apply(pod)) => self.put(Pod(pod).pruned()),
                Ok(Event::Delete(pod)) => self.remove(&Pod(pod)),
                Err(error) => {
                    tracing::debug!("the watch of pods begins again: {error}");
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                    // Told as an event, it is listed anew without a word.
                    if matches!(&error, watcher::Error::WatchStartFailed(kube::Error::Api(said)) if said.code == 410) {
                        return;
                    }
                }
            }
        }
    }

    /// What there was before the first list is not told: a hub that begins looks at everything by itself.
    fn replace(&self, pods: Vec<Pod>) {
        let is_first = !*self.synced.borrow();
        let mut fresh = Table::default();
        for pod in pods {
            fresh.put(pod);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        fresh.served = std::mem::take(&mut table.served);
        fresh.served.retain(|uid| fresh.pods.contains_key(uid));
        let before = std::mem::replace(&mut *table, fresh);
        let gone = before.pods.iter().filter(|(uid, _)| !table.pods.contains_key(*uid));
        let other = table
            .pods
            .iter()
            .filter(|(uid, pod)| before.pods.get(*uid).is_none_or(|before| before.doing() != pod.doing()));
        let worth: Vec<SpawnerId> =
            gone.chain(other).filter_map(|(_, pod)| pod.identity()).map(|identity| identity.spawner).collect();
        drop(table);
        worth.into_iter().filter(|_| !is_first).for_each(|server| self.nudge(server));
        self.changed();
    }

    fn put(&self, pod: Pod) {
        let (server, doing) = (pod.identity().map(|identity| identity.spawner), pod.doing());
        let before = self.table.write().unwrap_or_else(PoisonError::into_inner).put(pod);
        if before != Some(doing) {
            server.into_iter().for_each(|server| self.nudge(server));
        }
        self.changed();
    }

    fn remove(&self, pod: &Pod) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.pods.remove(pod.uid());
        table.served.remove(pod.uid());
        if let Some(server) = pod.identity().map(|identity| identity.spawner) {
            if let Some(uids) = table.of_server.get_mut(&server) {
                uids.retain(|uid| uid != pod.uid());
                if uids.is_empty() {
                    table.of_server.remove(&server);
                }
            }
            drop(table);
            self.nudge(server);
        }
        self.changed();
    }

    /// One that is not heard is no loss.
    fn nudge(&self, server: SpawnerId) {
        let _ = self.nudges.send(server);
    }

    fn changed(&self) {
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }
}

/// The pauses between a watch that failed and the next, growing.
struct Pauses(Duration);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES.1);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = PAUSES.0;
    }
}

impl Table {
    /// Remembers a pod; returns what it did before.
    fn put(&mut self, pod: Pod) -> Option<Doing> {
        let uid = pod.uid().to_owned();
        if let Some(identity) = pod.identity() {
            let uids = self.of_server.entry(identity.spawner).or_default();
            if !uids.contains(&uid) {
                uids.push(uid.clone());
            }
        }
        self.pods.insert(uid, Arc::new(pod)).map(|before| before.doing())
    }
}

//! What the cluster tells of pods that come up: one watch for all, from which each start hears of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::going::{AGAIN, kept_going, seconds};

/// So many are remembered for those who begin to listen after they were told.
const REMEMBERED: usize = 4096;

/// The events of pods, as they are told.
#[derive(Debug)]
pub(crate) struct Events {
    shared: Arc<Mutex<Shared>>,
    begun: OnceLock<()>,
    stop: CancellationToken,
    _guard: DropGuard,
}

type Listener = mpsc::UnboundedSender<Arc<Event>>;

#[derive(Debug, Default)]
struct Shared {
    /// The newest last, each with the pod it is about.
    recent: VecDeque<(String, Arc<Event>)>,
    /// By pod, each with a number of its own.
    listeners: HashMap<String, Vec<(u64, Listener)>>,
    last: u64,
}

impl Default for Events {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { shared: Arc::default(), begun: OnceLock::new(), _guard: stop.clone().drop_guard(), stop }
    }
}

impl Events {
    /// Begins to watch, unless that was done. It ends when this is dropped.
    pub fn begin(&self, cluster: &Arc<Cluster>, config: &Config) {
        self.begun.get_or_init(|| {
            let (shared, cluster, stop) = (Arc::clone(&self.shared), Arc::clone(cluster), self.stop.clone());
            let everywhere = config.enable_user_namespaces;
            let of_pods = watcher::Config::default().fields("involvedObject.kind=Pod");
            let of_pods = of_pods.timeout(seconds(config.watch_timeout));
            let watching = move || {
                let (shared, cluster, config) = (Arc::clone(&shared), Arc::clone(&cluster), of_pods.clone());
                async move { watch(&shared, &cluster, config, everywhere).await }
            };
            tokio::spawn(stop.run_until_cancelled_owned(kept_going("the watch of events", AGAIN, watching)));
        });
    }

    /// What is told of one pod, with what was told of it before.
    pub fn of(&self, pod: &str) -> Heard {
        let (sender, told) = mpsc::unbounded_channel();
        let mut shared = lock(&self.shared);
        for (_, event) in shared.recent.iter().filter(|(about, _)| about == pod) {
            let _ = sender.send(Arc::clone(event));
        }
        shared.last += 1;
        let number = shared.last;
        shared.listeners.entry(pod.to_owned()).or_default().push((number, sender));
        Heard { told, pod: pod.to_owned(), number, shared: Arc::clone(&self.shared) }
    }
}

/// One who listens to what is told of a pod.
#[derive(Debug)]
pub(crate) struct Heard {
    told: mpsc::UnboundedReceiver<Arc<Event>>,
    pod: String,
    number: u64,
    shared: Arc<Mutex<Shared>>,
}

impl Heard {
    /// Waits for the next event; it may be one that was told in other words before.
    pub async fn next(&mut self) -> Arc<Event> {
        match self.told.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if let Some(listeners) = shared.listeners.get_mut(&self.pod) {
            listeners.retain(|(number, _)| *number != self.number);
            if listeners.is_empty() {
                shared.listeners.remove(&self.pod);
            }
        }
    }
}

impl Shared {
    fn tell(&mut self, event: Event) {
        let Some(pod) = event.involved_object.uid.clone() else { return };
        let event = Arc::new(event);
        for (_, listener) in self.listeners.get(&pod).into_iter().flatten() {
            let _ = listener.send(Arc::clone(&event));
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((pod, event));
    }
}

/// Follows the events of pods. What cannot be heard is no loss but of words.
async fn watch(shared: &Mutex<Shared>, cluster: &Cluster, config: watcher::Config, everywhere: bool) {
    let (client, namespace) = cluster.in_time().await;
    let events: Api<Event> = if everywhere { Api::all(client) } else { Api::namespaced(client, &namespace) };
    let mut told = std::pin::pin!(watcher(events, config).default_backoff());
    while let Some(event) = told.next().await {
        match event {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => lock(shared).tell(event),
            Ok(_) => {}
            Err(error) => tracing::debug!("events are not heard: {error}"),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

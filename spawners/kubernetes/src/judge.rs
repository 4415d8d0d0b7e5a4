//! How far a pod is on its way up, from its conditions, the states of its containers, and events: pure functions. Some of
//! what goes wrong is told at once, since waiting does not help; some is waited for longer than a start may take.

mod unplaced;

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;

use crate::ending;
use crate::pod::{Doing, Pod, waits};
use crate::refusal;
use unplaced::{cannot_change, scarce};

/// How long a machine may take to be added.
const SCALE_UP: Duration = Duration::from_secs(15 * 60);
/// How long an image may take to be fetched.
const PULL: Duration = Duration::from_secs(30 * 60);
/// How long storage may take to come from another machine.
const ATTACH: Duration = Duration::from_secs(10 * 60);
/// So long nothing is done about a pod that no machine there is can take: one may be about to be added.
const SETTLED: Duration = Duration::from_secs(20);
/// After so long nobody is going to add one, where nobody has said anything.
const UNHEARD: Duration = Duration::from_secs(4 * 60);
/// The part of a start's time after which it is told that nobody is going to add one.
const OF_START: f64 = 0.8;
/// What those who add machines say when they do: the cluster's autoscaler, and Karpenter.
const ADDED: [&str; 2] = ["TriggeredScaleUp", "Nominated"];
/// Added where only operators can help.
const ASK: &str = "Ask the people who run this hub.";

/// What was heard of a pod while it comes up.
#[derive(Debug)]
pub(crate) struct Witness {
    /// Events by their own identity: reason, message, how often.
    events: HashMap<String, Heard>,
    /// How often a pull was seen to fail.
    failed_pulls: u32,
    pulling_failed: bool,
    last: u64,
    /// After so long nobody is going to add a machine, where nobody has said anything.
    unheard: Duration,
}

impl Default for Witness {
    fn default() -> Self {
        let events = HashMap::new();
        Self { events, failed_pulls: 0, pulling_failed: false, last: 0, unheard: UNHEARD }
    }
}

#[derive(Debug)]
struct Heard {
    reason: String,
    message: String,
    count: i32,
    /// Which it was in the order they came.
    at: u64,
}

/// What a pod comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is up.
    Ready,
    /// It is on its way.
    Waiting(Stage),
    /// It ended.
    Ended,
    /// It will not come up.
    Failed { code: &'static str, sentence: String },
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Of the whole start.
    pub percent: u8,
    /// For people.
    pub sentence: String,
    /// It may take this long, whatever a start may.
    pub patience: Option<Duration>,
}

impl Witness {
    /// Of a start that may take so long: what keeps it from coming up is told before its time is over.
    pub fn within(start: Duration) -> Self {
        Self { unheard: UNHEARD.min(start.mul_f64(OF_START)), ..Self::default() }
    }

    /// Takes an event in.
    pub fn hear(&mut self, event: &Event) {
        self.last += 1;
        let heard = Heard {
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
            count: event.count.unwrap_or(1).max(1),
            at: self.last,
        };
        self.events.insert(event.metadata.uid.clone().unwrap_or_default(), heard);
    }

    /// Takes in how a pod is, where only the change tells.
    pub fn see(&mut self, pod: &Pod) {
        let failed = pod
            .statuses()
            .filter_map(|status| waits(status.state.as_ref()))
            .any(|(reason, _)| reason == "ErrImagePull");
        if failed && !self.pulling_failed {
            self.failed_pulls += 1;
        }
        self.pulling_failed = failed;
    }

    fn last(&self, reason: &str) -> Option<&Heard> {
        self.events.values().filter(|heard| heard.reason == reason).max_by_key(|heard| heard.at)
    }

    fn count(&self, reason: &str, of: impl Fn(&str) -> bool) -> i32 {
        self.events.values().filter(|heard| heard.reason == reason && of(&heard.message)).map(|heard| heard.count).sum()
    }

    fn pulls_failed(&self) -> u32 {
        let told = self.count("Failed", |message| message.starts_with("Failed to pull image"));
        self.failed_pulls.max(u32::try_from(told).unwrap_or_default())
    }
}

/// What a pod comes to. `unplaced` is how long no machine has taken it.
pub(crate) fn judge(pod: &Pod, witness: &Witness, unplaced: Duration) -> Verdict {
    match pod.doing() {
        Doing::Ended => return Verdict::Ended,
        Doing::Leaving => return failed("gone", "The server was taken away while it started.".to_owned()),
        Doing::Running if pod.is_ready() => return Verdict::Ready,
        Doing::Running => return waiting(55, "The server runs; waiting for what runs beside it".to_owned(), None),
        Doing::Coming | Doing::Unknown => {}
    }
    if let Some(verdict) = containers(pod, witness) {
        return verdict;
    }
    if !is_placed(pod) {
        return placing(pod, witness, unplaced);
    }
    if let Some(verdict) = mounting(witness) {
        return verdict;
    }
    on_its_machine(pod, witness)
}

fn failed(code: &'static str, sentence: String) -> Verdict {
    Verdict::Failed { code, sentence }
}

fn waiting(percent: u8, sentence: String, patience: Option<Duration>) -> Verdict {
    Verdict::Waiting(Stage { percent, sentence, patience })
}

/// What containers wait for that do not run.
fn containers(pod: &Pod, witness: &Witness) -> Option<Verdict> {
    for status in pod.statuses() {
        let Some((reason, message)) = waits(status.state.as_ref()) else { continue };
        match reason {
            "ErrImageNeverPull" => {
                let sentence = format!("The image of this server is not on the machine that is to run it. {ASK}");
                return Some(failed("image_absent", sentence));
            }
            "InvalidImageName" => {
                return Some(failed(
                    "image_invalid",
                    "The name of the image is not one that an image can have.".to_owned(),
                ));
            }
            "ErrImagePull" | "ImagePullBackOff" => return Some(pull(message, witness)),
            // What the node has not heard of yet, or not again, comes.
            "CreateContainerConfigError" if is_behind(message) => {}
            "CreateContainerConfigError" => {
                let (code, sentence) = config_error(message);
                return Some(failed(code, sentence));
            }
            // The node is busy, and tries again.
            "CreateContainerError" if is_slow(message) => {}
            "CreateContainerError" | "RunContainerError" => {
                let (code, sentence) = run_error(message);
                tracing::warn!(pod = pod.name(), "{reason}: {}", refusal::excerpt(message));
                return Some(failed(code, sentence));
            }
            "CrashLoopBackOff" => return Some(Verdict::Ended),
            _ => {}
        }
    }
    None
}

fn pull(message: &str, witness: &Witness) -> Verdict {
    // A node says the reason once, and then only that it waits.
    let told = witness.events.values().filter(|heard| heard.message.starts_with("Failed to pull image"));
    let said = told.max_by_key(|heard| heard.at).map_or(message, |heard| heard.message.as_str());
    let (code, sentence, again) = refusal::of_pull(said);
    if witness.pulls_failed() >= 2 && !again {
        tracing::warn!(code, "{}", refusal::excerpt(said));
        return failed(code, sentence.to_owned());
    }
    waiting(40, format!("{sentence} It is tried again"), None)
}

fn config_error(message: &str) -> (&'static str, String) {
    let what = ["secret", "configmap"].into_iter().find(|kind| message.to_ascii_lowercase().contains(kind));
    match what {
        Some(kind) if message.contains("not found") => {
            ("settings_absent", format!("A {kind} that this server is to have does not exist. {ASK}"))
        }
        _ if message.contains("runAsNonRoot") || message.contains("non-root") => {
            ("root", "The image of this server runs as root, which the cluster does not allow.".to_owned())
        }
        _ => ("container_refused", format!("The machine does not take the settings of this server. {ASK}")),
    }
}

/// Whether a node has not caught up with the cluster, as after it began again.
fn is_behind(message: &str) -> bool {
    message.contains("timed out waiting for the condition") || message.contains("cannot find volume")
}

/// Whether a node has not been able to make a container in time, or is still at its first try.
fn is_slow(message: &str) -> bool {
    message.contains("context deadline exceeded") || message.contains("failed to reserve container name")
}

fn run_error(message: &str) -> (&'static str, String) {
    let said = message.to_ascii_lowercase();
    let has = |text: &str| said.contains(text);
    if has("executable file not found") || has("no such file or directory") && has("exec") {
        ("command_not_found", "The image does not have the command that this server is started with.".to_owned())
    } else if has("no space left on device") {
        ("disk_full", format!("The disk of the machine that is to run this server is full. {ASK}"))
    } else if has("no command specified") {
        ("no_command", "The image has no command of its own, and this server none either.".to_owned())
    } else {
        ("container_refused", format!("The machine failed to start the container of this server. {ASK}"))
    }
}

fn is_placed(pod: &Pod) -> bool {
    pod.0.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref().is_some_and(|node| !node.is_empty()))
}

/// Before a machine is found.
fn placing(pod: &Pod, witness: &Witness, unplaced: Duration) -> Verdict {
    let conditions = pod.status().and_then(|status| status.conditions.as_ref());
    let condition = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let message = condition.and_then(|condition| condition.message.as_deref()).unwrap_or_default();
    if ADDED.iter().any(|reason| witness.last(reason).is_some()) {
        let sentence = "There is no room for this server yet; a machine is being added for it".to_owned();
        return waiting(25, sentence, Some(SCALE_UP));
    }
    if message.is_empty() {
        return waiting(20, "Looking for a machine with room for this server".to_owned(), None);
    }
    let has = |text: &str| message.contains(text);
    if unplaced >= SETTLED {
        if has("persistentvolumeclaim") && has("not found") {
            return failed("claim_absent", format!("The storage that this server is to have does not exist. {ASK}"));
        }
        if has("bound to non-existent persistentvolume") {
            return failed("claim_lost", format!("The storage of this server is lost. {ASK}"));
        }
        if cannot_change(message) && is_given_up(witness, unplaced) {
            tracing::warn!(pod = pod.name(), "{}", refusal::excerpt(message));
            return failed("no_machine", format!("The cluster has no machine that may run this server. {ASK}"));
        }
    }
    if has("unbound immediate PersistentVolumeClaims") {
        return waiting(20, "Waiting for the storage of this server".to_owned(), None);
    }
    if pod.status().is_some_and(|status| status.nominated_node_name.is_some()) {
        return waiting(22, "Something less important makes room for this server".to_owned(), Some(ATTACH));
    }
    let scarce = scarce(message);
    let sentence = if scarce.is_empty() {
        "No machine can take this server at the moment; waiting".to_owned()
    } else {
        format!("No machine has room for this server at the moment ({}); waiting", scarce.join(", "))
    };
    waiting(20, sentence, None)
}

/// Whether no machine is going to be added. Who hears no events does not know.
fn is_given_up(witness: &Witness, unplaced: Duration) -> bool {
    witness.last("NotTriggerScaleUp").is_some() || !witness.events.is_empty() && unplaced >= witness.unheard
}

/// What is wrong with volumes, once a machine is found.
fn mounting(witness: &Witness) -> Option<Verdict> {
    let absent = |message: &str| {
        let what = message.split_once(" not found").map(|(before, _)| before).unwrap_or_default();
        ["secret \"", "configmap \"", "persistentvolumeclaim \""].iter().any(|kind| what.contains(kind))
            && !message.contains("kube-root-ca")
            && !message.contains("timed out waiting for the cond")
    };
    if witness.count("FailedMount", absent) >= 2 {
        let said = witness.events.values().find(|heard| heard.reason == "FailedMount" && absent(&heard.message));
        tracing::warn!("{}", refusal::excerpt(said.map(|heard| heard.message.as_str()).unwrap_or_default()));
        return Some(failed("volume_absent", format!("A volume that this server is to have does not exist. {ASK}")));
    }
    if let Some(mount) = witness.last("FailedMount")
        && mount.message.contains("not found in the list of registered CSI drivers")
        && !["Pulling", "Pulled", "Created"]
            .iter()
            .any(|reason| witness.last(reason).is_some_and(|next| next.at > mount.at))
    {
        // A machine that was just added gets its drivers a while after its first pods.
        let sentence = "The machine of this server cannot reach its storage yet; waiting".to_owned();
        return Some(waiting(32, sentence, Some(ATTACH)));
    }
    let attach = witness.last("FailedAttachVolume")?;
    if witness.last("SuccessfulAttachVolume").is_some_and(|done| done.at > attach.at) {
        return None;
    }
    let holder = attach.message.split_once("already used by pod(s) ").map(|(_, holder)| holder.trim());
    let sentence = match holder {
        Some(holder) => format!("The storage of this server is still in use by {}; waiting", refusal::excerpt(holder)),
        None if attach.message.contains("Multi-Attach") => {
            "The storage of this server is still in use on another machine; waiting".to_owned()
        }
        None => "The storage of this server cannot be reached yet; waiting".to_owned(),
    };
    Some(waiting(32, sentence, Some(ATTACH)))
}

/// Between a machine and a server that runs.
fn on_its_machine(pod: &Pod, witness: &Witness) -> Verdict {
    let node = pod.0.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    if let Some(pulling) = witness.last("Pulling")
        && witness.last("Pulled").is_none_or(|pulled| pulled.at < pulling.at)
        && witness.last("Failed").is_none_or(|failed| failed.at < pulling.at)
    {
        return waiting(38, "Fetching the image".to_owned(), Some(PULL));
    }
    let status = pod.status();
    let before: Vec<_> =
        status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten().collect();
    let done = before.iter().filter(|status| {
        status.state.as_ref().and_then(|state| state.terminated.as_ref()).is_some_and(|ended| ended.exit_code == 0)
    });
    let (done, all) = (done.count(), before.len());
    if before.iter().any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some())) {
        return waiting(45, format!("Preparing the server ({} of {all})", done + 1), None);
    }
    if all > 0 && done == all {
        return waiting(50, "The server is prepared; starting it".to_owned(), None);
    }
    waiting(30, format!("Starting the server on {node}"), None)
}

/// What a pod that ended is told as.
pub(crate) fn ended(pod: &Pod) -> String {
    // Where the node starts it again and again, its last end is what tells.
    let mut pod = pod.clone();
    for status in pod.0.status.iter_mut().flat_map(|status| status.container_statuses.iter_mut().flatten()) {
        let waits = status.state.as_ref().is_some_and(|state| state.terminated.is_none());
        if waits && status.last_state.as_ref().is_some_and(|last| last.terminated.is_some()) {
            status.state = status.last_state.take();
        }
    }
    format!("The server ended before it was ready. {}", ending::reason(&pod).1)
}

#[cfg(test)]
mod tests;

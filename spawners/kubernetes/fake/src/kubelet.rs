//! What scheduler and node do with a pod, by the name of its image: most come up, `waits` is never placed, `absent` cannot
//! be fetched, `unmade` lacks a secret, `dies` and `oom` end before they are up, `stubborn` does not end when asked to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::Server;
use crate::store::{Key, now};

/// Between two tries to fetch an image.
const AGAIN: Duration = Duration::from_millis(20);

/// How long a pod takes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Until it has a node.
    pub placing: Duration,
    /// From there until it is ready.
    pub starting: Duration,
    /// From the wish to its end.
    pub ending: Duration,
}

impl Default for Pace {
    /// What tests that wait for it can bear.
    fn default() -> Self {
        Self { placing: Duration::ZERO, starting: Duration::ZERO, ending: Duration::from_millis(20) }
    }
}

impl Server {
    /// Brings a pod up.
    pub(crate) async fn raise(&self, key: &Key, uid: &Value) {
        let Some(pod) = self.store.get(key) else { return };
        let image = image(&pod).to_owned();
        if image == "waits" {
            return;
        }
        self.pass(self.pace.placing).await;
        let placed = json!([{ "type": "PodScheduled", "status": "True" }]);
        let node = |pod: &mut Value| {
            pod["spec"]["nodeName"] = json!("node1");
            pod["status"]["conditions"] = placed;
        };
        if !self.tend(key, uid, node) {
            return;
        }
        let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        match image.as_str() {
            "absent" => {
                // Again and again, as a kubelet does; whoever watches may miss one of them.
                for reason in ["ErrImagePull", "ImagePullBackOff"].into_iter().cycle() {
                    let state = waiting(reason, "manifest for absent not found: manifest unknown");
                    if !self.tend(key, uid, |pod| set(pod, "Pending", "", state)) {
                        return;
                    }
                    self.pass(AGAIN).await;
                }
            }
            "dies" | "oom" => {
                self.store.write(&key.2, "the last words\n");
                let (code, reason) = if image == "oom" { (137, "OOMKilled") } else { (3, "Error") };
                let state = json!({ "terminated": { "exitCode": code, "reason": reason } });
                self.tend(key, uid, |pod| set(pod, "Failed", "", state));
            }
            "unmade" => {
                let state = waiting("CreateContainerConfigError", "secret \"nope\" not found");
                self.tend(key, uid, |pod| set(pod, "Pending", "", state));
            }
            _ => {
                if self.tend(key, uid, |pod| set(pod, "Pending", "", waiting("ContainerCreating", ""))) {
                    self.pass(self.pace.starting).await;
                    self.run(key, uid, &pod);
                }
            }
        }
    }

    /// The server in a pod runs from now on.
    fn run(&self, key: &Key, uid: &Value, pod: &Value) {
        // It answers before anybody is told where it is.
        let address = match &self.labs {
            Some(labs) => labs.open(pod),
            None => "127.0.0.1".to_owned(),
        };
        let state = json!({ "running": { "startedAt": now() } });
        if !self.tend(key, uid, |pod| set(pod, "Running", &address, state))
            && let (Some(labs), Some(uid)) = (&self.labs, uid.as_str())
        {
            labs.close(uid);
        }
    }

    /// Ends a pod that was asked to.
    pub(crate) async fn lower(self: &Arc<Self>, key: &Key, uid: &Value) {
        self.pass(self.pace.ending).await;
        self.remove(key, Some(uid));
    }

    /// Lets time go by, and the kubelet be at work.
    async fn pass(&self, time: Duration) {
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
        // The sender is the server's own.
        let _ = self.idle.subscribe().wait_for(|idle| !idle).await;
    }

    /// Changes a pod, if it is still there and to stay. Another of the same name is none of its business.
    fn tend(&self, key: &Key, uid: &Value, change: impl FnOnce(&mut Value)) -> bool {
        let changed = self.change_if(key, |pod| {
            if pod["metadata"]["uid"] != *uid || !pod["metadata"]["deletionTimestamp"].is_null() {
                return false;
            }
            change(pod);
            true
        });
        changed.is_some()
    }
}

/// How a pod is, all of its containers alike. One with an address is ready.
fn set(pod: &mut Value, phase: &str, address: &str, state: Value) {
    let image = image(pod).to_owned();
    let ready = !address.is_empty();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let statuses: Vec<Value> = containers
        .map(|container| {
            let name = &container["name"];
            json!({ "name": name, "image": image, "imageID": "", "ready": ready, "restartCount": 0, "state": state })
        })
        .collect();
    let conditions = json!([
        { "type": "PodScheduled", "status": "True" },
        { "type": "Ready", "status": if ready { "True" } else { "False" } },
    ]);
    pod["status"] = json!({ "phase": phase, "conditions": conditions, "containerStatuses": statuses });
    if ready {
        pod["status"]["podIP"] = json!(address);
    }
}

pub(crate) fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

use serde_json::{Value, json};

use super::*;

fn pod(node: &str, status: Value) -> Pod {
    Pod(serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"nodeName": node, "restartPolicy": "Never", "containers": [{"name": "notebook"}]},
        "status": status,
    }))
    .unwrap())
}

fn waits_for(reason: &str, message: &str) -> Pod {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    let status =
        json!({"name": "notebook", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    pod("node1", json!({"phase": "Pending", "containerStatuses": [status]}))
}

fn unplaced(message: &str) -> Pod {
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
    pod("", json!({"phase": "Pending", "conditions": [condition]}))
}

fn heard(events: &[(&str, &str, i32)]) -> Witness {
    let mut witness = Witness::default();
    for (index, (reason, message, count)) in events.iter().enumerate() {
        let event = json!({
            "metadata": {"uid": index.to_string()}, "involvedObject": {},
            "reason": reason, "message": message, "count": count,
        });
        witness.hear(&serde_json::from_value(event).unwrap());
    }
    witness
}

fn code(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Failed { code, .. } => code,
        Verdict::Waiting(_) => "waiting",
        Verdict::Ended => "ended",
        Verdict::Ready => "ready",
    }
}

fn stage(verdict: Verdict) -> Stage {
    match verdict {
        Verdict::Waiting(stage) => stage,
        other => panic!("{other:?}"),
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::ZERO;

#[test]
fn what_no_waiting_helps_is_told_at_once() {
    let table = [
        (waits_for("ErrImageNeverPull", ""), "image_absent"),
        (waits_for("InvalidImageName", ""), "image_invalid"),
        (waits_for("CreateContainerConfigError", "secret \"x\" not found"), "settings_absent"),
        (waits_for("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), "root"),
        (waits_for("CreateContainerConfigError", "failed to sync: timed out waiting for the condition"), "waiting"),
        (waits_for("RunContainerError", "exec: \"nope\": executable file not found in $PATH"), "command_not_found"),
        (waits_for("CreateContainerError", "No command specified"), "no_command"),
        (waits_for("CreateContainerError", "context deadline exceeded"), "waiting"),
        (
            waits_for(
                "CreateContainerError",
                "failed to reserve container name \"notebook_a_0\": name is reserved for \"5\"",
            ),
            "waiting",
        ),
        (waits_for("CrashLoopBackOff", "back-off"), "ended"),
        (waits_for("ContainerCreating", ""), "waiting"),
    ];
    for (pod, told) in table {
        assert_eq!(code(&judge(&pod, &Witness::default(), SHORT)), told, "{:?}", pod.status());
    }
}

#[test]
fn a_pull_that_is_refused_twice_is_not_waited_for() {
    let refused = waits_for("ErrImagePull", "manifest for a:b not found: manifest unknown");
    let backoff = waits_for("ImagePullBackOff", "Back-off pulling image \"a:b\"");
    let mut witness = Witness::default();
    witness.see(&refused);
    assert_eq!(code(&judge(&refused, &witness, SHORT)), "waiting", "once may be by accident");
    witness.see(&backoff);
    witness.see(&refused);
    assert_eq!(code(&judge(&refused, &witness, SHORT)), "image_absent");
    let told = "Failed to pull image \"a:b\": unauthorized: authentication required";
    assert_eq!(code(&judge(&backoff, &heard(&[("Failed", told, 2)]), SHORT)), "image_denied");
    let away = "Failed to pull image \"a:b\": dial tcp: connection refused";
    let verdict = judge(&backoff, &heard(&[("Failed", away, 9)]), SHORT);
    assert!(stage(verdict).sentence.contains("cannot be reached"), "a registry may come back");
}

#[test]
fn a_server_that_no_machine_can_take_is_told_when_that_cannot_change() {
    let never = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match node selector.";
    let told = |events: &[(&str, &str, i32)], after| code(&judge(&unplaced(never), &heard(events), after)).to_owned();
    let (tried, not) = (("FailedScheduling", never, 1), ("NotTriggerScaleUp", "pod didn't trigger scale-up", 1));
    assert_eq!(told(&[tried, not], LONG), "no_machine");
    assert_eq!(told(&[tried, not], SHORT), "waiting", "one may be about to be added");
    assert_eq!(told(&[tried], LONG), "waiting", "from none at all the first one takes a while");
    assert_eq!(told(&[tried], UNHEARD), "no_machine", "nobody adds any");
    assert_eq!(told(&[], SCALE_UP), "waiting", "who hears nothing does not know");
    for (reason, message) in
        [("TriggeredScaleUp", "pod triggered scale-up"), ("Nominated", "Pod should schedule on: nodeclaim/users-x2x")]
    {
        let scaled = heard(&[tried, (reason, message, 1)]);
        assert_eq!(stage(judge(&unplaced(never), &scaled, UNHEARD)).patience, Some(SCALE_UP), "{reason}");
    }
    let full =
        "0/3 nodes are available: 1 Insufficient memory, 2 node(s) had taint {a: b}, that the pod didn't tolerate.";
    let full = stage(judge(&unplaced(full), &Witness::default(), LONG));
    assert!(full.sentence.contains("(memory)"), "{full:?}");
    let mixed =
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match node selector. preemption: 0/2 nodes";
    assert_eq!(code(&judge(&unplaced(mixed), &Witness::default(), LONG)), "waiting");
    assert_eq!(code(&judge(&unplaced("0/0 nodes are available."), &Witness::default(), LONG)), "waiting");
}

#[test]
fn storage_that_is_not_there_is_told_and_storage_that_comes_is_waited_for() {
    let absent = unplaced("persistentvolumeclaim \"claim-a\" not found");
    assert_eq!(code(&judge(&absent, &Witness::default(), LONG)), "claim_absent");
    assert_eq!(code(&judge(&absent, &Witness::default(), SHORT)), "waiting", "the scheduler may not have heard of it");
    let unbound = unplaced("0/1 nodes are available: 1 pod has unbound immediate PersistentVolumeClaims.");
    assert!(stage(judge(&unbound, &Witness::default(), LONG)).sentence.contains("storage"));
    let creating = waits_for("ContainerCreating", "");
    let mount = "MountVolume.SetUp failed for volume \"x\" : secret \"nope\" not found";
    assert_eq!(code(&judge(&creating, &heard(&[("FailedMount", mount, 1)]), SHORT)), "waiting");
    assert_eq!(code(&judge(&creating, &heard(&[("FailedMount", mount, 2)]), SHORT)), "volume_absent");
    let settings = "MountVolume.SetUp failed for volume \"x\" : configmap \"nope\" not found";
    assert_eq!(code(&judge(&creating, &heard(&[("FailedMount", settings, 2)]), SHORT)), "volume_absent");
    let driver = "MountVolume.SetUp failed for volume \"pvc-1\" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: \
                  driver name efs.csi.aws.com not found in the list of registered CSI drivers";
    let verdict = stage(judge(&creating, &heard(&[("FailedMount", driver, 9)]), LONG));
    assert_eq!(verdict.patience, Some(ATTACH), "a machine that is new gets its drivers later");
    let verdict = stage(judge(&creating, &heard(&[("FailedMount", driver, 9), ("Pulling", "", 1)]), LONG));
    assert_eq!(verdict.sentence, "Fetching the image", "it has got them");
    let held =
        ("FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) jupyter-a", 1);
    let verdict = stage(judge(&creating, &heard(&[held]), SHORT));
    assert_eq!(verdict.patience, Some(ATTACH));
    assert!(verdict.sentence.contains("jupyter-a"), "{verdict:?}");
    let verdict = stage(judge(&creating, &heard(&[held, ("SuccessfulAttachVolume", "", 1)]), SHORT));
    assert_eq!(verdict.patience, None, "it has come");
}

#[test]
fn people_see_how_far_their_server_is() {
    let none = Witness::default();
    let told = |pod: &Pod, witness: &Witness| stage(judge(pod, witness, SHORT));
    assert_eq!(told(&pod("", json!({"phase": "Pending"})), &none).percent, 20);
    let creating = waits_for("ContainerCreating", "");
    assert_eq!(told(&creating, &none).sentence, "Starting the server on node1");
    let pulling = told(&creating, &heard(&[("Pulling", "", 1)]));
    assert_eq!((pulling.sentence.as_str(), pulling.patience), ("Fetching the image", Some(PULL)));
    assert_eq!(told(&creating, &heard(&[("Pulling", "", 1), ("Pulled", "", 1)])).percent, 30);
    let init = |state: Value| json!({"name": "first", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let running = pod(
        "n",
        json!({"phase": "Pending", "initContainerStatuses": [
            init(json!({"terminated": {"exitCode": 0}})), init(json!({"running": {}})),
        ]}),
    );
    assert_eq!(told(&running, &none).sentence, "Preparing the server (2 of 2)");
    let ended =
        pod("n", json!({"phase": "Failed", "initContainerStatuses": [init(json!({"terminated": {"exitCode": 3}}))]}));
    assert_eq!(judge(&ended, &none, SHORT), Verdict::Ended);
    assert!(super::ended(&ended).ends_with("It ended with exit code 3."));
}

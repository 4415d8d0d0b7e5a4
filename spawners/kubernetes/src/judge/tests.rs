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
        (
            waits_for("CreateContainerConfigError", "cannot find volume \"home\" to mount into container \"notebook\""),
            "waiting",
        ),
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

/// As schedulers of Kubernetes 1.20 to 1.34 say it.
#[test]
fn a_machine_that_is_kept_from_servers_does_not_hide_that_no_other_will_do() {
    const MASTER: &str = "1 node(s) had taint {node-role.kubernetes.io/master: }, that the pod didn't tolerate";
    const PLANE: &str = "1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }";
    const END: &str = "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.";
    let table = [
        (format!("{MASTER}, 3 node(s) didn't match node selector."), "no_machine"),
        (format!("3 node(s) didn't match Pod's node affinity, {MASTER}."), "no_machine"),
        (format!("{PLANE}, 3 node(s) didn't match Pod's node affinity/selector. {END}"), "no_machine"),
        (
            format!("{PLANE}, 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, {END}"),
            "no_machine",
        ),
        (format!("{PLANE}, 3 node(s) had untolerated taint {{nvidia.com/gpu: present}}. {END}"), "no_machine"),
        // These may change by themselves.
        (format!("{PLANE}, 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector. {END}"), "waiting"),
        (format!("{MASTER}, 3 Insufficient memory."), "waiting"),
        (format!("{PLANE}, 3 node(s) had untolerated taint {{node.kubernetes.io/not-ready: }}. {END}"), "waiting"),
        (
            "3 node(s) didn't match node selector, 1 node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate.".to_owned(),
            "waiting",
        ),
        (
            format!(
                "{PLANE}, 3 node(s) had untolerated taint {{node.cloudprovider.kubernetes.io/uninitialized: true}}. {END}"
            ),
            "waiting",
        ),
        (format!("{PLANE}, 3 node(s) had untolerated taint {{node.cilium.io/agent-not-ready: }}. {END}"), "waiting"),
        (format!("{PLANE}, 3 node(s) had untolerated taint {{karpenter.sh/disrupted: }}. {END}"), "waiting"),
        (format!("{PLANE}, 3 node(s) had untolerated taint {{ToBeDeletedByClusterAutoscaler: 1}}. {END}"), "waiting"),
        (format!("{PLANE}, 3 node(s) were unschedulable. {END}"), "waiting"),
        (format!("{PLANE}, 3 node(s) had volume node affinity conflict. {END}"), "waiting"),
        // Which, nobody says.
        (format!("4 node(s) had untolerated taint(s). {END}"), "waiting"),
    ];
    for (said, told) in table {
        let said = format!("0/4 nodes are available: {said}");
        let heard = heard(&[("FailedScheduling", &said, 1), ("NotTriggerScaleUp", "pod didn't trigger scale-up", 1)]);
        assert_eq!(code(&judge(&unplaced(&said), &heard, LONG)), told, "{said}");
    }
    let scarce = format!("0/4 nodes are available: {PLANE}, 3 Insufficient cpu. no new claims to deallocate, {END}");
    let scarce = stage(judge(&unplaced(&scarce), &Witness::default(), LONG)).sentence;
    assert!(scarce.contains("(cpu)"), "{scarce}");
}

#[test]
fn that_no_machine_will_do_is_told_before_the_time_of_the_start_is_over() {
    let never = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    let told = |start: u64, after: u64| {
        let witness = Witness {
            unheard: Witness::within(Duration::from_secs(start)).unheard,
            ..heard(&[("FailedScheduling", never, 1)])
        };
        code(&judge(&unplaced(never), &witness, Duration::from_secs(after))).to_owned()
    };
    assert_eq!((told(60, 40), told(60, 55)), ("waiting".to_owned(), "no_machine".to_owned()));
    assert_eq!(
        (told(3600, 55), told(3600, 240)),
        ("waiting".to_owned(), "no_machine".to_owned()),
        "and not much later"
    );
    assert_eq!(told(10, 15), "waiting", "one may be about to be added");
}

#[test]
fn storage_that_is_lost_is_told_and_one_that_others_make_room_for_waits() {
    let lost = "persistentvolumeclaim \"claim-a\" bound to non-existent persistentvolume \"pv-1\"";
    for said in [lost.to_owned(), format!("0/3 nodes are available: 3 {lost}.")] {
        assert_eq!(code(&judge(&unplaced(&said), &Witness::default(), LONG)), "claim_lost", "{said}");
        assert_eq!(code(&judge(&unplaced(&said), &Witness::default(), SHORT)), "waiting", "it may be late");
    }
    let mut preempting = unplaced("0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible.");
    assert_eq!(stage(judge(&preempting, &Witness::default(), LONG)).patience, None);
    preempting.0.status.as_mut().unwrap().nominated_node_name = Some("node1".into());
    assert_eq!(stage(judge(&preempting, &Witness::default(), LONG)).patience, Some(ATTACH));
}

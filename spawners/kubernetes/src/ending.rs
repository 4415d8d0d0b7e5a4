//! Why the server in a pod has ended, in words for people.

use crate::pod::Pod;

/// What the state of its container, and of the pod, tell.
pub(crate) fn reason(pod: &Pod) -> (Option<i32>, String) {
    let ended = pod.statuses().filter_map(|status| status.state.as_ref()?.terminated.as_ref());
    let of_server = pod.server().and_then(|status| status.state.as_ref()?.terminated.as_ref());
    // What runs before a server may be what failed.
    let ended = of_server.or_else(|| ended.filter(|ended| ended.exit_code != 0).last());
    let code = ended.map(|ended| ended.exit_code);
    let said = |name: Option<&str>, word: &str| name == Some(word);
    let of_pod = pod.status().and_then(|status| status.reason.as_deref());
    let message = pod.status().and_then(|status| status.message.as_deref()).unwrap_or_default();
    if !message.is_empty() {
        tracing::info!(pod = pod.name(), "the cluster tells of an ended server: {message}");
    }
    let sentence = match of_pod {
        Some("Evicted") => evicted(message),
        Some("DeadlineExceeded") => "It ran for as long as it may, and was ended.".to_owned(),
        Some("NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated") => "Its machine was shut down.".to_owned(),
        Some("Preempting") => "It had to make room for something more important.".to_owned(),
        Some("OutOfcpu" | "OutOfmemory" | "OutOfpods" | "UnexpectedAdmissionError") => {
            "Its machine had no room for it after all. Start it again.".to_owned()
        }
        Some("NodeAffinity") => "Its machine is none that it may run on any more.".to_owned(),
        _ => {
            let reason = ended.and_then(|ended| ended.reason.as_deref());
            if said(reason, "OOMKilled") {
                let limit = pod.memory_limit().map(|limit| format!(" of {}", size(limit))).unwrap_or_default();
                format!("It used more memory than its limit{limit}, and was ended.")
            } else {
                exited(code, reason)
            }
        }
    };
    (code.map(signalled), sentence)
}

fn evicted(message: &str) -> String {
    let of = |word: &str| message.to_ascii_lowercase().contains(word);
    if of("ephemeral-storage") || of("disk") || of("imagefs") || of("nodefs") {
        "It was ended because the disk of its machine was full, or it wrote more there than it may.".to_owned()
    } else if of("memory") {
        "It was ended because the memory of its machine was used up.".to_owned()
    } else {
        "It was ended because its machine had too little left.".to_owned()
    }
}

fn exited(code: Option<i32>, reason: Option<&str>) -> String {
    match (code, reason) {
        (_, Some("ContainerCannotRun" | "StartError")) => "Its command could not be run.".to_owned(),
        (Some(0), _) => "It ended by itself, without an error.".to_owned(),
        (Some(127), _) => "Its command was not found.".to_owned(),
        (Some(126), _) => "Its command could not be run.".to_owned(),
        (Some(137), _) => "It was killed from outside.".to_owned(),
        (Some(143), _) => "It was asked to end from outside.".to_owned(),
        (Some(code), _) if (129..160).contains(&code) => format!("It was ended by signal {}.", code - 128),
        (Some(code), _) => format!("It ended with exit code {code}."),
        (None, _) => "It ended.".to_owned(),
    }
}

/// A shell's way to tell a signal as a negative number.
fn signalled(code: i32) -> i32 {
    if (129..160).contains(&code) { 128 - code } else { code }
}

/// Bytes as people read them; what has a unit already stays.
fn size(quantity: &str) -> String {
    match quantity.parse::<u64>() {
        Ok(bytes) if bytes >= 1 << 30 && bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        Ok(bytes) => format!("{} MiB", bytes >> 20),
        Err(_) => match quantity.strip_suffix('i') {
            Some(binary) => format!("{binary}iB"),
            None => quantity.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(status: Value) -> (Option<i32>, String) {
        let pod = json!({
            "metadata": {},
            "spec": {"containers": [{"name": "notebook", "resources": {"limits": {"memory": "512Mi"}}}]},
            "status": status,
        });
        reason(&Pod(serde_json::from_value(pod).unwrap()))
    }

    fn ended(terminated: Value) -> Value {
        json!({"phase": "Failed", "containerStatuses": [
            {"name": "notebook", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": terminated}},
        ]})
    }

    #[test]
    fn people_are_told_why_their_server_ended() {
        let table = [
            (
                ended(json!({"exitCode": 137, "reason": "OOMKilled"})),
                Some(-9),
                "It used more memory than its limit of 512MiB, and was ended.",
            ),
            (ended(json!({"exitCode": 137, "reason": "Error"})), Some(-9), "It was killed from outside."),
            (ended(json!({"exitCode": 0, "reason": "Completed"})), Some(0), "It ended by itself, without an error."),
            (ended(json!({"exitCode": 3})), Some(3), "It ended with exit code 3."),
            (
                ended(json!({"exitCode": 128, "reason": "ContainerCannotRun"})),
                Some(128),
                "Its command could not be run.",
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
                None,
                "It was ended because the memory of its machine was used up.",
            ),
            (json!({"phase": "Failed", "reason": "Shutdown"}), None, "Its machine was shut down."),
            (json!({"phase": "Failed"}), None, "It ended."),
        ];
        for (status, code, sentence) in table {
            assert_eq!(told(status), (code, sentence.to_owned()));
        }
        assert_eq!((size("1073741824"), size("536870912")), ("1 GiB".to_owned(), "512 MiB".to_owned()));
    }
}

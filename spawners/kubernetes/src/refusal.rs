//! What a cluster said no to, in words for people. Its own words go to the log.

use kube::core::Status;
use spawners::StartError;

use crate::cluster::Fault;

/// Added where only operators can help.
const ASK: &str = "Ask the people who run this hub.";

/// What a start comes to that the cluster did not take. `doing` is for the log.
pub(crate) fn of(fault: Fault, doing: &str) -> StartError {
    match fault {
        Fault::Said(said) => {
            let (code, sentence) = told(&said);
            tracing::warn!(code, status = said.code, "{doing}: {}", excerpt(&said.message));
            StartError::failed(code, sentence)
        }
        Fault::Unheard(unreachable) => unreachable.into(),
    }
}

fn told(said: &Status) -> (&'static str, String) {
    let message = said.message.to_ascii_lowercase();
    let has = |text: &str| message.contains(text);
    let admission = has("admission webhook") || has("admission plugin") || has("admission control");
    match said.code {
        403 if has("exceeded quota") => ("quota", quota(&said.message)),
        403 if has("failed quota") => (
            "quota",
            format!(
                "The namespace of this server asks every server to say how much it needs, and this one does not. {ASK}"
            ),
        ),
        403 if has("maximum cpu") || has("maximum memory") || has("minimum cpu") || has("minimum memory") => {
            ("out_of_range", format!("A server of this size may not run there. {ASK}"))
        }
        403 if has("violates podsecurity") || has("pod security policy") || has("podsecuritypolicy") => {
            ("admission", format!("The cluster does not allow a server with these rights. {ASK}"))
        }
        403 if has("is being terminated") => {
            ("namespace_ending", "The namespace of this server is being removed. Try again later.".to_owned())
        }
        403 if has("error looking up service account") || has("serviceaccount") && has("not found") => {
            ("account_absent", format!("The service account that servers are to have does not exist. {ASK}"))
        }
        400 | 403 | 409 | 422 if admission => ("admission", denied(&said.message)),
        403 if has("no priorityclass") => {
            ("no_priority_class", format!("The priority that servers are to have does not exist. {ASK}"))
        }
        403 => ("not_allowed", format!("The hub may not do what it has to for this server. {ASK}")),
        404 if has("namespaces") => ("namespace_absent", format!("The namespace of this server does not exist. {ASK}")),
        422 | 400 => ("pod_refused", format!("The cluster does not take the settings of this server. {ASK}")),
        _ => ("cluster_failed", format!("The cluster failed to start this server. {ASK}")),
    }
}

/// `exceeded quota: compute, requested: requests.memory=2Gi, used: requests.memory=7Gi, limited: requests.memory=8Gi`
fn quota(message: &str) -> String {
    let part = |name: &str| {
        let rest = message.split_once(&format!("{name}: "))?.1;
        let end = [", requested: ", ", used: ", ", limited: "].iter().filter_map(|next| rest.find(next)).min();
        Some(rest.get(..end.unwrap_or(rest.len()))?.trim().to_owned())
    };
    match (part("requested"), part("used"), part("limited")) {
        (Some(requested), Some(used), Some(limited)) => format!(
            "There is no room left in the quota of the cluster: this server asks for {requested}; {used} of {limited} are \
             used. Stop another server, or choose a smaller one."
        ),
        _ => "There is no room left in the quota of the cluster. Stop another server, or choose a smaller one."
            .to_owned(),
    }
}

/// What a webhook says is meant for people.
fn denied(message: &str) -> String {
    let said = message.split_once("denied the request:").map(|(_, said)| said.trim()).filter(|said| !said.is_empty());
    match said {
        Some(said) => format!("The cluster does not allow this server: {}", excerpt(said)),
        None => format!("The cluster does not allow this server. {ASK}"),
    }
}

/// What a pull comes to that did not bring the image, and whether trying again may.
pub(crate) fn of_pull(said: &str) -> (&'static str, &'static str, bool) {
    let said = said.to_ascii_lowercase();
    let has = |text: &str| said.contains(text);
    if has("no space left on device") {
        (
            "disk_full",
            "There is no room for the image on the machine that is to run this server. Ask the people who run this hub.",
            true,
        )
    } else if has("unauthorized") || has("no basic auth") || has("authentication required") || has("incorrect username")
    {
        (
            "image_denied",
            "The registry does not give out the image: this hub's login is missing or not accepted there.",
            false,
        )
    } else if has("access denied") || has("denied:") || has("403 forbidden") || has("status: 403") || has("forbidden") {
        (
            "image_denied",
            "The registry does not give out the image: it does not exist there, or this hub may not have it.",
            false,
        )
    } else if has("no matching manifest") {
        ("image_absent", "There is no such image for the kind of machine that runs servers.", false)
    } else if has("manifest unknown") || has("not found") || has("name unknown") || has("does not exist") {
        ("image_absent", "There is no such image in the registry.", false)
    } else if has("toomanyrequests") || has("too many requests") || has("rate limit") {
        ("registry_busy", "The registry asks for a pause: too much was pulled from it.", true)
    } else if ["dial tcp", "connection refused", "no such host", "timeout", "timed out", "deadline exceeded", "x509"]
        .iter()
        .any(|text| has(text))
    {
        ("registry_away", "The registry of the image cannot be reached.", true)
    } else {
        ("pull_failed", "The image could not be pulled.", true)
    }
}

/// The beginning of a text, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<&str>>().join(" ");
    match line.char_indices().nth(400) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> (&'static str, String) {
        told(&Status { code, message: message.to_owned(), ..Status::default() })
    }

    /// In the words of Kubernetes 1.20 and later.
    #[test]
    fn what_clusters_say_is_understood() {
        let table = [
            (403, "pods \"jupyter-a\" is forbidden: failed quota: mem: must specify limits.memory", "quota"),
            (403, "pods \"a\" is forbidden: maximum cpu usage per Container is 2, but limit is 4", "out_of_range"),
            (403, "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": privileged", "admission"),
            (403, "pods \"a\" is forbidden: error looking up service account labs/x: not found", "account_absent"),
            (403, "pods \"a\" is forbidden: no PriorityClass with name users was found", "no_priority_class"),
            (403, "pods is forbidden: User \"hub\" cannot create resource \"pods\" in API group \"\"", "not_allowed"),
            (403, "unable to create new content in namespace labs because it is being terminated", "namespace_ending"),
            (404, "namespaces \"labs\" not found", "namespace_absent"),
            (422, "Pod \"a\" is invalid: spec.containers[0].image: Required value", "pod_refused"),
            (405, "something new", "cluster_failed"),
        ];
        for (code, message, word) in table {
            assert_eq!(said(code, message).0, word, "{message}");
        }
    }

    #[test]
    fn people_are_told_what_a_quota_has_left_and_what_a_webhook_says() {
        let (code, sentence) = said(
            403,
            "pods \"a\" is forbidden: exceeded quota: compute, requested: requests.memory=2Gi, used: requests.memory=7Gi, \
             limited: requests.memory=8Gi",
        );
        assert_eq!(code, "quota");
        assert!(
            sentence.contains("asks for requests.memory=2Gi; requests.memory=7Gi of requests.memory=8Gi are"),
            "{sentence}"
        );
        let (code, sentence) =
            said(400, "admission webhook \"gate.example.org\" denied the request: only signed images, please");
        assert_eq!(code, "admission");
        assert!(sentence.ends_with("only signed images, please"), "{sentence}");
    }

    #[test]
    fn what_registries_say_is_understood() {
        let table = [
            ("rpc error: manifest for r/a:b not found: manifest unknown", "image_absent", false),
            (
                "pull access denied for a, repository does not exist or may require 'docker login'",
                "image_denied",
                false,
            ),
            ("failed to authorize: unexpected status: 401 Unauthorized", "image_denied", false),
            ("Get \"https://r/v2/\": dial tcp: lookup r: no such host", "registry_away", true),
            ("unexpected status from HEAD request to https://r/v2/a/manifests/b: 403 Forbidden", "image_denied", false),
            ("failed to resolve r/a@sha256:4037f0c1: dial tcp: i/o timeout", "registry_away", true),
            ("failed to pull r/a:build-403: what", "pull_failed", true),
            ("manifest for r/a:v1.403 not found: manifest unknown", "image_absent", false),
            ("toomanyrequests: You have reached your pull rate limit", "registry_busy", true),
            ("what", "pull_failed", true),
        ];
        for (text, code, again) in table {
            let told = of_pull(text);
            assert_eq!((told.0, told.2), (code, again), "{text}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        assert_eq!(excerpt("a\n  b"), "a b");
        assert_eq!(excerpt(&"ä".repeat(1000)).chars().count(), 401);
    }
}

//! What an engine said no to, in words for people. Its own words go to the log.

use bollard::errors::Error;
use spawners::{StartError, Unreachable};

use crate::engine::{message, status};

/// Added where only operators can help.
const ASK: &str = "Ask the people who run this hub.";

/// What a start comes to that the engine did not take. `doing` is for the log.
pub(crate) fn of(error: Error, doing: &str) -> StartError {
    let Some(said) = message(&error).map(str::to_owned) else { return Unreachable::new(error).into() };
    let (code, sentence) = told(status(&error), &said.to_ascii_lowercase());
    tracing::warn!(code, "{doing}: {}", callout::excerpt(said.as_bytes(), 600));
    StartError::failed(code, sentence)
}

fn told(status: Option<u16>, said: &str) -> (&'static str, String) {
    let has = |text: &str| said.contains(text);
    let mount = has("mount") || has("bind source") || has("cannot access path");
    let (code, what) = if has("no space left on device") || has("disk quota exceeded") {
        ("disk_full", "The disk of the machine that runs servers is full.")
    } else if has("no such image") {
        ("image_absent", "The image of this server is not on the machine that runs servers.")
    } else if has("network") && (has("not found") || has("no such network")) {
        ("network_absent", "The network that servers are to be in does not exist.")
    } else if has("could not select device driver") || has("nvidia-container") || has("no such device") {
        ("no_device", "The machine that runs servers cannot give this server its GPU.")
    } else if has("error gathering device information") {
        ("no_device", "A device that this server is to have is not there.")
    } else if has("unknown runtime") || has("unknown or invalid runtime") {
        ("no_runtime", "The machine that runs servers does not have the runtime that this server asks for.")
    } else if has("executable file not found") || (has("exec:") && has("no such file or directory")) {
        ("command_not_found", "The image does not have the command that this server is started with.")
    } else if mount && (has("does not exist") || has("no such file or directory") || has("not a directory")) {
        ("folder_absent", "A folder that this server is to have is not there.")
    } else if has("not a shared") || has("shared or slave mount") {
        ("not_shared", "The machine does not pass folders that appear later on into servers.")
    } else if mount && has("permission denied") {
        ("folder_denied", "The machine that runs servers may not open a folder that this server is to have.")
    } else if has("port is already allocated") || has("address already in use") {
        ("port_taken", "The port of this server is taken on the machine that runs servers.")
    } else if has("cannot assign requested address") {
        ("no_such_address", "The address that servers are published at is none of the machine that runs them.")
    } else if has("cannot allocate memory") || has("minimum memory limit") {
        (
            "no_memory",
            "The machine that runs servers does not have the memory for this one, or it is to have too little.",
        )
    } else if status.is_some_and(|status| status < 500) {
        ("container_refused", "What starts servers does not take the settings of this server.")
    } else {
        ("engine_failed", "What starts servers failed to start this one.")
    };
    (code, format!("{what} {ASK}"))
}

/// What a pull comes to that did not bring the image.
pub(crate) fn of_pull(said: &str) -> (&'static str, &'static str) {
    let said = said.to_ascii_lowercase();
    let has = |text: &str| said.contains(text);
    if has("no space left on device") {
        (
            "disk_full",
            "There is no room for the image on the machine that runs servers. Ask the people who run this hub.",
        )
    } else if has("unauthorized") || has("no basic auth") || has("authentication required") || has("incorrect username")
    {
        ("image_denied", "The registry does not give out the image: this hub's login is missing or not accepted there.")
    } else if has("pull access denied") || has("access denied") || has("denied:") || has("forbidden") {
        (
            "image_denied",
            "The registry does not give out the image: it does not exist there, or this hub may not have it.",
        )
    } else if has("manifest unknown") || has("not found") || has("name unknown") || has("repository does not exist") {
        ("image_absent", "There is no such image in the registry.")
    } else if has("invalid reference") || has("invalid repository name") || has("invalid tag") {
        ("image_invalid", "The name of the image is not one that an image can have.")
    } else if has("toomanyrequests") || has("too many requests") || has("rate limit") {
        ("registry_busy", "The registry asks for a pause: too much was pulled from it. Try again later.")
    } else if has("no matching manifest") {
        ("image_absent", "There is no such image for the kind of machine that runs servers.")
    } else if [
        "dial tcp",
        "connection refused",
        "no such host",
        "timeout",
        "timed out",
        "deadline exceeded",
        "eof",
        "x509",
    ]
    .iter()
    .any(|text| has(text))
    {
        ("registry_away", "The registry of the image cannot be reached. Try again later.")
    } else {
        ("pull_failed", "The image could not be pulled. Ask the people who run this hub.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the words of Docker 20.10 and later.
    #[test]
    fn what_engines_say_is_understood() {
        let table = [
            (404, "No such image: nothing:here", "image_absent"),
            (404, "network labs not found", "network_absent"),
            (500, "write /var/lib/docker/x: no space left on device", "disk_full"),
            (500, "could not select device driver \"\" with capabilities: [[gpu]]", "no_device"),
            (400, "unknown or invalid runtime name: kata", "no_runtime"),
            (500, "cannot access path /v/ann: lstat /v/ann: no such file or directory", "folder_absent"),
            (400, "invalid mount config for type \"bind\": bind source path does not exist: /x", "folder_absent"),
            (
                400,
                "failed to create shim task: OCI runtime create failed: container_linux.go:380: starting container \
                 process caused: exec: \"nope\": executable file not found in $PATH: unknown",
                "command_not_found",
            ),
            (500, "path /x is mounted on / but it is not a shared or slave mount", "not_shared"),
            (500, "driver failed: Bind for 127.0.0.1:80 failed: port is already allocated", "port_taken"),
            (400, "invalid CapAdd: unknown capability", "container_refused"),
            (500, "something new", "engine_failed"),
        ];
        for (status, said, code) in table {
            assert_eq!(told(Some(status), &said.to_ascii_lowercase()).0, code, "{said}");
        }
        let unasked = Error::RequestTimeoutError;
        assert!(matches!(of(unasked, "x"), StartError::Unreachable(_)));
    }

    #[test]
    fn what_registries_say_is_understood() {
        let table = [
            ("manifest for r/a:b not found: manifest unknown: manifest unknown", "image_absent"),
            ("Get \"https://r/v2/a\": unauthorized: authentication required", "image_denied"),
            ("Get \"http://r/v2/\": no basic auth credentials", "image_denied"),
            ("pull access denied for a, repository does not exist or may require 'docker login'", "image_denied"),
            ("Get \"https://r/v2/\": dial tcp 127.0.0.1:9: connect: connection refused", "registry_away"),
            ("Get \"https://r/v2/\": dial tcp: lookup r: no such host", "registry_away"),
            ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "registry_away"),
            ("toomanyrequests: You have reached your pull rate limit", "registry_busy"),
            ("write /x: no space left on device", "disk_full"),
            ("what", "pull_failed"),
        ];
        for (said, code) in table {
            assert_eq!(of_pull(said).0, code, "{said}");
        }
    }
}

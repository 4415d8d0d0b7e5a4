//! The agent as the process around a lab: signals, exits, orphans, and nothing left behind.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::agent::{Agent, PROGRAM, command, until};
use crate::hub::{Hub, Mood};

#[test]
fn signals_go_on_to_the_lab_and_its_exit_is_the_agents() {
    let hub = Hub::start(Mood::Gives(60_000));
    let script = "trap 'echo usr >> $OUT/heard' USR1; trap 'exit 7' TERM; : > $OUT/begun; while :; do sleep 0.05; done";
    let mut agent = Agent::start(&hub, script);
    until("the lab", || agent.out("begun").exists().then_some(()));
    agent.signal(Signal::SIGUSR1);
    until("the signal", || agent.out("heard").exists().then_some(()));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code(), Some(7));
    let tokens = agent.folder.path().join("tokens");
    assert_eq!(std::fs::read_dir(tokens).unwrap().count(), 0, "what was kept is taken away");

    for (script, code) in [("exit 3", 3), ("kill -9 $$", 137), ("exec /no/such/program", 127)] {
        assert_eq!(Agent::start(&hub, script).ended().code(), Some(code), "{script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command(&hub, &folder, PROGRAM, &["/no/such/program"]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
}

/// Before there is a lab as well: a stop that comes early is not lost, and nothing is started after it.
#[test]
fn a_signal_to_end_is_heard_from_the_first_moment() {
    let hub = Hub::start(Mood::Hangs);
    let mut agent = Agent::start(&hub, ": > $OUT/begun");
    hub.until("the first question", |state| state.requests > 0);
    agent.signal(Signal::SIGTERM);
    let status = agent.ended();
    assert_eq!((status.code(), status.signal()), (Some(143), None));
    assert!(!agent.out("begun").exists(), "no lab was started");
    hub.set(Mood::Away);
}

#[test]
fn a_hub_that_hangs_or_is_none_keeps_no_lab_from_running() {
    let hub = Hub::start(Mood::Hangs);
    let mut agent = Agent::start(&hub, "exit 5");
    assert_eq!(agent.ended().code(), Some(5));
    hub.set(Mood::Away);
    let output = Command::new(PROGRAM).env_clear().args(["--", "/bin/sh", "-c", "exit 6"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("JUPYTERHUB_API_URL"));
}

/// As the first process of a container, which every orphan comes to.
#[test]
fn orphans_are_taken_leave_of() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no namespaces of one's own here");
        return;
    }
    let hub = Hub::start(Mood::Gives(60_000));
    let folder = tempfile::tempdir().unwrap();
    // The orphan's parent ends at once; a process that has ended and is waited for by nobody stays in /proc.
    let script = "orphan=$(sh -c 'sleep 0.2 >/dev/null & echo $!'); test -d /proc/$orphan || exit 8
        for i in $(seq 200); do test -d /proc/$orphan || exit 0; sleep 0.05; done; exit 9";
    let arguments = [&unshare[..], &[PROGRAM, "sh", "-c", script]].concat();
    let output = command(&hub, &folder, "unshare", &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A token that lives for ten minutes may be another one much sooner.
#[test]
fn the_file_follows_as_soon_as_the_hub_has_another_token() {
    let hub = Hub::start(Mood::Gives(60_000));
    hub.next_token();
    let agent = Agent::waiting(&hub);
    let file = agent.environment()["BEARER_TOKEN_FILE"].clone();
    for number in 1..4 {
        let token = format!("number-{number}");
        until(&token, || (std::fs::read_to_string(&file).ok()? == token).then_some(()));
        hub.until("the agent waits for the next", |state| state.waiting > 0);
        hub.next_token();
    }
    // A hub that is away for a moment takes nothing away.
    hub.set(Mood::Away);
    until("the last one", || (std::fs::read_to_string(&file).ok()? == "number-4").then_some(()));
    hub.set(Mood::Refuses(403, "refused"));
    until("a token that is denied goes", || (!std::path::Path::new(&file).exists()).then_some(()));
}

//! Keys for programs in the lab: always good ones, for this lab alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{Agent, PROGRAM, ask, command, get, until};
use crate::hub::{Hub, Mood};

#[test]
fn fifty_readers_are_never_refused_over_many_lives_of_keys() {
    let hub = Hub::start(Mood::Gives(4000));
    let agent = Agent::waiting(&hub);
    let before = hub.asked();
    let end = Instant::now() + Duration::from_secs(14);
    let read = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while Instant::now() < end {
                    let asked = Instant::now();
                    let (status, keys) = agent.keys();
                    assert_eq!(status, 200, "{keys}");
                    let ends = chrono::DateTime::parse_from_rfc3339(keys["Expiration"].as_str().unwrap()).unwrap();
                    assert!(ends > chrono::Utc::now(), "they have ended: {keys}");
                    assert!(asked.elapsed() < Duration::from_secs(2), "programs of AWS give up");
                    read.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    let (read, asked) = (read.into_inner(), hub.asked() - before);
    assert!(read > 1000, "only {read}");
    assert!((4..=9).contains(&asked), "once in half of a life, however many read: {asked}");
}

#[test]
fn a_hub_that_is_away_is_told_and_waited_for() {
    let hub = Hub::start(Mood::Gives(4000));
    let agent = Agent::waiting(&hub);
    let (status, first) = agent.keys();
    assert_eq!(status, 200);
    assert_eq!(agent.status()["ready"], true, "{}", agent.status());
    hub.set(Mood::Away);
    let refused = until("a refusal", || {
        let (status, keys) = agent.keys();
        if status == 200 {
            assert_eq!(keys["AccessKeyId"], first["AccessKeyId"], "what is at hand is good still");
            return None;
        }
        Some((status, keys))
    });
    assert_eq!((refused.0, &refused.1["code"]), (503, &json!("unreachable")), "{refused:?}");
    assert_eq!(agent.status()["ready"], false);
    assert_eq!(agent.status()["storage"]["main"]["ok"], false);
    hub.set(Mood::Gives(60_000));
    until("keys", || (agent.keys().0 == 200).then_some(()));
    assert_eq!(agent.status()["storage"]["main"]["ok"], true);
}

#[test]
fn who_loses_the_right_loses_the_keys_at_hand() {
    let hub = Hub::start(Mood::Gives(4000));
    let agent = Agent::waiting(&hub);
    assert_eq!(agent.keys().0, 200);
    hub.set(Mood::Refuses(403, "no_role"));
    let refused = until("a refusal", || Some(agent.keys()).filter(|(status, _)| *status != 200));
    assert_eq!((refused.0, &refused.1["code"]), (403, &json!("no_role")));
    assert_eq!(refused.1["message"], "It says no.");
    assert_eq!(agent.status()["storage"]["main"]["code"], "no_role");
}

#[test]
fn nobody_else_gets_keys() {
    let hub = Hub::start(Mood::Gives(60_000));
    let agent = Agent::waiting(&hub);
    let environment = agent.environment();
    let url = &environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let token = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"].as_str();
    let right = ("Authorization", token);
    assert_eq!(get(url, &[right]).0, 200);
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    assert_eq!(get(url, &[right, ("Host", &format!("localhost:{port}"))]).0, 200);
    let bearer = format!("Bearer {token}");
    for (headers, code) in [
        (vec![], "wrong_token"),
        (vec![("Authorization", "wrong")], "wrong_token"),
        (vec![("Authorization", &token[1..])], "wrong_token"),
        (vec![("Authorization", bearer.as_str())], "wrong_token"),
        // A page whose name was made to lead to this machine.
        (vec![right, ("Host", "evil.example")], "foreign_host"),
        (vec![right, ("Host", "127.0.0.1")], "foreign_host"),
        (vec![right, ("Host", "127.0.0.1:1")], "foreign_host"),
    ] {
        let (status, said) = get(url, &headers);
        assert_eq!((status, &said["code"]), (403, &json!(code)), "{headers:?}");
        assert!(!said.to_string().contains("s3cret"));
    }
    assert_eq!(ask("POST", url, &[right]).0, 405);
    for path in ["/", "/credentials/", "/credentials/none", "/credentials/main/", "/../etc/passwd"] {
        let url = format!("http://127.0.0.1:{port}{path}");
        assert_eq!(get(&url, &[right]).0, 404, "{path}");
    }
    // It is reached from this machine alone.
    assert!(url.starts_with("http://127.0.0.1:"));
}

#[test]
fn old_tools_get_keys_from_a_command_and_profiles_for_every_storage() {
    let hub = Hub::start(Mood::Gives(60_000));
    let agent = Agent::waiting(&hub);
    let environment = agent.environment();
    let print = |arguments: &[&str]| {
        let mut command = command(&hub, &agent.folder, PROGRAM, &[&["credentials"], arguments].concat());
        command.envs(&environment).output().unwrap()
    };
    for (arguments, of) in [(&[][..], "main-"), (&["--storage", "other"], "other-"), (&["--storage=main"], "main-")] {
        let output = print(arguments);
        let keys: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(keys["AccessKeyId"].as_str().unwrap().starts_with(of), "{arguments:?} {keys}");
        assert_eq!((&keys["Version"], &keys["SessionToken"]), (&json!(1), &json!("session")));
    }
    let config = std::fs::read_to_string(&environment["AWS_CONFIG_FILE"]).unwrap();
    assert!(config.contains("[profile other]\nendpoint_url = https://s3.example.org\n"), "{config}");
    for wrong in [&["--storage", "none"][..], &["--storage", "../x"], &["--all"], &["--storage"]] {
        let output = print(wrong);
        assert!(!output.status.success() && output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
    // Where no agent runs, the hub is asked; and what it says is told.
    hub.set(Mood::Refuses(409, "sign_in_needed"));
    let output = command(&hub, &agent.folder, PROGRAM, &["credentials"]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("It says no."));
}

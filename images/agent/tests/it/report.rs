//! What the hub is told of the lab.

use serde_json::json;

use crate::agent::{Agent, PROGRAM, command, until};
use crate::hub::{Hub, Mood};

#[test]
fn the_hub_hears_what_is_at_hand_and_how_folders_are_and_each_change() {
    let hub = Hub::start(Mood::Gives(4000));
    let folder = tempfile::tempdir().unwrap();
    let mut command =
        command(&hub, &folder, PROGRAM, &["sh", "-c", "env > $OUT/draft && mv $OUT/draft $OUT/env && exec sleep 600"]);
    // Whatever is mounted is a folder to the agent; the other one is missing.
    command.env("SPECOLA_FOLDERS", "/proc:/no/such/folder");
    let agent = Agent { process: command.spawn().unwrap(), folder };
    until("the lab", || agent.out("env").exists().then_some(()));
    hub.hears("keys, token and folders", |told| {
        told["storage"]["main"]["ok"] == true
            && told["token"]["ok"] == true
            && told["folders"]
                == json!({"/proc": {"ok": true},
                "/no/such/folder": {"ok": false, "code": "absent", "message": "nothing is mounted there"}})
            && told["ready"] == false
    });
    assert_eq!(agent.status()["folders"]["/proc"]["ok"], true, "the lab finds the same in its file");
    hub.set(Mood::Away);
    until("keys missed", || (agent.keys().0 != 200).then_some(()));
    // What it could not tell meanwhile is told when the hub hears again; keys it has by then.
    hub.set(Mood::Gives(3_600_000));
    until("keys", || (agent.keys().0 == 200).then_some(()));
    hub.hears("keys that last", |told| {
        told["storage"]["main"]["expires_in"].as_u64().is_some_and(|seconds| seconds > 60)
    });
}

#[test]
fn without_folders_nothing_is_said_of_any() {
    let hub = Hub::start(Mood::Gives(60_000));
    let _agent = Agent::waiting(&hub);
    hub.hears("that all is there", |told| told["ready"] == true && told.get("folders").is_none());
}

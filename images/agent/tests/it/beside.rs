//! The agent beside an executor, whose address and token somebody else has chosen.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use crate::agent::{Agent, PROGRAM, command, tried, until};
use crate::hub::{Hub, Mood};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// What is at an address, when somebody is there.
fn at(address: &str, token: &str) -> Option<(u16, Value)> {
    tried("GET", &format!("http://{address}/credentials/main"), &[("Authorization", token)]).ok()
}

#[test]
fn an_executor_finds_keys_where_it_was_told_and_the_hub_hears_of_its_server_alone() {
    let hub = Hub::start(Mood::Gives(4000));
    let (folder, address) = (tempfile::tempdir().unwrap(), free());
    let mut beside = command(&hub, &folder, PROGRAM, &[]);
    beside.env("SPECOLA_STORAGE_LISTEN", &address).env("SPECOLA_STORAGE_TOKEN", TOKEN);
    let _agent = Agent { process: beside.spawn().unwrap(), folder };
    let (status, keys) = until("keys", || at(&address, TOKEN));
    assert_eq!(status, 200, "{keys}");
    assert!(keys["AccessKeyId"].as_str().unwrap().starts_with("main-"), "{keys}");
    assert_eq!(at(&address, "another").unwrap().0, 403);
    // Two more lives of keys are time enough for a report.
    let asked = hub.asked();
    until("more keys", || {
        let (status, keys) = at(&address, TOKEN).unwrap();
        assert_eq!(status, 200, "{keys}");
        (hub.asked() >= asked + 2).then_some(())
    });
    hub.until("nothing told", |state| state.status.is_none());
}

#[test]
fn an_address_for_others_and_a_token_that_is_none_are_not_taken() {
    let hub = Hub::start(Mood::Gives(60_000));
    for (address, token, why) in [
        ("0.0.0.0:0".to_owned(), TOKEN, "this machine alone"),
        (free(), "", "is no token"),
        ("here".to_owned(), TOKEN, "is no address"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut beside = command(&hub, &folder, PROGRAM, &["true"]);
        beside.env("SPECOLA_STORAGE_LISTEN", &address).env("SPECOLA_STORAGE_TOKEN", token).stderr(Stdio::piped());
        let output = beside.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(why), "{address}: {said}");
    }
}

/// The processes of a pod, as `/proc` shows them.
struct Processes(tempfile::TempDir);

impl Processes {
    fn put(&self, number: u32, state: char) {
        let folder = self.0.path().join(number.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        // In one step, as the kernel does.
        let fresh = self.0.path().join("fresh");
        std::fs::write(&fresh, format!("{number} (a ) Z) {state} 1 1")).unwrap();
        std::fs::rename(fresh, folder.join("stat")).unwrap();
    }

    fn take(&self, number: u32) {
        std::fs::remove_dir_all(self.0.path().join(number.to_string())).unwrap();
    }
}

#[test]
fn the_agent_ends_with_the_executor_that_it_sees_and_not_before() {
    for leaves_itself in [true, false] {
        let hub = Hub::start(Mood::Gives(4000));
        let (folder, address) = (tempfile::tempdir().unwrap(), free());
        let processes = Processes(tempfile::tempdir().unwrap());
        processes.put(1, 'S');
        processes.put(4_000_001, 'R');
        processes.put(4_000_002, 'S');
        let mut beside = command(&hub, &folder, PROGRAM, &[]);
        beside.env("SPECOLA_STORAGE_LISTEN", &address).env("SPECOLA_STORAGE_TOKEN", TOKEN);
        beside.env("SPECOLA_PROCESSES", processes.0.path());
        let mut agent = Agent { process: beside.spawn().unwrap(), folder };
        processes.put(agent.process.id(), 'S');
        assert_eq!(until("keys", || at(&address, TOKEN)).0, 200);
        // One of two ends; the agent goes on for longer than it would look.
        processes.take(4_000_001);
        let asked = hub.asked();
        until("more keys", || {
            assert_eq!(at(&address, TOKEN).unwrap().0, 200);
            (hub.asked() >= asked + 3).then_some(())
        });
        assert_eq!(agent.process.try_wait().unwrap(), None);
        // The last one leaves, or nobody has taken leave of it yet.
        if leaves_itself {
            processes.take(4_000_002)
        } else {
            processes.put(4_000_002, 'Z')
        }
        let code = until("its end", || agent.process.try_wait().unwrap());
        assert_eq!(code.code(), Some(0));
    }
}

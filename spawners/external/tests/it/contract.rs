//! What every driver must do.

use std::time::Duration;

use callout::{Bounds, Callout, Target};
use hub_core::id::{Generation, SpawnerId};
use spawner_external::External;
use spawners::{Identity, Plan, Spawner, contract};

/// A driver that asks a program.
pub fn driver(argv: Vec<String>, limit: Duration) -> External {
    let bounds = Bounds { limit, answer_bytes: 1 << 20, at_once: 4 };
    External::new("h", Callout::new(Target::Command { argv, environment: Default::default() }, bounds))
}

/// A plan for a server of that row and generation.
pub fn plan(spawner: i64, generation: i64) -> Plan {
    let identity = Identity {
        hub: "h".into(),
        spawner: SpawnerId(spawner),
        generation: Generation(generation),
        user: "anna".into(),
        server: String::new(),
        account: None,
    };
    Plan::new(identity, "/user/anna/", vec!["lab".into()])
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program.py");
    let argv = ["python3", script, folder.path().to_str().unwrap()].map(str::to_owned).to_vec();
    let open = || Box::new(driver(argv.clone(), Duration::from_secs(30))) as Box<dyn Spawner>;
    contract::all(&open, &plan).await;
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "nothing is left");
}

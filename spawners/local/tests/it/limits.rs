//! Limits on memory, and a full disk.

use std::process::Command;

use serde_json::Value;
use spawners::contract::{self, Paper};
use spawners::{Sight, Spawner, StartError};

use crate::ground::{Ground, SERVER, end, look, without_root};

/// Touches half a gigabyte.
const GREEDY: &str = "import time\nhoard = bytearray(512 * 1024 * 1024)\nprint('sated')\ntime.sleep(600)";

async fn greed_ends(ground: &Ground) -> String {
    let local = ground.open();
    let mut plan = ground.python(1, 1, GREEDY);
    plan.mem_limit = Some(128 * 1024 * 1024);
    plan.cpu_limit = Some(0.5);
    let started = local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    contract::eventually("it has ended", || async {
        matches!(look(&local, &plan.identity, &started.state).await, Sight::Exited { .. })
    })
    .await;
    let sight = look(&local, &plan.identity, &started.state).await;
    let Sight::Exited { reason, .. } = &sight else { panic!("{sight:?}") };
    let reason = reason.clone();
    end(&local, &plan.identity, &started.state, false).await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_too_much_memory_ends_and_says_so() {
    let reason = greed_ends(&Ground::new()).await;
    assert!(reason.contains("more memory than it may") || reason.contains("MemoryError"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_without_control_groups_too() {
    if without_root("limits::memory_is_limited_without_control_groups_too") {
        let mut ground = Ground::new();
        ground.config.cgroups = false;
        let reason = greed_ends(&ground).await;
        assert!(reason.contains("MemoryError"), "{reason}");
    }
}

/// A small disk of its own, for as long as the value lives.
struct Disk(std::path::PathBuf);

impl Disk {
    /// Mounts it; nothing where that is not allowed.
    fn mount(folder: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "none"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_starts_and_what_runs_can_be_seen_and_stopped() {
    let ground = Ground::new();
    let Some(_disk) = Disk::mount(&ground.config.data_dir) else {
        return eprintln!("skipped: no disk can be mounted");
    };
    let local = ground.open();
    let (server, started) = ground.start(&local, SERVER).await;
    std::fs::write(ground.config.data_dir.join("filler"), vec![0; 1024 * 1024]).unwrap_err();
    let outcome = local.start(&ground.python(2, 1, SERVER), &Value::Null, &Paper::default()).await;
    assert!(matches!(&outcome, Err(StartError::Failed { sentence, .. }) if sentence.contains("full")), "{outcome:?}");
    let absent = look(&local, &ground.identity(2, 1), &Value::Null).await;
    assert_eq!(absent, Sight::Absent);
    assert_eq!(look(&local, &server, &started.state).await, Sight::Up { url: started.url });
    end(&local, &server, &started.state, false).await;
}

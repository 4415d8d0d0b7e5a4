//! Limits on memory.

use serde_json::Value;
use spawners::contract::{self, Paper};
use spawners::{Sight, Spawner};

use crate::ground::{Ground, end, look, without_root};

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

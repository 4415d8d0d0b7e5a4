//! Events instead of waiting.

use std::time::Duration;

use hub_core::id::SpawnerId;
use spawners::Spawner;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ground::{docker, ground};

#[tokio::test]
async fn the_end_of_a_server_is_noticed_at_once() {
    let Some(ground) = ground() else { return };
    ground.start(&ground.plan(7, 1)).await.unwrap();
    let (sender, mut nudges) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let watching = {
        let (driver, stop) = (ground.driver(), stop.clone());
        tokio::spawn(async move { driver.watch(sender, stop).await })
    };
    // Another server's start shows that the engine is listened to.
    let mut row = 8;
    loop {
        ground.start(&ground.plan(row, 1)).await.unwrap();
        match tokio::time::timeout(Duration::from_secs(2), nudges.recv()).await {
            Ok(Some(server)) if server == SpawnerId(row) => break,
            _ if row < 12 => row += 1,
            other => panic!("{other:?}"),
        }
    }
    while nudges.try_recv().is_ok() {}
    docker(&["kill", &format!("{}-user7", ground.hub)]);
    let nudge = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if nudges.recv().await == Some(SpawnerId(7)) {
                break;
            }
        }
    });
    nudge.await.expect("a nudge");
    stop.cancel();
    watching.await.unwrap();
}

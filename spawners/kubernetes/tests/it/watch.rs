//! A server that ends is noticed at once.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::json;
use spawners::{News, Spawner};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, cluster, fake};

async fn noticed(ground: &Ground, end: impl AsyncFn()) {
    let (driver, stop) = (ground.driver(), CancellationToken::new());
    let (sender, mut nudges) = mpsc::channel(16);
    let watching = {
        let (driver, stop) = (driver.clone(), stop.clone());
        tokio::spawn(async move { driver.watch(sender, stop).await })
    };
    let plan = ground.plan(7, 1);
    ground.start(&plan).await.unwrap();
    // Its way up is told too.
    let mut ended = false;
    loop {
        let nudge = tokio::time::timeout(Duration::from_secs(30), nudges.recv()).await.unwrap();
        assert_eq!(nudge, Some(News::Look(plan.identity.spawner)));
        match driver.look(&plan.identity, &serde_json::Value::Null).await.unwrap() {
            spawners::Sight::Up { .. } if !ended => {
                ended = true;
                end().await;
            }
            spawners::Sight::Absent | spawners::Sight::Exited { .. } if ended => break,
            _ => {}
        }
    }
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_is_noticed_on_a_fake() {
    let ground = fake().await;
    noticed(&ground, async || {
        ground.fake().change("pods", "labs", "jupyter-user7", |pod| pod["status"] = json!({ "phase": "Failed" }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_taken_away_is_noticed_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    noticed(&ground, async || {
        ground.pods().delete("jupyter-user7", &DeleteParams::default().grace_period(0)).await.unwrap();
    })
    .await;
}

//! A server that ends is noticed at once.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::json;
use spawners::contract::eventually;
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

/// The survey of a hub that begins does that work.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_a_hub_begins_is_no_news() {
    let ground = fake().await;
    for row in [1, 2, 3] {
        ground.start(&ground.plan(row, 1)).await.unwrap();
    }
    let (driver, stop) = (ground.driver(), CancellationToken::new());
    let (sender, mut news) = mpsc::channel(16);
    let watching = {
        let (driver, stop) = (driver.clone(), stop.clone());
        tokio::spawn(async move { driver.watch(sender, stop).await })
    };
    assert_eq!(driver.list_owned().await.unwrap().len(), 3);
    // What happens from then on is told, also where it is found by another list.
    ground.fake().cut();
    ground.fake().forget();
    ground.fake().take("pods", "labs", "jupyter-user2");
    let heard = tokio::time::timeout(Duration::from_secs(30), news.recv()).await.unwrap();
    assert_eq!(heard, Some(News::Look(hub_core::id::SpawnerId(2))));
    stop.cancel();
    watching.await.unwrap();
    assert_eq!(news.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_nobody_had_time_for_are_told_to_be_missing() {
    let ground = fake().await;
    ground.start(&ground.plan(1, 1)).await.unwrap();
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    let (sender, mut news) = mpsc::channel(1);
    let mut watching = {
        let driver = driver.clone();
        Box::pin(async move { driver.watch(sender, CancellationToken::new()).await })
    };
    assert!(futures_util::poll!(&mut watching).is_pending(), "it listens from now on");
    let watching = tokio::spawn(watching);
    let mut pod = ground.fake().object("pods", "labs", "jupyter-user1").unwrap();
    pod["metadata"]["uid"] = serde_json::Value::Null;
    let count = 4200;
    for row in 2..=count {
        pod["metadata"]["name"] = json!(format!("jupyter-user{row}"));
        pod["metadata"]["labels"]["specola.spawner"] = json!(row.to_string());
        ground.fake().put("pods", pod.clone());
    }
    eventually("all are known", || async { driver.list_owned().await.unwrap().len() == count }).await;
    loop {
        match tokio::time::timeout(Duration::from_secs(30), news.recv()).await.unwrap() {
            Some(News::Missed) => break,
            Some(_) => {}
            None => panic!("it has ended"),
        }
    }
    watching.abort();
}

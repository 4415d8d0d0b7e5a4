//! Pods that KubeSpawner made: taken over while they run, and out of the way when they do not.

use serde_json::{Value, json};
use spawners::contract::eventually;
use spawners::{Sight, Spawner, contract};

use crate::ground::{Ground, cluster, fake};
use crate::storage::with_name;

async fn taken_over(ground: &Ground) {
    let (name, state) = ground.made_by_kubespawner("user1").await;
    let identity = ground.identity(1, 0);
    eventually("it is up", || async { matches!(ground.look(&identity, &state).await, Sight::Up { .. }) }).await;
    let address = ground.pods().get(&name).await.unwrap().status.unwrap().pod_ip.unwrap();
    let up = Sight::Up { url: format!("http://{address}:8888/user/user1/") };
    assert_eq!(ground.look(&identity, &state).await, up);
    // Without a state there is no telling; nor is it somebody else's.
    assert_eq!(ground.look(&identity, &Value::Null).await, Sight::Absent);
    assert_eq!(ground.look(&ground.identity(2, 0), &state).await, Sight::Absent);
    let (code, _) = ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(code, "name_taken", "while it runs it is not touched");
    contract::stop(&ground.driver(), &identity, &state).await;
    assert_eq!(ground.names().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pod_of_kubespawners_is_taken_over_on_a_fake() {
    taken_over(&fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pod_of_kubespawners_is_taken_over_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    taken_over(&ground).await;
}

#[tokio::test]
async fn a_pod_of_kubespawners_that_has_ended_makes_room() {
    let ground = fake().await;
    let (name, _) = ground.made_by_kubespawner("user1").await;
    eventually("it is up", || async {
        ground.pods().get(&name).await.unwrap().status.and_then(|status| status.phase).as_deref() == Some("Running")
    })
    .await;
    ground
        .fake()
        .change("pods", "labs", &name, |pod| pod["status"] = json!({ "phase": "Failed", "reason": "Evicted" }));
    let started = ground.start(&ground.plan(1, 1)).await.unwrap();
    assert_eq!(started.state["pod_name"], json!(name), "so that JupyterHub finds it again");
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_theirs() {
    let ground = fake().await;
    ground.fake().put(
        "pods",
        json!({ "metadata": { "name": "jupyter-user1", "namespace": "labs" }, "spec": { "containers": [] } }),
    );
    let (code, sentence) = ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(code, "name_taken");
    assert!(sentence.contains("jupyter-user1"), "{sentence}");
    assert_eq!(ground.names().await, ["jupyter-user1"], "it is still there");
}

/// A database of before gives the numbers of servers and starts out again.
#[tokio::test]
async fn a_pod_of_another_account_is_not_adopted_whatever_its_numbers() {
    for generation in [1, 3] {
        let ground = fake().await;
        let others = ground.plan(1, generation);
        ground.start(&others).await.unwrap();
        let own = with_name(&ground.plan(1, 1), "anna", "9-1764424899123");
        assert_eq!(
            ground.look(&own.identity, &json!({ "pod_name": "jupyter-user1", "namespace": "labs" })).await,
            Sight::Absent
        );
        let driver = ground.driver();
        driver.list_owned().await.unwrap();
        let started = driver.start(&own, &Value::Null, &contract::Paper::default()).await.unwrap();
        assert_eq!(ground.names().await, ["jupyter-anna"], "the other one is nobody's any more");
        // One of before accounts were written is the server's.
        ground.fake().change("pods", "labs", "jupyter-anna", |pod| {
            pod["metadata"]["labels"].as_object_mut().unwrap().remove("specola.user");
        });
        assert!(matches!(ground.look(&own.identity, &started.state).await, Sight::Up { .. }));
    }
}

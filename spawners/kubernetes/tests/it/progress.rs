//! What people are told while they wait, and how long they wait.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use spawners::Spawner;
use spawners::contract::eventually;

use crate::ground::{Told, cluster, fake};

fn event(pod: &Value, name: &str, reason: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "labs" }, "reason": reason, "message": "", "type": "Normal",
        "involvedObject": { "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] },
    })
}

#[tokio::test]
async fn people_are_told_how_far_their_server_is() {
    let ground = fake().await;
    let (plan, told, driver) = (ground.plan_of(1, 1, "waits"), Told::default(), ground.driver());
    let (started, ()) = tokio::join!(driver.start(&plan, &Value::Null, &told), async {
        told.says("Looking for a machine").await;
        let full = "0/1 nodes are available: 1 Insufficient memory.";
        let change = |change: &dyn Fn(&mut Value)| ground.fake().change("pods", "labs", "jupyter-user1", change);
        change(&|pod| {
            pod["status"]["conditions"] =
                json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": full }]);
        });
        told.says("No machine has room for this server at the moment (memory)").await;
        let pod = serde_json::to_value(ground.pods().get("jupyter-user1").await.unwrap()).unwrap();
        ground.fake().put("events", event(&pod, "a", "TriggeredScaleUp"));
        told.says("a machine is being added for it").await;
        change(&|pod| pod["spec"]["nodeName"] = json!("node7"));
        told.says("Starting the server on node7").await;
        ground.fake().put("events", event(&pod, "b", "Pulling"));
        told.says("Fetching the image").await;
        change(&|pod| {
            pod["status"] = json!({ "phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [{
                "name": "notebook", "image": "", "imageID": "", "restartCount": 0, "ready": true, "state": { "running": {} },
            }]});
        });
    });
    assert_eq!(started.unwrap().url, "http://10.0.0.7:8888/user/user1/");
    let patience = told.1.lock().unwrap().clone();
    assert_eq!(patience, [Duration::from_secs(15 * 60), Duration::from_secs(30 * 60)], "once for each");
}

/// Whatever other pods do, the one that is waited for is asked for when the watch tells nothing of it.
#[tokio::test]
async fn changes_of_other_pods_keep_nobody_from_asking() {
    let ground = fake().await;
    let other = json!({ "metadata": {
        "name": "other", "namespace": "labs", "labels": { "specola.hub": "mark" },
    }, "spec": { "containers": [] } });
    ground.fake().put("pods", other);
    let (plan, told, driver) = (ground.plan_of(1, 1, "waits"), Told::default(), ground.driver());
    let pod = "GET /api/v1/namespaces/labs/pods/jupyter-user1";
    tokio::select! {
        started = driver.start(&plan, &Value::Null, &told) => panic!("{started:?}"),
        () = eventually("it is asked for", || async {
            ground.fake().change("pods", "labs", "other", |pod| pod["metadata"]["annotations"] = json!({}));
            ground.fake().asked(pod) > 0
        }) => {}
    }
}

#[tokio::test]
async fn without_the_right_to_read_events_a_server_starts_all_the_same() {
    let ground = fake().await;
    let how = fake_kubernetes::How::says(403, "Forbidden", "events is forbidden: User cannot list resource");
    ground.fake().fail(fake_kubernetes::Fault::new("GET /api/v1/namespaces/labs/events", usize::MAX, how));
    ground.start(&ground.plan(1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_how_far_their_server_is_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    let told = Told::default();
    ground.driver().start(&ground.plan(1, 1), &Value::Null, &told).await.unwrap();
    let said = told.0.lock().unwrap().join("\n");
    assert!(said.contains("Asking the cluster for the server") && said.contains("Starting the server on"), "{said}");
    let mut nowhere = ground.plan(2, 1);
    nowhere.extra = crate::ground::table(json!({ "node_selector": { "no-such": "node" } }));
    // As an autoscaler says it that has no such machine; without one it takes minutes.
    let events: Api<Event> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let ((code, _), ()) = tokio::join!(ground.fails(&nowhere), async {
        eventually("there is a pod", || async { ground.pods().get("jupyter-user2").await.is_ok() }).await;
        let pod = serde_json::to_value(ground.pods().get("jupyter-user2").await.unwrap()).unwrap();
        let mut said = event(&pod, "not", "NotTriggerScaleUp");
        said["metadata"]["namespace"] = json!(ground.namespace);
        said["involvedObject"]["namespace"] = json!(ground.namespace);
        events.create(&PostParams::default(), &serde_json::from_value(said).unwrap()).await.unwrap();
    });
    assert_eq!(code, "no_machine");
}

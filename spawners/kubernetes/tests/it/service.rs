//! Services of servers, and namespaces of people.

use fake_kubernetes::{Fault, How};
use hub_core::id::Generation;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use spawners::contract::{self, Paper, eventually};
use spawners::{Identity, Sight, Spawner};

use crate::ground::{Ground, cluster, fake};
use crate::storage::with_name;

async fn served(ground: &mut Ground) {
    ground.shape(json!({ "services_enabled": true, "extra_annotations": { "of": "all" } }));
    let mut plan = ground.plan(1, 1);
    plan.extra.insert("extra_labels".into(), json!({ "of": "{username}" }));
    let started = ground.start(&plan).await.unwrap();
    let name = format!("jupyter-user1.{}.svc.cluster.local", ground.namespace);
    assert_eq!(started.url, format!("http://{name}:8888/user/user1/"));
    assert_eq!(started.state["dns_name"], json!(name));
    let service = ground.services().get("jupyter-user1").await.unwrap();
    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    assert_eq!(service.metadata.owner_references.unwrap()[0].uid, pod.metadata.uid.unwrap());
    assert_eq!(service.metadata.labels.unwrap()["of"], "user1", "as its pod has it");
    assert_eq!(service.metadata.annotations.unwrap()["of"], "all");
    // The next start has one of its own.
    let again = ground.plan(1, 2);
    ground.start(&again).await.unwrap();
    assert_eq!(ground.look(&again.identity, &started.state).await, Sight::Up { url: started.url });
    contract::stop(&ground.driver(), &again.identity, &started.state).await;
    eventually("its service goes with it", || async {
        ground.services().get_opt("jupyter-user1").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_a_service_on_a_fake() {
    served(&mut fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_a_service_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    served(&mut ground).await;
}

/// The hub dies between a pod and its service; and the start is begun again, or the server is only looked at.
#[tokio::test]
async fn a_server_whose_start_was_cut_off_gets_its_service() {
    let mut ground = fake().await;
    ground.shape(json!({ "services_enabled": true }));
    for (row, begun_again) in [(1, true), (2, false)] {
        let (plan, name) = (ground.plan(row, 1), format!("jupyter-user{row}"));
        let of = "POST /api/v1/namespaces/labs/services";
        ground.fake().fail(Fault::new(of, 1, How::Hangs));
        let (driver, asked, paper) = (ground.driver(), ground.fake().asked(of), Paper::default());
        tokio::select! {
            started = driver.start(&plan, &Value::Null, &paper) => panic!("{started:?}"),
            () = eventually("the service is asked for", || async { ground.fake().asked(of) > asked }) => {}
        }
        assert!(ground.services().get_opt(&name).await.unwrap().is_none());
        let driver = ground.driver();
        if begun_again {
            driver.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
        } else {
            eventually("it is up", || async {
                matches!(driver.look(&plan.identity, &Value::Null).await, Ok(Sight::Up { .. }))
            })
            .await;
        }
        let service = ground.services().get(&name).await.unwrap();
        let pod = ground.pods().get(&name).await.unwrap();
        assert_eq!(service.metadata.owner_references.unwrap()[0].uid, pod.metadata.uid.unwrap());
        let asked = ground.fake().asked(of);
        driver.look(&plan.identity, &Value::Null).await.unwrap();
        assert_eq!(ground.fake().asked(of), asked, "it is known to be there");
    }
}

#[tokio::test]
async fn a_hub_that_begins_finds_all_services_with_one_request() {
    let mut ground = fake().await;
    ground.shape(json!({ "services_enabled": true }));
    for row in 1..=3 {
        ground.start(&ground.plan(row, 1)).await.unwrap();
    }
    ground.fake().take("services", "labs", "jupyter-user3");
    let services = "/api/v1/namespaces/labs/services";
    let asked = || ["POST", "GET"].map(|verb| ground.fake().asked(&format!("{verb} {services}")));
    let (driver, before) = (ground.driver(), asked());
    driver.list_owned().await.unwrap();
    for row in [1, 2, 3, 1] {
        driver.look(&ground.identity(row, 1), &Value::Null).await.unwrap();
    }
    assert_eq!(asked(), [before[0] + 1, before[1] + 1], "the one that is missing is made");
    assert!(ground.services().get_opt("jupyter-user3").await.unwrap().is_some());
}

/// Who may not list them makes sure of each.
#[tokio::test]
async fn services_that_cannot_be_listed_are_made_sure_of_one_by_one() {
    let mut ground = fake().await;
    ground.shape(json!({ "services_enabled": true }));
    let of = "GET /api/v1/namespaces/labs/services";
    ground.fake().fail(Fault::new(of, 1, How::says(403, "Forbidden", "cannot list services")));
    let started = ground.start(&ground.plan(1, 1)).await.unwrap();
    assert!(started.url.contains("jupyter-user1.labs.svc"), "{}", started.url);
    assert!(ground.services().get_opt("jupyter-user1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_namespace_that_is_not_known_to_be_theirs_is_not_taken() {
    let mut ground = fake().await;
    ground.config.enable_user_namespaces = true;
    ground.config.user_namespace_template = "{username}".into();
    let put = |name: &str, owner: Value| {
        ground.fake().put("namespaces", json!({ "metadata": { "name": name, "annotations": owner } }));
    };
    let of = |user: &str, row: i64| with_name(&ground.plan(row, 1), user, &format!("{row}-1764424899123"));
    put("kube-system", Value::Null);
    put("user2", json!({ "hub.jupyter.org/username": "eve" }));
    for (user, row) in [("kube-system", 1), ("user2", 2)] {
        assert_eq!(ground.fails(&of(user, row)).await.0, "namespace_of_another", "{user}");
    }
    // Made here, made beforehand by an operator, and KubeSpawner's, in which they have something.
    ground.start(&of("user3", 3)).await.unwrap();
    let again = spawners::Plan {
        identity: Identity { generation: Generation(2), ..of("user3", 3).identity },
        ..of("user3", 3)
    };
    ground.start(&again).await.unwrap();
    assert_eq!(ground.fails(&of("user3", 33)).await.0, "namespace_of_another", "somebody new of the name");
    put("user4", json!({ "hub.jupyter.org/username": "user4" }));
    ground.start(&of("user4", 4)).await.unwrap();
    put("user5", Value::Null);
    let owner = json!({ "hub.jupyter.org/username": "user5" });
    let claim = json!({ "metadata": { "name": "claim-user5", "namespace": "user5", "annotations": owner } });
    ground.fake().put("persistentvolumeclaims", claim);
    ground.start(&of("user5", 5)).await.unwrap();
}

async fn spaced(ground: &mut Ground) {
    ground.config.enable_user_namespaces = true;
    ground.config.user_namespace_labels.insert("of".into(), "{username}".into());
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    let name = format!("{}-user1", ground.namespace);
    assert_eq!(started.state["namespace"], json!(name));
    let spaces: Api<Namespace> = Api::all(ground.client.clone());
    assert_eq!(spaces.get(&name).await.unwrap().metadata.labels.unwrap()["of"], "user1");
    let pods: Api<Pod> = Api::namespaced(ground.client.clone(), &name);
    assert!(pods.get_opt("jupyter-user1").await.unwrap().is_some());
    let driver = ground.driver();
    assert_eq!(driver.list_owned().await.unwrap().len(), 1, "it is found wherever it is");
    contract::stop(&driver, &plan.identity, &serde_json::Value::Null).await;
    spaces.delete(&name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_have_namespaces_of_their_own_on_a_fake() {
    spaced(&mut fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_have_namespaces_of_their_own_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    spaced(&mut ground).await;
}

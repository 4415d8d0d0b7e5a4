//! Claims: made, kept, found again, nobody else's, and deleted with their server alone.

use fake_kubernetes::{Fault, How};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use spawners::Spawner;
use spawners::contract;

use crate::ground::{Ground, cluster, fake};

pub fn with_storage(ground: &mut Ground) {
    ground.shape(json!({
        "storage_pvc_ensure": true, "storage_capacity": "1Mi", "storage_class": "",
        "storage_selector": { "matchLabels": { "of": ground.hub } },
        "volumes": [{ "name": "home", "persistentVolumeClaim": { "claimName": "{pvc_name}" } }],
        "volume_mounts": [{ "name": "home", "mountPath": "/home/jovyan" }],
    }));
}

pub async fn claims(ground: &Ground) -> Vec<String> {
    let listed = ground.claims().list(&Default::default()).await.unwrap();
    listed.items.into_iter().filter_map(|claim| claim.metadata.name).collect()
}

async fn kept_and_discarded(ground: &Ground) {
    let mut plan = ground.plan(1, 1);
    plan.identity.server = "gpu".into();
    let started = ground.start(&plan).await.unwrap();
    assert_eq!(started.state["pvc_name"], "claim-user1--gpu");
    let uid = ground.claims().get("claim-user1--gpu").await.unwrap().metadata.uid;
    let driver = ground.driver();
    contract::stop(&driver, &plan.identity, &started.state).await;
    plan.identity.generation.0 = 2;
    let again = ground.start(&plan).await.unwrap();
    assert_eq!(again.state, started.state);
    assert_eq!(ground.claims().get("claim-user1--gpu").await.unwrap().metadata.uid, uid, "it is the same");
    contract::stop(&driver, &plan.identity, &again.state).await;
    driver.discard_is_refused_while_used(&plan, ground).await;
    driver.forget(&plan.identity, &Value::Null).await.unwrap();
    contract::eventually("it goes with its server", || async { claims(ground).await.is_empty() }).await;
}

trait Uses {
    async fn discard_is_refused_while_used(&self, plan: &spawners::Plan, ground: &Ground);
}

impl Uses for spawner_kubernetes::Kubernetes {
    /// A pod of somebody else's that has the claim.
    async fn discard_is_refused_while_used(&self, plan: &spawners::Plan, ground: &Ground) {
        let pod = json!({
            "metadata": { "name": "other" },
            "spec": {
                "schedulerName": "nobody",
                "containers": [{ "name": "c", "image": "waits" }],
                "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "claim-user1--gpu" } }],
            },
        });
        ground.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        self.forget(&plan.identity, &Value::Null).await.unwrap();
        assert_eq!(claims(ground).await, ["claim-user1--gpu"], "what is referred to stays");
        ground.pods().delete("other", &DeleteParams::default().grace_period(0)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_outlives_a_stop_and_goes_with_its_server_on_a_fake() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    kept_and_discarded(&ground).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_outlives_a_stop_and_goes_with_its_server_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    with_storage(&mut ground);
    let volumes: Api<PersistentVolume> = Api::all(ground.client.clone());
    let volume = json!({
        "metadata": { "name": ground.hub, "labels": { "of": ground.hub } },
        "spec": {
            "capacity": { "storage": "1Mi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": { "path": format!("/tmp/{}", ground.hub), "type": "DirectoryOrCreate" },
        },
    });
    volumes.create(&PostParams::default(), &serde_json::from_value(volume).unwrap()).await.unwrap();
    kept_and_discarded(&ground).await;
    volumes.delete(&ground.hub, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_not_mounted() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let claim = |user: &str| {
        json!({ "metadata": {
            "name": "claim-user1", "namespace": "labs", "annotations": { "hub.jupyter.org/username": user },
        }})
    };
    ground.fake().put("persistentvolumeclaims", claim("eve"));
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "claim_of_another");
    assert_eq!(ground.names().await, Vec::<String>::new());
    ground.fake().put("persistentvolumeclaims", claim("user1"));
    ground.start(&ground.plan(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_claim_that_is_lost_is_told() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let owner = json!({ "hub.jupyter.org/username": "user1" });
    ground.fake().put(
        "persistentvolumeclaims",
        json!({
            "metadata": { "name": "claim-user1", "namespace": "labs", "annotations": owner },
            "status": { "phase": "Lost" },
        }),
    );
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "claim_lost");
    assert_eq!(ground.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_is_found_under_the_name_it_has() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let mut plan = ground.plan(1, 1);
    plan.identity.user = "Ann@x".into();
    // As KubeSpawner 6 made it.
    let owner = json!({ "hub.jupyter.org/username": "Ann@x" });
    let old = json!({ "metadata": { "name": "claim--41nn-40x", "namespace": "labs", "annotations": owner } });
    ground.fake().put("persistentvolumeclaims", old);
    assert_eq!(ground.start(&plan).await.unwrap().state["pvc_name"], "claim--41nn-40x");
    // As this driver made it, when the template was another.
    let mut plan = ground.plan(2, 1);
    assert_eq!(ground.start(&plan).await.unwrap().state["pvc_name"], "claim-user2");
    ground.shape(json!({ "pvc_name_template": "home-{user_server}" }));
    plan.identity.generation.0 = 2;
    assert_eq!(ground.start(&plan).await.unwrap().state["pvc_name"], "claim-user2");
    assert_eq!(ground.start(&ground.plan(3, 1)).await.unwrap().state["pvc_name"], "home-user3");
}

#[tokio::test]
async fn a_quota_on_storage_keeps_nobody_from_what_they_have() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let how = How::says(403, "Forbidden", "exceeded quota: s, requested: requests.storage=1Mi, used: a, limited: a");
    let of = "POST /api/v1/namespaces/labs/persistentvolumeclaims";
    ground.fake().fail(Fault::new(of, 1, how));
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "quota");
    assert_eq!(ground.names().await, Vec::<String>::new(), "no pod waits for storage that will not come");
    ground.start(&ground.plan(1, 2)).await.unwrap();
    ground.start(&ground.plan(1, 3)).await.unwrap();
    assert_eq!(ground.fake().asked(of), 2, "it is made once");
}

#[tokio::test]
async fn a_claim_is_found_under_the_name_that_is_remembered() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let put = |name: &str, user: &str| {
        let owner = json!({ "hub.jupyter.org/username": user });
        let claim = json!({ "metadata": { "name": name, "namespace": "labs", "annotations": owner } });
        ground.fake().put("persistentvolumeclaims", claim);
    };
    put("home-of-user1", "user1");
    put("home-of-eve", "eve");
    let start = async |row: i64, noted: Value| {
        let state = json!({ "pvc_name": noted });
        let started = ground.driver().start(&ground.plan(row, 1), &state, &contract::Paper::default()).await;
        started.unwrap().state["pvc_name"].clone()
    };
    assert_eq!(start(1, json!("home-of-user1")).await, "home-of-user1");
    assert_eq!(start(2, json!("home-of-eve")).await, "claim-user2", "it is eve's");
    assert_eq!(start(3, json!("home-of-nobody")).await, "claim-user3");
    assert_eq!(start(4, json!("../pods/x")).await, "claim-user4", "no object is called so");
}

#[tokio::test]
async fn what_other_servers_have_does_not_go_with_a_named_one() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.shape(json!({ "pvc_name_template": "claim-{username}" }));
    let mut gpu = ground.plan(1, 1);
    gpu.identity.server = "gpu".into();
    let started = ground.start(&gpu).await.unwrap();
    assert_eq!(started.state["pvc_name"], "claim-user1", "the first one makes it");
    let home = ground.start(&with_name(&ground.plan(2, 1), "user1", "1-1764424899123")).await.unwrap();
    assert_eq!(home.state["pvc_name"], "claim-user1", "and it is everybody's of theirs");
    let person = with_name(&ground.plan(2, 1), "user1", "1-1764424899123").identity;
    contract::stop(&ground.driver(), &gpu.identity, &started.state).await;
    contract::stop(&ground.driver(), &person, &home.state).await;
    ground.driver().forget(&gpu.identity, &Value::Null).await.unwrap();
    // Now that each has one of its own, it is still the home of the others.
    ground.shape(json!({ "pvc_name_template": "claim-{user_server}" }));
    ground.driver().forget(&gpu.identity, &Value::Null).await.unwrap();
    assert_eq!(claims(&ground).await, ["claim-user1"]);
    // It goes with the person, whoever made it.
    ground.shape(json!({ "pvc_name_template": "claim-{username}" }));
    ground.driver().forget(&person, &Value::Null).await.unwrap();
    assert_eq!(claims(&ground).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_of_kubespawners_goes_with_its_person_and_nobody_elses_does() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    for (name, user) in [("claim-user1", "user1"), ("claim-user2", "eve"), ("claim-user3", "")] {
        let owner = json!({ "hub.jupyter.org/username": user });
        let annotations = if user.is_empty() { Value::Null } else { owner };
        let claim = json!({ "metadata": { "name": name, "namespace": "labs", "annotations": annotations } });
        ground.fake().put("persistentvolumeclaims", claim);
    }
    for row in 1..4 {
        ground.driver().forget(&ground.identity(row, 1), &Value::Null).await.unwrap();
    }
    assert_eq!(claims(&ground).await, ["claim-user2", "claim-user3"]);
}

#[tokio::test]
async fn a_claim_is_not_discarded_before_its_own_pod_has_gone() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let plan = ground.plan_of(1, 1, "stubborn");
    let (driver, started) = (ground.driver(), ground.start(&plan).await.unwrap());
    assert!(driver.forget(&plan.identity, &started.state).await.is_err(), "so that somebody tries again");
    assert_eq!(claims(&ground).await, ["claim-user1"]);
    driver.stop(&plan.identity, &started.state, spawners::Stop { force: true }).await.unwrap();
    driver.forget(&plan.identity, &started.state).await.unwrap();
    assert_eq!(claims(&ground).await, Vec::<String>::new());
}

#[tokio::test]
async fn whoever_uses_a_claim_is_found_among_many_by_a_server_that_fails_once() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    let volume = json!({ "name": "v", "persistentVolumeClaim": { "claimName": "claim-user1" } });
    for number in 0..501 {
        let volumes = if number == 500 { vec![volume.clone()] } else { Vec::new() };
        let metadata = json!({ "name": format!("other-{number:03}"), "namespace": "labs" });
        ground.fake().put("pods", json!({ "metadata": metadata, "spec": { "containers": [], "volumes": volumes } }));
    }
    let how = How::says(503, "ServiceUnavailable", "no");
    let pods = "GET /api/v1/namespaces/labs/pods";
    let driver = ground.driver();
    // The pods of the server itself are asked for twice before.
    let before = ground.fake().asked(pods);
    driver.forget(&plan.identity, &Value::Null).await.unwrap();
    assert_eq!(claims(&ground).await, ["claim-user1"], "the last of all pods has it");
    assert_eq!(ground.fake().asked(pods), before + 4, "a page at a time");
    ground.fake().take("pods", "labs", "other-500");
    let of = "GET /api/v1/namespaces/labs/pods";
    let asked = driver.forget(&plan.identity, &Value::Null);
    ground.fake().fail_after(2, Fault::new(of, 1, how));
    asked.await.unwrap();
    assert_eq!(claims(&ground).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_asks_for_a_claim_and_a_pod_and_no_more() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    let asked = |of: &str| ground.fake().asked(&of.replace('~', "/api/v1/namespaces/labs"));
    // While one is asked for, the others gather; and each hears of the pods of all.
    let lists = "GET /api/v1/namespaces/labs/persistentvolumeclaims";
    ground.fake().fail(Fault::new(lists, 1, How::Hangs));
    let starts = (1..=20).map(|row| {
        let (driver, plan) = (driver.clone(), ground.plan(row, 1));
        tokio::spawn(async move { driver.start(&plan, &Value::Null, &contract::Paper::default()).await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    assert_eq!((asked("POST ~/persistentvolumeclaims"), asked("POST ~/pods")), (20, 20));
    assert_eq!((asked("GET ~/persistentvolumeclaims/"), asked("GET ~/pods/")), (0, 0));
    let lists = ground.fake().asked_of_cache(lists);
    assert!(lists < 10, "one that was not answered, the same again, and one for all others: {lists}");
}

#[tokio::test]
async fn a_claim_that_is_there_at_a_first_start_is_kept_and_marked() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let owner = json!({ "hub.jupyter.org/username": "user1" });
    let claim = json!({ "metadata": { "name": "claim-user1", "namespace": "labs", "annotations": owner } });
    ground.fake().put("persistentvolumeclaims", claim);
    let plan = ground.plan(1, 1);
    // Whatever is said of a claim that is to be made.
    let how = How::says(422, "Invalid", "spec: Invalid value");
    ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/persistentvolumeclaims", 1, how));
    assert_eq!(ground.start(&plan).await.unwrap().state["pvc_name"], "claim-user1");
    let claim = ground.claims().get("claim-user1").await.unwrap();
    assert_eq!(claim.metadata.labels.unwrap()["specola.user"], plan.identity.account.unwrap(), "nobody new gets it");
    // The name of before is looked for first, and the usual one comes before it.
    let mut plan = ground.plan(2, 1);
    plan.identity.user = "Ann@x".into();
    for name in ["claim--41nn-40x", "claim-ann-x---83f7639c"] {
        let owner = json!({ "hub.jupyter.org/username": "Ann@x" });
        let claim = json!({ "metadata": { "name": name, "namespace": "labs", "annotations": owner } });
        ground.fake().put("persistentvolumeclaims", claim);
    }
    assert_eq!(ground.start(&plan).await.unwrap().state["pvc_name"], "claim-ann-x---83f7639c");
}

/// A namespace may have the claims of a hundred thousand people.
#[tokio::test]
async fn claims_are_asked_for_by_name_and_once_from_memory() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let (all, own) = ("GET /api/v1/namespaces/labs/persistentvolumeclaims", "claim-user1");
    let busy = How::says(503, "ServiceUnavailable", "no");
    // Also the one by name begins so: the first is for it.
    ground.fake().fail_after(1, Fault::new(all, 1, busy));
    // It has run before, with KubeSpawner.
    let known = json!({ "pod_name": "jupyter-user1", "namespace": "labs" });
    let started = ground.driver().start(&ground.plan(1, 1), &known, &contract::Paper::default()).await.unwrap();
    let asked = |ground: &Ground| {
        let by_name = ground.fake().asked(&format!("{all}/"));
        (by_name, ground.fake().asked(all) - by_name, ground.fake().asked_of_cache(all))
    };
    let (by_name, lists, of_memory) = asked(&ground);
    assert!(by_name >= 1 && lists == 2 && of_memory == 2, "once more, as it failed: {:?}", (by_name, lists, of_memory));
    // The next start finds it by its name.
    let driver = ground.driver();
    driver.start(&ground.plan(1, 2), &started.state, &contract::Paper::default()).await.unwrap();
    assert_eq!(asked(&ground).1, 2);
    assert_eq!(claims(&ground).await, [own]);
}

#[tokio::test]
async fn a_claim_that_a_known_pod_has_is_kept_without_a_list_of_all_pods() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.shape(json!({ "pvc_name_template": "claim-{username}" }));
    let home = ground.plan(1, 1);
    let started = ground.start(&home).await.unwrap();
    let mut gpu = with_name(&ground.plan(2, 1), "user1", home.identity.account.as_deref().unwrap());
    gpu.identity.server = "gpu".into();
    ground.start(&gpu).await.unwrap();
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    contract::stop(&driver, &home.identity, &started.state).await;
    let pods = "GET /api/v1/namespaces/labs/pods";
    let lists = || ground.fake().asked(pods) - ground.fake().asked(&format!("{pods}/"));
    let before = lists();
    driver.forget(&home.identity, &Value::Null).await.unwrap();
    assert_eq!(claims(&ground).await, ["claim-user1"]);
    assert_eq!(lists(), before + 2, "only its own pods are listed");
}

/// The same plan for somebody of this name and account.
pub fn with_name(plan: &spawners::Plan, user: &str, account: &str) -> spawners::Plan {
    let mut plan = plan.clone();
    (plan.identity.user, plan.identity.account) = (user.to_owned(), Some(account.to_owned()));
    plan
}

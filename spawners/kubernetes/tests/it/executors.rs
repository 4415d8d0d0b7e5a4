//! Executors: what a server that may make some is given, what it may not do with it, and that it goes with the server.

use fake_kubernetes::{Fault, How};
use hub_core::id::Generation;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use spawners::contract::{self, Paper, eventually};
use spawners::{Identity, Sight, Spawner};

use crate::ground::{Ground, Told, cluster, fake};
use crate::storage::{claims, with_name, with_storage};

/// What the chart lets a server do among its executors.
const ROLE: &str = include_str!("../../../../deploy/helm/files/executors.json");

/// Servers may make executors.
fn with_executors(ground: &mut Ground) {
    let role = format!("{}-executors", ground.namespace);
    ground.config.executor_namespaces =
        Some(serde_json::from_value(json!({ "role": role, "egress": [] })).expect("it is understood"));
    ground.shape(json!({ "executors": { "pods": 2, "quota": { "count/secrets": 20 } } }));
}

fn spaces(ground: &Ground) -> Api<Namespace> {
    Api::all(ground.client.clone())
}

/// The namespaces for executors that there are, without those that are going.
async fn places(ground: &Ground) -> Vec<String> {
    let selector = ListParams::default().labels(&format!("specola.executors,specola.hub={}", ground.hub));
    let listed = spaces(ground).list(&selector).await.unwrap().items.into_iter();
    listed.filter(|space| space.metadata.deletion_timestamp.is_none()).filter_map(|space| space.metadata.name).collect()
}

/// What bounds executors in their namespace, whoever may see it.
async fn bound(ground: &Ground, group: &str, kind: &str, place: &str) -> Value {
    called(ground, group, kind, place, "specola").await
}

async fn called(ground: &Ground, group: &str, kind: &str, place: &str, name: &str) -> Value {
    if let Some(fake) = &ground.fake {
        return fake.object(kind, place, name).unwrap_or_else(|| panic!("no {kind}"));
    }
    let at = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
    let request = http::Request::get(format!("{at}/namespaces/{place}/{kind}/{name}")).body(Vec::new()).unwrap();
    ground.client.request(request).await.unwrap()
}

async fn made(ground: &mut Ground) {
    with_executors(ground);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    let place = format!("{}--executors-1-1", ground.namespace);
    assert_eq!(places(ground).await.as_slice(), std::slice::from_ref(&place));
    let labels = spaces(ground).get(&place).await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    assert_eq!(pod.spec.unwrap().service_account_name.as_deref(), Some("jupyter-user1-executors"));
    let quota = bound(ground, "", "resourcequotas", &place).await;
    assert_eq!(quota["spec"]["hard"]["pods"], "2");
    assert_eq!(
        (&quota["spec"]["hard"]["services"], &quota["spec"]["hard"]["count/configmaps"]),
        (&json!("0"), &json!("20"))
    );
    let critical = called(ground, "", "resourcequotas", &place, "specola-critical").await;
    assert_eq!(critical["spec"]["hard"], json!({ "pods": "0" }));
    let binding = bound(ground, "rbac.authorization.k8s.io", "rolebindings", &place).await;
    let subject = json!({ "kind": "ServiceAccount", "name": "jupyter-user1-executors", "namespace": ground.namespace });
    assert_eq!(binding["subjects"], json!([subject]));
    assert_eq!(binding["roleRef"]["name"], format!("{}-executors", ground.namespace));
    bound(ground, "networking.k8s.io", "networkpolicies", &place).await;
    let secret = bound(ground, "", "secrets", &place).await;
    let part = if ground.fake.is_some() { "stringData" } else { "data" };
    assert!(!secret[part]["token"].is_null() && !secret[part]["keys"].is_null(), "{secret}");

    // The next start has another place, and what the older one left goes.
    let again = ground.plan(1, 2);
    ground.start(&again).await.unwrap();
    assert_eq!(places(ground).await, [format!("{}--executors-1-2", ground.namespace)]);
    contract::stop(&ground.driver(), &again.identity, &started.state).await;
    eventually("its executors go with it", || async { places(ground).await.is_empty() }).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(ground.client.clone(), &ground.namespace);
    assert!(accounts.get_opt("jupyter-user1-executors").await.unwrap().is_some(), "it is the server's, without rights");
    eventually("it is forgotten", || async { ground.driver().forget(&again.identity, &Value::Null).await.is_ok() })
        .await;
    assert!(accounts.get_opt("jupyter-user1-executors").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_have_a_namespace_for_as_long_as_their_server_runs_on_a_fake() {
    made(&mut fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_have_a_namespace_for_as_long_as_their_server_runs_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    let role = role(&ground).await;
    made(&mut ground).await;
    role.end().await;
}

/// The hub dies anywhere on the way.
#[tokio::test]
async fn a_start_that_was_cut_off_is_gone_through_again() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    let of = [
        "POST /api/v1/namespaces/labs--executors-1-1/resourcequotas",
        "POST /api/v1/namespaces/labs/serviceaccounts",
        "POST /apis/rbac.authorization.k8s.io/v1/namespaces/labs--executors-1-1/rolebindings",
        "POST /api/v1/namespaces/labs/pods",
    ];
    let plan = ground.plan(1, 1);
    for of in of {
        ground.fake().fail(Fault::new(of, 1, How::Hangs));
        let (driver, asked, paper) = (ground.driver(), ground.fake().asked(of), Paper::default());
        tokio::select! {
            started = driver.start(&plan, &Value::Null, &paper) => panic!("{started:?}"),
            () = eventually("it is asked for", || async { ground.fake().asked(of) > asked }) => {}
        }
    }
    ground.start(&plan).await.unwrap();
    assert_eq!(places(&ground).await, ["labs--executors-1-1"]);
    assert!(ground.fake().asked("POST /apis/rbac") >= 2);
}

#[tokio::test]
async fn executors_without_namespaces_for_them_and_another_ones_place_are_refused() {
    let mut ground = fake().await;
    let mut plan = ground.plan(1, 1);
    plan.extra = crate::ground::table(json!({ "executors": {} }));
    assert_eq!(ground.fails(&plan).await.0, "settings_not_understood", "nobody has said where");
    with_executors(&mut ground);
    let mut mute = plan.clone();
    mute.extra = crate::ground::table(json!({ "executors": {}, "automount_service_account_token": false }));
    assert_eq!(ground.fails(&mute).await.0, "settings_not_understood", "it could not ask for any");
    // What has the name of a place is not used, unless it is the place.
    ground.fake().put("namespaces", json!({ "metadata": { "name": "labs--executors-1-1" } }));
    assert_eq!(ground.fails(&plan).await.0, "cluster_failed");
    ground
        .fake()
        .put("serviceaccounts", json!({ "metadata": { "name": "jupyter-user2-executors", "namespace": "labs" } }));
    assert_eq!(ground.fails(&ground.plan(2, 1)).await.0, "name_taken");
    assert_eq!(ground.names().await, Vec::<String>::new(), "nothing runs");
    // Nor may a hub that has no right to it.
    let how = How::says(403, "Forbidden", "rolebindings is forbidden: attempt to grant extra privileges");
    ground.fake().fail(Fault::new("POST /apis/rbac", 1, how));
    assert_eq!(ground.fails(&ground.plan(3, 1)).await.0, "not_allowed");
}

/// Whoever makes pods can write any label on them.
#[tokio::test]
async fn an_executor_that_says_it_is_a_server_is_none() {
    let mut ground = fake().await;
    ground.config.enable_user_namespaces = true;
    with_executors(&mut ground);
    let own = ground.plan(1, 1);
    ground.start(&own).await.unwrap();
    let forged = |row: i64, generation: i64| {
        let labels = json!({
            "specola.hub": "mark", "specola.spawner": row.to_string(), "specola.generation": generation.to_string(),
        });
        let annotations = json!({ "hub.jupyter.org/username": format!("user{row}") });
        ground.fake().put("pods", json!({
            "metadata": {
                "name": format!("like-{row}"), "namespace": "labs--executors-1-1", "labels": labels, "annotations": annotations,
            },
            "spec": { "containers": [{ "name": "notebook", "ports": [{ "name": "notebook-port", "containerPort": 1 }] }] },
            "status": { "phase": "Running", "podIP": "10.6.6.6", "containerStatuses": [{
                "name": "notebook", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} },
            }]},
        }));
    };
    // Of a server that does not run, of a later start of one that does, and of itself.
    forged(2, 1);
    forged(3, 9);
    let driver = ground.driver();
    assert_eq!(driver.list_owned().await.unwrap().len(), 1);
    assert_eq!(driver.look(&ground.identity(2, 1), &Value::Null).await.unwrap(), Sight::Absent);
    let started = ground.start(&ground.plan(3, 1)).await.unwrap();
    assert!(!started.url.contains("10.6.6.6"), "{}", started.url);
    let stop = spawners::Stop { force: true };
    driver.stop(&ground.identity(2, 1), &Value::Null, stop).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(ground.client.clone(), "labs--executors-1-1");
    assert!(pods.get_opt("like-2").await.unwrap().is_some(), "it is none of the hub's pods");
}

#[tokio::test]
async fn what_outlives_its_server_is_found_by_the_survey() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    for row in [1, 2, 3] {
        ground.start(&ground.plan(row, 1)).await.unwrap();
    }
    let age = |place: &str| {
        ground.fake().change("namespaces", "", place, |space| {
            space["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
        });
    };
    age("labs--executors-1-1");
    age("labs--executors-2-1");
    // Two go without the hub; one of them has only just begun, by the age of its place.
    ground.fake().take("pods", "labs", "jupyter-user1");
    ground.fake().take("pods", "labs", "jupyter-user3");
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    assert_eq!(places(&ground).await, ["labs--executors-2-1", "labs--executors-3-1"]);
}

/// Each place has a whole quota.
#[tokio::test]
async fn a_start_waits_until_the_executors_of_the_last_one_have_gone() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    ground.start(&ground.plan(1, 1)).await.unwrap();
    // It is going, and its pods have their own time to end.
    ground.fake().change("namespaces", "", "labs--executors-1-1", |space| {
        space["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let (driver, plan, told) = (ground.driver(), ground.plan(1, 2), Told::default());
    let mut starting = std::pin::pin!(driver.start(&plan, &Value::Null, &told));
    tokio::select! {
        started = &mut starting => panic!("{started:?}"),
        () = told.says("executors of the last start") => {}
    }
    assert!(ground.fake().object("namespaces", "", "labs--executors-1-2").is_none(), "no second quota");
    assert_eq!(ground.names().await, Vec::<String>::new());
    ground.fake().take("namespaces", "", "labs--executors-1-1");
    starting.await.unwrap();
    assert_eq!(places(&ground).await, ["labs--executors-1-2"]);
}

#[tokio::test]
async fn a_place_of_another_account_is_not_used_whatever_its_numbers() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    ground.start(&ground.plan(1, 1)).await.unwrap();
    let own = with_name(&ground.plan(1, 1), "anna", "9-1764424899123");
    ground.driver().start(&own, &Value::Null, &Told::default()).await.unwrap();
    let place = ground.fake().object("namespaces", "", "labs--executors-1-1").unwrap();
    assert_eq!(place["metadata"]["labels"]["specola.user"], "9-1764424899123", "it was made anew");
}

#[tokio::test]
async fn executors_end_soon_where_the_hub_may_say_so() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    let pods = |row: i64| format!("DELETE /api/v1/namespaces/labs--executors-{row}-1/pods");
    for (row, user) in [(1, None), (2, Some("system:serviceaccount:labs:hub")), (3, Some("nobody"))] {
        ground.config.executor_namespaces.as_mut().unwrap().hub_user = user.map(str::to_owned);
        let plan = ground.plan(row, 1);
        ground.start(&plan).await.unwrap();
        let binding = bound(&ground, "", "rolebindings", &format!("labs--executors-{row}-1")).await;
        let subjects = binding["subjects"].as_array().unwrap().clone();
        assert_eq!(subjects.get(1).and_then(|hub| hub["name"].as_str()), user);
        ground.fake().fail(Fault::new(pods(3), 1, How::says(403, "Forbidden", "cannot deletecollection")));
        contract::stop(&ground.driver(), &plan.identity, &Value::Null).await;
        assert_eq!(places(&ground).await, Vec::<String>::new(), "also where it may not");
    }
    assert_eq!([1, 2, 3].map(|row| ground.fake().asked(&pods(row)) > 0), [false, true, true]);
}

#[tokio::test]
async fn executors_of_servers_that_this_driver_does_not_see_are_not_its_to_remove() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    ground.start(&ground.plan(1, 1)).await.unwrap();
    // Another site of the same hub, in the same cluster.
    let (own, config) = (ground.config.clone(), &mut ground.config);
    config.namespace = Some("bari".into());
    ground.start(&ground.plan(2, 1)).await.unwrap();
    ground.config = own;
    let driver = ground.driver();
    assert_eq!(driver.list_owned().await.unwrap().len(), 1);
    // The watch is late: it does not know yet that a server is there again.
    let pod = ground.fake().object("pods", "labs", "jupyter-user1").unwrap();
    let nothing_is_known = || async { driver.list_owned().await.unwrap().is_empty() };
    ground.fake().take("pods", "labs", "jupyter-user1");
    eventually("the watch tells that it has gone", nothing_is_known).await;
    ground.fake().silence(true);
    ground.fake().put("pods", pod);
    for place in ["labs--executors-1-1", "bari--executors-2-1"] {
        ground.fake().change("namespaces", "", place, |space| {
            space["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
        });
    }
    assert!(nothing_is_known().await);
    assert_eq!(places(&ground).await, ["bari--executors-2-1", "labs--executors-1-1"]);
    ground.fake().silence(false);
    ground.fake().take("pods", "labs", "jupyter-user1");
    eventually("its own are removed", || async {
        driver.list_owned().await.unwrap();
        places(&ground).await == ["bari--executors-2-1"]
    })
    .await;
}

/// What keeps the executors of a server that is deleted keeps nothing else of it.
#[tokio::test]
async fn a_server_is_forgotten_also_where_its_executors_cannot_be_removed() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    with_storage(&mut ground);
    let plan = ground.plan(1, 1);
    ground.start(&plan).await.unwrap();
    assert_eq!(claims(&ground).await.len(), 1);
    let no = How::says(403, "Forbidden", "cannot delete resource \"namespaces\"");
    ground.fake().fail(Fault::new("DELETE /api/v1/namespaces/labs--executors-1-1", usize::MAX, no));
    let driver = ground.driver();
    contract::stop(&driver, &plan.identity, &Value::Null).await;
    let told = driver.forget(&plan.identity, &Value::Null).await.unwrap_err();
    assert!(told.to_string().contains("namespaces") || format!("{told:?}").contains("namespaces"), "{told:?}");
    assert_eq!(claims(&ground).await, Vec::<String>::new());
    let accounts: Api<ServiceAccount> = Api::namespaced(ground.client.clone(), "labs");
    assert!(accounts.get_opt("jupyter-user1-executors").await.unwrap().is_none());
    ground.fake().mend();
    driver.forget(&plan.identity, &Value::Null).await.unwrap();
    assert_eq!(places(&ground).await, Vec::<String>::new());
}

/// A right that is missing keeps nobody's server from ending.
#[tokio::test]
async fn a_server_ends_also_where_its_executors_cannot_be_removed() {
    let mut ground = fake().await;
    with_executors(&mut ground);
    let plan = ground.plan(1, 1);
    ground.start(&plan).await.unwrap();
    let no = How::says(403, "Forbidden", "cannot delete resource \"namespaces\"");
    ground.fake().fail(Fault::new("DELETE /api/v1/namespaces/labs--executors-1-1", usize::MAX, no));
    let driver = ground.driver();
    contract::stop(&driver, &plan.identity, &Value::Null).await;
    assert_eq!(ground.names().await, Vec::<String>::new());
    ground.fake().mend();
    driver.stop(&plan.identity, &Value::Null, spawners::Stop { force: false }).await.unwrap();
    assert_eq!(places(&ground).await, Vec::<String>::new());
}

/// The role that the chart makes.
struct Role {
    roles: Api<ClusterRole>,
    name: String,
}

impl Role {
    async fn end(self) {
        self.roles.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

async fn role(ground: &Ground) -> Role {
    let rules: Value = serde_json::from_str(ROLE).unwrap();
    let name = format!("{}-executors", ground.namespace);
    let role = serde_json::from_value(json!({ "metadata": { "name": name }, "rules": rules })).unwrap();
    let roles: Api<ClusterRole> = Api::all(ground.client.clone());
    roles.create(&PostParams::default(), &role).await.unwrap();
    Role { roles, name }
}

/// Who asks as the account of a server does.
async fn as_account(ground: &Ground, account: &str) -> Client {
    let request =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "audiences": null } });
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", ground.namespace);
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&request).unwrap());
    let made: Value = ground.client.request(request.unwrap()).await.unwrap();
    let written = kube::config::Kubeconfig::read_from(ground.config.access.kubeconfig.as_ref().unwrap()).unwrap();
    let mut config = Config::from_custom_kubeconfig(written, &Default::default()).await.unwrap();
    config.auth_info = kube::config::AuthInfo::default();
    config.auth_info.token = Some(made["status"]["token"].as_str().unwrap().to_owned().into());
    Client::try_from(config).unwrap()
}

fn executor(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "executor", "image": "kube-cluster-pause:local", "imagePullPolicy": "IfNotPresent" }],
        },
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_of_a_server_makes_pods_among_its_executors_and_may_do_nothing_else_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    with_executors(&mut ground);
    let role = role(&ground).await;
    let (own, other) = (ground.plan(1, 1), ground.plan(2, 1));
    ground.start(&own).await.unwrap();
    ground.start(&other).await.unwrap();
    let asked = as_account(&ground, "jupyter-user1-executors").await;
    let place = |row: i64| format!("{}--executors-{row}-1", ground.namespace);
    let pods = |namespace: &str| Api::<Pod>::namespaced(asked.clone(), namespace);
    let make = PostParams::default();
    let refused = |result: Result<(), kube::Error>, what: &str| match result {
        Err(kube::Error::Api(said)) if said.code == 403 => {}
        result => panic!("{what}: {result:?}"),
    };

    let mine = pods(&place(1));
    for name in ["one", "two"] {
        mine.create(&make, &executor(name)).await.unwrap();
    }
    refused(mine.create(&make, &executor("three")).await.map(drop), "more than the quota");
    assert_eq!(mine.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let config: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "spark-conf" } })).unwrap();
    Api::<ConfigMap>::namespaced(asked.clone(), &place(1)).create(&make, &config).await.unwrap();

    for elsewhere in [place(2), ground.namespace.clone(), "default".to_owned(), "kube-system".to_owned()] {
        refused(pods(&elsewhere).create(&make, &executor("one")).await.map(drop), &elsewhere);
        refused(pods(&elsewhere).list(&ListParams::default()).await.map(drop), &elsewhere);
    }
    refused(pods(&ground.namespace).get("jupyter-user2").await.map(drop), "another's token is in it");
    refused(Api::<Pod>::all(asked.clone()).list(&ListParams::default()).await.map(drop), "everything");
    for namespace in [place(1), ground.namespace.clone()] {
        let secrets = Api::<Secret>::namespaced(asked.clone(), &namespace);
        refused(secrets.list(&ListParams::default()).await.map(drop), "secrets");
        refused(secrets.get("specola").await.map(drop), "the secret");
    }
    // What bounds it is not its own to change.
    let gone = DeleteParams::default();
    let quotas = Api::<ResourceQuota>::namespaced(asked.clone(), &place(1));
    refused(quotas.delete("specola", &gone).await.map(drop), "its quota");
    let policies = Api::<NetworkPolicy>::namespaced(asked.clone(), &place(1));
    refused(policies.delete("specola", &gone).await.map(drop), "its policy");
    let bindings = Api::<RoleBinding>::namespaced(asked.clone(), &place(1));
    refused(bindings.list(&ListParams::default()).await.map(drop), "roles");
    refused(Api::<Namespace>::all(asked.clone()).delete(&place(1), &gone).await.map(drop), "its namespace");

    // With its server goes all that it made, and the right to make more.
    contract::stop(&ground.driver(), &own.identity, &Value::Null).await;
    eventually("its executors have gone", || async { spaces(&ground).get_opt(&place(1)).await.unwrap().is_none() })
        .await;
    refused(mine.create(&make, &executor("late")).await.map(drop), "after the end");
    let later = Identity { generation: Generation(1), ..other.identity };
    contract::stop(&ground.driver(), &later, &Value::Null).await;
    role.end().await;
}

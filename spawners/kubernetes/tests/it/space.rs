//! Namespaces of people, and what bounds the servers in them.

use fake_kubernetes::{Fault, How};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use spawner_kubernetes::NamespacePolicy;
use spawners::Spawner;

use crate::ground::{Ground, cluster, fake};

fn to(port: u16) -> NamespacePolicy {
    let rule = json!([{ "ports": [{ "protocol": "TCP", "port": port }] }]);
    serde_json::from_value(json!({ "egress": rule })).unwrap()
}

/// What the policy in a namespace says, whoever may see it.
async fn policy(ground: &Ground, namespace: &str) -> Option<Value> {
    let name = "specola-servers";
    if let Some(fake) = &ground.fake {
        return fake.object("networkpolicies", namespace, name).map(|policy| policy["spec"].clone());
    }
    let api: Api<NetworkPolicy> = Api::namespaced(ground.client.clone(), namespace);
    api.get_opt(name).await.unwrap().map(|policy| serde_json::to_value(policy.spec).unwrap())
}

async fn bounded(ground: &mut Ground) {
    ground.config.enable_user_namespaces = true;
    let namespace = format!("{}-user1", ground.namespace);
    let plain = ground.start(&ground.plan(1, 1)).await.unwrap();
    assert_eq!(plain.state["namespace"], namespace);
    assert_eq!(policy(ground, &namespace).await, None);
    // It comes with the next start, holds for the servers of this hub, and is as it is configured by then.
    for (generation, port) in [(2, 443), (3, 443), (4, 8443)] {
        ground.config.user_namespace_network_policy = Some(to(port));
        ground.start(&ground.plan(1, generation)).await.unwrap();
        let policy = policy(ground, &namespace).await.unwrap();
        assert_eq!(policy["podSelector"], json!({ "matchLabels": { "specola.hub": ground.hub } }));
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(policy["egress"], json!([{ "ports": [{ "protocol": "TCP", "port": port }] }]));
        let pods: Api<Pod> = Api::namespaced(ground.client.clone(), &namespace);
        let labels = pods.get("jupyter-user1").await.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["specola.hub"], ground.hub, "it is one of those");
    }
    if ground.fake.is_none() {
        let spaces: Api<Namespace> = Api::all(ground.client.clone());
        spaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_namespaces_of_people_are_bound_by_a_network_policy_on_a_fake() {
    bounded(&mut fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_namespaces_of_people_are_bound_by_a_network_policy_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    bounded(&mut ground).await;
}

/// A server without its bounds is worse than none.
#[tokio::test]
async fn a_server_whose_policy_cannot_be_made_does_not_start() {
    let mut ground = fake().await;
    ground.config.enable_user_namespaces = true;
    ground.config.user_namespace_network_policy = Some(to(443));
    let on = "POST /apis/networking.k8s.io/v1/namespaces/labs-user1/networkpolicies";
    ground.fake().fail(Fault::new(on, 1, How::says(403, "Forbidden", "no")));
    ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(ground.fake().asked("POST /api/v1/namespaces/labs-user1/pods"), 0);
    ground.start(&ground.plan(1, 2)).await.unwrap();
}

/// What the tests' hub binds.
const ROLE: &str = "labs-hub-servers";

/// A hub that has its rights where it binds them, on a fake that holds it to that.
async fn bound() -> Ground {
    let mut ground = fake().await;
    ground.fake().bound_by("labs", ROLE);
    ground.config.enable_user_namespaces = true;
    ground.config.shape.services_enabled = true;
    let binding = json!({ "role": ROLE, "hub_user": "system:serviceaccount:labs:hub" });
    ground.config.user_namespace_binding = Some(serde_json::from_value(binding).unwrap());
    ground.config.user_namespace_network_policy = Some(to(443));
    ground.shape(json!({ "storage_pvc_ensure": true, "storage_capacity": "1Gi" }));
    ground
}

fn bindings(ground: &Ground) -> Vec<Value> {
    ground.fake().objects("rolebindings")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_binds_its_role_in_a_new_namespace_before_anything_else_is_there() {
    let ground = bound().await;
    let started = ground.start(&ground.plan(1, 1)).await.unwrap();
    let made = bindings(&ground);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["metadata"]["namespace"], "labs-user1");
    assert_eq!(made[0]["roleRef"]["name"], ROLE);
    assert_eq!(made[0]["subjects"][0]["name"], "system:serviceaccount:labs:hub");
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    for kind in ["networkpolicies", "persistentvolumeclaims", "pods", "services"] {
        let there = ground.fake().objects(kind);
        assert!(there.iter().all(|object| version(object) > version(&made[0])), "{kind}");
        assert_eq!(there.len(), 1, "{kind}");
    }
    // All of its life, to the end.
    let plan = ground.plan(1, 1);
    let driver = ground.driver();
    spawners::contract::eventually("it has ended", || async {
        driver.stop(&plan.identity, &started.state, spawners::Stop { force: true }).await.unwrap();
        ground.look(&plan.identity, &started.state).await == spawners::Sight::Absent
    })
    .await;
    driver.forget(&plan.identity, &started.state).await.unwrap();
    assert!(ground.fake().objects("persistentvolumeclaims").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_is_missing_is_made_anew_in_a_namespace_of_the_hubs_and_nowhere_else() {
    let ground = bound().await;
    let started = ground.start(&ground.plan(1, 1)).await.unwrap();
    let name = bindings(&ground)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    // Under a server that runs: its stop needs it.
    ground.fake().take("rolebindings", "labs-user1", &name);
    let plan = ground.plan(1, 1);
    ground.driver().stop(&plan.identity, &started.state, spawners::Stop { force: true }).await.unwrap();
    assert_eq!(bindings(&ground).len(), 1);
    // And with the next start.
    ground.fake().take("rolebindings", "labs-user1", &name);
    ground.start(&ground.plan(1, 2)).await.unwrap();
    assert_eq!(bindings(&ground).len(), 1);
    // A namespace that somebody else made for themselves is not the hub's to bind in.
    ground.fake().put("namespaces", json!({ "metadata": { "name": "labs-user2" } }));
    let (code, _) = ground.fails(&ground.plan(2, 1)).await;
    assert_eq!(code, "namespace_of_another");
    assert_eq!(bindings(&ground).len(), 1);
    // Whoever has never started anything is forgotten without a namespace.
    ground.driver().forget(&ground.identity(3, 1), &Value::Null).await.unwrap();
}

/// The same on a cluster, as a user who has the rights of the chart and no others. They go with what this returns.
async fn bound_on_a_cluster(ground: &mut Ground) -> (tempfile::NamedTempFile, Roles) {
    let rights: Value = serde_json::from_str(include_str!("../../../../deploy/helm/files/rights.json")).unwrap();
    let (role, wide) = (format!("{}-servers", ground.namespace), format!("{}-hub", ground.namespace));
    let user = format!("test:{}", ground.namespace);
    let of = |parts: &[&str]| -> Vec<Value> {
        parts.iter().flat_map(|part| rights[*part].as_array().unwrap()).cloned().collect()
    };
    let group = "rbac.authorization.k8s.io";
    let mut everywhere = of(&["watching", "namespaces"]);
    everywhere.push(
        json!({ "apiGroups": [group], "resources": ["clusterroles"], "resourceNames": [role], "verbs": ["bind"] }),
    );
    let roles: Api<ClusterRole> = Api::all(ground.client.clone());
    for (name, rules) in [(&role, of(&["servers", "services", "policies"])), (&wide, everywhere)] {
        let wanted = serde_json::from_value(json!({ "metadata": { "name": name }, "rules": rules })).unwrap();
        roles.create(&PostParams::default(), &wanted).await.unwrap();
    }
    let binding = json!({
        "metadata": { "name": wide }, "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": wide },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(ground.client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let mut kubeconfig = Kubeconfig::read_from(ground.config.access.kubeconfig.as_ref().unwrap()).unwrap();
    for known in &mut kubeconfig.auth_infos {
        known.auth_info.as_mut().unwrap().impersonate = Some(user.clone());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&file, &kubeconfig).unwrap();
    ground.config.access.kubeconfig = Some(file.path().to_owned());
    ground.config.enable_user_namespaces = true;
    ground.config.shape.services_enabled = true;
    let wanted = json!({ "role": role, "hub_user": user });
    ground.config.user_namespace_binding = Some(serde_json::from_value(wanted).unwrap());
    ground.config.user_namespace_network_policy = Some(to(443));
    (file, Roles { role, wide })
}

struct Roles {
    role: String,
    wide: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_the_rights_of_the_chart_runs_servers_in_namespaces_of_people_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    let (_file, roles) = bound_on_a_cluster(&mut ground).await;
    let (plan, space) = (ground.plan(1, 1), format!("{}-user1", ground.namespace));
    let started = ground.start(&plan).await.unwrap();
    assert_eq!(started.state["namespace"], space);
    // Without its binding it can do nothing there, and makes it anew.
    let bindings: Api<RoleBinding> = Api::namespaced(ground.client.clone(), &space);
    let name = bindings.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    let driver = ground.driver();
    spawners::contract::eventually("it has ended", || async {
        driver.stop(&plan.identity, &started.state, spawners::Stop { force: true }).await.unwrap();
        ground.look(&plan.identity, &started.state).await == spawners::Sight::Absent
    })
    .await;
    driver.forget(&plan.identity, &started.state).await.unwrap();
    // What it has not bound, it cannot change or read.
    let file = Kubeconfig::read_from(ground.config.access.kubeconfig.as_ref().unwrap()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let hub = kube::Client::try_from(config).unwrap();
    let secrets: Api<Secret> = Api::namespaced(hub.clone(), "kube-system");
    let refused = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(said) if said.code == 403), "{refused}");
    let pods: Api<Pod> = Api::namespaced(hub, "default");
    let refused = pods.delete("any", &DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(said) if said.code == 403), "{refused}");
    let (gone, all) = (DeleteParams::default(), ground.client.clone());
    Api::<Namespace>::all(all.clone()).delete(&space, &gone).await.unwrap();
    Api::<ClusterRoleBinding>::all(all.clone()).delete(&roles.wide, &gone).await.unwrap();
    for name in [&roles.role, &roles.wide] {
        Api::<ClusterRole>::all(all.clone()).delete(name, &gone).await.unwrap();
    }
}

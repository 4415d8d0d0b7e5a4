//! Namespaces of people, and what bounds the servers in them.

use fake_kubernetes::{Fault, How};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use spawner_kubernetes::NamespacePolicy;

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

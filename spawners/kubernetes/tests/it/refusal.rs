//! What is refused, with which words, and that nothing is left of it.

use fake_kubernetes::{Fault, How};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use spawners::contract::eventually;

use crate::ground::{Ground, cluster, fake, table};

async fn refused(ground: &Ground, said: How) -> (&'static str, String) {
    ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, said));
    let told = ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(ground.names().await, Vec::<String>::new(), "nothing is left");
    assert_eq!(ground.fake().asked("POST /api/v1/namespaces/labs/pods"), 1, "a no is a no");
    told
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told() {
    let quota =
        "pods \"jupyter-user1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    let (code, sentence) = refused(&fake().await, How::says(403, "Forbidden", quota)).await;
    assert_eq!(code, "quota");
    assert!(sentence.contains("pods=2 of pods=2 are used"), "{sentence}");
}

#[tokio::test]
async fn what_a_webhook_says_is_told() {
    let gate = "admission webhook \"gate\" denied the request: images come from registry.example.org";
    let (code, sentence) = refused(&fake().await, How::says(403, "Forbidden", gate)).await;
    assert_eq!(code, "admission");
    assert!(sentence.contains("images come from registry.example.org"), "{sentence}");
}

#[tokio::test]
async fn what_the_cluster_does_not_take_is_told() {
    let invalid = "Pod \"jupyter-user1\" is invalid: spec.containers[0].resources.requests: Invalid value";
    let (code, sentence) = refused(&fake().await, How::says(422, "Invalid", invalid)).await;
    assert_eq!(code, "pod_refused");
    assert!(!sentence.contains("spec.containers"), "its words are for the log: {sentence}");
}

#[tokio::test]
async fn what_will_not_come_up_is_told_and_leaves_nothing() {
    let ground = fake().await;
    for (image, told) in [("absent", "image_absent"), ("unmade", "settings_absent")] {
        assert_eq!(ground.fails(&ground.plan_of(1, 1, image)).await.0, told);
        assert_eq!(ground.names().await, Vec::<String>::new(), "nothing is left");
    }
    let mut plan = ground.plan(1, 1);
    plan.extra = table(json!({ "network_name": "x" }));
    assert_eq!(ground.fails(&plan).await.0, "settings_not_understood");
    let mut elsewhere = fake().await;
    elsewhere.config.namespace = Some("absent".into());
    assert_eq!(elsewhere.fails(&elsewhere.plan(1, 1)).await.0, "namespace_absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_refuses_in_words_that_are_understood() {
    let Some(mut ground) = cluster().await else { return };
    let mut plan = ground.plan_of(1, 1, "specola-test.invalid/no-such-image:1");
    plan.extra = table(json!({ "image_pull_policy": "Never" }));
    assert_eq!(ground.fails(&plan).await.0, "image_absent");
    plan.image = Some("NOT an image".into());
    assert_eq!(ground.fails(&plan).await.0, "image_invalid");
    let mut plan = ground.plan(2, 1);
    plan.extra = table(json!({ "service_account": "nobody" }));
    assert_eq!(ground.fails(&plan).await.0, "account_absent");
    plan.extra = table(json!({ "priority_class_name": "nothing" }));
    assert_eq!(ground.fails(&plan).await.0, "no_priority_class");
    plan.extra = table(json!({ "extra_container_config": { "envFrom": [{ "secretRef": { "name": "nope" } }] } }));
    assert_eq!(ground.fails(&plan).await.0, "settings_absent");
    plan.extra = table(json!({ "extra_resource_limits": { "cpu": "much" } }));
    assert_eq!(ground.fails(&plan).await.0, "pod_refused");
    let quota: ResourceQuota =
        serde_json::from_value(json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": "0" } } })).unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(ground.client.clone(), &ground.namespace);
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    eventually("the quota is in force", || async {
        quotas.get("few").await.is_ok_and(|quota| quota.status.is_some_and(|status| status.hard.is_some()))
    })
    .await;
    let (code, sentence) = ground.fails(&ground.plan(3, 1)).await;
    assert_eq!(code, "quota");
    assert!(sentence.contains("pods=0"), "{sentence}");
    ground.config.namespace = Some("specola-test-no-such-namespace".into());
    assert_eq!(ground.fails(&ground.plan(4, 1)).await.0, "namespace_absent");
}

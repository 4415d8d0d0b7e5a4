//! Whose a claim is when names change: a person's under whatever name, and nobody's who has the name after them.

use fake_kubernetes::{Fault, How};
use serde_json::{Value, json};
use spawners::{Identity, RenameError, Renaming, Spawner, contract};

use crate::ground::{Ground, cluster, fake};
use crate::storage::{claims, with_name, with_storage};

const ACCOUNT: &str = "1-1764424899123";
/// Another account, to which the database gave the number of one that is gone.
const LATER: &str = "1-1764424899999";

async fn rename(ground: &Ground, servers: &[Identity]) -> Result<(), RenameError> {
    let renaming = Renaming { account: ACCOUNT, user: "user1", name: "ann", servers };
    ground.driver().rename(&renaming).await
}

/// A claim as KubeSpawner makes it.
fn of_kubespawner(name: &str, user: &str) -> Value {
    let owner = json!({ "hub.jupyter.org/username": user });
    json!({ "metadata": { "name": name, "namespace": "labs", "annotations": owner } })
}

/// Under the new name a server has the claim of before, and nobody new of the old name has it.
async fn follows(ground: &Ground, claim: &str) {
    let ann = with_name(&ground.plan(1, 2), "ann", ACCOUNT);
    assert_eq!(ground.start(&ann).await.unwrap().state["pvc_name"], claim);
    for (row, account) in [(2, "2-1764424899123"), (1, LATER)] {
        let mut new = with_name(&ground.plan(row, 3), "user1", account);
        new.identity.generation.0 = 3;
        assert_eq!(ground.fails(&new).await.0, "claim_of_another", "{account}");
    }
}

async fn renamed(ground: &Ground) {
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    rename(ground, &[plan.identity]).await.unwrap();
    follows(ground, "claim-user1").await;
    let claim = ground.claims().get("claim-user1").await.unwrap();
    assert_eq!(claim.metadata.annotations.unwrap()["hub.jupyter.org/username"], "ann");
}

#[tokio::test]
async fn a_claim_follows_its_person_on_a_fake() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    renamed(&ground).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_on_a_claim_is_changed_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    let claim = json!({
        "metadata": { "name": "claim-user1", "annotations": { "hub.jupyter.org/username": "user1" } },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": { "storage": "1Mi" } },
            // It takes no other test's volume.
            "selector": { "matchLabels": { "of": "nobody" } },
        },
    });
    ground.claims().create(&Default::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    rename(&ground, &[ground.identity(1, 1)]).await.unwrap();
    let metadata = ground.claims().get("claim-user1").await.unwrap().metadata;
    let labels = metadata.labels.unwrap();
    assert_eq!((labels["specola.user"].as_str(), labels["specola.spawner"].as_str()), (ACCOUNT, "1"));
    assert_eq!(metadata.annotations.unwrap()["hub.jupyter.org/username"], "ann");
}

/// What is written on it is enough, whatever became of the change of names.
#[tokio::test]
async fn a_claim_is_known_by_the_account_on_it() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    follows(&ground, "claim-user1").await;
}

#[tokio::test]
async fn claims_of_kubespawners_follow_their_person() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    for (name, user) in [("claim-user1", "user1"), ("claim-user1--gpu", "user1"), ("claim-user10", "user10")] {
        ground.fake().put("persistentvolumeclaims", of_kubespawner(name, user));
    }
    let mut gpu = ground.identity(7, 0);
    (gpu.user, gpu.server, gpu.account) = ("user1".into(), "gpu".into(), Some(ACCOUNT.into()));
    rename(&ground, &[ground.identity(1, 1), gpu]).await.unwrap();
    follows(&ground, "claim-user1").await;
    let mut gpu = with_name(&ground.plan(7, 1), "ann", ACCOUNT);
    gpu.identity.server = "gpu".into();
    assert_eq!(ground.start(&gpu).await.unwrap().state["pvc_name"], "claim-user1--gpu");
    let other = ground.claims().get("claim-user10").await.unwrap().metadata;
    assert_eq!(other.labels, None, "it is somebody else's");
}

#[tokio::test]
async fn one_claim_for_all_servers_of_a_person_follows_whoever_made_it() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.shape(json!({ "pvc_name_template": "claim-{username}" }));
    let mut gpu = with_name(&ground.plan(7, 1), "user1", ACCOUNT);
    gpu.identity.server = "gpu".into();
    let started = ground.start(&gpu).await.unwrap();
    contract::stop(&ground.driver(), &gpu.identity, &started.state).await;
    rename(&ground, &[gpu.identity]).await.unwrap();
    follows(&ground, "claim-user1").await;
    assert_eq!(claims(&ground).await, ["claim-user1"]);
}

#[tokio::test]
async fn a_claim_of_kubespawners_is_its_persons_from_the_first_start_on() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.fake().put("persistentvolumeclaims", of_kubespawner("claim-user1", "user1"));
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    assert_eq!(started.state["pvc_name"], "claim-user1");
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    follows(&ground, "claim-user1").await;
}

#[tokio::test]
async fn a_claim_that_may_not_be_written_on_is_used_all_the_same() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.fake().put("persistentvolumeclaims", of_kubespawner("claim-user1", "user1"));
    let how = How::says(403, "Forbidden", "User \"hub\" cannot patch resource \"persistentvolumeclaims\"");
    ground.fake().fail(Fault::new("PATCH", 2, how));
    ground.start(&ground.plan(1, 1)).await.unwrap();
    // Under another name it would be left to somebody new.
    let refused = rename(&ground, &[ground.identity(1, 1)]).await;
    assert!(matches!(refused, Err(RenameError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn nobody_is_renamed_while_the_cluster_cannot_be_asked() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.config.retry_timeout = std::time::Duration::from_millis(300);
    ground.fake().fail(Fault::new("", usize::MAX, How::says(503, "ServiceUnavailable", "no")));
    let away = rename(&ground, &[]).await;
    assert!(matches!(away, Err(RenameError::Unreachable(_))), "{away:?}");
    ground.fake().mend();
    rename(&ground, &[]).await.unwrap();
}

#[tokio::test]
async fn storage_in_a_namespace_of_the_old_name_keeps_it() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.config.enable_user_namespaces = true;
    rename(&ground, &[ground.identity(1, 1)]).await.unwrap();
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    assert_eq!(started.state["namespace"], "labs-user1");
    let refused = rename(&ground, &[plan.identity]).await;
    let Err(RenameError::Refused(sentence)) = refused else { panic!("{refused:?}") };
    assert!(sentence.contains("labs-user1"), "{sentence}");
}

/// The hub deletes somebody though the cluster is away: what is left is nobody's who comes after.
#[tokio::test]
async fn a_claim_that_could_not_be_deleted_is_nobodys_who_comes_after() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.config.retry_timeout = std::time::Duration::from_millis(300);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    ground.fake().fail(Fault::new("", usize::MAX, How::says(503, "ServiceUnavailable", "no")));
    assert!(ground.driver().forget(&plan.identity, &Value::Null).await.is_err());
    ground.fake().mend();
    assert_eq!(claims(&ground).await, ["claim-user1"]);
    for (row, account) in [(2, "2-1764424899123"), (1, LATER)] {
        let new = with_name(&ground.plan(row, 1), "user1", account);
        assert_eq!(ground.fails(&new).await.0, "claim_of_another", "{account}");
    }
    // Nor does the one that has the number of the server that is gone mistake it for theirs.
    let other = with_name(&ground.plan(1, 1), "eve", LATER);
    assert_eq!(ground.start(&other).await.unwrap().state["pvc_name"], "claim-eve");
}

#[tokio::test]
async fn all_that_is_a_persons_goes_with_them_under_whatever_name() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    rename(&ground, &[plan.identity]).await.unwrap();
    let ann = with_name(&ground.plan(1, 1), "ann", ACCOUNT).identity;
    ground.driver().forget(&ann, &Value::Null).await.unwrap();
    assert_eq!(claims(&ground).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_that_is_kept_is_for_whoever_has_the_name_next() {
    let mut ground = fake().await;
    with_storage(&mut ground);
    ground.shape(json!({ "delete_pvc": false }));
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
    ground.driver().forget(&plan.identity, &Value::Null).await.unwrap();
    let back = with_name(&ground.plan(2, 1), "user1", "2-1764424899123");
    assert_eq!(ground.start(&back).await.unwrap().state["pvc_name"], "claim-user1");
}

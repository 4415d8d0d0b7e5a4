//! Two sites of one hub in one cluster and namespace, as by a kubeconfig that was copied.

use serde_json::Value;
use spawner_kubernetes::Kubernetes;
use spawners::contract::Paper;
use spawners::{OwnSite, Spawner};

use crate::ground::{Ground, cluster, fake};

/// The driver of one of them. `cnaf` is the first.
fn at(ground: &Ground, site: &str) -> Kubernetes {
    let mut config = ground.config.clone();
    config.site = Some(OwnSite { name: site.to_owned(), first: site == "cnaf" });
    Kubernetes::new(config).unwrap()
}

async fn listed(ground: &Ground, site: &str) -> Vec<i64> {
    let listed = at(ground, site).list_owned().await.unwrap();
    let mut rows: Vec<i64> = listed.into_iter().map(|owned| owned.identity.spawner.0).collect();
    rows.sort_unstable();
    rows
}

async fn each_lists_its_own(ground: &Ground) {
    // One ran before there were sites.
    ground.start(&ground.plan(1, 1)).await.unwrap();
    for (row, site) in [(2, "cnaf"), (3, "bari")] {
        at(ground, site).start(&ground.plan(row, 1), &Value::Null, &Paper::default()).await.unwrap();
    }
    assert_eq!(listed(ground, "cnaf").await, [1, 2], "the first has what tells none");
    assert_eq!(listed(ground, "bari").await, [3]);
    assert_eq!(ground.driver().list_owned().await.unwrap().len(), 3, "a hub without sites has all");
    // Started at the other one, it is not left at this one.
    at(ground, "bari").start(&ground.plan(2, 2), &Value::Null, &Paper::default()).await.unwrap();
    assert_eq!((listed(ground, "cnaf").await, listed(ground, "bari").await), (vec![1], vec![2, 3]));
}

#[tokio::test]
async fn each_of_two_sites_in_one_cluster_lists_its_own_on_a_fake() {
    each_lists_its_own(&fake().await).await;
}

#[tokio::test]
async fn each_of_two_sites_in_one_cluster_lists_its_own_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    each_lists_its_own(&ground).await;
}

//! Two sites of one hub with the same engine.

use serde_json::Value;
use spawner_docker::Docker;
use spawners::contract::Paper;
use spawners::{OwnSite, Spawner};

use crate::ground::ground;

#[tokio::test]
async fn each_of_two_sites_with_one_engine_lists_its_own() {
    let Some(ground) = ground() else { return };
    let at = |site: &str| {
        let site = OwnSite { name: site.to_owned(), first: site == "cnaf" };
        Docker::new(spawner_docker::Config { site: Some(site), ..ground.config.clone() }).unwrap()
    };
    // One ran before there were sites.
    ground.start(&ground.plan(1, 1)).await.unwrap();
    for (row, site) in [(2, "cnaf"), (3, "bari")] {
        at(site).start(&ground.plan(row, 1), &Value::Null, &Paper::default()).await.unwrap();
    }
    let listed = async |driver: Docker| {
        let listed = driver.list_owned().await.unwrap();
        let mut rows: Vec<i64> = listed.into_iter().map(|owned| owned.identity.spawner.0).collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(listed(at("cnaf")).await, [1, 2], "the first has what tells none");
    assert_eq!(listed(at("bari")).await, [3]);
    assert_eq!(listed(ground.driver()).await, [1, 2, 3], "a hub without sites has all");
}

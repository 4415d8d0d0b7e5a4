use spawners::contract;
use spawners::contract::eventually;

use crate::ground::{Ground, cluster, fake};

async fn keeps_its_word(ground: &Ground) {
    let open = || Box::new(ground.driver()) as Box<dyn spawners::Spawner>;
    contract::all(&open, &|row, generation| ground.plan(row, generation)).await;
    eventually("nothing is left", || async { ground.names().await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_keeps_its_word_on_a_fake() {
    keeps_its_word(&fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_keeps_its_word_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    keeps_its_word(&ground).await;
}

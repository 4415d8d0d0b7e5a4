//! The contract of all drivers.

use spawners::Spawner;
use spawners::contract;

use crate::ground::{Ground, SERVER, answers, files, without_root};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    keep().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_without_root() {
    if without_root("contract::it_keeps_the_contract_without_root") {
        keep().await;
    }
}

async fn keep() {
    let ground = Ground::new();
    let open = || Box::new(ground.open()) as Box<dyn Spawner>;
    contract::all(&open, &|spawner, generation| ground.python(spawner, generation, SERVER)).await;
    let run = ground.config.data_dir.join("run");
    // Who sees a server end may note that after all else is cleared, and clears it then.
    contract::eventually("all notes are cleared", async || files(&run).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_under_its_address() {
    let ground = Ground::new();
    let local = ground.open();
    let (_, started) = ground.start(&local, SERVER).await;
    contract::eventually("it answers", || answers(&started.url)).await;
}

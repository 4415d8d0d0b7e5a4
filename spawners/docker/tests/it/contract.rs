use spawners::contract;

use crate::ground::ground;

#[tokio::test]
async fn the_driver_keeps_its_word() {
    let Some(ground) = ground() else { return };
    let open = || Box::new(ground.driver()) as Box<dyn spawners::Spawner>;
    contract::all(&open, &|row, generation| ground.plan(row, generation)).await;
    assert_eq!(ground.containers(), Vec::<String>::new(), "nothing is left");
}

/// Named volumes keep what is in them; so does a container of another configuration make room.
#[tokio::test]
async fn another_configuration_makes_another_container() {
    let Some(mut ground) = ground() else { return };
    let plan = ground.plan(1, 1);
    let first = ground.start(&plan).await.unwrap();
    let same = ground.start(&plan).await.unwrap();
    assert_eq!(first, same, "the same start adopts the container");
    ground.config.shape.shm_size = Some(32 << 20);
    let other = ground.start(&plan).await.unwrap();
    assert_ne!(first.state["object_id"], other.state["object_id"]);
    assert_eq!(ground.containers().len(), 1);
}

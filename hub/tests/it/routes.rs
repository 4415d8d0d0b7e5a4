//! Routes agree with servers, whatever happened to either.

use serde_json::json;
use specola::task::routes::{reconcile, settle};

use crate::database::{Database, both};
use crate::harness::{House, Hub, PREFIX, recipe};

both!(
    a_lost_route_is_put_back,
    a_wrong_target_is_put_right,
    the_route_of_a_stopped_server_is_taken_away,
    routes_of_others_are_left_alone,
    what_agrees_is_not_written_again,
    one_server_is_settled_as_its_row_tells,
    routes_are_put_right_while_the_spawner_cannot_be_asked,
);

async fn ready(database: Database) -> (House, Hub) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    (house, hub)
}

/// Puts the route of a server somewhere, as a hub that comes late does.
async fn put_late(house: &House) {
    let data = json!({ "user": "anna", "server_name": "", "jupyterhub": true });
    house.store.put_route(PREFIX, "http://10.0.0.1:1", &data).await.unwrap();
}

async fn a_lost_route_is_put_back(database: Database) {
    let (house, hub) = ready(database).await;
    house.store.delete_route(PREFIX).await.unwrap();
    hub.survey().await.unwrap();
    house.expect_ready().await;
}

async fn a_wrong_target_is_put_right(database: Database) {
    let (house, hub) = ready(database).await;
    put_late(&house).await;
    hub.survey().await.unwrap();
    house.expect_ready().await;
}

async fn the_route_of_a_stopped_server_is_taken_away(database: Database) {
    let (house, hub) = ready(database).await;
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
    put_late(&house).await;
    hub.survey().await.unwrap();
    house.expect_nothing_left().await;
}

async fn routes_of_others_are_left_alone(database: Database) {
    let (house, hub) = ready(database).await;
    house.store.put_route("/services/docs/", "http://10.0.0.2:80", &json!({ "service": "docs" })).await.unwrap();
    let before = house.store.routes_snapshot().await.unwrap();
    assert_eq!(before.1.len(), 3, "hub, server and service");
    hub.survey().await.unwrap();
    assert_eq!(house.store.routes_snapshot().await.unwrap(), before);
}

async fn what_agrees_is_not_written_again(database: Database) {
    let (house, hub) = ready(database).await;
    let (before, _) = house.store.routes_snapshot().await.unwrap();
    let changes = hub.keeper.signals().follow_routes();
    reconcile(&house.store, &recipe(), hub.keeper.signals()).await.unwrap();
    assert_eq!(house.store.routes_snapshot().await.unwrap().0, before);
    assert!(!changes.has_changed().unwrap(), "no proxy is woken");
}

async fn one_server_is_settled_as_its_row_tells(database: Database) {
    let (house, hub) = ready(database).await;
    put_late(&house).await;
    settle(&house.store, &recipe(), house.server).await.unwrap();
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
    put_late(&house).await;
    settle(&house.store, &recipe(), house.server).await.unwrap();
    house.expect_nothing_left().await;
}

async fn routes_are_put_right_while_the_spawner_cannot_be_asked(database: Database) {
    let (house, hub) = ready(database).await;
    put_late(&house).await;
    house.world.unreachable(true);
    assert!(hub.survey().await.is_err(), "it says that the spawner cannot be asked");
    assert_eq!(house.route().await, Some(house.lab.origin()));
}

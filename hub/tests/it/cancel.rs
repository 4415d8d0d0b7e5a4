//! A stop always wins, wherever it meets a start; and then nothing has failed.

use hub_core::life::Phase;
use spawners::fake::Script;

use crate::database::{Database, both};
use crate::harness::{House, Hub, eventually};
use crate::lab::Manner;

both!(
    a_start_is_cancelled_before_it_begins,
    a_start_is_cancelled_while_the_spawner_works,
    a_start_is_cancelled_while_the_spawner_cannot_be_reached,
    a_start_is_cancelled_while_the_lab_is_silent,
    a_start_is_cancelled_while_the_proxy_is_away,
    a_stop_wins_at_any_instant_of_a_start,
);

async fn cancel(house: &House, hub: &Hub) {
    house.want_stopped(hub).await;
    house.expect_nothing_left().await;
    assert_eq!(house.row().await.failure, None, "what was cancelled has not failed");
}

async fn a_start_is_cancelled_before_it_begins(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.database.hand("UPDATE specola_servers SET held_by = 'nobody', held_until = '2100-01-01 00:00:00'").await;
    house.want_running(&hub).await;
    house.want_stopped(&hub).await;
    house.database.hand("UPDATE specola_servers SET held_by = NULL, held_until = NULL").await;
    hub.keeper.nudge(house.server);
    house.expect_nothing_left().await;
    assert_eq!(house.world.created(), 0);
}

async fn a_start_is_cancelled_while_the_spawner_works(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    assert_eq!(house.row().await.phase, Phase::Starting);
    cancel(&house, &hub).await;
}

async fn a_start_is_cancelled_while_the_spawner_cannot_be_reached(database: Database) {
    let house = House::new(database).await;
    house.world.unreachable(true);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("the spawner is asked", || async { house.was_called("start") }).await;
    house.want_stopped(&hub).await;
    house.until_phase(Phase::Stopping).await;
    eventually("it is asked to stop", || async { house.was_called("stop") }).await;
    assert_eq!(house.row().await.phase, Phase::Stopping, "nobody knows yet whether anything is left");
    house.world.unreachable(false);
    house.expect_nothing_left().await;
}

async fn a_start_is_cancelled_while_the_lab_is_silent(database: Database) {
    let house = House::new(database).await;
    house.lab.behave(Manner::Silent);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.until_phase(Phase::Waiting).await;
    eventually("the lab is asked", || async { house.lab.asked() > 0 }).await;
    cancel(&house, &hub).await;
}

async fn a_start_is_cancelled_while_the_proxy_is_away(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    hub.proxy_is_there(false);
    house.want_running(&hub).await;
    house.until_phase(Phase::Routing).await;
    eventually("the route is written", || async { house.route().await.is_some() }).await;
    cancel(&house, &hub).await;
}

async fn a_stop_wins_at_any_instant_of_a_start(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    for turn in 0..32 {
        let called = house.world.calls().len();
        house.want_running(&hub).await;
        // One more of the spawner's steps each time, and now and then a little later.
        eventually("so many steps", || async { house.world.calls().len() >= called + turn % 8 }).await;
        for _ in 0..turn / 8 {
            house.row().await;
        }
        cancel(&house, &hub).await;
    }
    assert!(house.world.created() > 0, "some of the starts came to something");
}

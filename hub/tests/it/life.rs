//! The straight way up and down, and what can be read of it meanwhile.

use hub_core::clock::Clock;
use hub_core::id::Generation;
use hub_core::life::Phase;
use hub_store::{StartLimits, TokenOwner, WantRunning, WantStopped};
use serde_json::Value;
use spawners::fake::Script;

use crate::database::{Database, both};
use crate::harness::{House, STOP_TIMEOUT};

both!(
    a_wanted_server_becomes_ready_and_an_unwanted_one_leaves_nothing,
    the_server_holds_the_token_that_the_database_knows,
    progress_is_told_in_order_and_once,
    a_server_that_ignores_a_stop_is_ended_by_force,
    a_start_wanted_while_the_server_stops_waits_for_its_end,
    a_hand_that_wants_a_stopping_server_back_gets_a_new_one,
    a_hub_that_is_not_nudged_finds_its_work,
);

async fn a_wanted_server_becomes_ready_and_an_unwanted_one_leaves_nothing(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    for generation in 1..=3 {
        house.want_running(&hub).await;
        let row = house.expect_ready().await;
        assert_eq!(row.generation, Generation(generation));
        assert_eq!(row.url, Some(house.lab.origin()));
        house.want_stopped(&hub).await;
        house.expect_nothing_left().await;
        assert_eq!(house.row().await.failure, None);
    }
    assert_eq!(house.world.created(), 3);
}

async fn the_server_holds_the_token_that_the_database_knows(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let row = house.expect_ready().await;
    let given = hub.driver.token_of(row.generation).unwrap();
    let stored = house.store.tokens_of(TokenOwner::User(house.user), house.clock.now()).await.unwrap().remove(0);
    assert!(hub_core::token::verify(stored.hashed.expose(), &given));
    assert_eq!(house.store.server_token(house.server).await.unwrap(), Some(stored.id));
}

async fn progress_is_told_in_order_and_once(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    let told: Vec<_> =
        house.events().await.into_iter().map(|event| (event.progress, event.phase, event.message)).collect();
    let expected = [
        (0, Phase::Stopped, "Server requested"),
        (10, Phase::Starting, "Starting the server"),
        (20, Phase::Starting, "Creating the server"),
        (60, Phase::Waiting, "Waiting for the server to answer"),
        (80, Phase::Routing, "The server answers; opening the way to it"),
        (100, Phase::Ready, "Server ready at /user/anna/"),
    ];
    assert_eq!(told, expected.map(|(progress, phase, message)| (progress, phase, message.to_owned())));
}

async fn a_server_that_ignores_a_stop_is_ended_by_force(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Stubborn);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    crate::harness::eventually("it is asked to stop", || async { house.was_called("stop") }).await;
    assert!(!house.was_called("kill"), "it is asked before it is forced");
    house.later(STOP_TIMEOUT + 1, &hub);
    house.expect_nothing_left().await;
    assert!(house.was_called("kill"));
}

async fn a_start_wanted_while_the_server_stops_waits_for_its_end(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Stubborn);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    let now = house.clock.now();
    let again = house.store.want_running(house.server, None, &Value::Null, StartLimits::default(), now).await.unwrap();
    assert_eq!(again, WantRunning::Stopping);
    house.until_phase(Phase::Stopping).await;
    let twice = house.store.want_stopped(house.server, now).await.unwrap();
    assert_eq!(twice, WantStopped::AlreadyStopping);
    house.later(STOP_TIMEOUT + 1, &hub);
    house.expect_nothing_left().await;
    house.want_running(&hub).await;
    assert_eq!(house.expect_ready().await.generation, Generation(2));
}

async fn a_hand_that_wants_a_stopping_server_back_gets_a_new_one(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Stubborn);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    house.until_phase(Phase::Stopping).await;
    house.database.hand("UPDATE specola_servers SET desired = 'running'").await;
    house.later(STOP_TIMEOUT + 1, &hub);
    house.until("the next start", |row| row.generation == Generation(2)).await;
    assert_eq!(house.expect_ready().await.generation, Generation(2));
    assert_eq!(house.world.created(), 2);
}

async fn a_hub_that_is_not_nudged_finds_its_work(database: Database) {
    let house = House::new(database).await;
    let now = house.clock.now();
    house.store.want_running(house.server, None, &Value::Null, StartLimits::default(), now).await.unwrap();
    let _hub = house.hub("a").await;
    house.expect_ready().await;
    house.store.want_stopped(house.server, now).await.unwrap();
    house.expect_nothing_left().await;
}

//! Spawner, database and proxy away for a while: nothing is lost, and work goes on when they are back.

use hub_core::clock::Clock;
use hub_core::id::Generation;
use hub_core::life::Phase;
use spawners::fake::Script;

use crate::database::{Database, both, postgresql};
use crate::harness::{HTTP_TIMEOUT, House, Hub, START_TIMEOUT, eventually};
use crate::lab::Manner;

both!(
    a_start_goes_on_when_the_spawner_is_back,
    a_start_whose_deadline_passed_without_the_spawner_goes_on_too,
    a_start_does_not_wait_for_a_spawner_that_stays_away,
    a_stop_goes_on_when_the_spawner_is_back,
    a_spawner_that_cannot_be_asked_does_not_end_a_ready_server,
    a_start_goes_on_when_the_database_is_back,
    a_stop_goes_on_when_the_database_is_back,
    an_answer_that_could_not_be_written_down_counts_after_its_deadline,
    a_proxy_that_comes_back_takes_the_route,
    a_proxy_that_was_silent_for_long_delays_nobody,
);

/// Returns once a hub that wants to write has met the lock for a while.
async fn feel_the_lock(house: &House) {
    for _ in 0..3 {
        let refused = house.store.nudge(house.server, house.clock.now()).await;
        assert!(refused.is_err_and(|error| error.is_temporary()), "the database is locked");
    }
}

async fn ready(database: Database) -> (House, Hub) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    (house, hub)
}

async fn a_start_goes_on_when_the_spawner_is_back(database: Database) {
    let house = House::new(database).await;
    house.world.unreachable(true);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let looked = || async { house.world.calls().iter().filter(|call| call.starts_with("look")).count() > 2 };
    eventually("the spawner is asked again", looked).await;
    house.world.unreachable(false);
    assert_eq!(house.expect_ready().await.generation, Generation(1), "it is the same start");
    assert_eq!(house.world.created(), 1);
}

async fn a_start_whose_deadline_passed_without_the_spawner_goes_on_too(database: Database) {
    let house = House::new(database).await;
    house.world.unreachable(true);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let looks = || house.world.calls().iter().filter(|call| call.starts_with("look")).count();
    let looked = async || {
        let before = looks();
        eventually("the spawner is asked again", || async { looks() > before + 1 }).await;
    };
    looked().await;
    house.later(START_TIMEOUT + 1, &hub);
    looked().await;
    assert_eq!(house.row().await.phase, Phase::Starting, "nobody could ask");
    house.world.unreachable(false);
    assert_eq!(house.expect_ready().await.generation, Generation(1), "it is the same start");
}

async fn a_start_does_not_wait_for_a_spawner_that_stays_away(database: Database) {
    let house = House::new(database).await;
    house.world.unreachable(true);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("the spawner is asked", || async { house.was_called("look") }).await;
    house.later(600, &hub);
    house.later(START_TIMEOUT + 1, &hub);
    house.until("it is given up", |row| row.failure.is_some()).await;
    house.world.unreachable(false);
    house.expect_nothing_left().await;
}

async fn a_stop_goes_on_when_the_spawner_is_back(database: Database) {
    let (house, hub) = ready(database).await;
    house.world.unreachable(true);
    house.want_stopped(&hub).await;
    eventually("it is asked to stop", || async { house.was_called("stop") }).await;
    assert_eq!(house.row().await.phase, Phase::Stopping);
    assert_eq!(house.route().await, None, "nobody is sent there any more");
    house.world.unreachable(false);
    house.expect_nothing_left().await;
}

async fn a_spawner_that_cannot_be_asked_does_not_end_a_ready_server(database: Database) {
    let (house, hub) = ready(database).await;
    house.world.unreachable(true);
    let looks = house.world.calls().len();
    hub.keeper.nudge(house.server);
    eventually("it is looked at", || async { house.world.calls().len() > looks }).await;
    house.until_at_rest(Phase::Ready).await;
    assert!(hub.survey().await.is_err(), "the survey says that it could not ask");
    house.world.unreachable(false);
    house.expect_ready().await;
}

async fn a_start_goes_on_when_the_database_is_back(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    let lock = house.database.lock().await;
    house.world.release(house.server);
    feel_the_lock(&house).await;
    lock.release().await;
    assert_eq!(house.expect_ready().await.generation, Generation(1));
    assert_eq!(house.world.created(), 1);
}

/// On PostgreSQL alone: SQLite has no connections that others could break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_goes_on_over_new_connections() {
    let Some(database) = postgresql() else { return };
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    house.world.release(house.server);
    for _ in 0..5 {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE pid <> pg_backend_pid() AND datname = current_database()";
        house.database.hand(others).await;
    }
    assert_eq!(house.expect_ready().await.generation, Generation(1));
}

async fn a_stop_goes_on_when_the_database_is_back(database: Database) {
    let (house, hub) = ready(database).await;
    house.world.script(house.server, Script::Stubborn);
    house.want_stopped(&hub).await;
    eventually("it is asked to stop", || async { house.was_called("stop") }).await;
    let lock = house.database.lock().await;
    house.world.remove(house.server);
    feel_the_lock(&house).await;
    lock.release().await;
    house.expect_nothing_left().await;
}

async fn an_answer_that_could_not_be_written_down_counts_after_its_deadline(database: Database) {
    let house = House::new(database).await;
    house.lab.behave(Manner::Silent);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.until_phase(Phase::Waiting).await;
    eventually("the lab is asked", || async { house.lab.asked() > 0 }).await;
    let lock = house.database.lock().await;
    house.lab.behave(Manner::Answers);
    eventually("it answers", || async { house.lab.answered() > 0 }).await;
    feel_the_lock(&house).await;
    house.clock.move_on(HTTP_TIMEOUT + START_TIMEOUT);
    lock.release().await;
    house.expect_ready().await;
}

async fn a_proxy_that_comes_back_takes_the_route(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    eventually("the proxy is known", || async { !house.store.list_proxies().await.unwrap().is_empty() }).await;
    hub.proxy_is_there(false);
    house.want_running(&hub).await;
    house.until_phase(Phase::Routing).await;
    eventually("the route is written", || async { house.route().await.is_some() }).await;
    hub.proxy_is_there(true);
    house.expect_ready().await;
}

async fn a_proxy_that_was_silent_for_long_delays_nobody(database: Database) {
    let house = House::new(database).await;
    house.store.ack("a proxy that is gone", 0, house.clock.now()).await.unwrap();
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let row = house.until_phase(Phase::Routing).await;
    assert!(row.held_by.is_some(), "it waits for the proxy that was heard of lately");
    house.later(16, &hub);
    house.expect_ready().await;
}

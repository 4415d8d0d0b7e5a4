//! Hubs that die, stop, stall or work side by side on one database.

use hub_core::clock::Clock;
use hub_core::id::Generation;
use hub_core::life::Phase;
use hub_store::{Address, Arrived, Step, TokenOwner};
use serde_json::json;
use spawners::fake::Script;
use spawners::{Spawner, Stop};

use crate::database::{Database, at, both};
use crate::harness::{CLIENT, House, LEASE, STOP_TIMEOUT, eventually};
use crate::lab::Manner;

both!(
    another_hub_carries_on_a_start_once_the_lease_has_run_out,
    the_next_life_of_a_killed_hub_carries_on_at_once,
    a_start_whose_token_died_with_its_hub_gets_another,
    a_hub_that_is_told_to_stop_hands_its_work_over,
    another_hub_carries_on_a_stop,
    a_server_comes_up_although_its_deadline_passed_without_a_hub,
    a_hub_that_stalled_in_the_spawner_changes_nothing,
    a_hub_that_stalled_before_the_proxy_leaves_no_route,
    a_late_writer_of_an_old_generation_changes_nothing,
    two_hubs_side_by_side_make_each_server_once,
);

async fn another_hub_carries_on_a_start_once_the_lease_has_run_out(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let first = house.hub("a").await;
    house.want_running(&first).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    first.kill();
    let second = house.hub("b").await;
    let early = house.store.claim(house.server, "b", house.clock.now(), chrono::TimeDelta::seconds(15)).await;
    assert_eq!(early.unwrap(), None, "the lease keeps it from everybody else");
    house.later(LEASE, &second);
    house.world.release(house.server);
    assert_eq!(house.expect_ready().await.generation, Generation(1), "it is the same start");
    assert_eq!(house.world.created(), 1);
}

async fn the_next_life_of_a_killed_hub_carries_on_at_once(database: Database) {
    let house = House::new(database).await;
    house.lab.behave(Manner::Silent);
    let first = house.hub("a").await;
    house.want_running(&first).await;
    house.until_phase(Phase::Waiting).await;
    first.kill();
    house.lab.behave(Manner::Answers);
    let _second = house.hub("a").await;
    assert_eq!(house.expect_ready().await.generation, Generation(1));
    assert_eq!(house.world.created(), 1);
}

async fn a_start_whose_token_died_with_its_hub_gets_another(database: Database) {
    let house = House::new(database).await;
    house.world.unreachable(true);
    let first = house.hub("a").await;
    house.want_running(&first).await;
    eventually("the spawner is asked", || async { house.was_called("start") }).await;
    first.kill();
    house.world.unreachable(false);
    let second = house.hub("a").await;
    let row = house.expect_ready().await;
    assert_eq!(row.generation, Generation(2));
    let given = second.driver.token_of(row.generation).unwrap();
    let stored = house.store.tokens_of(TokenOwner::User(house.user), house.clock.now()).await.unwrap().remove(0);
    assert!(hub_core::token::verify(stored.hashed.expose(), &given), "the server holds the one that counts");
}

async fn a_hub_that_is_told_to_stop_hands_its_work_over(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let first = house.hub("a").await;
    house.want_running(&first).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    first.stop().await;
    let row = house.row().await;
    assert_eq!((row.held_by, row.phase), (None, Phase::Starting));
    assert!(row.due_at.is_some(), "somebody is to go on");
    // The clock stands: its proxy would count as connected for ever.
    house.store.delete_proxy("proxy of a").await.unwrap();
    let _second = house.hub("b").await;
    house.world.release(house.server);
    assert_eq!(house.expect_ready().await.generation, Generation(1));
    assert_eq!(house.world.created(), 1);
}

async fn another_hub_carries_on_a_stop(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Stubborn);
    let first = house.hub("a").await;
    house.want_running(&first).await;
    house.expect_ready().await;
    house.want_stopped(&first).await;
    eventually("it is asked to stop", || async { house.was_called("stop") }).await;
    first.kill();
    let second = house.hub("b").await;
    house.later(LEASE + STOP_TIMEOUT, &second);
    house.expect_nothing_left().await;
    assert!(house.was_called("kill"), "the stop's deadline outlives the hub");
}

async fn a_server_comes_up_although_its_deadline_passed_without_a_hub(database: Database) {
    for phase in [Phase::Starting, Phase::Waiting, Phase::Routing] {
        let house = House::new(database.another()).await;
        let first = house.hub("a").await;
        match phase {
            Phase::Starting => house.world.unreachable(true),
            Phase::Waiting => house.lab.behave(Manner::Silent),
            _ => first.proxy_is_there(false),
        }
        house.want_running(&first).await;
        house.until_phase(phase).await;
        first.kill();
        house.clock.move_on(600);
        house.world.unreachable(false);
        house.lab.behave(Manner::Answers);
        let _second = house.hub("a").await;
        house.expect_ready().await;
    }
}

async fn a_hub_that_stalled_in_the_spawner_changes_nothing(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, Script::Slow);
    let (first, second) = (house.hub("a").await, house.hub("b").await);
    house.want_running(&first).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    house.later(LEASE, &second);
    house.until("the second hub has it", |row| row.held_by.as_deref() == Some("b")).await;
    house.world.release(house.server);
    let row = house.expect_ready().await;
    assert_eq!((row.generation, house.world.created()), (Generation(1), 1));
    first.keeper.nudge(house.server);
    house.want_stopped(&second).await;
    house.expect_nothing_left().await;
    assert_eq!(house.row().await.failure, None);
}

async fn a_hub_that_stalled_before_the_proxy_leaves_no_route(database: Database) {
    let house = House::new(database).await;
    let (first, second) = (house.hub("a").await, house.hub("b").await);
    first.proxy_is_there(false);
    second.proxy_is_there(false);
    house.want_running(&first).await;
    house.until_phase(Phase::Routing).await;
    eventually("the route is written", || async { house.route().await.is_some() }).await;
    house.clock.move_on(LEASE);
    house.want_stopped(&second).await;
    house.expect_nothing_left().await;
    // The first finds out, and takes nothing back.
    first.keeper.nudge(house.server);
    eventually("its run has ended", || async { !first.keeper.signals().is_held(house.server) }).await;
    house.expect_nothing_left().await;
}

async fn a_late_writer_of_an_old_generation_changes_nothing(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let old = house.expect_ready().await;
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
    house.want_running(&hub).await;
    let row = house.expect_ready().await;
    let (store, id, generation) = (&house.store, house.server, old.generation);
    let address = Address {
        proto: "http".to_owned(),
        ip: "10.0.0.1".to_owned(),
        port: 1,
        base_url: "/user/anna/".to_owned(),
        cookie_name: CLIENT.to_owned(),
    };
    let arrived = Arrived { address, state: None, deadline_at: at(99) };
    let step = Step { holder: "late", generation, lease: chrono::TimeDelta::seconds(15), told: Vec::new(), now: at(9) };
    // The late one has even the lease: a claim asks for no generation.
    assert!(store.claim(id, "late", at(9), chrono::TimeDelta::seconds(15)).await.unwrap().is_some());
    assert!(!store.save_state(id, generation, &json!({ "late": true })).await.unwrap());
    assert_eq!(store.arrive(id, &arrived, &step).await.unwrap(), None);
    assert_eq!(store.advance(id, Phase::Waiting, None, &step).await.unwrap(), None);
    assert!(!store.fail(id, "late", generation, &json!({}), at(9)).await.unwrap());
    assert!(!store.begin_stop(id, "late", generation, at(99), at(9)).await.unwrap());
    assert!(!store.finish(id, "late", generation, None, at(9)).await.unwrap());
    let identity = hub.keeper.identity(&old);
    hub.driver.stop(&identity, &serde_json::Value::Null, Stop { force: true }).await.unwrap();
    store.release(id, "late", None).await.unwrap();
    assert_eq!(house.expect_ready().await, row);
}

async fn two_hubs_side_by_side_make_each_server_once(database: Database) {
    let house = House::new(database).await;
    let hubs = [house.hub("a").await, house.hub("b").await];
    for turn in 0..8 {
        let (one, other) = (&hubs[turn % 2], &hubs[(turn + 1) % 2]);
        house.want_running(one).await;
        other.keeper.nudge(house.server);
        house.expect_ready().await;
        house.want_stopped(other).await;
        one.keeper.nudge(house.server);
        house.expect_nothing_left().await;
        assert_eq!(house.world.created(), turn + 1);
        assert_eq!(house.row().await.failure, None);
    }
}

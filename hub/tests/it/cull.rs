//! The culler with a scripted spawner: whom it stops, whom it leaves, and what it does while it cannot know.

use chrono::TimeDelta;
use hub_core::clock::Clock;
use hub_core::cull::Rules;
use hub_core::life::{Desired, Phase};
use specola::task::cull;

use crate::database::{Database, both};
use crate::harness::{House, Hub};

both!(
    an_idle_server_is_stopped_and_one_in_use_is_not,
    while_the_spawner_cannot_be_asked_nobody_is_stopped,
    what_starts_or_stops_is_left_alone,
    one_that_died_is_told_as_a_death,
    a_group_may_be_idle_for_longer,
    of_two_hubs_one_stops_it,
);

fn rules() -> Rules {
    Rules {
        timeout: TimeDelta::seconds(600),
        group_timeouts: Vec::new(),
        max_age: None,
        default_servers: true,
        named_servers: true,
        admin_users: true,
    }
}

async fn cull(hub: &Hub, rules: &Rules) -> usize {
    cull::servers(&hub.store, &hub.driver, &hub.keeper, rules, false).await.unwrap().len()
}

async fn ready(house: &House) -> Hub {
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    hub
}

async fn an_idle_server_is_stopped_and_one_in_use_is_not(database: Database) {
    let house = House::new(database).await;
    let hub = ready(&house).await;
    house.clock.move_on(599);
    house.store.touch_server(house.server, house.clock.now()).await.unwrap();
    house.clock.move_on(599);
    assert_eq!(cull(&hub, &rules()).await, 0);
    house.expect_ready().await;
    house.clock.move_on(1);
    assert_eq!(cull(&hub, &rules()).await, 1);
    house.expect_nothing_left().await;
    assert!(house.failure().await.is_none(), "it is no failure");
    assert_eq!(cull(&hub, &rules()).await, 0);
}

async fn while_the_spawner_cannot_be_asked_nobody_is_stopped(database: Database) {
    let house = House::new(database).await;
    let hub = ready(&house).await;
    house.clock.move_on(6000);
    house.world.unreachable(true);
    assert_eq!(cull(&hub, &rules()).await, 0);
    assert_eq!(house.row().await.desired, Desired::Running);
    house.world.unreachable(false);
    assert_eq!(cull(&hub, &rules()).await, 1);
    house.expect_nothing_left().await;
}

async fn what_starts_or_stops_is_left_alone(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    hub.proxy_is_there(false);
    house.want_running(&hub).await;
    house.until_phase(Phase::Routing).await;
    let eager = Rules { timeout: TimeDelta::zero(), max_age: Some(TimeDelta::zero()), ..rules() };
    assert_eq!(cull(&hub, &eager).await, 0);
    hub.proxy_is_there(true);
    house.expect_ready().await;
    assert_eq!(cull(&hub, &eager).await, 1);
    assert_eq!(cull(&hub, &eager).await, 0, "it stops already");
    house.expect_nothing_left().await;
}

async fn one_that_died_is_told_as_a_death(database: Database) {
    let house = House::new(database).await;
    let hub = ready(&house).await;
    house.clock.move_on(6000);
    house.world.kill(house.server, 9);
    assert_eq!(cull(&hub, &rules()).await, 0);
    house.expect_nothing_left().await;
    assert_eq!(house.failure().await.unwrap().code, "lost");
}

async fn a_group_may_be_idle_for_longer(database: Database) {
    let house = House::new(database).await;
    let hub = ready(&house).await;
    house.store.set_groups(house.user, &["night".to_owned()]).await.unwrap();
    let rules = Rules { group_timeouts: vec![("night".to_owned(), Some(TimeDelta::seconds(9000)))], ..rules() };
    house.clock.move_on(6000);
    assert_eq!(cull(&hub, &rules).await, 0);
    house.clock.move_on(6000);
    assert_eq!(cull(&hub, &rules).await, 1);
    house.expect_nothing_left().await;
}

async fn of_two_hubs_one_stops_it(database: Database) {
    let house = House::new(database).await;
    let hub = ready(&house).await;
    let other = house.hub("b").await;
    house.clock.move_on(6000);
    let rules = rules();
    let (one, two) = tokio::join!(cull(&hub, &rules), cull(&other, &rules));
    assert_eq!(one + two, 1);
    house.expect_nothing_left().await;
}

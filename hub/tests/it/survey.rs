//! What the survey notices: servers that died, and things that no row knows.

use std::sync::Arc;

use chrono::TimeDelta;
use hub_core::clock::Clock;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::Phase;
use serde_json::Value;
use spawners::contract::Paper;
use spawners::fake::{Fake, World};
use spawners::{Identity, MemoryFull, Plan, Site, Sites, Spawner};
use specola::task::survey;

use crate::database::{Database, both};
use crate::harness::{House, Hub};

both!(
    a_ready_server_that_died_is_noticed,
    what_is_told_of_a_server_is_worth_it_where_row_and_world_differ,
    what_an_older_start_left_is_stopped,
    what_a_late_hub_made_for_a_stopped_server_is_stopped,
    what_belongs_to_no_row_is_stopped,
    what_is_somebody_elses_by_the_account_on_it_is_stopped,
    what_a_start_is_making_is_left_alone,
    what_is_left_at_another_site_is_stopped_though_one_is_away,
    what_was_kept_at_another_site_is_stopped_whatever_its_generation,
    a_full_memory_is_noted_where_it_was_of_this_run,
);

/// Makes something in the world, as a hub does that comes late.
async fn make(house: &House, hub: &Hub, server: SpawnerId, generation: i64) -> Identity {
    let row = house.row().await;
    let identity = Identity { spawner: server, generation: Generation(generation), ..hub.keeper.identity(&row) };
    let plan = Plan::new(identity.clone(), "/user/anna/", vec!["lab".to_owned()]);
    hub.driver.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    identity
}

async fn a_ready_server_that_died_is_noticed(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    hub.survey().await.unwrap();
    house.expect_ready().await;
    house.world.kill(house.server, 9);
    hub.survey().await.unwrap();
    house.expect_nothing_left().await;
    assert_eq!(house.failure().await.unwrap().code, "lost");
}

async fn what_is_told_of_a_server_is_worth_it_where_row_and_world_differ(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    let is_worth_it = async |server| survey::is_worth_it(&hub.store, &hub.driver, &hub.keeper, server).await;
    assert!(!is_worth_it(house.server).await, "it is stopped, and is to be");
    assert!(!is_worth_it(SpawnerId(house.server.0 + 1000)).await, "nobody knows it");
    house.world.script(house.server, spawners::fake::Script::Slow);
    house.want_running(&hub).await;
    crate::harness::eventually("it is being made", || async { house.world.len() == 1 }).await;
    assert!(is_worth_it(house.server).await, "it may be up by now");
    house.world.release(house.server);
    house.expect_ready().await;
    assert!(!is_worth_it(house.server).await);
    house.world.unreachable(true);
    assert!(!is_worth_it(house.server).await, "nothing can be known");
    house.world.unreachable(false);
    house.world.kill(house.server, 9);
    assert!(is_worth_it(house.server).await);
}

async fn what_an_older_start_left_is_stopped(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    make(&house, &hub, house.server, 0).await;
    assert_eq!(house.world.len(), 2);
    hub.survey().await.unwrap();
    assert_eq!(house.expect_ready().await.generation, Generation(1));
    assert!(house.world.calls().contains(&format!("kill h:{}:0", house.server)));
}

async fn what_a_late_hub_made_for_a_stopped_server_is_stopped(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
    make(&house, &hub, house.server, 1).await;
    hub.survey().await.unwrap();
    house.expect_nothing_left().await;
}

async fn what_belongs_to_no_row_is_stopped(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    make(&house, &hub, SpawnerId(house.server.0 + 1000), 1).await;
    hub.survey().await.unwrap();
    assert!(house.world.is_empty());
}

/// A database of before gives numbers out again that something still runs under.
async fn what_is_somebody_elses_by_the_account_on_it_is_stopped(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    let own = hub.keeper.identity(&house.row().await);
    let others = Identity { account: Some("4711-1".to_owned()), generation: Generation(7), ..own };
    let plan = Plan::new(others, "/user/eve/", vec!["lab".to_owned()]);
    hub.driver.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    house.want_running(&hub).await;
    house.until_at_rest(Phase::Ready).await;
    assert_eq!(house.world.len(), 2);
    hub.survey().await.unwrap();
    assert!(house.world.calls().contains(&format!("kill h:{}:7", house.server)));
    assert_eq!((house.expect_ready().await.generation, house.world.len()), (Generation(1), 1));
}

async fn what_is_left_at_another_site_is_stopped_though_one_is_away(database: Database) {
    let (house, bari) = (House::new(database).await, World::new());
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.expect_ready().await;
    let site = |name: &str, driver: Arc<dyn Spawner>| Site { name: name.to_owned(), shown: name.to_owned(), driver };
    let all = vec![site("cnaf", Arc::new(hub.driver.clone())), site("bari", Arc::new(Fake::new(&bari)))];
    let sites = Sites::new(all, None).unwrap();
    let identity = Identity { generation: Generation(0), ..hub.keeper.identity(&house.row().await) };
    let earlier = Plan { site: Some("bari".to_owned()), ..Plan::new(identity, "/user/anna/", vec!["lab".to_owned()]) };
    sites.start(&earlier, &Value::Null, &Paper::default()).await.unwrap();
    assert_eq!((house.world.len(), bari.len()), (1, 1));
    house.world.unreachable(true);
    survey::once(&hub.store, &sites, &hub.keeper).await.unwrap();
    assert!(bari.is_empty(), "the earlier one is stopped where it is");
    house.world.unreachable(false);
    survey::once(&hub.store, &sites, &hub.keeper).await.unwrap();
    house.expect_ready().await;
}

async fn what_was_kept_at_another_site_is_stopped_whatever_its_generation(database: Database) {
    let (mut house, bari) = (House::new(database).await, World::new());
    house.bari = Some(bari.clone());
    house.ways = crate::sites::hub_at("cnaf", "https://proxy.cnaf.example");
    let hub = house.hub("a").await;
    house.want_running_with(&hub, &serde_json::json!({ "site": "cnaf" })).await;
    house.expect_ready().await;
    let sites = hub.sites.as_ref().unwrap();
    // As a container that is kept from start to start.
    let kept = Identity { generation: Generation(i64::MAX), ..hub.keeper.identity(&house.row().await) };
    let earlier = Plan { site: Some("bari".to_owned()), ..Plan::new(kept, "/user/anna/", vec!["lab".to_owned()]) };
    sites.start(&earlier, &Value::Null, &Paper::default()).await.unwrap();
    assert_eq!((house.world.len(), bari.len()), (1, 1));
    survey::once(&hub.store, sites, &hub.keeper).await.unwrap();
    assert!(bari.is_empty(), "nobody has two");
    house.expect_ready().await;
}

async fn what_a_start_is_making_is_left_alone(database: Database) {
    let house = House::new(database).await;
    house.world.script(house.server, spawners::fake::Script::Slow);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    crate::harness::eventually("it is being made", || async { house.world.len() == 1 }).await;
    hub.survey().await.unwrap();
    assert_eq!((house.row().await.phase, house.world.len()), (Phase::Starting, 1));
    house.world.release(house.server);
    house.expect_ready().await;
    hub.survey().await.unwrap();
    house.expect_ready().await;
    assert!(house.row().await.started.is_some_and(|started| started <= house.clock.now()));
}

async fn a_full_memory_is_noted_where_it_was_of_this_run(database: Database) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let row = house.expect_ready().await;
    let (now, server) = (row.started.unwrap(), hub.keeper.identity(&row));
    let full = |seconds, kept, generation| MemoryFull {
        server: Identity { generation: Generation(generation), ..server.clone() },
        kept,
        at: now + TimeDelta::seconds(seconds),
        limit: Some(1 << 30),
    };
    let noted = async |full: &MemoryFull| survey::note(&house.store, full).await.unwrap();
    assert!(!noted(&full(5, false, 0)).await, "of an earlier run");
    assert!(!noted(&full(-1, true, 0)).await, "before it was started again");
    let stranger = Identity { spawner: SpawnerId(house.server.0 + 1000), ..server.clone() };
    assert!(!noted(&MemoryFull { server: stranger, ..full(5, false, 1) }).await, "of nobody");
    assert_eq!(house.row().await.memory_full, None);
    // A clock of another machine may be behind.
    assert!(noted(&full(-1, false, 1)).await);
    assert!(noted(&full(5, true, 0)).await, "of what was kept, and was started again");
    assert_eq!(house.row().await.memory_full.map(|full| full.at), Some(now + TimeDelta::seconds(5)));
}

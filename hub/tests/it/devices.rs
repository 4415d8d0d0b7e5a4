//! Devices as the keeper leases them: before anything is made, in a queue that outlives hubs, and free after the stop.

use std::sync::Arc;
use std::time::Duration;

use hub_core::id::SpawnerId;
use hub_core::life::{Desired, Phase};
use hub_store::{Devices, StartLimits, WantRunning};
use serde_json::json;
use specola::keeper::devices::DeviceSettings;

use crate::database::{Database, both};
use crate::harness::{House, Hub, eventually};

const GPU: &str = "nvidia.com/gpu";

both!(
    a_server_waits_for_a_device_without_a_deadline_and_gets_it,
    a_wait_that_is_called_off_leaves_the_queue,
    a_wait_has_a_deadline_of_its_own,
    more_than_there_are_is_refused,
    devices_of_a_server_that_ran_before_are_not_given_away,
    what_was_left_leased_is_free_after_a_survey,
);

fn leasing(devices: &[&str], timeout: Option<u64>) -> DeviceSettings {
    let known = Devices::from([(GPU.to_owned(), devices.iter().map(|one| (*one).to_owned()).collect())]);
    DeviceSettings { known: Arc::new(known), timeout: timeout.map(Duration::from_secs) }
}

async fn want(house: &House, hub: &Hub, id: SpawnerId, gpus: u64) {
    let plan = json!({ "gpus": { GPU: gpus } });
    let devices = house.devices.wanted(&[(GPU.to_owned(), gpus)].into());
    let limits = StartLimits { devices, ..StartLimits::default() };
    let wanted = house.store.want_running(id, None, &plan, limits, house.clock.now_is()).await.unwrap();
    assert_eq!(wanted, WantRunning::Accepted);
    hub.keeper.nudge(id);
}

/// Somebody else with a server.
async fn other(house: &House, name: &str) -> SpawnerId {
    let now = house.clock.now_is();
    let user = house.store.create_user(name, false, &format!("cookie-of-{name}"), now).await.unwrap().id;
    house.store.create_server(user, "", None, None, now).await.unwrap().unwrap().id
}

async fn has(house: &House, id: SpawnerId) -> Vec<String> {
    house.store.devices_of(id).await.unwrap().into_values().flatten().collect()
}

async fn phase(house: &House, id: SpawnerId) -> Phase {
    house.store.server_by_id(id).await.unwrap().unwrap().phase
}

/// What the wait of a server that is only wanted has told so far.
async fn told(house: &House, id: SpawnerId) -> Vec<String> {
    let row = house.store.server_by_id(id).await.unwrap().unwrap();
    let generation = specola::keeper::progress::told_under(&row);
    let events = house.store.events_since(id, generation, 0).await.unwrap();
    events.into_iter().map(|event| event.message).collect()
}

async fn a_server_waits_for_a_device_without_a_deadline_and_gets_it(database: Database) {
    let mut house = House::new(database).await;
    house.devices = leasing(&["GPU-1"], None);
    let hub = house.hub("a").await;
    want(&house, &hub, house.server, 1).await;
    house.expect_ready().await;
    let plan = hub.driver.plan_of(house.server).unwrap();
    assert_eq!(plan.devices, *house.devices.known);
    assert!(plan.environment.contains(&("NVIDIA_VISIBLE_DEVICES".to_owned(), "GPU-1".to_owned())));
    let bea = other(&house, "bea").await;
    want(&house, &hub, bea, 1).await;
    let place = "Waiting for a GPU: place 1 of 1";
    eventually("bea waits", || async { told(&house, bea).await == [place] }).await;
    // No deadline runs while it waits, and the place outlives the hub.
    house.later(100_000, &hub);
    hub.kill();
    let hub = house.hub("a").await;
    hub.keeper.nudge(bea);
    let carl = other(&house, "carl").await;
    want(&house, &hub, carl, 1).await;
    eventually("carl waits behind", || async { told(&house, carl).await == ["Waiting for a GPU: place 2 of 2"] }).await;
    assert_eq!(phase(&house, bea).await, Phase::Stopped);
    hub.keeper.nudge(bea);
    let both = [place, "Waiting for a GPU: place 1 of 2"];
    eventually("bea is told who came", || async { told(&house, bea).await == both }).await;
    house.want_stopped(&hub).await;
    eventually("bea is ready", || async { phase(&house, bea).await == Phase::Ready }).await;
    assert_eq!((has(&house, bea).await, has(&house, house.server).await), (vec!["GPU-1".to_owned()], vec![]));
    assert_eq!(phase(&house, carl).await, Phase::Stopped);
    // It was used for as long as that: carl is told how long it may be.
    let wait = "Waiting for a GPU: place 1 of 1, about 28 hours";
    eventually("carl is told", || async { told(&house, carl).await.iter().any(|line| line == wait) }).await;
}

async fn a_wait_that_is_called_off_leaves_the_queue(database: Database) {
    let mut house = House::new(database).await;
    house.devices = leasing(&["GPU-1"], None);
    let hub = house.hub("a").await;
    let bea = other(&house, "bea").await;
    want(&house, &hub, bea, 1).await;
    eventually("bea is ready", || async { phase(&house, bea).await == Phase::Ready }).await;
    want(&house, &hub, house.server, 1).await;
    eventually("it waits", || async { !told(&house, house.server).await.is_empty() }).await;
    assert_eq!(house.store.device_use().await.unwrap().waiting[GPU], 1);
    house.want_stopped(&hub).await;
    let row = house.until_at_rest(Phase::Stopped).await;
    assert_eq!((row.desired, row.failure, row.generation.0), (Desired::Stopped, None, 0), "nothing was made");
    assert!(house.store.device_use().await.unwrap().waiting.is_empty());
    // What the wait told is not told of another one.
    want(&house, &hub, house.server, 1).await;
    eventually("it waits anew", || async { told(&house, house.server).await.len() == 1 }).await;
}

async fn a_wait_has_a_deadline_of_its_own(database: Database) {
    let mut house = House::new(database).await;
    house.devices = leasing(&["GPU-1"], Some(600));
    let hub = house.hub("a").await;
    let bea = other(&house, "bea").await;
    want(&house, &hub, bea, 1).await;
    eventually("bea is ready", || async { phase(&house, bea).await == Phase::Ready }).await;
    want(&house, &hub, house.server, 1).await;
    eventually("it waits", || async { !told(&house, house.server).await.is_empty() }).await;
    house.later(599, &hub);
    house.later(1, &hub);
    let row = house.until_at_rest(Phase::Stopped).await;
    assert_eq!(row.desired, Desired::Stopped);
    let failure = house.failure().await.unwrap();
    assert_eq!((failure.code.as_str(), failure.refused), ("device_timeout", true));
    assert_eq!(failure.message, "No GPU became free in 10 minutes.");
    assert!(house.store.device_use().await.unwrap().waiting.is_empty());
    assert_eq!(house.world.created(), 1, "bea's alone");
}

async fn more_than_there_are_is_refused(database: Database) {
    let mut house = House::new(database).await;
    house.devices = leasing(&["GPU-1"], None);
    let hub = house.hub("a").await;
    want(&house, &hub, house.server, 2).await;
    let row = house.until_at_rest(Phase::Stopped).await;
    assert_eq!(row.desired, Desired::Stopped);
    let failure = house.failure().await.unwrap();
    assert_eq!(failure.code, "no_such_device");
    assert_eq!(failure.message, "This hub has 1 device of the kind nvidia.com/gpu, and the server asks for 2.");
}

async fn devices_of_a_server_that_ran_before_are_not_given_away(database: Database) {
    let mut house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    let row = house.expect_ready().await;
    // As a driver that gave it one noted it.
    let state = json!({ "object_id": "x", "environment": ["CUDA_VISIBLE_DEVICES", "GPU-7,GPU-1"] });
    assert!(house.store.save_state(house.server, row.generation, &state).await.unwrap());
    hub.kill();
    house.devices = leasing(&["GPU-1", "GPU-2"], None);
    let hub = house.hub("a").await;
    let bea = other(&house, "bea").await;
    eventually("it is noted", || async { has(&house, house.server).await == ["GPU-1"] }).await;
    want(&house, &hub, bea, 1).await;
    eventually("bea has the other", || async { has(&house, bea).await == ["GPU-2"] }).await;
    house.want_stopped(&hub).await;
    house.until_at_rest(Phase::Stopped).await;
    assert!(has(&house, house.server).await.is_empty());
}

async fn what_was_left_leased_is_free_after_a_survey(database: Database) {
    let mut house = House::new(database).await;
    house.devices = leasing(&["GPU-1"], None);
    let hub = house.hub("a").await;
    want(&house, &hub, house.server, 1).await;
    house.expect_ready().await;
    hub.survey().await.unwrap();
    assert_eq!(has(&house, house.server).await, ["GPU-1"], "it runs");
    let bea = other(&house, "bea").await;
    // As no hub leaves it: another server's lease, and that one does not run.
    house.database.hand(&format!("UPDATE specola_devices SET spawner_id = {}", bea.0)).await;
    assert_eq!(has(&house, bea).await, ["GPU-1"]);
    hub.survey().await.unwrap();
    assert!(has(&house, bea).await.is_empty());
}

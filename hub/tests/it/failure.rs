//! Starts that fail: why is kept and told, and nothing else is left.

use hub_core::life::{Desired, Phase};
use spawners::fake::Script;

use crate::database::{Database, both};
use crate::harness::{HTTP_TIMEOUT, House, Hub, START_TIMEOUT, eventually};
use crate::lab::Manner;

both!(
    a_server_without_an_address_fails_at_the_start_deadline,
    a_lab_that_is_silent_fails_at_its_deadline,
    a_lab_that_talks_nonsense_is_told_so,
    a_lab_that_answers_with_errors_is_told_so,
    a_proxy_that_never_comes_fails_the_start,
    a_refusal_is_kept_apart_from_a_failure,
    a_server_that_dies_at_once_fails_with_its_reason,
    a_server_that_dies_before_it_answers_fails,
    a_server_taken_away_before_it_answers_fails,
    a_ready_server_that_died_is_lost_when_somebody_looks,
    a_failure_is_forgotten_by_the_next_start,
);

/// Waits for the end of a start that failed, and checks all that should be so then.
async fn expect_failure(house: &House, code: &str, phase: Phase, words: &str) {
    house.expect_nothing_left().await;
    assert_eq!(house.row().await.desired, Desired::Stopped);
    let failure = house.failure().await.expect("why is kept");
    assert_eq!((failure.code.as_str(), failure.phase, failure.refused), (code, phase, code == "scripted"));
    assert!(failure.message.contains(words), "{}", failure.message);
    let last = house.events().await.pop().expect("it was told");
    assert_eq!((last.progress, last.message), (100, failure.message));
}

async fn started(database: Database, prepare: impl FnOnce(&House, &Hub)) -> (House, Hub) {
    let house = House::new(database).await;
    let hub = house.hub("a").await;
    prepare(&house, &hub);
    house.want_running(&hub).await;
    (house, hub)
}

async fn a_server_without_an_address_fails_at_the_start_deadline(database: Database) {
    let (house, hub) = started(database, |house, _| house.world.script(house.server, Script::NeverAnAddress)).await;
    eventually("it is being made", || async { house.world.len() == 1 }).await;
    house.later(START_TIMEOUT - 1, &hub);
    assert_eq!(house.row().await.phase, Phase::Starting, "it has its time");
    house.later(2, &hub);
    expect_failure(&house, "start_timeout", Phase::Starting, "60 seconds").await;
}

async fn asked_in_vain(house: &House, hub: &Hub) {
    house.until_phase(Phase::Waiting).await;
    eventually("the lab is asked", || async { house.lab.asked() > 2 }).await;
    house.later(HTTP_TIMEOUT + 1, hub);
}

async fn a_lab_that_is_silent_fails_at_its_deadline(database: Database) {
    let (house, hub) = started(database, |house, _| house.lab.behave(Manner::Silent)).await;
    house.until_phase(Phase::Waiting).await;
    eventually("the lab is asked", || async { house.lab.asked() > 0 }).await;
    house.later(HTTP_TIMEOUT + 1, &hub);
    expect_failure(&house, "no_answer", Phase::Waiting, "30 seconds").await;
}

async fn a_lab_that_talks_nonsense_is_told_so(database: Database) {
    let (house, hub) = started(database, |house, _| house.lab.behave(Manner::Garbage)).await;
    asked_in_vain(&house, &hub).await;
    expect_failure(&house, "no_answer", Phase::Waiting, "does not speak HTTP").await;
}

async fn a_lab_that_answers_with_errors_is_told_so(database: Database) {
    let (house, hub) = started(database, |house, _| house.lab.behave(Manner::Error)).await;
    asked_in_vain(&house, &hub).await;
    expect_failure(&house, "no_answer", Phase::Waiting, "status 503").await;
}

async fn a_proxy_that_never_comes_fails_the_start(database: Database) {
    let (house, hub) = started(database, |_, hub| hub.proxy_is_there(false)).await;
    house.until_phase(Phase::Routing).await;
    house.later(HTTP_TIMEOUT + 1, &hub);
    expect_failure(&house, "no_route", Phase::Routing, "the proxy").await;
}

async fn a_refusal_is_kept_apart_from_a_failure(database: Database) {
    let (house, _hub) = started(database, |house, _| house.world.script(house.server, Script::Refused)).await;
    expect_failure(&house, "scripted", Phase::Starting, "not to be started").await;
    assert_eq!(house.world.created(), 0);
}

async fn a_server_that_dies_at_once_fails_with_its_reason(database: Database) {
    let (house, _hub) = started(database, |house, _| house.world.script(house.server, Script::Dies(3))).await;
    expect_failure(&house, "died", Phase::Starting, "exit code 3").await;
}

async fn a_server_that_dies_before_it_answers_fails(database: Database) {
    let (house, hub) = started(database, |house, _| house.lab.behave(Manner::Error)).await;
    house.until_phase(Phase::Waiting).await;
    house.world.kill(house.server, 137);
    hub.keeper.nudge(house.server);
    expect_failure(&house, "died", Phase::Waiting, "exit code 137").await;
}

async fn a_server_taken_away_before_it_answers_fails(database: Database) {
    let (house, hub) = started(database, |house, _| house.lab.behave(Manner::Error)).await;
    house.until_phase(Phase::Waiting).await;
    house.world.remove(house.server);
    hub.keeper.nudge(house.server);
    expect_failure(&house, "died", Phase::Waiting, "ended before it was ready").await;
}

async fn a_ready_server_that_died_is_lost_when_somebody_looks(database: Database) {
    let (house, hub) = started(database, |_, _| ()).await;
    house.expect_ready().await;
    house.world.kill(house.server, 9);
    hub.keeper.nudge(house.server);
    expect_failure(&house, "lost", Phase::Ready, "ended by itself").await;
}

async fn a_failure_is_forgotten_by_the_next_start(database: Database) {
    let (house, hub) = started(database, |house, _| house.world.script(house.server, Script::Dies(1))).await;
    expect_failure(&house, "died", Phase::Starting, "exit code 1").await;
    house.world.script(house.server, Script::Obedient);
    house.want_running(&hub).await;
    house.expect_ready().await;
}

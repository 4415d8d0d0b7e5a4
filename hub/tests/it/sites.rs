//! Servers of another site: their hub reaches them as browsers do, through the proxies there.

use std::sync::Arc;

use hub_core::life::Phase;
use hub_core::secret::Secret;
use serde_json::json;
use spawners::fake::{Script, World};
use specola::config::{Config, Environment};
use specola::control::site::Ways;

use crate::database::{Database, both};
use crate::harness::{HTTP_TIMEOUT, House, LEASE, eventually};
use crate::lab::{Lab, Manner};

both!(
    a_server_of_another_site_is_ready_once_it_answers_through_the_proxies_there,
    one_that_never_answers_there_fails_and_says_why,
    one_that_was_begun_at_another_site_is_asked_before_it_is_ready,
    a_start_that_is_refused_or_called_off_asks_nothing_of_the_first_site,
    who_had_a_server_at_a_site_that_is_given_up_is_told_so,
    a_hub_without_sites_judges_no_server_of_one,
);

/// A hub in Bari for servers in Bologna, whose proxies have this address.
fn in_bari(proxies: &str) -> Arc<Ways> {
    hub_at("bari", proxies)
}

/// A hub at a site. The first is in Bologna, where the proxies have this address.
pub fn hub_at(site: &str, proxies: &str) -> Arc<Ways> {
    ways(&format!(
        "[hub]\nsite = {site:?}\n[spawner]\ndriver = \"external\"\n[spawner.external]\ncommand = [\"/bin/true\"]\n\
         [[sites]]\nname = \"cnaf\"\nproxy_url = {proxies:?}\n[[sites]]\nname = \"bari\"\n"
    ))
}

fn ways(text: &str) -> Arc<Ways> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("specola.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file), &Environment::new()).unwrap();
    Arc::new(Ways::of(&config).showing(Secret::new("5f")))
}

async fn a_server_of_another_site_is_ready_once_it_answers_through_the_proxies_there(database: Database) {
    let (mut house, proxies) = (House::new(database).await, Lab::new().await);
    house.ways = in_bari(&proxies.origin());
    // Proxies that do not know it yet lead to the hub, whose page is no answer of the server.
    proxies.behave(Manner::LeadsToHub);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("some questions", || async { proxies.answered() > 2 }).await;
    assert_eq!(house.row().await.phase, Phase::Routing);
    assert_eq!(house.route().await, Some(house.lab.origin()), "the way was opened before");
    proxies.behave(Manner::LeadsToServer);
    house.expect_ready().await;
    assert_eq!(house.lab.asked(), 0, "it was never asked itself");
    let (_, routes) = house.store.routes_snapshot().await.unwrap();
    assert!(routes.iter().any(|route| route.data["site"] == "cnaf"), "{routes:?}");
    // The look of every survey is the driver's, whatever becomes of the proxies.
    proxies.behave(Manner::Error);
    hub.survey().await.unwrap();
    house.expect_ready().await;
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
}

async fn one_that_never_answers_there_fails_and_says_why(database: Database) {
    let (mut house, proxies) = (House::new(database).await, Lab::new().await);
    house.ways = in_bari(&proxies.origin());
    proxies.behave(Manner::Error);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    house.until_phase(Phase::Routing).await;
    eventually("some questions", || async { proxies.answered() > 2 }).await;
    house.later(HTTP_TIMEOUT + 1, &hub);
    house.expect_nothing_left().await;
    let failure = house.failure().await.unwrap();
    assert_eq!(failure.code, "no_answer");
    assert!(failure.message.contains("the proxies of its site do not lead to it"), "{}", failure.message);
}

async fn one_that_was_begun_at_another_site_is_asked_before_it_is_ready(database: Database) {
    let (mut house, proxies) = (House::new(database).await, Lab::new().await);
    house.ways = in_bari(&proxies.origin());
    proxies.behave(Manner::LeadsToHub);
    house.lab.behave(Manner::Error);
    let hub = house.hub("a").await;
    house.want_running(&hub).await;
    eventually("some questions", || async { proxies.answered() > 2 }).await;
    assert_eq!((house.row().await.phase, house.lab.asked()), (Phase::Routing, 0));
    // One of the server's own site goes on, and reaches it itself.
    hub.kill();
    house.ways = hub_at("cnaf", &proxies.origin());
    let heir = house.hub("b").await;
    house.later(LEASE, &heir);
    eventually("some questions to the server", || async { house.lab.answered() > 2 }).await;
    assert_eq!(house.row().await.phase, Phase::Routing, "it has never answered");
    house.lab.behave(Manner::Answers);
    house.expect_ready().await;
}

async fn a_start_that_is_refused_or_called_off_asks_nothing_of_the_first_site(database: Database) {
    let (mut house, bari) = (House::new(database).await, World::new());
    house.bari = Some(bari.clone());
    house.ways = hub_at("bari", "https://proxy.cnaf.example");
    let hub = house.hub("a").await;
    house.world.unreachable(true);
    bari.script(house.server, Script::Refused);
    house.want_running_with(&hub, &json!({ "site": "bari" })).await;
    house.expect_nothing_left().await;
    assert_eq!(house.failure().await.unwrap().code, "scripted");
    // Nothing was saved yet when it is called off.
    bari.unreachable(true);
    house.want_running_with(&hub, &json!({ "site": "bari" })).await;
    eventually("a try to start", || async { bari.calls().iter().filter(|call| call.starts_with("start")).count() > 1 })
        .await;
    house.want_stopped(&hub).await;
    bari.unreachable(false);
    house.expect_nothing_left().await;
    assert_eq!(house.world.calls(), Vec::<String>::new());
}

async fn who_had_a_server_at_a_site_that_is_given_up_is_told_so(database: Database) {
    let (mut house, bari) = (House::new(database).await, World::new());
    house.bari = Some(bari.clone());
    house.ways = hub_at("bari", "https://proxy.cnaf.example");
    let hub = house.hub("a").await;
    house.want_running_with(&hub, &json!({ "site": "bari" })).await;
    house.until_at_rest(Phase::Ready).await;
    assert_eq!((house.world.len(), bari.len()), (0, 1));
    hub.sites.as_ref().unwrap().give_up_only(["bari".to_owned()].into(), tokio::time::Instant::now());
    hub.keeper.nudge(house.server);
    house.expect_nothing_left().await;
    let failure = house.failure().await.unwrap();
    assert_eq!(failure.code, "site_given_up");
    assert_eq!(failure.message, "Your server was at BARI, which is out of service.");
}

async fn a_hub_without_sites_judges_no_server_of_one(database: Database) {
    let mut house = House::new(database).await;
    let hub = house.hub("a").await;
    house.want_running_with(&hub, &json!({ "site": "cnaf" })).await;
    house.expect_ready().await;
    hub.kill();
    house.ways = ways("[spawner]\ndriver = \"external\"\n[spawner.external]\ncommand = [\"/bin/true\"]\n");
    let without = house.hub("b").await;
    house.world.remove(house.server);
    without.survey().await.unwrap();
    house.want_stopped(&without).await;
    let stops = || house.world.calls().iter().filter(|call| call.starts_with("stop")).count();
    eventually("it is asked to stop again and again", || async { stops() > 2 }).await;
    let row = house.row().await;
    assert_eq!((row.phase, row.failure), (Phase::Stopping, None), "whether it is gone is not for this hub to say");
    without.kill();
    house.ways = Arc::default();
    let hub = house.hub("a").await;
    house.later(LEASE, &hub);
    house.expect_nothing_left().await;
}

//! Servers of another site: their hub reaches them as browsers do, through the proxies there.

use std::sync::Arc;

use hub_core::life::Phase;
use hub_core::secret::Secret;
use specola::config::{Config, Environment};
use specola::control::site::Ways;

use crate::database::{Database, both};
use crate::harness::{HTTP_TIMEOUT, House, eventually};
use crate::lab::{Lab, Manner};

both!(
    a_server_of_another_site_is_ready_once_it_answers_through_the_proxies_there,
    one_that_never_answers_there_fails_and_says_why,
);

/// A hub in Bari for servers in Bologna, whose proxies have this address.
fn in_bari(proxies: &str) -> Arc<Ways> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("specola.toml");
    let text = format!(
        "[hub]\nsite = \"bari\"\n[spawner]\ndriver = \"external\"\n[spawner.external]\ncommand = [\"/bin/true\"]\n\
         [[sites]]\nname = \"cnaf\"\nproxy_url = {proxies:?}\n[[sites]]\nname = \"bari\"\n"
    );
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

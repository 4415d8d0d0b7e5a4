//! Servers that JupyterHub left running: used, watched and stopped as any other.

use hub_core::clock::Clock;
use hub_core::id::Generation;
use hub_core::life::{Desired, Phase};
use hub_core::secret::Secret;
use hub_store::{HUB_CLIENT, NewToken, TokenOwner};
use serde_json::Value;
use spawners::contract::Paper;
use spawners::{Identity, Plan, Spawner};

use crate::database::{Database, both};
use crate::harness::{House, Hub, PREFIX};

both!(a_server_that_jupyterhub_left_running_is_used_and_stopped, a_server_that_died_since_jupyterhub_ran_is_lost,);

/// A server as JupyterHub leaves it: its address, its token marked by the note alone, no row of ours.
async fn left_running(database: Database) -> House {
    let house = House::new(database).await;
    let port = house.lab.origin().rsplit(':').next().unwrap().to_owned();
    let statements = [
        format!(
            "INSERT INTO servers (proto, ip, port, base_url, cookie_name)
             VALUES ('http', '127.0.0.1', {port}, '{PREFIX}', 'jupyterhub-user-anna')"
        ),
        "UPDATE spawners SET server_id = (SELECT MAX(id) FROM servers), started = '2026-01-01 00:00:00',
         state = '{\"pid\": 4711}'"
            .to_owned(),
        "DELETE FROM specola_servers".to_owned(),
    ];
    for sql in &statements {
        house.database.hand(sql).await;
    }
    let token = NewToken {
        owner: TokenOwner::User(house.user),
        hashed: Secret::new("sha512:1:5a17:0123".to_owned()),
        prefix: "0123".to_owned(),
        client_id: HUB_CLIENT.to_owned(),
        session_id: None,
        note: format!("Server at {PREFIX}"),
        scopes: vec!["inherit".to_owned()],
        expires_at: None,
        now: house.clock.now(),
    };
    house.store.insert_token(&token).await.unwrap();
    house
}

/// Lets the world hold what JupyterHub started.
async fn runs(house: &House, hub: &Hub) {
    let identity = Identity { generation: Generation(0), ..hub.keeper.identity(&house.row().await) };
    let plan = Plan::new(identity, PREFIX, vec!["lab".to_owned()]);
    hub.driver.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
}

async fn a_server_that_jupyterhub_left_running_is_used_and_stopped(database: Database) {
    let house = left_running(database).await;
    // While nobody can say what runs, nothing is lost.
    house.world.unreachable(true);
    let hub = house.hub("a").await;
    let row = house.until_at_rest(Phase::Ready).await;
    assert_eq!((row.desired, row.url), (Desired::Running, Some(house.lab.origin())));
    house.world.unreachable(false);
    runs(&house, &hub).await;
    hub.survey().await.unwrap();
    house.until_at_rest(Phase::Ready).await;
    assert_eq!(house.route().await, Some(house.lab.origin()));
    house.want_stopped(&hub).await;
    house.expect_nothing_left().await;
    house.want_running(&hub).await;
    assert_eq!(house.expect_ready().await.generation, Generation(1));
}

async fn a_server_that_died_since_jupyterhub_ran_is_lost(database: Database) {
    let house = left_running(database).await;
    let _hub = house.hub("a").await;
    house.expect_nothing_left().await;
    assert_eq!(house.failure().await.unwrap().code, "lost");
}

//! Volumes that are one person's: noted when a server is given them, put into the trash with the person, and not for
//! somebody new of the same name.

use std::sync::Arc;

use hub_core::clock::Clock;
use hub_core::id::{SpawnerId, UserId};
use hub_core::life::Phase;
use hub_store::{Server, StartLimits, WantRunning};
use serde_json::{Value, json};
use specola::config::Config;
use specola::folders::volumes::{Away, Volumes};
use specola::keeper::folders::Layout;

use crate::database::{Database, both};
use crate::harness::{House, Hub, eventually};

both!(volumes_of_whatever_server_go_with_their_person_and_nobody_new_gets_them);

/// An engine that cannot be asked: it may have every volume.
fn volumes(of_everybody: &Value) -> Volumes {
    let docker = json!({ "image": "lab:1", "host": "unix:///no/such.sock", "volumes": of_everybody });
    let config: Config =
        serde_json::from_value(json!({ "spawner": { "driver": "docker", "docker": docker } })).unwrap();
    Volumes::of(&config).unwrap()
}

async fn start(house: &House, hub: &Hub, server: SpawnerId, chosen: &Value) {
    let now = house.clock.now();
    let wanted = house.store.want_running(server, None, chosen, StartLimits::default(), now).await.unwrap();
    assert_eq!(wanted, WantRunning::Accepted);
    hub.keeper.nudge(server);
}

async fn row(house: &House, server: SpawnerId) -> Server {
    house.store.server_by_id(server).await.unwrap().unwrap()
}

async fn named(house: &House, user: UserId) -> SpawnerId {
    let made = house.store.create_server(user, "gpu", None, None, house.clock.now()).await.unwrap();
    made.unwrap().id
}

async fn volumes_of_whatever_server_go_with_their_person_and_nobody_new_gets_them(database: Database) {
    let mut house = House::new(database).await;
    let known = volumes(&json!({ "home-{username}": "/home/jovyan", "common": "/common" }));
    house.layout = Arc::new(Layout { volumes: Some(known.clone()), ..Layout::default() });
    let hub = house.hub("a").await;
    // What a profile gives a server that is deleted again.
    let chosen = json!({ "extra": { "volumes": { "scratch-{username}-{servername}": "/scratch" } } });
    let server = named(&house, house.user).await;
    start(&house, &hub, server, &chosen).await;
    let noted = async || house.store.volumes_of(house.user).await.unwrap();
    eventually("its volumes are noted", || async { noted().await.len() == 2 }).await;
    assert_eq!(noted().await, ["home-anna", "scratch-anna-gpu"]);
    house.store.want_stopped(server, house.clock.now()).await.unwrap();
    hub.keeper.nudge(server);
    eventually("stopped", || async { row(&house, server).await.phase == Phase::Stopped }).await;
    assert!(house.store.delete_server(server).await.unwrap());

    // The row is gone, and the configuration another one.
    let later = volumes(&json!({}));
    let (user_id, now) = (house.user, house.clock.now());
    let away = Away { user: "anna", user_id, servers: &[], entry: "the entry", now, remove_at: None, keep: &[] };
    assert_eq!(later.put(&house.store, &away).await.unwrap(), ["home-anna", "scratch-anna-gpu"]);
    assert!(house.store.delete_user(house.user).await.unwrap());

    // Whoever comes next has to wait for what becomes of them, also of those that only a profile gives.
    assert!(house.store.forget_volume("home-anna").await.unwrap());
    let next = house.store.create_user("anna", false, "another cookie", house.clock.now()).await.unwrap().id;
    let server = named(&house, next).await;
    start(&house, &hub, server, &chosen).await;
    eventually("refused", || async { row(&house, server).await.failure.is_some() }).await;
    let failure = row(&house, server).await.failure.unwrap();
    assert_eq!(failure["code"], "files_in_trash", "{failure}");
    assert!(house.store.volumes_of(next).await.unwrap().is_empty(), "they are not theirs");
    // Without the profile there is nothing of the one before.
    eventually("stopped", || async { row(&house, server).await.phase == Phase::Stopped }).await;
    start(&house, &hub, server, &json!({})).await;
    eventually("theirs", || async { house.store.volumes_of(next).await.unwrap() == ["home-anna"] }).await;
}

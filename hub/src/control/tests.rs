//! What proxies tell of activity and of doubts, at a hub with its database.

use std::collections::HashMap;

use serde_json::json;
use sqlx::{Connection, Executor};

use super::*;
use crate::config::{Config, Environment};
use crate::start::{self, Parts};
use crate::task::routes::route_of;

struct House {
    parts: Parts,
    server: Server,
    _folder: tempfile::TempDir,
}

impl House {
    /// Ann's server runs, as JupyterHub leaves one, and has its route.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("specola.toml");
        let data = folder.path().join("data");
        let settings = format!("[hub]\ndata_dir = {data:?}\n[auth]\nauthenticator = \"password\"\nallow_all = true\n");
        std::fs::write(&path, settings).unwrap();
        let parts = start::assemble(Config::load(Some(&path), &Environment::new()).unwrap()).await.unwrap().unwrap();
        let store = &parts.app.store;
        let ann = store.create_user("ann", false, "cookie", parts.app.now()).await.unwrap().id;
        let server = store.create_server(ann, "", None, None, parts.app.now()).await.unwrap().unwrap().id;
        let file = format!("sqlite://{}", data.join("jupyterhub.sqlite").display());
        let mut hand = sqlx::SqliteConnection::connect(&file).await.unwrap();
        hand.execute(
            "INSERT INTO servers (id, proto, ip, port, base_url, cookie_name) VALUES (1, 'http', '127.0.0.1', 1, '/user/ann/', '');
             UPDATE spawners SET server_id = 1; DELETE FROM specola_servers",
        )
        .await
        .unwrap();
        let server = store.server_by_id(server).await.unwrap().unwrap();
        let route = route_of(&server, parts.app.keeper.recipe());
        store.put_route(&route.prefix, &route.target, &route.data).await.unwrap();
        Self { parts, server, _folder: folder }
    }

    fn app(&self) -> &App {
        &self.parts.app
    }

    /// A proxy tells when Ann, and somebody whom no route leads to, were active. Gives what is known of her then.
    async fn hear(&self, at: Time) -> Option<Time> {
        let moved = ["/user/ann/", "/user/nobody/"].map(|prefix| (prefix.to_owned(), at));
        record(self.app(), HashMap::from(moved)).await.unwrap();
        self.app().store.server_by_id(self.server.id).await.unwrap().unwrap().last_activity
    }
}

#[actix_web::test]
async fn activity_that_is_as_good_as_known_is_not_written_again() {
    let house = House::new().await;
    let begun = Time::from_timestamp(1_800_000_000, 0).unwrap();
    let later = |seconds| begun + TimeDelta::seconds(seconds);
    assert_eq!(house.hear(begun).await, Some(begun));
    for seconds in [0, 5, 29, -60] {
        assert_eq!(house.hear(later(seconds)).await, Some(begun), "{seconds}");
    }
    assert_eq!(house.hear(later(30)).await, Some(later(30)));
    assert_eq!(house.app().store.user("ann").await.unwrap().unwrap().last_activity, Some(later(30)));
}

#[actix_web::test]
async fn a_doubted_route_leads_to_the_server_that_it_names() {
    let house = House::new().await;
    let at = async |prefix: &str| server_at(house.app(), prefix).await.unwrap().map(|server| server.id);
    assert_eq!(at("/user/ann/").await, Some(house.server.id));
    assert_eq!(at("/user/bea/").await, None, "there is no such route");
    let others =
        [("/services/docs/", json!({ "service": "docs" })), ("/user/x/", json!({ "user": "ann", "server_name": "" }))];
    for (prefix, data) in others {
        house.app().store.put_route(prefix, "http://127.0.0.1:1", &data).await.unwrap();
        assert_eq!(at(prefix).await, None, "{prefix} is not hers");
    }
}

//! Users and services with hosts of their own: addresses, cookies, and what the hub answers at those hosts.

use std::path::Path;

use hub_core::cookie;
use hub_core::secret::Secret;
use hub_store::Route;
use serde_json::{Value, json};
use specola::control;
use specola::keeper::prepare::Recipe;
use specola::task::routes::reconcile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::house::{Browser, House, by_token, request, send};

const HUB: &str = "subdomain_host = \"https://hub.example:8443\"\n\
                   services = [{ name = \"grades\", url = \"http://127.0.0.1:9000\" }]";

async fn house() -> House {
    let house = House::with(HUB).await;
    house.set_password("alice", false).await;
    house
}

#[actix_web::test]
async fn the_session_is_told_to_hosts_below_and_the_login_is_not() {
    let house = house().await;
    let site = house.site().await;
    let mut alice = Browser::default();
    let answer = alice.log_in(&site, "alice", "/hub/login").await;
    let cookie = |name: &str| {
        let of_name = |cookie: &&String| cookie.starts_with(&format!("{name}="));
        answer.headers["set-cookie"].iter().find(of_name).unwrap().clone()
    };
    assert!(cookie(cookie::SESSION).contains("; Domain=hub.example"), "{answer:?}");
    for name in [cookie::LOGIN, cookie::XSRF] {
        let cookie = cookie(name);
        assert!(!cookie.contains("Domain") && cookie.contains("; Path=/hub/"), "{cookie}");
        assert!(cookie.contains("; Secure"), "{cookie}");
    }
    let out = alice.get(&site, "/hub/logout").await;
    let forgotten = out.headers["set-cookie"].iter().find(|cookie| cookie.starts_with(cookie::SESSION)).unwrap();
    assert!(forgotten.contains("Domain=hub.example") && forgotten.contains("Max-Age=0"), "{forgotten}");
}

#[actix_web::test]
async fn models_name_the_hosts_and_routes_have_them() {
    let house = house().await;
    let site = house.site().await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    super::oauth::with_server(&house).await;
    let model = by_token(&site, &token, "GET", "/hub/api/users/alice?include_stopped_servers=1", None).await.json();
    let server = &model["servers"][""];
    let place = "https://alice.hub.example:8443/user/alice/";
    assert_eq!((server["url"].as_str(), server["full_url"].as_str()), (Some(place), Some(place)), "{model}");
    // What is the hub's own stays a path, and is whole beside it.
    assert_eq!(server["progress_url"], json!("/hub/api/users/alice/server/progress"));
    let whole = json!("https://hub.example:8443/hub/api/users/alice/server/progress");
    assert_eq!(server["full_progress_url"], whole);
    let (_, routes) = house.app().store.routes_snapshot().await.unwrap();
    let prefixes: Vec<&str> = routes.iter().map(|Route { prefix, .. }| prefix.as_str()).collect();
    assert_eq!(prefixes, ["/", "grades--service.hub.example/services/grades/"]);
    let client = house.app().store.oauth_client("service-grades").await.unwrap().unwrap();
    assert_eq!(client.redirect_uri, "https://grades--service.hub.example:8443/services/grades/oauth_callback");
    let recipe: &Recipe = house.parts.app.keeper.recipe();
    assert_eq!(
        (recipe.public_origin.as_str(), recipe.prefix("alice", "")),
        ("https://hub.example:8443", "/user/alice/".into())
    );
}

#[actix_web::test]
async fn at_hosts_below_there_is_only_the_way_to_the_hub() {
    let house = house().await;
    let site = house.site().await;
    let at = |method: &str, path: &str, host: &str| request(method, path).insert_header(("Host", host.to_owned()));
    for path in ["/hub/home", "/user/alice/lab?x=%2F", "/", "/hub/api/users"] {
        let answer = send(&site, at("GET", path, "alice.hub.example:8443")).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (302, format!("https://hub.example:8443{path}").as_str())
        );
    }
    let posted = send(&site, at("POST", "/hub/login", "alice.hub.example:8443")).await;
    assert_eq!(posted.status, 421, "{posted:?}");
    assert!(!posted.headers.contains_key("set-cookie"));
    // Labs ask at the hub's own address.
    assert_eq!(send(&site, at("GET", "/hub/api", "127.0.0.1:8081")).await.status, 200);
}

#[actix_web::test]
async fn whoever_asks_at_the_hubs_host_is_sent_to_the_users_and_nowhere_else() {
    let house = house().await;
    let site = house.site().await;
    super::oauth::with_server(&house).await;
    let mut alice = Browser::default();
    // A way back to a user's host is taken for the path on it.
    let next = "/hub/login?next=https%3A%2F%2Falice.hub.example%3A8443%2Fuser%2Falice%2Flab";
    assert_eq!(alice.log_in(&site, "alice", next).await.header("location"), "/user/alice/lab");
    let mut again = Browser::default();
    let elsewhere = "/hub/login?next=https%3A%2F%2Falice.hub.example.evil%2F";
    assert_eq!(again.log_in(&site, "alice", elsewhere).await.header("location"), "/hub/home");
    make_ready(&house).await;
    let answer = alice.get(&site, "/hub/user/alice/lab?x=1").await;
    let there = "https://alice.hub.example:8443/user/alice/lab?x=1&redirects=1";
    assert_eq!((answer.status, answer.header("location")), (302, there));
    let home = alice.get(&site, "/hub/home").await;
    assert!(home.text.contains("href=\"https://alice.hub.example:8443/user/alice/\""), "{}", home.text);
}

/// A server that refused one connection would be lost for ever, if its route were not known again.
#[actix_web::test]
async fn a_doubted_route_is_confirmed_where_the_server_is_there_with_hosts_and_without() {
    let up = r#"["sh", "-c", "cat > /dev/null; echo '{\"sight\": \"up\", \"url\": \"http://127.0.0.1:1\"}'"]"#;
    for (hub, prefix) in [(HUB, "alice.hub.example/user/alice/"), ("", "/user/alice/")] {
        let house = House::changed(hub, |settings| {
            let external = format!("[spawner]\ndriver = \"external\"\nexternal = {{ command = {up} }}\n");
            settings.replace("[spawner]\n", &external)
        })
        .await;
        super::oauth::with_server(&house).await;
        make_ready(&house).await;
        let socket = house.folder.path().join("control.sock");
        let served = control::serve(house.app(), Secret::new("between-us"), &socket, None).await.unwrap();
        let handle = served.handle();
        actix_web::rt::spawn(served);
        for (prefix, target, confirmed) in [
            (prefix, "http://127.0.0.1:1", true),
            (prefix, "http://127.0.0.1:2", false),
            ("bob.hub.example/user/alice/", "http://127.0.0.1:1", false),
        ] {
            let doubt = json!({ "proxy": "p", "prefix": prefix, "target": target });
            let verdict = ask_control(&socket, "/routes/doubt", &doubt).await;
            assert_eq!(verdict, json!({ "confirmed": confirmed }), "{doubt}");
        }
        handle.stop(false).await;
    }
}

/// What the hub's end answers to a proxy.
async fn ask_control(socket: &Path, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: hub\r\nauthorization: token between-us\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The row as it is while alice's server can be used.
async fn make_ready(house: &House) {
    let file = house.folder.path().join("data/jupyterhub.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let alice = house.user("alice").await;
    let sql = "UPDATE specola_servers SET phase = 'ready', desired = 'running', url = 'http://127.0.0.1:1' \
               WHERE spawner_id = (SELECT id FROM spawners WHERE user_id = $1)";
    let changed = sqlx::query(sql).bind(alice.id.0).execute(&pool).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    pool.close().await;
    let app = house.app();
    reconcile(&app.store, app.keeper.recipe(), app.keeper.signals()).await.unwrap();
}

//! Defects of JupyterHub 6.1 that are not copied, each by name.

use hub_core::secret::Secret;
use hub_core::{cookie, token};
use hub_store::{NewToken, StartLimits, TokenOwner};
use serde_json::{Value, json};

use super::house::{Browser, House, by_token, request, send};
use super::oauth::with_server;

const CLIENT: &str = "jupyterhub-user-alice";

#[actix_web::test]
async fn the_same_name_is_no_change_of_a_user() {
    let house = House::new().await;
    let site = house.site().await;
    let root = house.token("root", &["inherit".to_owned()]).await;
    for name in ["alice", "ALICE"] {
        let body = json!({ "name": name, "admin": true });
        let answer = by_token(&site, &root, "PATCH", "/hub/api/users/alice", Some(&body)).await;
        assert_eq!((answer.status, answer.json()["name"].as_str()), (200, Some("alice")), "{answer:?}");
        assert!(house.user("alice").await.admin);
    }
}

#[actix_web::test]
async fn the_total_of_a_list_of_groups_counts_only_those_that_may_be_seen() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for group in ["ours", "secret", "more"] {
        app.store.create_group(group, &json!({})).await.unwrap();
    }
    let scopes = ["list:groups!group=ours".to_owned(), "list:users!user=bob".to_owned()];
    let token = house.token("root", &scopes).await;
    for path in ["/hub/api/groups", "/hub/api/users"] {
        let asked = request("GET", path).insert_header(("Authorization", format!("token {token}")));
        let page = send(&site, asked.insert_header(("Accept", "application/jupyterhub-pagination+json"))).await.json();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["_pagination"]["total"]), (1, &json!(1)), "{path}");
    }
}

#[actix_web::test]
async fn the_xsrf_token_tells_neither_session_nor_login_and_stays_out_of_addresses() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let xsrf = alice.cookies[cookie::XSRF].clone();
    // The token, what it encodes, and what that encodes.
    let mut layers = vec![xsrf.clone()];
    let outer = String::from_utf8(decoded(xsrf.as_str())).unwrap();
    layers.extend(outer.split(['|', ':']).map(|part| String::from_utf8_lossy(&decoded(part)).into_owned()));
    layers.push(outer);
    assert!(layers.len() > 4, "{layers:?}");
    for secret in [alice.cookies[cookie::SESSION].clone(), house.user("alice").await.cookie_id] {
        assert!(layers.iter().all(|layer| !layer.contains(&secret)), "{layers:?}");
    }
    let path = format!("/hub/spawn/alice?_xsrf={xsrf}&opt-a=b");
    let answer = alice.post(&site, &path, &[]).await;
    let location = answer.header("location");
    assert!(answer.status == 303 && location.starts_with("/hub/spawn-pending/alice"), "{answer:?}");
    assert!(!location.contains("_xsrf") && !location.contains(&xsrf), "{location}");
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).unwrap_or_default()
}

#[actix_web::test]
async fn the_stop_button_of_a_named_server_stops_that_one() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let (site, app) = (house.site().await, house.app());
    let id = house.user("alice").await.id;
    for name in ["", "named"] {
        let server = app.store.create_server(id, name, None, None, app.now()).await.unwrap().unwrap();
        app.store.want_running(server.id, None, &Value::Null, StartLimits::default(), app.now()).await.unwrap();
    }
    let mut alice = Browser::logged_in(&site, "alice").await;
    let page = alice.get(&site, "/hub/spawn-pending/alice/named").await;
    assert!(page.text.contains("action=\"/hub/spawn-pending/alice/named\""), "{}", page.text);
    let answer = alice.post(&site, "/hub/spawn-pending/alice/named", &[("action", "cancel")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let wanted = async |name| format!("{:?}", app.store.server(id, name).await.unwrap().unwrap().desired);
    assert_eq!((wanted("").await, wanted("named").await), ("Running".to_owned(), "Stopped".to_owned()));
}

#[actix_web::test]
async fn an_expired_token_is_no_consent() {
    let house = House::new().await;
    house.set_password("root", false).await;
    with_server(&house).await;
    let (site, app) = (house.site().await, house.app());
    let mut root = Browser::logged_in(&site, "root").await;
    let ask = format!("/hub/api/oauth2/authorize?client_id={CLIENT}&response_type=code&state=s");
    let before = async |expires: i64| {
        let new = NewToken {
            owner: TokenOwner::User(house.user("root").await.id),
            hashed: Secret::new(token::hash(&format!("{expires}"), token::GENERATED_ROUNDS, &mut rand::rng())),
            prefix: "abcd".to_owned(),
            client_id: CLIENT.to_owned(),
            session_id: None,
            note: String::new(),
            scopes: ["access:servers!server=alice/", "read:users:name!user", "read:users:groups!user"]
                .map(str::to_owned)
                .into(),
            expires_at: Some(app.now() + chrono::TimeDelta::seconds(expires)),
            now: app.now(),
        };
        app.store.insert_token(&new).await.unwrap();
    };
    assert_eq!(root.get(&site, &ask).await.status, 200, "asked the first time");
    before(-60).await;
    assert_eq!(root.get(&site, &ask).await.status, 200, "an old consent has run out");
    before(60).await;
    assert_eq!(root.get(&site, &ask).await.status, 302, "one in force counts");
}

#[actix_web::test]
async fn tags_that_jupyterhub_reads_as_bytes_are_data() {
    let house = House::new().await;
    let site = house.site().await;
    let root = house.token("root", &["inherit".to_owned()]).await;
    let tagged = json!({ "__jupyterhub_bytes__": true, "data": "AAAA", "__jupyterhub_datetime__": true });
    let body = json!({ "user_options": tagged });
    let made = by_token(&site, &root, "PUT", "/hub/api/users/alice/servers/one", Some(&body)).await;
    assert_eq!((made.status, &made.json()["user_options"]), (201, &tagged), "{made:?}");
    let put = by_token(&site, &root, "POST", "/hub/api/groups/g", None).await;
    assert_eq!(put.status, 201);
    let set = by_token(&site, &root, "PUT", "/hub/api/groups/g/properties", Some(&tagged)).await;
    assert_eq!((set.status, &set.json()["properties"]), (200, &tagged), "{set:?}");
}

#[actix_web::test]
async fn a_hostile_next_is_never_markup() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let next = "/x%22%27%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for path in ["login", "spawn/alice", "spawn-pending/alice", "accept-share?code=none", "user/alice/lab"] {
        let join = if path.contains('?') { '&' } else { '?' };
        let asked = request("GET", &format!("/hub/{path}{join}next={next}"));
        let asked = asked.insert_header(("Sec-Fetch-Site", "cross-site")).insert_header(("Sec-Fetch-Mode", "navigate"));
        let answer = if path == "login" { send(&site, asked).await } else { alice.send(&site, asked).await };
        assert!(!answer.text.contains("<script>alert"), "{path}: {}", answer.text);
    }
}

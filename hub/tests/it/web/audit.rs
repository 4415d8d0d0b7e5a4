//! The audit: what people did through pages and REST is recorded, with who it was.

use hub_store::{AuditQuery, StartLimits};
use serde_json::{Value, json};

use super::house::{Browser, House, PASSWORD, by_token};

/// All acts, oldest first, as `actor action object`.
async fn acts(house: &House) -> Vec<String> {
    let query = AuditQuery { limit: 100, ..AuditQuery::default() };
    let page = house.app().store.list_audit(&query).await.unwrap();
    page.items.iter().rev().map(|(_, act)| format!("{} {} {}", act.actor, act.action, act.object)).collect()
}

async fn last_detail(house: &House) -> Value {
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    house.app().store.list_audit(&query).await.unwrap().items.remove(0).1.detail.unwrap()
}

#[actix_web::test]
async fn every_change_by_rest_is_recorded_with_who_asked() {
    let house = House::new().await;
    let (site, token) = (house.site().await, house.token("root", &["inherit".to_owned()]).await);
    let rows = [
        ("POST", "/users", json!({ "usernames": ["dora"] }), "user.create user:dora"),
        ("PATCH", "/users/dora", json!({ "admin": true }), "user.admin.grant user:dora"),
        ("PATCH", "/users/dora", json!({ "admin": false }), "user.admin.revoke user:dora"),
        ("PATCH", "/users/dora", json!({ "name": "thea" }), "user.rename user:dora"),
        ("POST", "/groups/physics", json!({ "users": ["thea"] }), "group.create group:physics"),
        ("POST", "/groups/physics/users", json!({ "users": ["bob"] }), "group.members.add group:physics"),
        ("DELETE", "/groups/physics/users", json!({ "users": ["bob"] }), "group.members.remove group:physics"),
        ("PUT", "/groups/physics/properties", json!({ "a": 1 }), "group.properties group:physics"),
        ("DELETE", "/groups/physics", json!({}), "group.delete group:physics"),
        ("POST", "/users/thea/tokens", json!({ "note": "for a script" }), "token.create user:thea"),
        ("PUT", "/users/thea/servers/gpu", json!({}), "server.create server:thea/gpu"),
        ("PATCH", "/users/thea/servers/gpu", json!({ "display_name": "G" }), "server.change server:thea/gpu"),
        ("DELETE", "/users/thea/servers/gpu", json!({ "remove": true }), "server.delete server:thea/gpu"),
        ("POST", "/users/alice/server", json!({}), "server.create server:alice/"),
        ("DELETE", "/users/bob/server", json!({}), "server.stop server:bob/"),
        ("DELETE", "/users/thea", json!({}), "user.delete user:thea"),
    ];
    // Its start is nobody's yet, so that it cannot have failed before it is stopped.
    let (app, bob) = (house.app(), house.user("bob").await);
    let server = app.store.create_server(bob.id, "", None, None, app.now()).await.unwrap().unwrap();
    let limits = StartLimits::default();
    app.store.want_running(server.id, None, &Value::Null, limits, app.now()).await.unwrap();
    let mut expected = Vec::new();
    for (method, path, body, act) in rows {
        let answer = by_token(&site, &token, method, &format!("/hub/api{path}"), Some(&body)).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        expected.push(format!("user:root {act}"));
        if act == "server.create server:alice/" {
            expected.push("user:root server.start server:alice/".to_owned());
        }
    }
    assert_eq!(acts(&house).await, expected);
    let detail = last_detail(&house).await;
    assert!(detail["token"].as_str().unwrap().starts_with('a'), "{detail}");
}

#[actix_web::test]
async fn what_is_refused_is_not_recorded() {
    let house = House::new().await;
    let (site, token) = (house.site().await, house.token("bob", &["inherit".to_owned()]).await);
    for (method, path) in [("DELETE", "/users/alice"), ("POST", "/users/alice/server"), ("POST", "/groups/x")] {
        assert!(by_token(&site, &token, method, &format!("/hub/api{path}"), None).await.status >= 400);
    }
    assert_eq!(acts(&house).await, Vec::<String>::new());
}

#[actix_web::test]
async fn logins_are_recorded_and_of_a_wrong_name_no_more_than_its_beginning() {
    let house = House::new().await;
    let site = house.site().await;
    house.set_password("alice", false).await;
    let mut browser = Browser::default();
    browser.get(&site, "/hub/login").await;
    let typed = "correct horse battery staple";
    let fields = [("username", typed), ("password", "x")];
    assert_eq!(browser.post(&site, "/hub/login", &fields).await.status, 403);
    assert_eq!(last_detail(&house).await["length"], typed.len());
    browser.post(&site, "/hub/login", &[("username", "alice"), ("password", PASSWORD)]).await;
    let session = last_detail(&house).await;
    assert_eq!(session.get("session"), None, "{session}");
    browser.post(&site, "/hub/token", &[("action", "create"), ("note", "mine")]).await;
    let detail = last_detail(&house).await;
    assert_eq!((detail["note"].as_str(), detail["session"].as_str().map(str::len)), (Some("mine"), Some(12)));
    assert!(!detail.to_string().contains(&browser.cookies["jupyterhub-session-id"]));
    browser.get(&site, "/hub/logout").await;
    assert_eq!(
        acts(&house).await,
        [
            "nobody login.failed user:correct horse ba",
            "user:alice login user:alice",
            "user:alice token.create user:alice",
            "user:alice logout user:alice",
        ]
    );
}

#[actix_web::test]
async fn administrators_read_the_audit_page_by_page_and_by_what_they_look_for() {
    let house = House::new().await;
    let (site, token) = (house.site().await, house.token("root", &["inherit".to_owned()]).await);
    for name in ["one", "two"] {
        by_token(&site, &token, "POST", &format!("/hub/api/users/{name}"), None).await;
        by_token(&site, &token, "DELETE", &format!("/hub/api/users/{name}"), None).await;
    }
    let read = async |query: &str| by_token(&site, &token, "GET", &format!("/hub/api/audit{query}"), None).await;
    for (query, expected) in [
        ("", &["user.delete", "user.create", "user.delete", "user.create"][..]),
        ("?limit=1&offset=1", &["user.create"]),
        ("?object=user:two", &["user.delete", "user.create"]),
        ("?actor=user:root&action=user.create", &["user.create", "user.create"]),
        ("?action=user.&limit=3", &["user.delete", "user.create", "user.delete"]),
        ("?actor=user:alice", &[]),
        ("?until=2020-01-01", &[]),
        ("?since=2020-01-01T00:00:00Z&object=user:one", &["user.delete", "user.create"]),
    ] {
        let answer = read(query).await.json();
        let actions: Vec<&str> = answer.as_array().unwrap().iter().filter_map(|act| act["action"].as_str()).collect();
        assert_eq!(actions, expected, "{query}");
    }
    for query in ["?action=nothing", "?since=soon", "?limit=x"] {
        assert_eq!(read(query).await.status, 400, "{query}");
    }
    let one = &read("?limit=1").await.json()[0];
    assert_eq!((&one["actor"], &one["object"]), (&json!("user:root"), &json!("user:two")));
    assert!(one["time"].as_str().unwrap().ends_with('Z') && one["detail"]["token"].is_string(), "{one}");
}

#[actix_web::test]
async fn the_right_to_read_about_the_hub_alone_does_not_open_the_audit() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let role = hub_store::NewRole {
        name: "watcher".to_owned(),
        description: None,
        scopes: vec!["read:hub".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::User(house.user("bob").await.id), role).await.unwrap();
    let token = house.token("bob", &["inherit".to_owned()]).await;
    assert_eq!(by_token(&site, &token, "GET", "/hub/api/info", None).await.status, 200);
    assert_eq!(by_token(&site, &token, "GET", "/hub/api/audit", None).await.status, 403);
}

#[actix_web::test]
async fn who_opens_somebody_elses_server_is_recorded() {
    let house = House::new().await;
    let site = house.site().await;
    super::oauth::with_server(&house).await;
    for (name, act) in [("alice", "oauth.grant"), ("root", "server.access")] {
        house.set_password(name, false).await;
        let mut browser = Browser::logged_in(&site, name).await;
        let path = "/hub/api/oauth2/authorize?client_id=jupyterhub-user-alice&response_type=code\
                    &redirect_uri=%2Fuser%2Falice%2Foauth_callback";
        let answer = browser.get(&site, path).await;
        if answer.status == 200 {
            let answer = browser.post(&site, path, &[("scopes", "access:servers!server=alice/")]).await;
            assert_eq!(answer.status, 302, "{answer:?}");
        }
        let last = acts(&house).await.pop().unwrap();
        assert_eq!(last, format!("user:{name} {act} server:alice/"));
    }
}

#[actix_web::test]
async fn a_change_is_ended_and_recorded_though_the_client_hangs_up() {
    let house = House::new().await;
    let (site, token) = (house.site().await, house.token("root", &["inherit".to_owned()]).await);
    let body = json!({ "usernames": ["one", "two", "three"] });
    {
        let mut asked = Box::pin(by_token(&site, &token, "POST", "/hub/api/users", Some(&body)));
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    crate::harness::eventually("the record of the last", async || acts(&house).await.len() == 3).await;
    assert!(house.app().store.user("three").await.unwrap().is_some());
}

#[actix_web::test]
async fn a_record_that_cannot_be_written_is_counted_and_the_act_stands() {
    use specola::audit::{Act, Actor, Object};
    let house = House::with("authenticate_prometheus = false").await;
    let (app, lost) = (house.app(), || {
        let text = specola::metrics::text(0).unwrap();
        let line = text.lines().find(|line| line.starts_with("specola_audit_lost_total ")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    });
    let before = lost();
    app.store.close().await;
    app.audited(&Actor::hub(), Act::HubStop, Object::Hub, Value::Null).await;
    assert_eq!(lost(), before + 1);
}

//! Rules of JupyterHub's REST API that hold for many routes, and its seldom used corners.

use hub_core::cookie;
use serde_json::json;

use super::house::{Browser, House, by_token, request, send};

#[actix_web::test]
async fn an_answer_that_has_not_changed_is_not_sent_again() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    let path = "/hub/api/users?sort=name";
    let ask = |held: &str| {
        let asked = request("GET", path).insert_header(("Authorization", format!("token {token}")));
        asked.insert_header(("If-None-Match", held.to_owned()))
    };
    // The first use of a token is written down, and shows in the list.
    by_token(&site, &token, "GET", path, None).await;
    let first = by_token(&site, &token, "GET", path, None).await;
    let etag = first.header("etag").to_owned();
    assert!(first.status == 200 && etag.len() == 42, "{first:?}");
    let again = send(&site, ask(&etag)).await;
    assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", etag.as_str()));
    assert!(!again.headers.contains_key("content-type") && again.headers.contains_key("content-security-policy"));
    app.store.create_user("zoe", false, "cookie-of-zoe", app.now()).await.unwrap();
    let changed = send(&site, ask(&etag)).await;
    assert!(changed.status == 200 && changed.header("etag") != etag && changed.text.contains("zoe"), "{changed:?}");
    let refused = send(&site, request("GET", path).insert_header(("If-None-Match", etag.as_str()))).await;
    assert_eq!(refused.status, 403, "whoever may not see it is not told whether it changed");
    let made = by_token(&site, &token, "POST", "/hub/api/users/yan", None).await;
    assert_eq!((made.status, made.header("etag")), (201, ""), "only what is read is marked");
}

#[actix_web::test]
async fn every_answer_of_the_api_carries_jupyterhubs_headers() {
    let house = House::new().await;
    let site = house.site().await;
    for path in ["/hub/api", "/hub/api/", "/hub/api/user", "/hub/api/nowhere"] {
        let answer = send(&site, request("GET", path)).await;
        assert_eq!(answer.header("x-jupyterhub-version"), "6.1.1", "{path}");
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "accept, content-type, authorization", "{path}");
        let policy = answer.header("content-security-policy");
        let wanted = "frame-ancestors 'none'; report-uri /hub/security/csp-report; default-src 'none'";
        assert_eq!(policy, wanted, "{path}");
        let origin = answer.headers.contains_key("access-control-allow-origin");
        assert_eq!(origin, path.trim_end_matches('/') == "/hub/api", "{path}: only the version is for every site");
    }
}

#[actix_web::test]
async fn routes_are_listed_by_pages() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    app.store.put_route("/", "http://127.0.0.1:8081", &json!({ "hub": true })).await.unwrap();
    app.store.put_route("/user/b/", "http://127.0.0.1:2", &json!({ "user": "b" })).await.unwrap();
    app.store.put_route("/user/a/", "http://127.0.0.1:1", &json!({ "user": "a" })).await.unwrap();
    let all = by_token(&site, &token, "GET", "/hub/api/proxy", None).await.json();
    let a = json!({ "routespec": "/user/a/", "target": "http://127.0.0.1:1", "data": { "user": "a" } });
    assert_eq!((all.as_object().unwrap().len(), &all["/user/a/"]), (3, &a));
    let asked =
        request("GET", "/hub/api/proxy?offset=1&limit=1").insert_header(("Authorization", format!("token {token}")));
    let page = send(&site, asked.insert_header(("Accept", "application/jupyterhub-pagination+json"))).await.json();
    assert_eq!(page["items"], json!({ "/user/a/": a }));
    assert_eq!((&page["_pagination"]["total"], &page["_pagination"]["next"]["offset"]), (&json!(3), &json!(2)));
}

#[actix_web::test]
async fn routes_of_nobody_are_removed_when_asked() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    let stale = json!({ "user": "b", "server_name": "", "jupyterhub": true });
    app.store.put_route("/user/b/", "http://127.0.0.1:2", &stale).await.unwrap();
    let body = json!({ "api_url": "http://127.0.0.1:8001" });
    let told = by_token(&site, &token, "PATCH", "/hub/api/proxy", Some(&body)).await;
    assert_eq!(told.status, 400, "there is nothing that could follow: {told:?}");
    for bad in [json!(null), json!([1]), json!("text"), json!({ "colour": 1 })] {
        assert_eq!(by_token(&site, &token, "PATCH", "/hub/api/proxy", Some(&bad)).await.status, 400, "{bad}");
    }
    let is_there = async || app.store.routes_snapshot().await.unwrap().1.iter().any(|route| route.prefix == "/user/b/");
    assert!(is_there().await, "nothing happened");
    let answer = by_token(&site, &token, "POST", "/hub/api/proxy", None).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert!(!is_there().await);
}

#[actix_web::test]
async fn a_service_of_old_learns_whose_a_token_is() {
    let house = House::new().await;
    let site = house.site().await;
    let alice = house.token("alice", &["inherit".to_owned()]).await;
    let nothing = house.token("bob", &["read:hub".to_owned()]).await;
    let answer = by_token(&site, &nothing, "GET", &format!("/hub/api/authorizations/token/{alice}"), None).await;
    assert_eq!((answer.status, answer.json()["name"].as_str()), (200, Some("alice")), "{answer:?}");
    assert!(answer.json().get("last_activity").is_none(), "no more than the name: {answer:?}");
    let unknown = by_token(&site, &nothing, "GET", "/hub/api/authorizations/token/0123456789", None).await;
    assert_eq!(unknown.status, 404);
    let nobody = send(&site, request("GET", &format!("/hub/api/authorizations/token/{alice}"))).await;
    assert_eq!(nobody.status, 403);
    assert_eq!(by_token(&site, &alice, "POST", "/hub/api/authorizations/token", None).await.status, 404);
}

#[actix_web::test]
async fn a_service_of_old_learns_whose_a_cookie_is_until_the_log_out() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let value = alice.cookies[cookie::LOGIN].replace('|', "%7C").replace('=', "%3D");
    let path = format!("/hub/api/authorizations/cookie/jupyterhub-hub-login/{value}");
    let answer = by_token(&site, &token, "GET", &path, None).await;
    assert_eq!((answer.status, answer.json()["name"].as_str()), (200, Some("alice")), "{answer:?}");
    let asked = request("GET", "/hub/api/authorizations/cookie/jupyterhub-hub-login");
    let asked = asked.insert_header(("Authorization", format!("token {token}")));
    let body = alice.cookies[cookie::LOGIN].clone();
    assert_eq!(send(&site, asked.set_payload(body)).await.json()["name"].as_str(), Some("alice"));
    let by_cookie = alice.get(&site, &path).await;
    assert_eq!(by_cookie.status, 403, "only tokens may ask");
    for wrong in ["jupyterhub-hub-login/nonsense", "other-name/nonsense", "jupyterhub-hub-login"] {
        let path = format!("/hub/api/authorizations/cookie/{wrong}");
        assert_eq!(by_token(&site, &token, "GET", &path, None).await.status, 404, "{wrong}");
    }
    alice.get(&site, "/hub/logout").await;
    assert_eq!(by_token(&site, &token, "GET", &path, None).await.status, 404, "the login has ended");
}

#[actix_web::test]
async fn a_server_may_be_named_progress() {
    let house = House::new().await;
    let site = house.site().await;
    let token = house.token("alice", &["inherit".to_owned()]).await;
    let path = "/hub/api/users/alice/servers/progress";
    assert_eq!(by_token(&site, &token, "PUT", path, None).await.status, 201);
    assert_eq!(by_token(&site, &token, "GET", path, None).await.json()["name"].as_str(), Some("progress"));
    // Not starting, as for the default server without a name.
    for path in ["servers/progress/progress", "servers//progress", "server/progress"] {
        let answer = by_token(&site, &token, "GET", &format!("/hub/api/users/alice/{path}"), None).await;
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(answer.json()["status"] == answer.status, "{path}");
    }
}

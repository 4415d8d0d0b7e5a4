//! Nothing is done in the name of a cookie that another site could have had done.

use actix_web::http::header::ContentType;
use serde_json::json;

use super::house::{Browser, House, request};
use super::rights::table;

#[actix_web::test]
async fn no_route_of_the_api_acts_for_a_cookie_alone() {
    let house = House::new().await;
    house.set_password("root", false).await;
    let site = house.site().await;
    let mut root = Browser::logged_in(&site, "root").await;
    for (_, method, path, body) in table("a1") {
        let body = body.unwrap_or_else(|| json!({}));
        for mode in [Some("cors"), Some("no-cors"), None] {
            let asked = mode.into_iter().fold(request(method, &path).set_json(&body), |request, mode| {
                request.insert_header(("Sec-Fetch-Mode", mode)).insert_header(("Sec-Fetch-Site", "cross-site"))
            });
            // As JupyterHub: a program without fetch metadata may read.
            if mode.is_some() || method != "GET" {
                let answer = root.send(&site, asked).await;
                assert_eq!(answer.status, 403, "{method} {path} {mode:?}: {answer:?}");
            }
        }
    }
    let xsrf = root.cookies["_xsrf"].clone();
    let body = json!({ "name": "alice" });
    let shown = request("PATCH", "/hub/api/users/alice").insert_header(("X-XSRFToken", xsrf)).set_json(&body);
    assert_eq!(root.send(&site, shown).await.status, 200, "with the token shown");
}

#[actix_web::test]
async fn a_form_of_another_site_does_not_reach_the_api_even_with_the_token() {
    let house = House::new().await;
    house.set_password("root", false).await;
    let site = house.site().await;
    let mut root = Browser::logged_in(&site, "root").await;
    let path = format!("/hub/api/users/fresh?_xsrf={}", root.cookies["_xsrf"]);
    for kind in [ContentType::form_url_encoded(), ContentType::plaintext()] {
        assert_eq!(root.send(&site, request("POST", &path).insert_header(kind)).await.status, 403);
    }
    assert!(house.app().store.user("fresh").await.unwrap().is_none());
}

#[actix_web::test]
async fn no_form_of_a_page_acts_without_its_token() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    for path in [
        "/hub/home",
        "/hub/token",
        "/hub/spawn",
        "/hub/spawn/alice",
        "/hub/spawn-pending/alice",
        "/hub/change-password",
        "/hub/logout-everywhere",
        "/hub/invite",
        "/hub/api/oauth2/authorize",
        "/hub/user/alice/",
    ] {
        let mut bob = Browser::default();
        bob.get(&site, "/hub/login").await;
        let foreign = bob.cookies["_xsrf"].clone();
        for fields in [vec![("action", "create")], vec![("action", "create"), ("_xsrf", foreign.as_str())]] {
            let answer = alice.send(&site, request("POST", path).set_form(&fields)).await;
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
        }
    }
}

#[actix_web::test]
async fn a_link_of_another_site_starts_no_server() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let id = house.user("alice").await.id;
    for from in ["cross-site", "same-site"] {
        let link = request("GET", "/hub/spawn").insert_header(("Sec-Fetch-Site", from));
        let link = link.insert_header(("Sec-Fetch-Mode", "navigate"));
        assert_eq!(alice.send(&site, link).await.status, 200, "a page with a button");
        assert!(house.app().store.server(id, "").await.unwrap().is_none(), "{from}");
    }
    let link = request("GET", "/hub/spawn").insert_header(("Sec-Fetch-Site", "same-origin"));
    assert_eq!(alice.send(&site, link).await.status, 303);
    assert!(house.app().store.server(id, "").await.unwrap().is_some());
}

#[actix_web::test]
async fn options_of_a_link_are_shown_and_start_only_with_a_click() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let id = house.user("alice").await.id;
    // After a log-in on the way, anybody's link is one of the same origin.
    let link = "/hub/spawn?opt-image=evil%22%3E%3Cb%3E&opt-env=a&opt-env=b&next=%2Fuser%2Falice%2Flab&_xsrf=x";
    let asked = alice.send(&site, request("GET", link).insert_header(("Sec-Fetch-Site", "same-origin"))).await;
    assert_eq!(asked.status, 200);
    assert!(asked.text.contains("name=\"image\"") && !asked.text.contains("<b>"), "{}", asked.text);
    assert_eq!(asked.text.matches("name=\"env\"").count(), 2);
    assert!(asked.text.contains("action=\"/hub/spawn?next=%2Fuser%2Falice%2Flab\""), "{}", asked.text);
    assert!(!asked.text.contains("multipart"), "what cannot be read must not be sent");
    assert!(house.app().store.server(id, "").await.unwrap().is_none());
    let click = alice.post(&site, "/hub/spawn?next=%2Fuser%2Falice%2Flab", &[("image", "fine"), ("env", "a")]).await;
    assert_eq!(click.header("location"), "/hub/spawn-pending/alice?next=%2Fuser%2Falice%2Flab");
    let options = house.app().store.server(id, "").await.unwrap().unwrap().user_options;
    assert_eq!(options, Some(serde_json::json!({ "image": ["fine"], "env": ["a"] })));
}

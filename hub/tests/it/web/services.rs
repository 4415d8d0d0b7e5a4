//! Services made through the API: what is refused changes nothing, and nobody gives what they lack.

use hub_store::{Holder, NewRole};
use serde_json::{Value, json};

use super::house::{House, Site, by_token, request, send};

/// Bob may make services, and nothing else beyond what everybody may.
async fn with_maker() -> (House, String) {
    let house = House::new().await;
    let app = house.app();
    let role = NewRole {
        name: "makers".to_owned(),
        description: None,
        scopes: vec!["admin:services".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(Holder::User(house.user("bob").await.id), role).await.unwrap();
    let token = house.token("bob", &["inherit".to_owned()]).await;
    (house, token)
}

async fn post(site: &Site, token: &str, name: &str, body: &Value) -> u16 {
    by_token(site, token, "POST", &format!("/hub/api/services/{name}"), Some(body)).await.status
}

#[actix_web::test]
async fn nobody_makes_a_service_that_may_more_than_they_may() {
    let (house, bob) = with_maker().await;
    let (site, app) = (house.site().await, house.app());
    let callback = "https://evil.example/callback";
    for body in [
        json!({ "admin": true }),
        json!({ "oauth_redirect_uri": callback, "oauth_client_allowed_scopes": ["admin:users"] }),
        json!({ "oauth_redirect_uri": callback, "oauth_client_allowed_scopes": ["read:users"] }),
        // Whichever administrator follows a link would be whom it acts for, without being asked.
        json!({ "oauth_redirect_uri": callback, "oauth_client_allowed_scopes": ["inherit"], "oauth_no_confirm": true }),
    ] {
        assert_eq!(post(&site, &bob, "evil", &body).await, 400, "{body}");
    }
    assert!(app.store.service("evil").await.unwrap().is_none());
    assert!(app.store.oauth_client("service-evil").await.unwrap().is_none());
    let asks = json!({ "oauth_redirect_uri": callback, "oauth_client_allowed_scopes": ["inherit"] });
    assert_eq!(post(&site, &bob, "asks", &asks).await, 201, "it asks whoever opens it");
    // A token of an administrator that is good for making services only is no way around.
    let narrow = house.token("root", &["admin:services".to_owned()]).await;
    assert_eq!(post(&site, &narrow, "evil", &json!({ "admin": true })).await, 400);
    let root = house.token("root", &["inherit".to_owned()]).await;
    assert_eq!(post(&site, &root, "boss", &json!({ "admin": true })).await, 201);
}

#[actix_web::test]
async fn what_is_malformed_is_refused_and_changes_nothing() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let root = house.token("root", &["inherit".to_owned()]).await;
    let long = "x".repeat(300);
    let fine = json!({ "display": false });
    for name in ["%20a", "a%20", "%252e", "a%0Ab", "a%00b", &long] {
        let status = post(&site, &root, name, &fine).await;
        assert!([400, 404].contains(&status), "{name}: {status}");
    }
    for body in [
        json!({ "url": "http://" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "http://user:word@host:1" }),
        json!({ "url": 5 }),
        json!({ "api_token": "short" }),
        json!({ "api_token": "x".repeat(100) }),
        json!({ "info": "text" }),
        json!({ "display": "yes" }),
        json!({ "oauth_client_allowed_scopes": "self" }),
        json!({ "oauth_client_allowed_scopes": [1] }),
        json!({ "oauth_redirect_uri": "javascript:alert(1)" }),
        json!({ "oauth_client_id": "jupyterhub-user-alice", "oauth_redirect_uri": "/x" }),
        json!({ "colour": "red" }),
        json!([]),
        json!("text"),
    ] {
        assert_eq!(post(&site, &root, "bad", &body).await, 400, "{body}");
    }
    for text in ["{", "\u{0}", "{\"url\": \"http://h:1\"", ""] {
        let asked = request("POST", "/hub/api/services/bad").insert_header(("Authorization", format!("token {root}")));
        assert_eq!(send(&site, asked.set_payload(text.to_owned())).await.status, 400, "{text:?}");
    }
    assert!(app.store.list_services().await.unwrap().is_empty());
}

#[actix_web::test]
async fn of_services_made_at_the_same_time_one_is_there() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let root = house.token("root", &["inherit".to_owned()]).await;
    let body = json!({ "oauth_redirect_uri": "/there", "api_token": "a-token-to-share" });
    let (one, two) = tokio::join!(post(&site, &root, "same", &body), post(&site, &root, "same", &body));
    let mut statuses = [one, two];
    statuses.sort_unstable();
    assert!(statuses == [201, 409] || statuses == [201, 400], "{statuses:?}");
    assert_eq!(app.store.list_services().await.unwrap().len(), 1);
    let asked = by_token(&site, "a-token-to-share", "GET", "/hub/api/user", None).await;
    assert_eq!((asked.status, &asked.json()["name"]), (200, &json!("same")));
    // A client of somebody else's is not taken over.
    let thief = json!({ "oauth_redirect_uri": "/mine", "oauth_client_id": "service-same" });
    assert_eq!(post(&site, &root, "thief", &thief).await, 400);
    assert_eq!(app.store.oauth_client("service-same").await.unwrap().unwrap().redirect_uri, "/there");
}

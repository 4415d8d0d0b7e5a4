//! The OAuth provider: codes, and what a log-out does to them.

use hub_core::secret::Secret;
use hub_core::{cookie, token};
use hub_store::OAuthClient;
use serde_json::Value;

use super::house::{Answer, Browser, House, PASSWORD, Site, request, send};

const CLIENT: &str = "jupyterhub-user-alice";
const REDIRECT: &str = "/user/alice/oauth_callback";

/// Makes alice a server with an OAuth client, as the keeper does.
pub async fn with_server(house: &House) {
    let app = house.app();
    let alice = house.user("alice").await;
    let server = app.store.create_server(alice.id, "", None, None, app.now()).await.unwrap().unwrap();
    let client = OAuthClient {
        identifier: CLIENT.to_owned(),
        description: "Server at /user/alice/".to_owned(),
        secret: Secret::new(token::hash(PASSWORD, token::GENERATED_ROUNDS, &mut rand::rng())),
        redirect_uri: REDIRECT.to_owned(),
        allowed_scopes: Vec::new(),
    };
    app.store.sync_oauth_client(&client).await.unwrap();
    let file = house.folder.path().join("data/jupyterhub.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let sql = "UPDATE spawners SET oauth_client_id = $1 WHERE id = $2";
    sqlx::query(sql).bind(CLIENT).bind(server.id.0).execute(&pool).await.unwrap();
    pool.close().await;
}

fn ask(redirect: &str) -> String {
    let pairs = [("client_id", CLIENT), ("redirect_uri", redirect), ("response_type", "code"), ("state", "s")];
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/hub/api/oauth2/authorize?{query}")
}

async fn code_for(site: &Site, browser: &mut Browser) -> String {
    let answer = browser.get(site, &ask(REDIRECT)).await;
    let location = answer.header("location").to_owned();
    assert!(answer.status == 302 && location.starts_with("/user/alice/oauth_callback?code="), "{answer:?}");
    location.split(['=', '&']).nth(1).unwrap().to_owned()
}

async fn exchange(site: &Site, code: &str, secret: &str, redirect: &str) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("client_secret", secret),
        ("code", code),
        ("redirect_uri", redirect),
    ];
    send(site, request("POST", "/hub/api/oauth2/token").set_form(fields)).await
}

async fn who(site: &Site, token: &str) -> (u16, Value) {
    let asked = request("GET", "/hub/api/user").insert_header(("Authorization", format!("Bearer {token}")));
    let answer = send(site, asked).await;
    (answer.status, answer.json())
}

#[actix_web::test]
async fn a_code_is_good_once_for_its_client_and_address() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    with_server(&house).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let code = code_for(&site, &mut alice).await;
    assert_eq!(exchange(&site, &code, "wrong", REDIRECT).await.status, 401);
    let answer = exchange(&site, &code, PASSWORD, REDIRECT).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    let (status, model) = who(&site, answer.json()["access_token"].as_str().unwrap()).await;
    assert_eq!((status, model["name"].as_str()), (200, Some("alice")));
    assert_eq!(model["session_id"].as_str(), Some(alice.cookies[cookie::SESSION].as_str()));
    assert_eq!(exchange(&site, &code, PASSWORD, REDIRECT).await.status, 400, "a second time");
    let code = code_for(&site, &mut alice).await;
    assert_eq!(exchange(&site, &code, PASSWORD, "/user/bob/oauth_callback").await.status, 400);
    for redirect in ["https://evil.example/", "/user/alice/oauth_callback/", ""] {
        let answer = alice.get(&site, &ask(redirect)).await;
        assert!(answer.status == 400 && answer.header("location").is_empty(), "{redirect}: {answer:?}");
    }
}

#[actix_web::test]
async fn a_log_out_ends_tokens_and_codes_of_its_session() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    with_server(&house).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let code = code_for(&site, &mut alice).await;
    let token = exchange(&site, &code, PASSWORD, REDIRECT).await.json()["access_token"].as_str().unwrap().to_owned();
    let late = code_for(&site, &mut alice).await;
    assert_eq!(who(&site, &token).await.0, 200);
    alice.get(&site, "/hub/logout").await;
    assert_eq!(who(&site, &token).await.0, 403);
    let answer = exchange(&site, &late, PASSWORD, REDIRECT).await;
    assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (400, "invalid_grant"));
}

#[actix_web::test]
async fn nobody_gets_a_code_for_the_server_of_somebody_else() {
    let house = House::new().await;
    house.set_password("bob", false).await;
    with_server(&house).await;
    let site = house.site().await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    let answer = bob.get(&site, &ask(REDIRECT)).await;
    assert!(answer.status == 403 && answer.header("location").is_empty(), "{answer:?}");
}

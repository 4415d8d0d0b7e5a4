//! What no browser and no client would send: it gets a clear answer, in the form of its kind, and nothing else happens.

use serde_json::{Value, json};

use super::house::{Browser, House, by_token, request, send};

#[actix_web::test]
async fn paths_that_are_no_paths_are_not_found() {
    let house = House::new().await;
    let site = house.site().await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    for path in [
        "/users/",
        "/users/alice/",
        "/users/alice%2Fserver",
        "/users/..%2Falice",
        "/users/%2e%2e/alice",
        "/users/%00",
        "/users/%FF%FE",
        "/users/alice%00",
        "/users/alice%0d%0aX:%20y",
        "/users/alice%252Fserver",
        "/users/alice/servers/%2F",
        "/users/alice/servers/..%2F..%2Froot",
        "/users/alice/tokens/a",
        "/users/alice/tokens/-1",
        "/users/alice/tokens/a99999999999999999999",
        "/groups/%00",
        "/nothing",
    ] {
        let answer = by_token(&site, &token, "GET", &format!("/hub/api{path}"), None).await;
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (404, Some(404)), "{path}");
    }
}

#[actix_web::test]
async fn bodies_that_cannot_be_read_are_refused_in_json() {
    let house = House::new().await;
    let site = house.site().await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    let huge = format!("{{\"usernames\": [\"{}\"]}}", "a".repeat(2 << 20));
    for (body, status) in [
        (b"{".to_vec(), 400),
        (b"\xff\xfe".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"\"text\"".to_vec(), 400),
        (b"{\"usernames\": \"alice\"}".to_vec(), 400),
        (b"{\"usernames\": [1]}".to_vec(), 400),
        (b"{\"usernames\": [\"a/b\"]}".to_vec(), 400),
        (b"{\"usernames\": [\"..\"]}".to_vec(), 400),
        (format!("{{\"usernames\": {}}}", "[".repeat(100_000)).into_bytes(), 400),
        (huge.into_bytes(), 413),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let asked = request("POST", "/hub/api/users").insert_header(("Authorization", format!("token {token}")));
        let answer = send(&site, asked.set_payload(body)).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json", "{shown}");
        assert!(answer.json()["message"].is_string() && answer.json()["status"] == status, "{shown}: {answer:?}");
    }
}

#[actix_web::test]
async fn a_form_that_is_too_large_is_refused_on_a_page() {
    let house = House::new().await;
    let site = house.site().await;
    let answer = send(&site, request("POST", "/hub/login").set_payload(vec![b'a'; 2 << 20])).await;
    assert_eq!((answer.status, answer.header("content-type")), (413, "text/html; charset=UTF-8"));
}

#[actix_web::test]
async fn headers_that_make_no_sense_change_nothing() {
    let house = House::new().await;
    let site = house.site().await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    for (name, value) in [
        ("Host", &b"\xff\xff"[..]),
        ("Host", b"evil.example, other"),
        ("Accept", b"\xff"),
        ("Accept", b";;,,*/*;q=abc"),
        ("Cookie", b"\xff=\xfe; =; a"),
        ("Cookie", b"jupyterhub-hub-login=2|1:0|10:x; jupyterhub-session-id=a b"),
        ("X-Forwarded-For", b"nobody, , 1.2.3.4.5"),
        ("X-Forwarded-Proto", b"gopher"),
        ("Sec-Fetch-Mode", b"\xff"),
        ("If-None-Match", b"\xff"),
        ("User-Agent", b"\xff\xff"),
    ] {
        let value = actix_web::http::header::HeaderValue::from_bytes(value).unwrap();
        let asked = request("GET", "/hub/api/users?limit=1").insert_header(("Authorization", format!("token {token}")));
        assert_eq!(send(&site, asked.insert_header((name, value.clone()))).await.status, 200, "{name}: {value:?}");
        let page = request("GET", "/hub/login").insert_header((name, value.clone()));
        assert_eq!(send(&site, page).await.status, 200, "{name}: {value:?}");
    }
    for value in ["", "token", "token ", "token a b", "Basic abc", &format!("token {}", "a".repeat(100_000))] {
        let asked = request("GET", "/hub/api/user").insert_header(("Authorization", value));
        assert_eq!(send(&site, asked).await.status, 403, "{}", &value[..value.len().min(20)]);
    }
}

#[actix_web::test]
async fn methods_are_answered_as_jupyterhub_does() {
    let house = House::new().await;
    let site = house.site().await;
    for path in ["/hub/api/users", "/hub/api/users/alice/server", "/hub/api/shutdown"] {
        let answer = send(&site, request("OPTIONS", path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        for method in ["HEAD", "PROPFIND"] {
            assert_eq!(send(&site, request(method, path)).await.status, 405, "{method} {path}");
        }
    }
    let answer = send(&site, request("PUT", "/hub/api/users")).await;
    assert_eq!(answer.json(), json!({ "status": 405, "message": Value::Null }));
    for path in ["/hub/home", "/hub/logout", "/hub/token"] {
        assert_eq!(send(&site, request("DELETE", path)).await.status, 405, "{path}");
    }
}

#[actix_web::test]
async fn people_of_every_name_are_found_by_their_address() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    for (name, path) in [
        ("ada@example.org", "ada@example.org"),
        ("ada@example.net", "ada%40example.net"),
        ("a+b", "a+b"),
        ("c+d", "c%2Bd"),
        ("two words", "two%20words"),
        ("grüße", "gr%C3%BC%C3%9Fe"),
        ("100%", "100%25"),
        ("api", "api"),
    ] {
        app.store.create_user(name, false, name, app.now()).await.unwrap();
        let answer = by_token(&site, &token, "GET", &format!("/hub/api/users/{path}"), None).await;
        assert_eq!(answer.json()["name"].as_str(), Some(name), "{path}");
        let answer = by_token(&site, &token, "POST", &format!("/hub/api/users/{path}/server"), None).await;
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
    }
}

#[actix_web::test]
async fn a_server_with_a_name_of_before_is_stopped_and_deleted() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("alice", &["inherit".to_owned()]).await;
    let old = "Old name/of 2019";
    app.store.create_server(house.user("alice").await.id, old, None, None, app.now()).await.unwrap();
    let path = "/hub/api/users/alice/servers/Old%20name%2Fof%202019";
    assert_eq!(by_token(&site, &token, "GET", path, None).await.json()["name"].as_str(), Some(old));
    let answer = by_token(&site, &token, "DELETE", path, Some(&json!({ "remove": true }))).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(by_token(&site, &token, "GET", path, None).await.status, 404);
}

#[actix_web::test]
async fn everything_works_below_another_base_url() {
    let house = House::with("bind_url = \"http://127.0.0.1:8000/some/where/\"").await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut browser = Browser::default();
    assert_eq!(browser.get(&site, "/some/where/").await.header("location"), "/some/where/hub/");
    let answer = browser.log_in(&site, "alice", "/some/where/hub/login").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/some/where/hub/home"));
    assert_eq!(browser.get(&site, "/some/where/hub/home").await.status, 200);
    let page = browser.get(&site, "/some/where/hub/user/alice/lab").await;
    assert_eq!((page.status, page.header("content-type")), (424, "text/html; charset=UTF-8"));
    let asked = browser.get(&site, "/some/where/hub/user/alice/api/contents").await;
    assert_eq!((asked.status, asked.header("content-type")), (424, "application/json"));
}

#[actix_web::test]
async fn what_is_escaped_in_a_redirected_path_stays_escaped() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let answer = alice.get(&site, "/hub/user-redirect/lab/tree/a%3Fb%23c%20d.ipynb?x=%26").await;
    let wanted = "/hub/spawn/alice?next=%2Fuser%2Falice%2Flab%2Ftree%2Fa%253Fb%2523c%2520d.ipynb%3Fx%3D%2526";
    assert_eq!(answer.header("location"), wanted);
    assert_eq!(alice.get(&site, "/hub//evil.example").await.status, 404);
    let outside = send(&site, request("GET", "//evil.example/x")).await;
    assert_eq!(outside.header("location"), "/hub/evil.example/x");
}

#[actix_web::test]
async fn errors_are_pages_for_people_and_json_for_programs_and_tell_nothing_of_the_inside() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    app.store.close().await;
    let answer = by_token(&site, &token, "GET", "/hub/api/users", None).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{answer:?}");
    assert!(answer.json()["message"].as_str().unwrap().contains("database does not answer"));
    let mut alice = Browser::default();
    let user = hub_core::cookie::sign(&app.cookie_secret, hub_core::cookie::LOGIN, b"anybody", app.now());
    alice.cookies.insert(hub_core::cookie::LOGIN.to_owned(), user);
    let answer = alice.get(&site, "/hub/home").await;
    assert_eq!((answer.status, answer.header("content-type")), (503, "text/html; charset=UTF-8"));
    for word in ["sqlx", "SELECT", "sqlite", "closed"] {
        assert!(!answer.text.contains(word), "{word}");
    }
}

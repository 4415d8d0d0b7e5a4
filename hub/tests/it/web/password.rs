//! One-time passwords and invitations: what they open, and what they do not.

use serde_json::json;

use super::house::{Browser, House, PASSWORD, by_token, request, send};

const OWN: [(&str, &str); 2] = [("password", "my own and long enough"), ("password_confirm", "my own and long enough")];

#[actix_web::test]
async fn a_one_time_password_opens_nothing_but_the_choice_of_another() {
    let house = House::new().await;
    house.set_password("root", true).await;
    let site = house.site().await;
    let mut root = Browser::default();
    let answer = root.log_in(&site, "root", "/hub/login?next=%2Fhub%2Ftoken").await;
    assert_eq!(answer.header("location"), "/hub/change-password?next=%2Fhub%2Ftoken");
    for path in [
        "/hub/home",
        "/hub/token",
        "/hub/spawn",
        "/hub/spawn/alice",
        "/hub/spawn-pending/alice",
        "/hub/user-redirect/lab",
        "/hub/user/root/",
        "/hub/api/oauth2/authorize?client_id=x",
    ] {
        let answer = root.get(&site, path).await;
        assert!(
            answer.status == 302 && answer.header("location").starts_with("/hub/login?next="),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(
        root.get(&site, "/hub/login?next=%2Fhub%2Fhome").await.header("location"),
        "/hub/change-password?next=%2Fhub%2Fhome"
    );
    for path in ["/hub/api/user", "/hub/api/users", "/hub/api/users/root/tokens"] {
        assert_eq!(root.get(&site, path).await.status, 403, "{path}");
    }
    let xsrf = root.cookies["_xsrf"].clone();
    let token = request("POST", "/hub/api/users/root/tokens").insert_header(("X-XSRFToken", xsrf));
    assert_eq!(root.send(&site, token).await.status, 403);
    for path in ["/hub/home", "/hub/token", "/hub/spawn"] {
        let answer = root.post(&site, path, &[("action", "create")]).await;
        assert_eq!((answer.status, answer.header("location").starts_with("/hub/login")), (302, true), "{path}");
    }
}

#[actix_web::test]
async fn the_choice_of_a_password_ends_every_other_login_and_lets_in() {
    let house = House::new().await;
    house.set_password("alice", true).await;
    let site = house.site().await;
    let (mut thief, mut alice) = (Browser::logged_in(&site, "alice").await, Browser::logged_in(&site, "alice").await);
    assert_eq!(alice.get(&site, "/hub/change-password").await.status, 200);
    let refused =
        alice.post(&site, "/hub/change-password", &[("password", PASSWORD), ("password_confirm", PASSWORD)]).await;
    assert_eq!(refused.status, 400, "the one-time password again");
    let answer = alice.post(&site, "/hub/change-password?next=%2Fhub%2Ftoken", &OWN).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/token"), "{answer:?}");
    assert_eq!(alice.get(&site, "/hub/token").await.status, 200);
    thief.get(&site, "/hub/login").await;
    assert_eq!(thief.get(&site, "/hub/change-password").await.status, 302);
    assert_eq!(thief.get(&site, "/hub/home").await.status, 302);
}

#[actix_web::test]
async fn a_session_alone_does_not_change_the_password() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    assert_eq!(alice.get(&site, "/hub/change-password").await.header("location"), "/hub/home");
    assert_eq!(alice.post(&site, "/hub/change-password", &OWN).await.header("location"), "/hub/home");
    Browser::logged_in(&site, "alice").await;
}

#[actix_web::test]
async fn an_invitation_is_good_once() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let passwords = app.login.passwords().unwrap();
    let code = specola::login::password::invitation(&mut rand::rng());
    passwords.invite(&app.store, house.user("bob").await.id, &code, app.now()).await.unwrap();
    let path = format!("/hub/invite?code={}", code.expose());
    let mut bob = Browser::default();
    let page = bob.get(&site, &path).await;
    assert!(page.status == 200 && page.text.contains("bob"), "{page:?}");
    let fields = [&OWN[..], &[("code", code.expose())]].concat();
    assert_eq!(bob.post(&site, "/hub/invite", &fields).await.header("location"), "/hub/home");
    assert_eq!(bob.get(&site, "/hub/home").await.status, 200);
    let mut other = Browser::default();
    assert_eq!(other.get(&site, &path).await.status, 404);
    assert_eq!(other.get(&site, "/hub/invite?code=").await.status, 404);
}

#[actix_web::test]
async fn name_and_password_make_a_token_of_the_own_account_only() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    house.set_password("bob", true).await;
    let site = house.site().await;
    let ask = async |path: &str, name: &str, password: &str| {
        let body = json!({ "auth": { "username": name, "password": password } });
        send(&site, request("POST", &format!("/hub/api/users/{path}/tokens")).set_json(body)).await
    };
    let made = ask("alice", "alice", PASSWORD).await;
    assert_eq!(made.status, 201, "{made:?}");
    let who = by_token(&site, made.json()["token"].as_str().unwrap(), "GET", "/hub/api/user", None).await;
    assert_eq!(who.json()["name"].as_str(), Some("alice"));
    for (path, name, password) in [
        ("alice", "alice", "wrong"),
        ("root", "alice", PASSWORD),
        ("alice", "nobody", PASSWORD),
        ("alice", "alice", ""),
        ("bob", "bob", PASSWORD),
    ] {
        assert_eq!(ask(path, name, password).await.status, 403, "{path} by {name}");
    }
}

#[actix_web::test]
async fn guesses_are_slowed_down_whichever_door_they_come_through() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let body = json!({ "auth": { "username": "alice", "password": "a guess" } });
    for _ in 0..100 {
        let asked = request("POST", "/hub/api/users/alice/tokens").set_json(&body);
        let answer = send(&site, asked).await;
        if answer.status == 429 {
            assert_ne!(answer.header("retry-after"), "");
            let form = Browser::default().log_in(&site, "alice", "/hub/login").await;
            assert_eq!(form.status, 429, "the right password has to wait as well");
            return;
        }
        assert_eq!(answer.status, 403);
    }
    panic!("a hundred guesses in a row");
}

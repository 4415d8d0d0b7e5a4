//! Sessions: cookies, log-outs, and what a copied cookie is worth afterwards.

use hub_core::cookie;

use super::house::{Browser, House, request, send};

#[actix_web::test]
async fn cookies_are_of_one_site_unseen_by_scripts_and_last_as_long_as_each_other() {
    let house = House::with("public_url = \"https://hub.example.org/\"").await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::default();
    let answer = alice.log_in(&site, "alice", "/hub/login").await;
    for cookie in &answer.headers["set-cookie"] {
        let name = cookie.split('=').next().unwrap();
        assert!(cookie.contains("SameSite=Lax") && cookie.contains("Secure"), "{cookie}");
        assert_eq!(cookie.contains("HttpOnly"), name != "_xsrf", "{cookie}");
        assert_eq!(cookie.contains("Max-Age=1209600"), name != "_xsrf", "{cookie}");
    }
    assert_eq!(answer.headers["set-cookie"].len(), 3);
}

#[actix_web::test]
async fn a_session_that_the_browser_brings_along_is_not_the_one_it_gets() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let mut alice = Browser::default();
    alice.cookies.insert(cookie::SESSION.to_owned(), "chosen-by-somebody-else".to_owned());
    assert_eq!(alice.log_in(&site, "alice", "/hub/login").await.status, 303);
    assert_ne!(alice.cookies[cookie::SESSION], "chosen-by-somebody-else");
}

#[actix_web::test]
async fn a_session_cookie_that_somebody_planted_keeps_nobody_out() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let alice = Browser::logged_in(&site, "alice").await;
    let of = |name: &str| format!("{name}={}", alice.cookies[name]);
    let planted = format!("{}=planted", cookie::SESSION);
    let cookies = [planted, of(cookie::SESSION), of(cookie::LOGIN), of(cookie::XSRF)].join("; ");
    let home = request("GET", "/hub/home").insert_header(("Cookie", cookies.clone()));
    assert_eq!(send(&site, home).await.status, 200);
    let fields = [("action", "create"), ("_xsrf", alice.cookies[cookie::XSRF].as_str())];
    let form = request("POST", "/hub/token").insert_header(("Cookie", cookies)).set_form(fields);
    assert_eq!(send(&site, form).await.status, 200);
}

#[actix_web::test]
async fn a_copied_cookie_is_worth_nothing_after_the_log_out() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let (mut alice, mut elsewhere) =
        (Browser::logged_in(&site, "alice").await, Browser::logged_in(&site, "alice").await);
    let mut copy = alice.clone();
    let mut without_session = alice.clone();
    without_session.cookies.remove(cookie::SESSION);
    assert_eq!(without_session.get(&site, "/hub/home").await.status, 302, "a login needs its session");
    assert_eq!(copy.get(&site, "/hub/home").await.status, 200);
    alice.get(&site, "/hub/logout").await;
    assert!(alice.cookies.is_empty(), "{alice:?}");
    assert_eq!(copy.get(&site, "/hub/home").await.status, 302);
    assert_eq!(elsewhere.get(&site, "/hub/home").await.status, 200, "another browser stays");
    let mut third = Browser::logged_in(&site, "alice").await;
    third.post(&site, "/hub/logout-everywhere", &[]).await;
    assert_eq!(elsewhere.get(&site, "/hub/home").await.status, 302);
}

#[actix_web::test]
async fn a_log_out_ends_also_a_login_that_jupyterhub_made() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let user = house.user("alice").await;
    let before = app.adopted_at - chrono::TimeDelta::days(1);
    let login = cookie::sign(&app.cookie_secret, cookie::LOGIN, user.cookie_id.as_bytes(), before);
    let cookies = [(cookie::LOGIN, login), (cookie::SESSION, "5e55104".to_owned())];
    let mut alice = Browser { cookies: cookies.map(|(name, value)| (name.to_owned(), value)).into() };
    let mut copy = alice.clone();
    assert_eq!(alice.get(&site, "/hub/home").await.status, 200, "JupyterHub's logins go on");
    alice.get(&site, "/hub/logout").await;
    assert_eq!(copy.get(&site, "/hub/home").await.status, 302);
    copy.cookies.remove(cookie::SESSION);
    assert_eq!(copy.get(&site, "/hub/home").await.status, 302);
}

#[actix_web::test]
async fn nobody_is_sent_to_another_site_after_the_login() {
    let house = House::new().await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    for (next, lands) in [
        ("//evil.example", "/hub/home"),
        ("https://evil.example/", "/hub/home"),
        ("http:evil.example", "/hub/home"),
        ("javascript:alert(1)", "/hub/home"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/\t/evil.example", "/hub/home"),
        ("/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"),
        ("/user/alice/lab?a=b", "/user/alice/lab?a=b"),
    ] {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let answer = Browser::default().log_in(&site, "alice", &format!("/hub/login?{query}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, lands), "{next}");
        let mut known = Browser::logged_in(&site, "alice").await;
        for page in ["/hub/login", "/hub/"] {
            let answer = known.get(&site, &format!("{page}?{query}")).await;
            assert_eq!((answer.status, answer.header("location")), (302, lands), "{page} {next}");
        }
    }
}

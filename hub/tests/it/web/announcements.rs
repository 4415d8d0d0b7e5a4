//! Announcements: who writes them, who sees them where, and the address of JupyterHub's example service.

use chrono::TimeDelta;
use hub_store::NewRole;
use serde_json::{Value, json};

use super::house::{Answer, Browser, House, Site, by_token, request, send};

const API: &str = "/hub/api/announcements";
const SERVICE: &str = "/services/announcement/";

async fn operator(house: &House) -> String {
    house.token("root", &["admin-ui".to_owned()]).await
}

async fn write(site: &Site, token: &str, body: Value) -> Answer {
    by_token(site, token, "POST", API, Some(&body)).await
}

fn texts(answer: &Answer) -> Vec<String> {
    answer.json().as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn people_see_what_is_for_them_and_nobody_sees_what_is_for_everybody() {
    let house = House::new().await;
    let (site, app, token) = (house.site().await, house.app(), operator(&house).await);
    app.store.set_groups(house.user("alice").await.id, &["gpu".to_owned()]).await.unwrap();
    let hour = |hours| hub_core::clock::isoformat(app.now() + TimeDelta::hours(hours));
    for body in [
        json!({ "text": "for all" }),
        json!({ "text": "for gpu", "groups": ["gpu"] }),
        json!({ "text": "at home", "pages": ["home"], "severity": "problem" }),
        json!({ "text": "tomorrow", "from": hour(24) }),
        json!({ "text": "yesterday", "from": hour(-24), "until": hour(-1) }),
    ] {
        assert_eq!(write(&site, &token, body).await.status, 201);
    }
    assert_eq!(texts(&send(&site, request("GET", API)).await), ["for all"]);
    let (alice, bob) = (house.token("alice", &[]).await, house.token("bob", &[]).await);
    let seen = by_token(&site, &alice, "GET", API, None).await;
    assert_eq!(texts(&seen), ["for all", "for gpu", "at home"]);
    assert!(!seen.text.contains("root") && !seen.text.contains("groups"), "who wrote it is not told: {seen:?}");
    assert_eq!(texts(&by_token(&site, &bob, "GET", API, None).await), ["for all", "at home"]);
    assert_eq!(texts(&by_token(&site, &token, "GET", &format!("{API}/all"), None).await).len(), 5);

    house.set_password("alice", false).await;
    house.set_password("bob", false).await;
    let login = send(&site, request("GET", "/hub/login")).await.text;
    assert!(login.contains("for all") && !login.contains("for gpu") && !login.contains("at home"));
    let shows = async |browser: &mut Browser, path| {
        let page = browser.get(&site, path).await.text;
        ["for all", "for gpu", "at home", "tomorrow", "yesterday"].map(|text| page.contains(text))
    };
    let mut alice = Browser::logged_in(&site, "alice").await;
    assert_eq!(shows(&mut alice, "/hub/home").await, [true, true, true, false, false]);
    assert_eq!(shows(&mut alice, "/hub/token").await, [true, true, false, false, false]);
    let mut bob = Browser::logged_in(&site, "bob").await;
    assert_eq!(shows(&mut bob, "/hub/home").await, [true, false, true, false, false]);
}

#[actix_web::test]
async fn bad_announcements_are_refused_with_the_reason_and_change_nothing() {
    let house = House::new().await;
    let (site, token) = (house.site().await, operator(&house).await);
    let made = write(&site, &token, json!({ "text": "kept" })).await.json();
    let one = format!("{API}/{}", made["id"]);
    for (body, reason) in [
        (json!({}), "needs a text"),
        (json!({ "text": "  " }), "needs a text"),
        (json!({ "text": 5 }), "must be a string"),
        (json!({ "text": "a\u{0}b" }), "NUL character"),
        (json!({ "text": "a\u{7}b" }), "control characters"),
        (json!({ "text": "x".repeat(2001) }), "2000"),
        (json!({ "text": "x", "severity": "panic" }), "info, warning or problem"),
        (json!({ "text": "x", "pages": ["nowhere"] }), "There is no page"),
        (json!({ "text": "x", "groups": "gpu" }), "must be"),
        (json!({ "text": "x", "until": "yesterday" }), "until"),
        (json!({ "text": "x", "from": "2030-01-02", "until": "2030-01-01" }), "before it begins"),
        (json!({ "text": "x", "colour": "red" }), "colour"),
        (json!(["text"]), ""),
    ] {
        let answer = write(&site, &token, body.clone()).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert!(answer.text.contains(reason), "{body}: {}", answer.text);
        if body.get("text").is_some_and(|text| !text.is_null()) {
            assert_eq!(by_token(&site, &token, "PATCH", &one, Some(&body)).await.status, 400, "{body}");
        }
    }
    let broken =
        request("POST", API).insert_header(("Authorization", format!("token {token}"))).set_payload("{\"text\":");
    assert_eq!(send(&site, broken).await.status, 400);
    for id in ["999", "x", "-1", "9999999999999999999999"] {
        assert_eq!(by_token(&site, &token, "GET", &format!("{API}/{id}"), None).await.status, 404, "{id}");
        assert_eq!(by_token(&site, &token, "DELETE", &format!("{API}/{id}"), None).await.status, 404, "{id}");
    }
    let all = by_token(&site, &token, "GET", &format!("{API}/all"), None).await.json();
    assert_eq!(all, json!([made]));
    let changed = by_token(&site, &token, "PATCH", &one, Some(&json!({ "until": "2030-01-01" }))).await.json();
    assert_eq!((&changed["text"], &changed["until"]), (&json!("kept"), &json!("2030-01-01T00:00:00Z")));
    let changed = by_token(&site, &token, "PATCH", &one, Some(&json!({ "until": null }))).await.json();
    assert_eq!(changed["until"], Value::Null);
}

#[actix_web::test]
async fn scripts_for_the_example_service_of_jupyterhub_go_on() {
    let house = House::new().await;
    let (site, token) = (house.site().await, operator(&house).await);
    let nothing = json!({ "announcement": "", "timestamp": "", "user": "" });
    assert_eq!(send(&site, request("GET", SERVICE)).await.json(), nothing);
    // As curl sends it: JSON that calls itself a form.
    let post = async |token: &str, text: &str| {
        let body = json!({ "announcement": text }).to_string();
        let request = request("POST", SERVICE).insert_header(("Authorization", format!("token {token}")));
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        send(&site, request.insert_header(kind).set_payload(body)).await
    };
    let stranger = house.token("alice", &["inherit".to_owned()]).await;
    assert_eq!(post(&stranger, "no").await.status, 403);
    assert_eq!(send(&site, request("POST", SERVICE).set_json(json!({ "announcement": "no" }))).await.status, 403);
    let answer = post(&token, "Maintenance at noon").await.json();
    assert_eq!((&answer["announcement"], &answer["user"]), (&json!("Maintenance at noon"), &json!("root")));
    assert!(send(&site, request("GET", "/hub/login")).await.text.contains("Maintenance at noon"));
    post(&token, "Maintenance at one").await;
    for path in [SERVICE, "/services/announcement/latest"] {
        let told = send(&site, request("GET", path)).await.json();
        assert_eq!((&told["announcement"], &told["user"]), (&json!("Maintenance at one"), &json!("")), "{path}");
        assert!(told["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
    assert!(!send(&site, request("GET", "/hub/login")).await.text.contains("noon"), "the second took its place");
    assert_eq!(by_token(&site, &stranger, "DELETE", SERVICE, None).await.status, 403);
    assert_eq!(by_token(&site, &token, "POST", SERVICE, Some(&json!({ "text": "x" }))).await.status, 400);
    assert_eq!(by_token(&site, &token, "DELETE", SERVICE, None).await.json(), nothing);
    post(&token, "again").await;
    assert_eq!(post(&token, "").await.json(), nothing, "an empty text takes it away");
    assert!(!send(&site, request("GET", "/hub/login")).await.text.contains("again"));
    assert_eq!(send(&site, request("GET", "/services/announcement")).await.status, 301);
}

#[actix_web::test]
async fn operators_write_them_on_a_page_that_needs_no_scripts() {
    const PAGE: &str = "/hub/announcements";
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for name in ["alice", "root"] {
        house.set_password(name, false).await;
    }
    assert_eq!(send(&site, request("GET", PAGE)).await.status, 302, "to the login");
    let mut alice = Browser::logged_in(&site, "alice").await;
    assert_eq!(alice.get(&site, PAGE).await.status, 403);
    let form = [("action", "save"), ("text", "<b>Hi</b> https://a.example/x.\r\nBye"), ("severity", "warning")];
    assert_eq!(alice.post(&site, PAGE, &form).await.status, 403);
    assert!(!alice.get(&site, "/hub/home").await.text.contains(PAGE), "it is not offered");
    let role = NewRole {
        name: "herald".to_owned(),
        description: None,
        scopes: vec!["admin-ui".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::User(house.user("alice").await.id), role).await.unwrap();
    assert!(alice.get(&site, "/hub/home").await.text.contains(PAGE), "it is offered");
    let answer = alice.post(&site, PAGE, &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, PAGE));
    let home = alice.get(&site, "/hub/home").await.text;
    let link = "<a href=\"https://a.example/x\" rel=\"noopener noreferrer\">https://a.example/x</a>.";
    assert!(home.contains(link) && home.contains("&#60;b&#62;Hi") && !home.contains("<b>Hi"), "{home}");
    assert!(home.contains("class=\"announcement warning\""));

    let stored = app.store.list_announcements().await.unwrap().remove(0);
    assert_eq!(
        (stored.announcement.text.as_str(), stored.author.as_str()),
        ("<b>Hi</b> https://a.example/x.\nBye", "alice")
    );
    let id = stored.id.to_string();
    let edit = alice.get(&site, &format!("{PAGE}?edit={id}")).await.text;
    assert!(edit.contains(&format!("name=\"id\" value=\"{id}\"")));
    let refused =
        [("action", "save"), ("id", &id), ("text", "Typed"), ("severity", "info"), ("until", "2020-01-01T00:00")];
    let answer = alice.post(&site, PAGE, &refused).await;
    assert!(answer.status == 400 && answer.text.contains(">Typed</textarea>"), "what was typed stays: {answer:?}");
    let changed = [
        ("action", "save"),
        ("id", &id),
        ("text", "Changed"),
        ("severity", "info"),
        ("from", "2020-01-01T00:00"),
        ("until", "2099-01-01T12:30"),
        ("pages", "home"),
        ("pages", "token"),
        ("groups", "a b, c,"),
    ];
    assert_eq!(alice.post(&site, PAGE, &changed).await.status, 303);
    let stored = app.store.list_announcements().await.unwrap().remove(0).announcement;
    assert_eq!((stored.pages, stored.groups), (vec!["home".into(), "token".into()], vec!["a b".into(), "c".into()]));
    assert_eq!(alice.post(&site, PAGE, &[("action", "delete"), ("id", "999")]).await.status, 404);
    assert_eq!(alice.post(&site, PAGE, &[("action", "delete"), ("id", &id)]).await.status, 303);
    assert_eq!(app.store.list_announcements().await.unwrap(), []);
    let mut forged = alice.clone();
    forged.cookies.insert("_xsrf".to_owned(), "forged".to_owned());
    assert_eq!(forged.post(&site, PAGE, &form).await.status, 403);
    let acts: Vec<String> =
        app.store.audit_since(0, 1000).await.unwrap().into_iter().map(|(_, act)| act.action).collect();
    for act in ["announcement.create", "announcement.change", "announcement.delete"] {
        assert!(acts.iter().any(|done| done == act), "{act}");
    }
}

//! Share codes: made, listed and deleted over REST, and accepted on their page. After JupyterHub's `test_shares.py`.

use hub_core::clock::Time;
use serde_json::{Value, json};

use super::house::{Browser, House, Site, by_token};

async fn sharing_house() -> (House, Site, String) {
    let house = House::new().await;
    let (app, alice) = (house.app(), house.user("alice").await);
    app.store.create_server(alice.id, "", None, None, app.now()).await.unwrap().unwrap();
    for name in ["alice", "bob"] {
        house.set_password(name, false).await;
    }
    let (site, root) = (house.site().await, house.token("root", &["inherit".to_owned()]).await);
    (house, site, root)
}

async fn make(site: &Site, token: &str, body: Value) -> (u16, Value) {
    let answer = by_token(site, token, "POST", "/hub/api/share-codes/alice/", Some(&body)).await;
    (answer.status, answer.json())
}

async fn code(site: &Site, token: &str) -> (String, String) {
    let (status, model) = make(site, token, json!({})).await;
    assert_eq!(status, 200, "{model}");
    (model["code"].as_str().unwrap().to_owned(), model["id"].as_str().unwrap().to_owned())
}

async fn listed(site: &Site, token: &str) -> Vec<Value> {
    let list = by_token(site, token, "GET", "/hub/api/share-codes/alice/", None).await.json();
    list["items"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn a_code_is_told_once_and_only_its_hash_is_kept() {
    let (house, site, root) = sharing_house().await;
    let (status, model) = make(&site, &root, json!({"scopes": ["read:servers", "access:servers!server=alice/"]})).await;
    assert_eq!(status, 200, "{model}");
    let code = model["code"].as_str().unwrap();
    assert_eq!(model["accept_url"], format!("/hub/accept-share?code={code}"));
    assert_eq!((code.len(), &model["full_accept_url"], &model["exchange_count"]), (43, &json!(null), &json!(0)));
    assert_eq!(model["scopes"], json!(["access:servers!server=alice/", "read:servers!server=alice/"]));
    let mut list = listed(&site, &root).await;
    assert_eq!(list.len(), 1);
    let keys: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    let expected = ["created_at", "exchange_count", "expires_at", "id", "last_exchanged_at", "scopes", "server"];
    assert_eq!(keys, expected);
    assert_eq!(list.remove(0)["id"], model["id"]);
    let file = std::fs::read(house.folder.path().join("data/jupyterhub.sqlite")).unwrap();
    let log = std::fs::read(house.folder.path().join("data/jupyterhub.sqlite-wal")).unwrap();
    for bytes in [file, log] {
        assert!(!bytes.windows(code.len()).any(|window| window == code.as_bytes()), "the code is in the database");
    }
}

#[actix_web::test]
async fn a_code_gives_what_its_maker_holds_for_as_long_as_allowed() {
    let (house, site, root) = sharing_house().await;
    for (held, body, status) in [
        ("shares", json!({}), 200),
        ("shares!user=bob", json!({}), 404),
        ("shares!server=alice/,servers!server=alice/", json!({"scopes": ["read:servers!server=alice/"]}), 200),
        ("shares", json!({"scopes": ["read:servers!server=other/"]}), 400),
        ("shares", json!({"scopes": ["nonsense"]}), 400),
        ("shares", json!({"scopes": "access:servers"}), 400),
        ("shares,access:servers", json!({"scopes": ["admin:servers!server=alice/"]}), 403),
        ("shares", json!({"user": "bob"}), 400),
        ("shares", json!({"expires_in": "notanumber"}), 400),
        ("shares", json!({"expires_in": null}), 400),
        ("shares", json!({"expires_in": -1}), 400),
        ("shares", json!({"expires_in": 59}), 400),
        ("shares", json!({"expires_in": 60}), 200),
        ("shares", json!({"expires_in": 525_600 * 60}), 200),
        ("shares", json!({"expires_in": 525_600 * 60 + 1}), 400),
    ] {
        let scopes: Vec<String> = held.split(',').map(str::to_owned).collect();
        let token = house.token("root", &scopes).await;
        let (before, now) = (listed(&site, &root).await.len(), house.app().now());
        let (got, model) = make(&site, &token, body.clone()).await;
        assert_eq!(got, status, "{held}: {body}: {model}");
        assert_eq!(listed(&site, &root).await.len(), before + usize::from(status == 200));
        if status == 200 {
            let end: Time = model["expires_at"].as_str().unwrap().parse().unwrap();
            let life = body["expires_in"].as_i64().unwrap_or(86_400);
            assert!(((end - now).num_seconds() - life).abs() < 30, "{model}");
        }
    }
}

#[actix_web::test]
async fn codes_are_deleted_by_text_by_id_or_all() {
    let (house, site, root) = sharing_house().await;
    for (held, query, status) in [
        ("inherit", "", 204),
        ("shares", "?id=ID", 204),
        ("shares!server=alice/", "?code=CODE", 204),
        ("shares!user=bob", "", 404),
        ("read:shares", "?code=CODE", 403),
        ("shares", "?id=invalid", 404),
        ("shares", "?id=IDx", 404),
        ("shares", "?id=sc_9999", 404),
        ("shares", "?code=nomatch", 404),
        ("shares", "?code=%00%ff", 404),
    ] {
        let ((text, id), (other, _)) = (code(&site, &root).await, code(&site, &root).await);
        let token = house.token("root", &[held.to_owned()]).await;
        // A code may have ID among its letters.
        let path = format!("/hub/api/share-codes/alice/{}", query.replace("ID", &id).replace("CODE", &text));
        assert_eq!(by_token(&site, &token, "DELETE", &path, None).await.status, status, "{held}: {query}");
        let mut there = Vec::new();
        for text in [text, other] {
            there.push(specola::sharing::find_code(&house.app(), &text).await.unwrap().is_some());
        }
        let expected = [status != 204, status != 204 || !query.is_empty()];
        assert_eq!(there, expected, "{held}: {query}");
        by_token(&site, &root, "DELETE", "/hub/api/share-codes/alice/", None).await;
    }
}

/// What accepting left: how often each code was exchanged, and how much bob may use.
async fn state(house: &House, site: &Site, root: &str) -> (Vec<i64>, usize) {
    let counts = listed(site, root).await.iter().map(|code| code["exchange_count"].as_i64().unwrap()).collect();
    let shares = house.app().store.shares_with(house.user("bob").await.id, house.app().now()).await.unwrap();
    (counts, shares.len())
}

#[actix_web::test]
async fn an_invitation_is_looked_at_and_accepted_by_others_only() {
    let (house, site, root) = sharing_house().await;
    let (text, _) = code(&site, &root).await;
    for (who, shown, looked, accepted) in [
        ("bob", None, 400, 400),
        ("bob", Some("nosuchcode"), 404, 400),
        ("bob", Some("n\u{0}t\u{e4}code"), 404, 400),
        ("alice", Some(text.as_str()), 403, 400),
        ("bob", Some(text.as_str()), 200, 302),
        ("bob", Some(text.as_str()), 200, 302),
    ] {
        let mut browser = Browser::logged_in(&site, who).await;
        let before = state(&house, &site, &root).await;
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(shown.map(|code| ("code", code)))
            .finish();
        let page = browser.get(&site, &format!("/hub/accept-share?{query}")).await;
        assert_eq!(page.status, looked, "{who} {shown:?}");
        assert_eq!(state(&house, &site, &root).await, before, "looking changes nothing");
        let fields: Vec<(&str, &str)> = shown.iter().map(|code| ("code", *code)).collect();
        let answer = browser.post(&site, "/hub/accept-share", &fields).await;
        assert_eq!(answer.status, accepted, "{who} {shown:?}: {answer:?}");
        let after = state(&house, &site, &root).await;
        if accepted == 302 {
            assert_eq!(answer.header("location"), "/user/alice/");
            assert_eq!(after, (vec![before.0[0] + 1], 1), "every exchange counts, one share comes of them");
        } else {
            assert_eq!(after, before);
        }
    }
    let mut nobody = Browser::default();
    let answer = nobody.get(&site, &format!("/hub/accept-share?code={text}")).await;
    assert!(answer.status == 302 && answer.header("location").starts_with("/hub/login?next=%2Fhub%2Faccept-share"));
    let mut forged = Browser::logged_in(&site, "bob").await;
    forged.cookies.remove("_xsrf");
    assert_eq!(forged.post(&site, "/hub/accept-share", &[("code", &text)]).await.status, 403, "without its form");
}

#[actix_web::test]
async fn accepting_leads_on_within_this_site_only() {
    let (_house, site, root) = sharing_house().await;
    let (text, _) = code(&site, &root).await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    for (next, expected) in [
        (None, "/user/alice/"),
        (Some("https://evil.example/"), "/user/alice/"),
        (Some("//evil.example/"), "/user/alice/"),
        (Some("javascript:alert(1)"), "/user/alice/"),
        (Some("/hub/home"), "/hub/home"),
        (Some("/user/alice/lab/tree/notebook.ipynb?param=5"), "/user/alice/lab/tree/notebook.ipynb?param=5"),
    ] {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", &text).extend_pairs(next.map(|next| ("next", next)));
        let path = format!("/hub/accept-share?{}", query.finish());
        let page = bob.get(&site, &path).await;
        assert!(page.status == 200 && page.text.contains("not currently running"), "{next:?}: {page:?}");
        assert!(!page.text.contains("evil.example") && !page.text.contains("javascript:"), "{next:?}");
        let answer = bob.post(&site, &path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (302, expected), "{next:?}");
    }
    let page = bob.get(&site, &format!("/hub/accept-share?code={text}&next=/hub/%22%3E%3Cscript%3Ealert(1)")).await;
    assert!(page.status == 200 && !page.text.contains("<script>alert"), "{}", page.text);
}

#[actix_web::test]
async fn an_owner_shares_on_a_page_without_scripts_and_the_other_leaves() {
    let (house, site, _) = sharing_house().await;
    let app = house.app();
    let (mut alice, mut bob) = (Browser::logged_in(&site, "alice").await, Browser::logged_in(&site, "bob").await);
    let page = alice.get(&site, "/hub/share/alice").await;
    assert_eq!(page.status, 403, "nobody may share until somebody lets them");
    assert!(!alice.get(&site, "/hub/home").await.text.contains("/hub/share/alice"));
    let role = hub_store::NewRole {
        name: "sharers".to_owned(),
        description: None,
        scopes: vec!["shares!user".to_owned(), "read:users:name!user=bob".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::User(house.user("alice").await.id), role).await.unwrap();
    assert!(alice.get(&site, "/hub/home").await.text.contains("href=\"/hub/share/alice\""));
    assert_eq!(bob.get(&site, "/hub/share/alice").await.status, 404);
    assert_eq!(bob.get(&site, "/hub/share/nobody").await.status, 404);
    assert_eq!(alice.get(&site, "/hub/share/alice/none").await.status, 404);

    let by = async |alice: &mut Browser, fields: &[(&str, &str)]| alice.post(&site, "/hub/share/alice", fields).await;
    for (fields, status) in [
        (&[("action", "grant"), ("kind", "user"), ("name", "nobody")][..], 403),
        (&[("action", "grant"), ("kind", "user"), ("name", "")][..], 400),
        (&[("action", "grant"), ("kind", "moon"), ("name", "bob")][..], 400),
        (&[("action", "grant"), ("kind", "group"), ("name", "physics")][..], 403),
        (&[("action", "code"), ("expires_in", "1")][..], 400),
        (&[("action", "code"), ("expires_in", "soon")][..], 400),
        (&[("action", "nonsense")][..], 400),
        (&[][..], 400),
    ] {
        assert_eq!(by(&mut alice, fields).await.status, status, "{fields:?}");
        assert_eq!(bob.post(&site, "/hub/share/alice", fields).await.status, 404, "{fields:?} by bob");
    }
    let grant = [("action", "grant"), ("kind", "user"), ("name", "bob"), ("manage", "1")];
    let answer = by(&mut alice, &grant).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/share/alice"), "{answer:?}");
    let bob_id = house.user("bob").await.id;
    let shares = app.store.shares_with(bob_id, app.now()).await.unwrap();
    assert_eq!(shares[0].scopes, ["access:servers!server=alice/", "servers!server=alice/"]);
    let home = bob.get(&site, "/hub/home").await.text;
    assert!(home.contains("Shared with you") && home.contains("/hub/spawn/alice"), "{home}");
    let leave = [("action", "leave"), ("owner", "alice"), ("server_name", "")];
    assert_eq!(bob.post(&site, "/hub/home", &leave).await.status, 303);
    assert!(app.store.shares_with(bob_id, app.now()).await.unwrap().is_empty());
    assert_eq!(bob.post(&site, "/hub/home", &leave).await.status, 303, "a second time");

    let page = by(&mut alice, &[("action", "code"), ("expires_in", "3600")]).await;
    let link = page.text.split("<code id=\"share-link\">").nth(1).unwrap().split('<').next().unwrap();
    let path = link.split_once("/hub/").unwrap().1;
    assert!(!alice.get(&site, "/hub/share/alice").await.text.contains("accept-share"), "it is shown once");
    let accepted = bob.post(&site, &format!("/hub/{path}"), &[]).await;
    assert_eq!((accepted.status, accepted.header("location")), (302, "/user/alice/"), "{accepted:?}");
    let page = alice.get(&site, "/hub/share/alice").await.text;
    assert!(page.contains(">bob<") && page.contains("once"), "{page}");
    assert_eq!(by(&mut alice, &[("action", "revoke"), ("kind", "user"), ("name", "bob")]).await.status, 303);
    assert!(app.store.shares_with(bob_id, app.now()).await.unwrap().is_empty());
    assert_eq!(by(&mut alice, &[("action", "end")]).await.status, 303);
    assert_eq!(bob.post(&site, &format!("/hub/{path}"), &[]).await.status, 400, "the link is gone");
}

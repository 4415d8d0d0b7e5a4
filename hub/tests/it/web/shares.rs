//! Sharing over REST: what may be given, by whom, and what it does. After JupyterHub's own `test_shares.py`.

use std::time::Duration;

use hub_store::{ShareQuery, ShareWith, Shares};
use serde_json::{Value, json};

use super::house::{House, Site, by_token};

/// The scopes of a text, with `SERVER` and `USER` for alice's default server and herself.
fn scopes(text: &str) -> Vec<String> {
    text.split(',').map(|scope| scope.replace("SERVER", "alice/").replace("USER", "alice")).collect()
}

/// Alice with her default server and a named one; bob is in the group physics.
async fn sharing_house() -> House {
    let house = House::new().await;
    let (app, alice) = (house.app(), house.user("alice").await);
    for name in ["", "gpu"] {
        app.store.create_server(alice.id, name, None, None, app.now()).await.unwrap().unwrap();
    }
    let group = app.store.create_group("physics", &json!({})).await.unwrap();
    app.store.add_members(group.id, &[house.user("bob").await.id]).await.unwrap();
    house
}

/// What somebody may do now, as `GET /user` tells it.
async fn rights(site: &Site, token: &str) -> Vec<String> {
    let model = by_token(site, token, "GET", "/hub/api/user", None).await.json();
    model["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap().to_owned()).collect()
}

async fn share(site: &Site, token: &str, method: &str, server: &str, body: Value) -> (u16, Value) {
    let path = format!("/hub/api/shares/alice/{server}");
    let answer = by_token(site, token, method, &path, Some(&body)).await;
    (answer.status, answer.json())
}

#[actix_web::test]
async fn only_what_is_held_is_shared_and_only_on_this_server() {
    let table = [
        // Held; asked for; with whom; the answer.
        ("shares,read:users:name", "", json!({"user": "bob"}), 200),
        ("shares", "", json!({"user": "bob"}), 403),
        ("shares", "", json!({"group": "physics"}), 403),
        ("shares,read:groups:name!group=physics", "", json!({"group": "physics"}), 200),
        ("shares,read:users:name!group=physics", "", json!({"user": "bob"}), 200),
        ("shares,read:users:name!user=carol", "", json!({"user": "bob"}), 403),
        ("shares,read:users:name!user=carol", "", json!({"user": "nobody-at-all"}), 403),
        (
            "shares!server=SERVER,servers!server=SERVER,read:users:name!user=bob",
            "read:servers!server=SERVER,access:servers!server=SERVER",
            json!({"user": "bob"}),
            200,
        ),
        ("shares,read:users:name", "access:servers", json!({"user": "bob"}), 200),
        ("shares,read:users:name", "access:servers!user=alice", json!({"user": "bob"}), 400),
        ("shares,read:users:name", "read:servers!server=other/", json!({"user": "bob"}), 400),
        ("shares,read:users:name", "access:servers!server", json!({"user": "bob"}), 400),
        ("shares,read:users:name", "access:nonsense", json!({"user": "bob"}), 400),
        ("shares,access:servers,read:users:name", "admin:servers!server=SERVER", json!({"user": "bob"}), 403),
        ("shares,read:users:name", "inherit", json!({"user": "bob"}), 403),
        ("shares,read:users:name", "self", json!({"user": "bob"}), 403),
        ("shares,read:users:name", "", json!({}), 400),
        ("shares,read:users:name", "", json!({"user": ""}), 400),
        ("shares,read:users:name", "", json!({"user": 7}), 400),
        ("shares,read:users:name", "", json!({"user": "bob", "expires_in": 60}), 400),
        ("shares,read:users:name", "", json!({"user": "nobody-at-all"}), 400),
        ("shares,read:users:name", "", json!({"user": "no\u{0}body"}), 400),
        ("shares,read:groups:name", "", json!({"group": "nobody-at-all"}), 400),
        ("shares,read:users:name,read:groups:name", "", json!({"user": "bob", "group": "physics"}), 400),
    ];
    let house = sharing_house().await;
    let site = house.site().await;
    for (held, asked, mut body, status) in table {
        let token = house.token("root", &scopes(held)).await;
        if !asked.is_empty() {
            body["scopes"] = json!(scopes(asked));
        }
        let (got, model) = share(&site, &token, "POST", "", body.clone()).await;
        assert_eq!(got, status, "{held} gives {body}: {model}");
        let query = ShareQuery { of: Shares::OfOwner(house.user("alice").await.id), offset: 0, limit: None };
        let there = house.app().store.list_shares(&query, house.app().now()).await.unwrap();
        assert_eq!(there.total, i64::from(status == 200), "{held} gives {body}");
        if status == 200 {
            let mut expected = scopes(if asked.contains("read:") { asked } else { "access:servers!server=SERVER" });
            expected.sort();
            assert_eq!(model["scopes"], json!(expected));
            house.app().store.delete_shares_of(there.items[0].server.id).await.unwrap();
        }
    }
    let root = house.token("root", &scopes("inherit")).await;
    for path in ["/shares/alice/none", "/shares/nobody/", "/share-codes/alice/none", "/share-codes/nobody/"] {
        let body = if path.starts_with("/shares") { json!({"user": "bob"}) } else { json!({}) };
        let answer = by_token(&site, &root, "POST", &format!("/hub/api{path}"), Some(&body)).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(by_token(&site, &root, "GET", &format!("/hub/api{path}"), None).await.status, 404, "{path}");
    }
}

#[actix_web::test]
async fn a_share_has_jupyterhubs_model_and_grows() {
    let house = sharing_house().await;
    let site = house.site().await;
    let root = house.token("root", &scopes("inherit")).await;
    let (_, first) = share(&site, &root, "POST", "gpu", json!({"user": "bob"})).await;
    let server = json!({
        "user": {"name": "alice"}, "name": "gpu", "url": "/user/alice/gpu/", "full_url": null, "ready": false,
    });
    let mut expected = json!({
        "server": server, "scopes": ["access:servers!server=alice/gpu"], "user": {"name": "bob"}, "group": null,
        "kind": "user", "created_at": first["created_at"],
    });
    assert_eq!(first, expected);
    let more = json!({"user": "bob", "scopes": ["read:servers", "access:servers!server=alice/gpu"]});
    expected["scopes"] = json!(["access:servers!server=alice/gpu", "read:servers!server=alice/gpu"]);
    assert_eq!(share(&site, &root, "POST", "gpu", more).await, (200, expected.clone()));
    assert_eq!(share(&site, &root, "POST", "gpu", json!({"user": "bob"})).await, (200, expected.clone()), "no less");
    let (_, group) = share(&site, &root, "POST", "", json!({"group": "physics"})).await;
    assert_eq!(
        (&group["kind"], &group["user"], &group["group"]),
        (&json!("group"), &json!(null), &json!({"name": "physics"}))
    );

    let list = by_token(&site, &root, "GET", "/hub/api/shares/alice?limit=1", None).await.json();
    assert_eq!(list["items"], json!([expected]));
    let next = &list["_pagination"]["next"];
    assert_eq!((&list["_pagination"]["total"], &next["offset"], &next["limit"]), (&json!(2), &json!(1), &json!(1)));
    let one = by_token(&site, &root, "GET", "/hub/api/users/bob/shared/alice/gpu", None).await;
    assert_eq!((one.status, one.json()), (200, expected));
    let group_only = by_token(&site, &root, "GET", "/hub/api/users/bob/shared/alice/", None).await;
    assert_eq!(group_only.status, 404, "a share of the group is not bob's own");
}

#[actix_web::test]
async fn scopes_are_revoked_one_by_one_or_all_at_once() {
    let both = "read:servers!server=SERVER,access:servers!server=SERVER";
    let table = [
        // Held; revoked; from whom; the answer; what is left.
        ("read:shares", "", json!({"user": "bob"}), 403, both),
        ("shares", "", json!({"user": "bob"}), 200, ""),
        ("shares!user=USER", "", json!({"user": "bob"}), 200, ""),
        ("shares!server=alice/gpu", "", json!({"user": "bob"}), 404, both),
        ("shares", "read:servers!server=SERVER", json!({"user": "bob"}), 200, "access:servers!server=SERVER"),
        ("shares", "read:servers", json!({"user": "bob"}), 200, "access:servers!server=SERVER"),
        ("shares", "admin:servers!server=SERVER", json!({"user": "bob"}), 200, both),
        ("shares", "access:servers!server=alice/gpu", json!({"user": "bob"}), 200, both),
        ("shares", both, json!({"user": "bob"}), 200, ""),
        ("shares", "nonsense", json!({"user": "bob"}), 400, both),
        ("shares", "", json!({"user": "nobody-at-all"}), 200, both),
        ("shares", "", json!({"group": "nobody-at-all"}), 200, both),
        ("shares", "", json!({"group": "physics"}), 200, both),
        ("shares", "", json!({}), 400, both),
        ("shares", "", json!({"user": "bob", "group": "physics"}), 400, both),
    ];
    let house = sharing_house().await;
    let site = house.site().await;
    let root = house.token("root", &scopes("inherit")).await;
    for (held, revoked, mut body, status, left) in table {
        share(&site, &root, "POST", "", json!({"user": "bob", "scopes": scopes(both)})).await;
        let token = house.token("root", &scopes(held)).await;
        if !revoked.is_empty() {
            body["scopes"] = json!(scopes(revoked));
        }
        let (got, model) = share(&site, &token, "PATCH", "", body.clone()).await;
        assert_eq!(got, status, "{held}: {body}: {model}");
        let there = by_token(&site, &root, "GET", "/hub/api/users/bob/shared/alice/", None).await;
        let mut expected = if left.is_empty() { Vec::new() } else { scopes(left) };
        expected.sort();
        match there.status {
            404 => assert!(left.is_empty() && model == json!({}), "{body}: {model}"),
            _ => assert_eq!(there.json()["scopes"], json!(expected), "{held}: {body}"),
        }
    }
    share(&site, &root, "POST", "", json!({"group": "physics"})).await;
    share(&site, &root, "POST", "gpu", json!({"group": "physics"})).await;
    assert_eq!(by_token(&site, &root, "DELETE", "/hub/api/shares/alice/", None).await.status, 204);
    let list = by_token(&site, &root, "GET", "/hub/api/shares/alice", None).await.json();
    assert_eq!(list["_pagination"]["total"], 1, "the other server is still shared: {list}");
}

#[actix_web::test]
async fn a_share_is_a_right_of_cookies_and_tokens_until_it_is_taken_back() {
    let house = sharing_house().await;
    let (site, app) = (house.site().await, house.app());
    house.set_password("bob", false).await;
    let mut browser = super::house::Browser::logged_in(&site, "bob").await;
    let (bob, alice) = (house.user("bob").await, house.user("alice").await);
    let group = app.store.group("physics").await.unwrap().unwrap();
    let inherits = house.token("bob", &scopes("inherit")).await;
    let narrow = house.token("bob", &scopes("access:servers!server=SERVER")).await;
    let other = house.token("bob", &scopes("access:servers!server=alice/gpu,read:users!user=bob")).await;
    let server = app.store.server(alice.id, "").await.unwrap().unwrap();
    let mut holds = async |expected: bool, why: &str| {
        let scope = "access:servers!server=alice/".to_owned();
        // Twice: the second answer may come from memory.
        for _ in 0..2 {
            assert_eq!(rights(&site, &inherits).await.contains(&scope), expected, "{why}");
            assert_eq!(rights(&site, &narrow).await.contains(&scope), expected, "{why}, a token of that scope");
        }
        assert!(!rights(&site, &other).await.contains(&scope), "{why}, a token of another scope");
        let page = browser.get(&site, "/hub/user/alice/").await;
        assert_eq!(page.status, if expected { 424 } else { 404 }, "{why}, by cookie");
    };
    let grant = async |with| {
        let scopes = vec!["access:servers!server=alice/".to_owned()];
        app.store.change_share(server.id, with, app.now(), |_| scopes).await.unwrap().unwrap();
    };
    holds(false, "nothing is shared").await;
    grant(ShareWith::User(bob.id)).await;
    holds(true, "shared with bob").await;
    app.store.delete_share(server.id, ShareWith::User(bob.id)).await.unwrap();
    holds(false, "taken back").await;
    grant(ShareWith::Group(group.id)).await;
    holds(true, "shared with a group of bob's").await;
    app.store.remove_members(group.id, &[bob.id]).await.unwrap();
    holds(false, "no member any more").await;
    app.store.add_members(group.id, &[bob.id]).await.unwrap();
    holds(true, "a member again").await;
    app.store.delete_group(group.id).await.unwrap();
    holds(false, "the group is gone").await;
    grant(ShareWith::User(bob.id)).await;
    holds(true, "shared again").await;
    app.store.delete_server(server.id).await.unwrap();
    app.store.create_server(alice.id, "", None, None, app.now()).await.unwrap().unwrap();
    holds(false, "the server is another of the same name").await;
}

#[actix_web::test]
async fn a_share_ends_at_its_time_although_nothing_is_written_then() {
    let house = sharing_house().await;
    let (site, app) = (house.site().await, house.app());
    let server = app.store.server(house.user("alice").await.id, "").await.unwrap().unwrap();
    let with = ShareWith::User(house.user("bob").await.id);
    let granted = vec!["access:servers!server=alice/".to_owned()];
    app.store.change_share(server.id, with, app.now(), |_| granted).await.unwrap().unwrap();
    let token = house.token("bob", &scopes("inherit")).await;
    let end = app.now() + Duration::from_millis(700);
    let file = house.folder.path().join("data/jupyterhub.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let text = end.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    sqlx::query("UPDATE shares SET expires_at = $1").bind(text).execute(&pool).await.unwrap();
    pool.close().await;
    let mut before = 0;
    loop {
        let asked = app.now();
        let held = rights(&site, &token).await.contains(&"access:servers!server=alice/".to_owned());
        if asked >= end {
            assert!(!held, "{before} answers before the end");
            break;
        }
        assert!(held || app.now() >= end, "it ended too early");
        before += 1;
    }
    assert!(before > 3, "memory was not in use");
}

#[actix_web::test]
async fn shares_and_codes_follow_a_new_name_of_owner_and_server() {
    let house = sharing_house().await;
    let site = house.site().await;
    let root = house.token("root", &scopes("inherit")).await;
    let bob = house.token("bob", &scopes("inherit")).await;
    share(&site, &root, "POST", "gpu", json!({"user": "bob"})).await;
    by_token(&site, &root, "POST", "/hub/api/share-codes/alice/gpu", None).await;
    let mut old = "access:servers!server=alice/gpu".to_owned();
    for (path, body, owner, server) in [
        ("/users/alice", json!({"name": "alicia"}), "alicia", "gpu"),
        ("/users/alicia/servers/gpu", json!({"name": "cpu"}), "alicia", "cpu"),
    ] {
        assert!(rights(&site, &bob).await.contains(&old));
        let answer = by_token(&site, &root, "PATCH", &format!("/hub/api{path}"), Some(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let new = format!("access:servers!server={owner}/{server}");
        let held = rights(&site, &bob).await;
        assert!(held.contains(&new) && !held.contains(&old), "{held:?}");
        for kind in ["shares", "share-codes"] {
            let list = by_token(&site, &root, "GET", &format!("/hub/api/{kind}/{owner}/{server}"), None).await.json();
            assert_eq!(list["items"][0]["scopes"], json!([new]), "{kind}");
        }
        old = new;
    }
    // Somebody else of the old name shares nothing by that.
    house.app().store.create_user("alice", false, "cookie-of-another-alice", house.app().now()).await.unwrap();
    assert!(!rights(&site, &bob).await.iter().any(|scope| scope.contains("server=alice/")));
}

#[actix_web::test]
async fn what_is_shared_with_somebody_is_listed_with_that_of_the_groups_and_can_be_left() {
    let house = sharing_house().await;
    let site = house.site().await;
    let root = house.token("root", &scopes("inherit")).await;
    let bob = house.token("bob", &scopes("inherit")).await;
    share(&site, &root, "POST", "", json!({"user": "bob"})).await;
    share(&site, &root, "POST", "", json!({"group": "physics"})).await;
    share(&site, &root, "POST", "gpu", json!({"group": "physics"})).await;
    let listed = async |path: &str| {
        let list = by_token(&site, &root, "GET", path, None).await.json();
        let items = list["items"].as_array().unwrap().clone();
        assert_eq!(list["_pagination"]["total"], items.len());
        items.iter().map(|share| share["server"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("/hub/api/users/bob/shared").await, ["", "", "gpu"], "both ways are told");
    assert_eq!(listed("/hub/api/groups/physics/shared").await, ["", "gpu"]);
    assert_eq!(listed("/hub/api/users/alice/shared").await, [""; 0]);
    for path in ["/users/none/shared", "/groups/none/shared", "/users/none/shared/alice/", "/users/bob/shared/none/"] {
        assert_eq!(by_token(&site, &root, "GET", &format!("/hub/api{path}"), None).await.status, 404, "{path}");
    }
    // Of its own accord: the default role has the right to leave, and not the right to share.
    let leave = "/hub/api/users/bob/shared/alice/";
    assert_eq!(by_token(&site, &bob, "DELETE", leave, None).await.status, 204);
    assert_eq!(by_token(&site, &bob, "DELETE", leave, None).await.status, 404);
    assert_eq!(listed("/hub/api/users/bob/shared").await, ["", "gpu"]);
    assert_eq!(by_token(&site, &root, "DELETE", "/hub/api/groups/physics/shared/alice/", None).await.status, 204);
    assert_eq!(listed("/hub/api/users/bob/shared").await, ["gpu"]);
    let own = by_token(&site, &bob, "POST", "/hub/api/share-codes/bob/", None).await;
    assert_eq!(own.status, 403, "nobody may share until somebody lets them");
}

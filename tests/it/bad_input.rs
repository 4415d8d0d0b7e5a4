//! Bad input on every route of the API that reads a body or takes a name: it is refused with a reason, nothing changes,
//! and both databases answer alike.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::postgres::{Postgres, programs};
use tests::specola::Options;
use tests::{Body, Session, Specola, need};

/// The routes that read a body, each with one that is right but for what a case makes of it. `true` where JupyterHub
/// takes any object for options.
const ROUTES: &[(&str, &str, bool)] = &[
    ("POST", "/users", false),
    ("POST", "/users/fresh", false),
    ("PATCH", "/users/alice", false),
    ("POST", "/users/alice/activity", true),
    ("POST", "/users/alice/tokens", false),
    ("POST", "/users/alice/server", true),
    ("POST", "/users/alice/servers/", true),
    ("POST", "/users/alice/servers/fresh", true),
    ("PUT", "/users/alice/servers/fresh", false),
    ("PATCH", "/users/alice/servers/one", false),
    ("DELETE", "/users/alice/servers/one", false),
    ("POST", "/groups", false),
    ("POST", "/groups/fresh", false),
    ("POST", "/groups/staff/users", false),
    ("DELETE", "/groups/staff/users", false),
    ("PUT", "/groups/staff/properties", true),
    ("POST", "/shares/alice/one", false),
    ("PATCH", "/shares/alice/one", false),
    ("POST", "/share-codes/alice/one", false),
    ("POST", "/services/fresh", false),
    ("PATCH", "/proxy", false),
    ("POST", "/shutdown", false),
];

/// Bodies that no route takes.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("half an object", b"{".to_vec()),
        ("a comma too many", b"{\"a\": 1,}".to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("no UTF-8", b"{\"a\": \"\xff\xfe\"}".to_vec()),
        ("half a surrogate", b"{\"a\": \"\\ud800\"}".to_vec()),
        ("a list", b"[{}]".to_vec()),
        ("a text", b"\"text\"".to_vec()),
        ("a number", b"12".to_vec()),
        ("yes", b"true".to_vec()),
        ("not a number", b"{\"a\": NaN}".to_vec()),
        ("a number without end", format!("{{\"a\": 1{}}}", "0".repeat(400)).into_bytes()),
        ("a huge exponent", b"{\"a\": 1e999999}".to_vec()),
        ("a deep list", "[".repeat(100_000).into_bytes()),
        ("a deep object", format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into_bytes()),
    ]
}

/// What has the wrong type, is too large, or holds what no database should.
fn wrong() -> Vec<(&'static str, &'static str, Value)> {
    let long = "x".repeat(100_000);
    let mut all = vec![
        ("POST", "/users/alice/tokens", json!({"expires_in": 1e300})),
        ("POST", "/users/alice/tokens", json!({"expires_in": u64::MAX})),
        ("POST", "/users/alice/tokens", json!({"expires_in": "soon"})),
        ("POST", "/users/alice/tokens", json!({"scopes": [long]})),
        ("POST", "/users/alice/tokens", json!({"scopes": ["read:users!user=a\u{0}b"]})),
        ("POST", "/users/alice/tokens", json!({"scopes": "self"})),
        ("POST", "/users/alice/tokens", json!({"roles": ["no\u{0}role"]})),
        ("POST", "/users/alice/tokens", json!({"note": "a\u{0}b"})),
        ("POST", "/users/alice/tokens", json!({"note": ["a"]})),
        ("POST", "/users/alice/activity", json!({"last_activity": long})),
        ("POST", "/users/alice/activity", json!({"last_activity": {}})),
        ("POST", "/users/alice/activity", json!({"servers": ["one"]})),
        ("POST", "/users/alice/activity", json!({"servers": {"a\u{0}b": {"last_activity": "2026-01-01T00:00:00Z"}}})),
        ("POST", "/users/alice/activity", json!({"servers": {"one": 1}})),
        ("PATCH", "/users/alice", json!({"admin": "yes"})),
        ("POST", "/users", json!({"usernames": ["fine"], "admin": 1})),
        ("POST", "/users", json!({"usernames": {}})),
        ("POST", "/groups", json!({"groups": "abc"})),
        ("POST", "/groups", json!({"groups": ["fresh"], "users": ["no\u{0}body"]})),
        ("POST", "/groups/fresh", json!({"users": [1]})),
        ("POST", "/groups/staff/users", json!({"users": ["nobody\u{0}"]})),
        ("DELETE", "/groups/staff/users", json!({"users": ["nobody-there"]})),
        ("PUT", "/groups/staff/properties", json!([1])),
        ("POST", "/users/alice/server", json!({"user_options": 1})),
        ("POST", "/users/alice/servers/fresh", json!({"display_name": {}})),
        ("PATCH", "/users/alice/servers/one", json!({"name": 1})),
        ("DELETE", "/users/alice/servers/one", json!({"remove": "yes"})),
        ("POST", "/shares/alice/one", json!({"user": 1})),
        ("POST", "/shares/alice/one", json!({"user": "bob", "scopes": "access:servers"})),
        ("POST", "/shares/alice/one", json!({"user": "bob", "scopes": ["a\u{0}b"]})),
        ("POST", "/shares/alice/one", json!({"user": "b\u{0}b"})),
        ("POST", "/share-codes/alice/one", json!({"expires_in": 1e300})),
        ("POST", "/services/fresh", json!({"url": 1})),
        ("POST", "/services/fresh", json!({"url": "http://a\u{0}b"})),
        ("POST", "/services/fresh", json!({"oauth_redirect_uri": "/a\u{0}b", "url": "http://127.0.0.1:1"})),
        ("POST", "/shutdown", json!({"servers": "yes"})),
    ];
    for name in ["", " ", "..", "a/b", "a\u{0}b", "a\u{7}b", "a\nb", " edge", &long] {
        all.push(("POST", "/users", json!({"usernames": ["fine", name]})));
        all.push(("PATCH", "/users/alice", json!({"name": name})));
        if !name.is_empty() && !["..", " ", " edge", "a/b"].contains(&name) {
            all.push(("POST", "/groups", json!({"groups": ["fine", name]})));
            all.push(("PUT", "/users/alice/servers/fresh", json!({"display_name": name})));
        }
        if !name.is_empty() {
            all.push(("PATCH", "/users/alice/servers/one", json!({"name": name})));
        }
    }
    all
}

/// Names in paths.
const NAMES: &[&str] = &["%00", "a%00b", "%07", "a%0Ab", "%FF%FE", "..%2F..", "%20x"];

/// All that bad input could change.
async fn world(admin: &mut Session) -> Result<BTreeMap<&'static str, Value>> {
    let mut world = BTreeMap::new();
    for path in [
        "/users?include_stopped_servers=1&sort=id",
        "/groups",
        "/services",
        "/users/alice/tokens",
        "/shares/alice",
        "/share-codes/alice",
    ] {
        let mut found = admin.api(Method::GET, path, Body::Empty).await?.expect(&[200])?.json()?;
        forget_activity(&mut found);
        world.insert(path, found);
    }
    Ok(world)
}

fn forget_activity(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("last_activity");
            map.values_mut().for_each(forget_activity);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_activity),
        _ => {}
    }
}

struct Asked {
    admin: Session,
    odd: Vec<String>,
}

impl Asked {
    async fn refused(&mut self, title: &str, method: &str, path: &str, body: Body, wanted: &[u16]) -> Result<()> {
        let answer = self.admin.api(method.parse()?, path, body).await.with_context(|| format!("{title}: {method}"))?;
        let reason = answer.json().ok().is_some_and(|body| body["message"].is_string()) || answer.status == 404;
        if !wanted.contains(&answer.status.as_u16()) || !reason {
            let (path, text) = (path.get(..60).unwrap_or(path), answer.text());
            self.odd.push(format!("{title}: {method} {path}: {} {}", answer.status, text.get(..200).unwrap_or(&text)));
        }
        Ok(())
    }
}

async fn everything_bad(specola: &Specola) -> Result<()> {
    let token = specola.logged_in("admin").await?.new_token("admin").await?;
    let mut admin = specola.session()?.with_token(&token);
    admin.api(Method::POST, "/users", Body::Json(json!({"usernames": ["alice", "bob"]}))).await?.expect(&[201])?;
    admin.api(Method::POST, "/groups/staff", Body::Json(json!({"users": ["bob"]}))).await?.expect(&[201])?;
    admin.api(Method::PUT, "/users/alice/servers/one", Body::Empty).await?.expect(&[201])?;
    let before = world(&mut admin).await?;
    let mut asked = Asked { admin, odd: Vec::new() };
    for (method, path, any_object) in ROUTES {
        for (title, bytes) in broken() {
            asked.refused(title, method, path, Body::Bytes(bytes), &[400]).await?;
        }
        let large = format!("{{\"a\": \"{}\"}}", "x".repeat(2 << 20)).into_bytes();
        asked.refused("two megabytes", method, path, Body::Bytes(large), &[413]).await?;
        if !any_object {
            let body = Body::Json(json!({"no-such-field": 1}));
            asked.refused("an unknown field", method, path, body, &[400]).await?;
        }
    }
    for (method, path, body) in wrong() {
        let title = body.to_string().chars().take(60).collect::<String>();
        asked.refused(&title, method, path, Body::Json(body), &[400]).await?;
    }
    let long = "x".repeat(20_000);
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        for (method, path) in [
            ("POST", format!("/users/{name}")),
            ("GET", format!("/users/{name}")),
            ("POST", format!("/users/alice/servers/{name}")),
            ("PUT", format!("/users/alice/servers/{name}")),
            ("GET", format!("/users/alice/tokens/{name}")),
            ("GET", format!("/groups/{name}")),
            ("POST", format!("/services/{name}")),
        ] {
            asked.refused("a name in the path", method, &path, Body::Empty, &[400, 404]).await?;
        }
    }
    asked.refused("a group", "POST", "/groups/a%07b", Body::Empty, &[400]).await?;
    for query in ["limit=x", "sort=%00", "state=%00", "offset=1e9"] {
        asked.refused("a query", "GET", &format!("/users?{query}"), Body::Empty, &[400]).await?;
    }
    let found = asked.admin.api(Method::GET, "/users?name_filter=%00", Body::Empty).await?;
    ensure!([200, 400].contains(&found.status.as_u16()), "{found:?}");
    ensure!(asked.odd.is_empty(), "{} answers:\n{}", asked.odd.len(), asked.odd.join("\n"));
    assert_eq!(before, world(&mut asked.admin).await?, "nothing has changed");
    of_many_at_once_one_creates(&asked.admin).await
}

/// Duplicates in parallel: one is made, and the others hear of it.
async fn of_many_at_once_one_creates(admin: &Session) -> Result<()> {
    for (method, path, body) in [
        ("POST", "/users/j%C3%B6rg", None),
        ("POST", "/users", Some(json!({"usernames": ["twin"]}))),
        ("POST", "/groups/%E7%89%A9%E7%90%86", None),
        ("POST", "/groups", Some(json!({"groups": ["left", "right"], "users": ["bob"]}))),
        ("PUT", "/users/alice/servers/twin", None),
        ("POST", "/services/twin", Some(json!({"url": "http://127.0.0.1:1"}))),
    ] {
        let all = (0..8).map(|_| {
            let (mut admin, body) = (admin.clone(), body.clone().map_or(Body::Empty, Body::Json));
            async move { admin.api(method.parse()?, path, body).await }
        });
        let mut statuses = Vec::new();
        for answer in futures_util::future::join_all(all).await {
            statuses.push(answer?.status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [&[201][..], &[409; 7][..]].concat(), "{method} {path}");
    }
    Ok(())
}

fn options() -> Result<Options> {
    Options::default().set("hub", "allow_named_servers", "true").small_lab("quick.py")
}

#[tokio::test]
async fn bad_input_is_refused_with_a_reason_and_changes_nothing() -> Result<()> {
    let specola = Specola::start(options()?).await?;
    everything_bad(&specola).await.with_context(|| specola.log())
}

#[tokio::test]
async fn bad_input_is_refused_by_a_hub_on_postgresql_as_well() -> Result<()> {
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let postgres = Postgres::start(&programs)?;
    let specola = Specola::start(options()?.set("hub", "db_url", &format!("{:?}", postgres.url()))).await?;
    everything_bad(&specola).await.with_context(|| specola.log())
}

/// A user goes with a named server that runs; JupyterHub answers 500.
#[tokio::test]
async fn a_user_is_deleted_with_a_named_server_that_runs() -> Result<()> {
    let specola = Specola::start(options()?).await?;
    let token = specola.logged_in("admin").await?.new_token("admin").await?;
    let mut admin = specola.session()?.with_token(&token);
    admin.api(Method::POST, "/users/alice", Body::Empty).await?.expect(&[201])?;
    admin.api(Method::POST, "/users/alice/servers/one", Body::Empty).await?.expect(&[201])?;
    ensure!(!specola.labs().is_empty());
    admin.api(Method::DELETE, "/users/alice", Body::Empty).await?.expect(&[204])?;
    admin.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[404])?;
    ensure!(specola.labs().is_empty(), "{:?}", specola.log());
    Ok(())
}

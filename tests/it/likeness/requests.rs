//! What is asked of both hubs.

use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;

/// Who asks, the method, the path below `/hub/api`, and the body, if any.
pub type Request = (&'static str, &'static str, &'static str, Option<Value>);

/// Who asks for which page; `person` is alice with her browser's cookies. None of them starts a server.
pub fn pages() -> Vec<(&'static str, &'static str)> {
    let nobody = [
        "/",
        "/hub",
        "/hub/",
        "/hub/login",
        "/hub/home",
        "/hub/token",
        "/hub/admin",
        "/hub/spawn",
        "/hub/spawn/alice",
        "/hub/spawn-pending/alice",
        "/hub/nowhere",
        "/hub/health",
        "/hub/user/alice/",
        "/hub/user/alice/lab?a=b",
        "/hub/user/alice/api/kernels",
        "/hub/user-redirect/lab/tree/x?a=b",
        "/hub/api/oauth2/authorize",
        "/hub/api/oauth2/authorize?client_id=nobody&redirect_uri=%2F&response_type=code",
        "/hub/api/oauth2/authorize?client_id=service-grades&redirect_uri=%2Fservices%2Fgrades%2Foauth_callback&response_type=code",
        "/hub/accept-share?code=nonsense",
        "/hub/logout",
        "/elsewhere?a=b",
        "/user/alice",
        "/user/alice/",
        "/user/alice/lab?a=b",
        "/user/alice/api/kernels",
        "/services/none",
        "/services/none/",
    ];
    let person = [
        "/",
        "/hub/",
        "/hub/login",
        "/hub/login?next=%2Fhub%2Ftoken",
        "/hub/home",
        "/hub/token",
        "/hub/admin",
        "/hub/spawn/bob",
        "/hub/spawn/no-such-person",
        "/hub/spawn-pending/alice",
        "/hub/spawn-pending/bob",
        "/hub/nowhere",
        "/hub/user/alice",
        "/hub/user/alice/",
        "/hub/user/alice/lab?a=b",
        "/hub/user/alice/api/kernels",
        "/hub/user/bob/",
        "/hub/user/bob/api/kernels",
        "/hub/user/no-such-person/",
        "/hub/user-redirect/lab/tree/x?a=b",
        "/hub/api/oauth2/authorize",
        "/hub/api/oauth2/authorize?client_id=nobody&redirect_uri=%2F&response_type=code",
        "/hub/api/oauth2/authorize?client_id=service-grades&redirect_uri=%2Fservices%2Fgrades%2Foauth_callback&response_type=code",
        "/hub/accept-share",
        "/hub/accept-share?code=nonsense",
        "/hub/error/503",
        "/hub/error/404",
        "/user/alice",
        "/user/alice/lab?a=b",
        "/user/bob/lab",
    ];
    let nobody = nobody.map(|path| ("nobody", path));
    nobody.into_iter().chain(person.map(|path| ("person", path))).collect()
}

/// Requests, by a part of their title, that are answered otherwise, and why. One that is not is an error too.
pub const OTHERWISE: &[(&str, &str)] = &[
    (
        r#"PATCH /users/franz {"auth_state":{"a":1}}"#,
        "a hub without a key for it says so, and that is no fault of the hub",
    ),
    (
        "PATCH /users/alice/servers/second {\"display_name\"",
        "options that were never set are an empty object, not null",
    ),
    (
        r#"PATCH /shares/alice/ {"scopes":["access:servers"]"#,
        "a scope that is revoked without its filter means this server, as when it is granted; JupyterHub keeps it",
    ),
    (
        r#"POST /shares/alice/ {"scopes":["custom:nonsense"]"#,
        "what does not exist is a bad request, not a fault of the hub",
    ),
    (r#"POST /shares/alice/ {"user":""}"#, "an empty name is a bad request, not a fault of the hub"),
    (
        r#"POST /services/refused {"oauth_client_allowed_scopes":["nonsense"]"#,
        "what does not exist is a bad request, not a fault of the hub",
    ),
    (": /hub/logout", "a page of its own says that the log-out is done"),
];

/// All requests to the API, in an order in which each finds what it needs.
pub fn requests() -> Vec<Request> {
    let parts = [reading(), people(), groups(), tokens(), servers(), proxy()];
    let others = [super::sharing::requests(), super::services::requests(), super::corners::requests()];
    [parts.concat(), others.concat()].concat()
}

fn proxy() -> Vec<Request> {
    vec![
        ("admin", "POST", "/proxy", None),
        ("alice", "POST", "/proxy", None),
        ("alice", "PATCH", "/proxy", Some(json!({}))),
        ("admin", "PATCH", "/proxy", None),
        ("admin", "PATCH", "/proxy", Some(json!([1]))),
        ("admin", "PATCH", "/proxy", Some(json!({}))),
        ("admin", "GET", "/proxy?limit=nonsense", None),
        ("nobody", "GET", "/proxy", None),
        ("pages", "GET", "/proxy?limit=1&offset=7", None),
    ]
}

fn reading() -> Vec<Request> {
    let get = |who, path| (who, "GET", path, None);
    vec![
        get("nobody", ""),
        get("nobody", "/"),
        get("nobody", "/user"),
        get("nobody", "/users"),
        get("nobody", "/nowhere"),
        get("alice", "/user"),
        get("alice", "/users"),
        get("alice", "/users/alice"),
        get("alice", "/users/bob"),
        get("alice", "/users/no-such-person"),
        get("alice", "/info"),
        get("alice", "/groups"),
        get("alice", "/services"),
        get("alice", "/proxy"),
        get("admin", "/users/no-such-person"),
        get("admin", "/users?sort=name"),
        get("admin", "/users?sort=-name&limit=1"),
        get("admin", "/users?sort=name&offset=1&limit=1"),
        get("admin", "/users?limit=0"),
        get("admin", "/users?limit=nonsense"),
        get("admin", "/users?offset=nonsense"),
        get("admin", "/users?sort=nonsense"),
        get("admin", "/users?state=nonsense"),
        get("admin", "/users?state=active"),
        get("admin", "/users?state=inactive&sort=name"),
        get("admin", "/users?name_filter=LI"),
        get("admin", "/users/"),
        get("pages", "/users?sort=name"),
        get("pages", "/users?sort=name&limit=2"),
        get("pages", "/users?sort=name&limit=2&offset=2"),
        get("pages", "/groups"),
        get("admin", "/services"),
        ("nobody", "OPTIONS", "/users", None),
        ("admin", "DELETE", "/users", None),
        ("admin", "HEAD", "/users", None),
        ("admin", "PUT", "/user", None),
        ("nobody", "GET", "/health", None),
        ("nobody", "GET", "/metrics", None),
    ]
}

fn people() -> Vec<Request> {
    vec![
        ("alice", "POST", "/users/carol", None),
        ("admin", "POST", "/users/carol", None),
        ("admin", "POST", "/users/carol", None),
        ("admin", "POST", "/users/dan", Some(json!({"admin": true}))),
        ("admin", "POST", "/users/not%20a%2Fname", None),
        ("admin", "POST", "/users", Some(json!({"usernames": ["Erin", "frank"]}))),
        ("admin", "POST", "/users", Some(json!({"usernames": ["erin", "frank"]}))),
        ("admin", "POST", "/users", Some(json!({"usernames": ["erin", "grace"]}))),
        ("admin", "POST", "/users", Some(json!({"usernames": []}))),
        ("admin", "POST", "/users", Some(json!({"nonsense": 1}))),
        ("admin", "POST", "/users", None),
        ("admin", "PATCH", "/users/frank", Some(json!({"admin": true}))),
        ("admin", "PATCH", "/users/frank", Some(json!({"name": "franz", "admin": false}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"name": "carol"}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"name": "not/a name"}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"nonsense": 1}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"auth_state": "a text"}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"auth_state": null}))),
        ("admin", "PATCH", "/users/franz", Some(json!({"auth_state": {"a": 1}}))),
        ("alice", "PATCH", "/users/alice", Some(json!({"auth_state": {"a": 1}}))),
        ("admin", "PATCH", "/users/franz", None),
        ("admin", "PATCH", "/users/no-such-person", Some(json!({"admin": true}))),
        ("alice", "PATCH", "/users/alice", Some(json!({"admin": true}))),
        ("admin", "GET", "/users/frank", None),
        ("admin", "GET", "/users/franz", None),
        ("admin", "DELETE", "/users/franz", None),
        ("admin", "DELETE", "/users/franz", None),
        ("admin", "DELETE", "/users/admin", None),
        ("alice", "DELETE", "/users/bob", None),
        ("alice", "POST", "/users/alice/activity", Some(json!({}))),
        ("alice", "POST", "/users/alice/activity", None),
        ("alice", "POST", "/users/alice/activity", Some(json!({"last_activity": "nonsense"}))),
        ("alice", "POST", "/users/alice/activity", Some(json!({"last_activity": "2999-01-01T00:00:00Z"}))),
        ("alice", "POST", "/users/alice/activity", Some(json!({"last_activity": "2020-01-01T00:00:00Z"}))),
        ("alice", "POST", "/users/bob/activity", Some(json!({"last_activity": "2020-01-01T00:00:00Z"}))),
    ]
}

fn groups() -> Vec<Request> {
    vec![
        ("alice", "POST", "/groups/staff", None),
        ("admin", "POST", "/groups/staff", Some(json!({"users": ["alice"], "properties": {"gpu": 1}}))),
        ("admin", "POST", "/groups/staff", None),
        // One by one: in which order JupyterHub makes several of one request is left to chance.
        ("admin", "POST", "/groups", Some(json!({"groups": ["red"]}))),
        ("admin", "POST", "/groups", Some(json!({"groups": ["blue"]}))),
        ("admin", "POST", "/groups", Some(json!({"groups": ["red", "blue"]}))),
        ("admin", "POST", "/groups", Some(json!({}))),
        ("admin", "GET", "/groups", None),
        ("pages", "GET", "/groups?limit=2", None),
        ("admin", "GET", "/groups/staff", None),
        ("alice", "GET", "/groups/staff", None),
        ("admin", "GET", "/groups/no-such-group", None),
        ("admin", "POST", "/groups/staff/users", Some(json!({"users": ["bob"]}))),
        ("admin", "POST", "/groups/staff/users", Some(json!({"users": ["no-such-person"]}))),
        ("admin", "POST", "/groups/staff/users", Some(json!({}))),
        ("admin", "GET", "/users/bob", None),
        ("admin", "DELETE", "/groups/staff/users", Some(json!({"users": ["bob"]}))),
        ("admin", "PUT", "/groups/staff/properties", Some(json!({"gpu": 2, "note": {"a": [1]}}))),
        ("admin", "PUT", "/groups/staff/properties", Some(json!([1]))),
        ("admin", "GET", "/groups/staff", None),
        ("alice", "DELETE", "/groups/staff", None),
        ("admin", "DELETE", "/groups/red", None),
        ("admin", "DELETE", "/groups/red", None),
    ]
}

fn tokens() -> Vec<Request> {
    vec![
        ("alice", "GET", "/users/bob/tokens", None),
        ("alice", "POST", "/users/bob/tokens", Some(json!({}))),
        ("admin", "POST", "/users/bob/tokens", Some(json!({"note": "for bob"}))),
        ("admin", "GET", "/users/bob/tokens", None),
        ("alice", "POST", "/users/alice/tokens", None),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"scopes": ["self"], "expires_in": 60}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"scopes": ["read:users!user"], "note": "narrow"}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"scopes": ["admin:users"]}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"scopes": ["nonsense"]}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"roles": ["user"]}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"roles": ["user"], "scopes": ["self"]}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"expires_in": 0}))),
        ("alice", "POST", "/users/alice/tokens", Some(json!({"expires_in": "soon"}))),
        ("alice", "GET", "/users/alice/tokens/a999", None),
        ("alice", "DELETE", "/users/alice/tokens/a999", None),
        ("alice", "DELETE", "/users/alice/tokens/nonsense", None),
        ("nobody", "POST", "/users/alice/tokens", None),
        ("nobody", "POST", "/users/alice/tokens", Some(json!({"auth": {"username": "alice", "password": "wrong"}}))),
        ("nobody", "POST", "/users/alice/tokens", Some(json!({"auth": {"username": "alice", "password": PASSWORD}}))),
        ("narrow", "GET", "/user", None),
        ("narrow", "GET", "/users/alice", None),
        ("narrow", "POST", "/users/alice/server", None),
        ("narrow", "GET", "/users/alice/tokens", None),
    ]
}

fn servers() -> Vec<Request> {
    vec![
        ("alice", "DELETE", "/users/alice/server", None),
        ("alice", "GET", "/users/alice/servers/", None),
        ("alice", "GET", "/users/alice/servers/nowhere", None),
        ("alice", "GET", "/users/alice/server/progress", None),
        ("alice", "POST", "/users/bob/server", None),
        ("alice", "POST", "/users/alice/server", Some(json!({"size": "small"}))),
        ("alice", "POST", "/users/alice/server", None),
        ("alice", "GET", "/users/alice/servers/", None),
        ("alice", "GET", "/users/alice", None),
        ("admin", "GET", "/users/alice", None),
        ("admin", "GET", "/users?state=active", None),
        ("admin", "GET", "/users?state=ready", None),
        ("pages", "GET", "/users?state=active", None),
        ("admin", "GET", "/users/alice?include_stopped_servers=1", None),
        ("alice", "GET", "/users/alice/server/progress", None),
        ("alice", "POST", "/users/alice/servers/Not%20A%20Slug", None),
        ("alice", "PUT", "/users/alice/servers/second", Some(json!({"display_name": "The second"}))),
        ("alice", "PUT", "/users/alice/servers/second", None),
        ("alice", "GET", "/users/alice/servers/second", None),
        ("alice", "PATCH", "/users/alice/servers/second", Some(json!({"display_name": "A better name"}))),
        ("alice", "PATCH", "/users/alice/servers/second", Some(json!({"name": "third", "user_options": {"a": 1}}))),
        ("alice", "PATCH", "/users/alice/servers/third", None),
        ("alice", "GET", "/users/alice/servers/second", None),
        ("alice", "POST", "/users/alice/servers/third", None),
        ("alice", "GET", "/users/alice/servers/third", None),
        ("alice", "DELETE", "/users/alice/servers/third", None),
        ("alice", "GET", "/users/alice?include_stopped_servers=1", None),
        ("alice", "DELETE", "/users/alice/servers/third", Some(json!({"remove": true}))),
        ("alice", "DELETE", "/users/alice/servers/third", Some(json!({"remove": true}))),
        ("alice", "DELETE", "/users/alice/server", Some(json!({"remove": true}))),
        ("admin", "DELETE", "/users/alice/server", None),
        ("alice", "GET", "/users/alice", None),
        ("alice", "GET", "/users/alice?include_stopped_servers=1", None),
    ]
}

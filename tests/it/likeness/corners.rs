//! The seldom used parts of the API, malformed requests, and what scripts get wrong.

use serde_json::{Value, json};

use super::requests::Request;

pub fn requests() -> Vec<Request> {
    // What JupyterHub makes of the bodies stays in its lists, so they come last.
    [old(), methods(), names(), bodies()].concat()
}

/// As in `requests`: what is answered otherwise, and why.
pub const OTHERWISE: &[(&str, &str)] = &[
    ("described: post-oauth-token", "it tells besides what is wrong"),
    (r#"PATCH /users/spare {"name":"spare"}"#, "the same name is no change; JupyterHub takes the name away"),
    (r#"PATCH /users/spare {"groups":["staff"]}"#, "what cannot be changed is a bad request, not a fault of the hub"),
    (r#"POST /users {"usernames":"carol"}"#, "a text is not a list of its letters"),
    (r#"POST /groups {"groups":"red"}"#, "a text is not a list of its letters"),
    (r#"POST /users {"usernames":[1]}"#, "what is no name is a bad request, not a fault of the hub"),
    (r#"POST /users/bob/tokens {"expires_in":true}"#, "yes is no number of seconds"),
    ("GET /users/alice/servers//progress", "everybody has a default server, made or not, and this one does not start"),
    ("GET /users?name_filter=%25", "the filter is a part of the name, not a pattern"),
    ("GET /users?name_filter=_", "the filter is a part of the name, not a pattern"),
    ("POST /authorizations/token/nonsense", "what is gone is not found, not a fault of the hub"),
    ("GET /authorizations/token ", "another method is not a fault of the hub"),
];

fn old() -> Vec<Request> {
    vec![
        ("admin", "POST", "/users/bob/admin-access", None),
        ("alice", "POST", "/users/alice/admin-access", None),
        ("alice", "POST", "/users/bob/admin-access", None),
        ("nobody", "POST", "/users/bob/admin-access", None),
        ("admin", "GET", "/authorizations/token/nonsense", None),
        ("nobody", "GET", "/authorizations/token/nonsense", None),
        ("admin", "POST", "/authorizations/token", None),
        ("nobody", "POST", "/authorizations/token", None),
        ("admin", "POST", "/authorizations/token/nonsense", None),
        ("admin", "GET", "/authorizations/token", None),
        ("admin", "GET", "/authorizations/cookie/jupyterhub-hub-login/nonsense", None),
        ("admin", "GET", "/authorizations/cookie/jupyterhub-hub-login", None),
        ("nobody", "GET", "/authorizations/cookie/jupyterhub-hub-login/nonsense", None),
    ]
}

fn methods() -> Vec<Request> {
    let at = |method, path| ("admin", method, path, None);
    vec![
        at("OPTIONS", "/nowhere"),
        at("OPTIONS", "/users/alice/server"),
        at("OPTIONS", "/proxy"),
        at("HEAD", "/"),
        at("HEAD", "/users/alice"),
        at("POST", "/"),
        at("POST", "/info"),
        at("GET", "/shutdown"),
        at("PUT", "/users/alice"),
        at("DELETE", "/groups"),
        at("PATCH", "/groups/staff"),
        at("GET", "/groups/staff/users"),
        at("GET", "/groups/staff/properties"),
        at("DELETE", "/proxy"),
        at("GET", "/users/alice/activity"),
        at("PUT", "/users/alice/tokens"),
        at("PATCH", "/users/alice/tokens/a1"),
        at("POST", "/users/alice/server/progress"),
        at("GET", "/users/alice/tokens/"),
        at("GET", "/users/alice/"),
        at("GET", "/users//server"),
        at("GET", "/groups/"),
        at("GET", "/info/"),
        at("GET", "/proxy/"),
        at("GET", "/users/alice/servers//progress"),
        at("GET", "/users/alice/servers/progress"),
        at("GET", "/oauth2/token"),
    ]
}

/// All of them are refused, and change nothing.
fn bodies() -> Vec<Request> {
    let mut all = Vec::new();
    for body in [json!("text"), json!([1]), json!(1), json!(true)] {
        for (method, path) in [
            ("POST", "/users"),
            ("PATCH", "/users/bob"),
            ("POST", "/users/bob/activity"),
            ("POST", "/groups"),
            ("POST", "/groups/staff/users"),
            ("PUT", "/groups/staff/properties"),
        ] {
            all.push(("admin", method, path, Some(body.clone())));
        }
    }
    let wrong: Vec<(&str, &str, Value)> = vec![
        ("POST", "/users", json!({"usernames": "carol"})),
        ("POST", "/users", json!({"usernames": [1]})),
        ("POST", "/users", json!({"usernames": ["x"], "admin": "yes"})),
        ("POST", "/users", json!({"usernames": ["ok", "not/ok", ".."]})),
        ("POST", "/users/zora", json!({"admin": "yes"})),
        ("POST", "/users/zora", json!({"colour": 1})),
        ("PATCH", "/users/bob", json!({"admin": "yes"})),
        ("PATCH", "/users/bob", json!({"name": 1})),
        ("PATCH", "/users/bob", json!({"name": null})),
        ("PATCH", "/users/bob", json!({"name": ".."})),
        ("PATCH", "/users/bob", json!({"name": ""})),
        // JupyterHub takes the name away: on somebody whom nothing else needs.
        ("POST", "/users/spare", json!({})),
        ("PATCH", "/users/spare", json!({"groups": ["staff"]})),
        ("PATCH", "/users/spare", json!({"name": "spare"})),
        ("PATCH", "/users/bob", json!({})),
        ("POST", "/users/bob/activity", json!({"last_activity": 1})),
        ("POST", "/users/bob/activity", json!({"servers": {"none": {"last_activity": "2020-01-01T00:00:00Z"}}})),
        ("POST", "/users/bob/activity", json!({"servers": {}})),
        ("POST", "/users/bob/tokens", json!({"scopes": "self"})),
        ("POST", "/users/bob/tokens", json!({"scopes": [1]})),
        ("POST", "/users/bob/tokens", json!({"roles": ["nonsense"]})),
        ("POST", "/users/bob/tokens", json!({"expires_in": -1})),
        ("POST", "/users/bob/tokens", json!({"expires_in": true})),
        ("POST", "/users/bob/tokens", json!({"expires_in": 1.5})),
        ("POST", "/users/bob/server", json!({"display_name": 1})),
        ("POST", "/users/bob/server", json!({"user_options": [1]})),
        ("PUT", "/users/bob/servers/one", json!({"display_name": ""})),
        ("PUT", "/users/bob/servers/one", json!({"colour": 1})),
        ("PUT", "/users/bob/servers/", json!({})),
        ("DELETE", "/users/bob/servers/none", json!({})),
        ("DELETE", "/users/bob/server", json!({"remove": true})),
        ("PATCH", "/users/bob/servers/none", json!({"display_name": "None"})),
        ("POST", "/groups", json!({"groups": "red"})),
        ("POST", "/groups", json!({"groups": ["late"], "users": ["nobody-there"]})),
        ("POST", "/groups", json!({"groups": ["late"], "properties": {}})),
        ("POST", "/groups/late", json!({"users": "bob"})),
        ("POST", "/groups/late", json!({"users": ["nobody-there"]})),
        ("POST", "/groups/late", json!({"properties": {}})),
        ("POST", "/groups/late", json!({"name": "other", "roles": []})),
        ("DELETE", "/groups/late", json!({})),
        ("DELETE", "/groups/staff/users", json!({"users": ["nobody-there"]})),
        ("POST", "/groups/staff/users", json!({"users": "bob"})),
        ("PATCH", "/proxy", json!("text")),
        ("POST", "/shutdown", json!({"proxy": "yes"})),
    ];
    all.extend(wrong.into_iter().map(|(method, path, body)| ("admin", method, path, Some(body))));
    all
}

fn names() -> Vec<Request> {
    let admin = |method, path| ("admin", method, path, None);
    vec![
        admin("POST", "/users/%20edge"),
        admin("POST", "/users/.."),
        admin("POST", "/users/%2e%2e"),
        admin("POST", "/users/%252e%252e"),
        admin("POST", "/users/J%C3%B6rg"),
        admin("GET", "/users/J%C3%B6rg"),
        admin("GET", "/users/j%C3%B6rg"),
        admin("DELETE", "/users/J%C3%B6rg"),
        admin("POST", "/users/a+b@example.org"),
        admin("GET", "/users/a%2Bb%40example.org"),
        admin("GET", "/users/a%2Bb%40example.org/tokens"),
        admin("DELETE", "/users/a+b@example.org"),
        admin("POST", "/groups/g%204%2Fx"),
        admin("GET", "/groups/g%204%2Fx"),
        admin("DELETE", "/groups/g%204%2Fx"),
        admin("GET", "/users?name_filter=%25"),
        admin("GET", "/users?name_filter=_"),
        admin("GET", "/users?limit=-1&sort=name"),
        admin("GET", "/users?offset=-1&sort=name"),
        admin("GET", "/users?limit=100000000000000000000&sort=name"),
        admin("GET", "/users?state="),
        admin("GET", "/users?sort="),
        admin("GET", "/users?sort=--name"),
    ]
}

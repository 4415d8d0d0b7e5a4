//! What is asked of both hubs about sharing, once alice has a server and is in the group staff.

use serde_json::{Value, json};

use super::requests::Request;

/// In an order in which each finds what it needs.
pub fn requests() -> Vec<Request> {
    [granting(), looking(), revoking(), codes()].concat()
}

const BOB: fn() -> Option<Value> = || Some(json!({"user": "bob"}));

fn granting() -> Vec<Request> {
    let post = |who, path, body| (who, "POST", path, body);
    let refused = |more: Value| post("admin", "/shares/alice/", Some(more));
    vec![
        post("alice", "/shares/alice/", BOB()),
        post("bob", "/shares/alice/", BOB()),
        post("nobody", "/shares/alice/", BOB()),
        post("nobody", "/shares/alice", BOB()),
        post("admin", "/shares/alice", BOB()),
        ("admin", "PATCH", "/shares/alice", BOB()),
        ("admin", "DELETE", "/shares/alice", None),
        ("admin", "PUT", "/shares/alice/", None),
        ("admin", "GET", "/shares", None),
        post("admin", "/shares/alice/nowhere", BOB()),
        post("admin", "/shares/no-such-person/", BOB()),
        refused(json!({})),
        refused(json!({"user": "bob", "group": "staff"})),
        refused(json!({"user": "no-such-person"})),
        refused(json!({"group": "no-such-group"})),
        refused(json!({"user": "bob", "nonsense": 1})),
        refused(json!({"user": ["bob"]})),
        refused(json!({"user": "bob", "scopes": "access:servers"})),
        refused(json!({"user": "bob", "scopes": ["read:servers!server=other/"]})),
        refused(json!({"user": "bob", "scopes": ["read:servers!user=alice"]})),
        refused(json!({"user": "bob", "scopes": ["custom:nonsense"]})),
        refused(json!({"user": "bob", "scopes": ["inherit"]})),
        refused(json!({"user": ""})),
        post("admin", "/shares/alice/", BOB()),
        post("admin", "/shares/alice/", BOB()),
        post("admin", "/shares/alice/", Some(json!({"user": "bob", "scopes": ["read:servers"]}))),
        post("admin", "/shares/alice/", Some(json!({"group": "staff"}))),
    ]
}

fn looking() -> Vec<Request> {
    let get = |who, path| (who, "GET", path, None);
    vec![
        get("bob", "/user"),
        get("bob", "/users/alice"),
        get("bob", "/users/alice/servers/"),
        get("bob", "/shares/alice"),
        get("bob", "/shares/bob"),
        get("alice", "/shares/alice"),
        get("alice", "/shares/alice/"),
        get("alice", "/shares/alice/nowhere"),
        get("alice", "/shares/no-such-person"),
        get("admin", "/shares/no-such-person"),
        get("admin", "/shares/no-such-person/"),
        get("admin", "/shares/alice?limit=1"),
        get("admin", "/shares/alice?limit=1&offset=1"),
        get("admin", "/shares/alice?limit=nonsense"),
        get("pages", "/shares/alice"),
        get("bob", "/users/bob/shared"),
        get("bob", "/users/bob/shared/alice/"),
        get("bob", "/users/bob/shared/alice/nowhere"),
        get("bob", "/users/bob/shared/no-such-person/"),
        get("bob", "/users/alice/shared"),
        get("alice", "/users/alice/shared"),
        get("alice", "/users/alice/shared/alice/"),
        get("admin", "/users/no-such-person/shared"),
        get("admin", "/users/no-such-person/shared/alice/"),
        get("alice", "/groups/staff/shared"),
        get("admin", "/groups/staff/shared"),
        get("admin", "/groups/staff/shared/alice/"),
        get("admin", "/groups/no-such-group/shared"),
        ("admin", "POST", "/users/bob/shared", None),
    ]
}

fn revoking() -> Vec<Request> {
    let patch = |body| ("admin", "PATCH", "/shares/alice/", Some(body));
    vec![
        ("alice", "PATCH", "/shares/alice/", BOB()),
        ("admin", "PATCH", "/shares/alice/nowhere", BOB()),
        patch(json!({})),
        patch(json!({"user": "bob", "group": "staff"})),
        patch(json!({"user": "no-such-person"})),
        patch(json!({"group": "no-such-group"})),
        patch(json!({"user": "admin"})),
        patch(json!({"user": "bob", "scopes": ["admin:servers!server=alice/"]})),
        patch(json!({"user": "bob", "scopes": ["read:servers!server=alice/"]})),
        ("alice", "DELETE", "/users/bob/shared/alice/", None),
        ("bob", "DELETE", "/users/bob/shared/alice/", None),
        ("bob", "DELETE", "/users/bob/shared/alice/", None),
        ("bob", "GET", "/user", None),
        ("alice", "DELETE", "/groups/staff/shared/alice/", None),
        ("admin", "DELETE", "/groups/staff/shared/alice/", None),
        ("admin", "DELETE", "/groups/staff/shared/alice/", None),
        ("admin", "POST", "/shares/alice/", BOB()),
        ("admin", "PATCH", "/shares/alice/", BOB()),
        ("admin", "POST", "/shares/alice/", BOB()),
        patch(json!({"user": "bob", "scopes": ["access:servers"]})),
        ("alice", "DELETE", "/shares/alice/", None),
        ("admin", "DELETE", "/shares/alice/", None),
        ("admin", "DELETE", "/shares/alice/nowhere", None),
        ("admin", "GET", "/shares/alice/", None),
    ]
}

fn codes() -> Vec<Request> {
    let make = |body| ("admin", "POST", "/share-codes/alice/", Some(body));
    let call = |method, path| ("admin", method, path, None);
    vec![
        ("alice", "POST", "/share-codes/alice/", None),
        ("bob", "POST", "/share-codes/alice/", None),
        call("POST", "/share-codes/alice"),
        call("DELETE", "/share-codes/alice"),
        call("PATCH", "/share-codes/alice/"),
        call("POST", "/share-codes/alice/nowhere"),
        make(json!({"expires_in": 59})),
        make(json!({"expires_in": 31_536_001})),
        make(json!({"expires_in": null})),
        make(json!({"expires_in": "soon"})),
        make(json!({"expires_in": 60.5})),
        make(json!({"user": "bob"})),
        make(json!({"scopes": ["read:servers!server=other/"]})),
        call("POST", "/share-codes/alice/"),
        make(json!({"expires_in": "3600", "scopes": []})),
        make(json!({"expires_in": 60.0, "scopes": ["read:servers", "access:servers!server=alice/"]})),
        call("GET", "/share-codes/alice"),
        call("GET", "/share-codes/alice/"),
        call("GET", "/share-codes/alice/?limit=1"),
        call("GET", "/share-codes/alice/nowhere"),
        call("GET", "/share-codes/no-such-person"),
        ("alice", "GET", "/share-codes/alice", None),
        ("bob", "GET", "/share-codes/alice", None),
        call("DELETE", "/share-codes/alice/?id=sc_999"),
        call("DELETE", "/share-codes/alice/?id=nonsense"),
        call("DELETE", "/share-codes/alice/?code=nonsense"),
        ("alice", "DELETE", "/share-codes/alice/?id=sc_1", None),
        call("DELETE", "/share-codes/alice/?id=sc_1"),
        call("DELETE", "/share-codes/alice/?id=sc_1"),
        call("GET", "/share-codes/alice"),
        call("DELETE", "/share-codes/alice/"),
        call("DELETE", "/share-codes/alice/"),
        call("GET", "/share-codes/alice"),
    ]
}

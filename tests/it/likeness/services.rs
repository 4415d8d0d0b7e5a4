//! What is asked of both hubs about services.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::specola::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::requests::Request;

/// In texts of a request: where a service listens.
pub const LISTENER: &str = "http://the-listener";

/// Services that may do nothing, see one other, and make others; their names are those who ask, too.
pub const ASKERS: [(&str, &str); 3] =
    [("grades", "token-of-grades-1"), ("reader", "token-of-reader-1"), ("ops", "token-of-ops-1")];

/// Something that answers every request, for as long as the test runs; returns its address.
pub async fn listen() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    Ok(address)
}

/// The services as JupyterHub's configuration has them.
pub fn theirs(listener: &str) -> Result<String> {
    let mut services = String::new();
    for (name, token) in ASKERS {
        let more = match name {
            "grades" => format!("'url': '{listener}', 'info': {{'a': 1}}, 'oauth_no_confirm': True"),
            _ => "'display': False".to_owned(),
        };
        services.push_str(&format!("{{'name': '{name}', 'api_token': '{token}', {more}}},"));
    }
    Ok(format!(
        "c.JupyterHub.services = [{services}]\nc.JupyterHub.load_roles = [\
         {{'name': 'readers', 'scopes': ['list:services!service=grades', 'read:services!service=grades'], \
           'services': ['reader']}}, {{'name': 'makers', 'scopes': ['admin:services'], 'services': ['ops']}}]\n"
    ))
}

/// The same in ours.
pub fn ours(options: Options, listener: &str) -> Options {
    let mut services = String::new();
    for (name, token) in ASKERS {
        let more = match name {
            "grades" => format!("url = {listener:?}, info = {{ a = 1 }}, oauth_no_confirm = true"),
            _ => "display = false".to_owned(),
        };
        services.push_str(&format!("{{ name = {name:?}, api_token = {token:?}, {more} }},"));
    }
    let roles = "[{ name = \"readers\", services = [\"reader\"], \
                 scopes = [\"list:services!service=grades\", \"read:services!service=grades\"] }, \
                 { name = \"makers\", scopes = [\"admin:services\"], services = [\"ops\"] }]";
    options.set("hub", "services", &format!("[{services}]")).set("hub", "load_roles", roles)
}

/// Puts the listener's address where it is meant.
pub fn with_listener(body: &Value, listener: &str) -> Result<Value> {
    serde_json::from_str(&body.to_string().replace(LISTENER, listener)).context("a body")
}

pub fn requests() -> Vec<Request> {
    let get = |who, path| (who, "GET", path, None);
    let post = |who, path, body| (who, "POST", path, Some(body));
    let refused = |body| ("admin", "POST", "/services/refused", Some(body));
    vec![
        get("nobody", "/services"),
        get("admin", "/services"),
        get("admin", "/services/grades"),
        get("admin", "/services/none"),
        get("alice", "/services/grades"),
        get("reader", "/services"),
        get("reader", "/services/grades"),
        get("reader", "/services/ops"),
        get("reader", "/services/none"),
        get("ops", "/services"),
        get("reader", "/user"),
        get("grades", "/user"),
        get("grades", "/users"),
        ("admin", "PUT", "/services/grades", None),
        ("admin", "DELETE", "/services", None),
        // Made.
        ("admin", "POST", "/services/refused", None),
        refused(json!({})),
        refused(json!([1])),
        refused(json!({"nonsense": 1})),
        refused(json!({"timeout": 5})),
        refused(json!({"admin": "yes"})),
        refused(json!({"info": []})),
        refused(json!({"url": "ftp://127.0.0.1:1"})),
        refused(json!({"command": ["true"]})),
        refused(json!({"oauth_client_id": "nonsense"})),
        refused(json!({"oauth_client_id": "service-refused"})),
        refused(json!({"oauth_client_allowed_scopes": ["nonsense"]})),
        post("alice", "/services/refused", json!({"display": true})),
        post("reader", "/services/refused", json!({"display": true})),
        post("ops", "/services/refused", json!({"admin": true})),
        post("ops", "/services/refused", json!({"oauth_client_allowed_scopes": ["read:users"]})),
        post("admin", "/services/..%2F", json!({"display": true})),
        post("admin", "/services/%20space", json!({"display": true})),
        post("admin", "/services/%252e", json!({"display": true})),
        post("ops", "/services/small", json!({"display": false})),
        post("ops", "/services/small", json!({"display": false})),
        post("admin", "/services/grades", json!({"display": false})),
        post(
            "admin",
            "/services/made",
            json!({
                "name": "another", "url": LISTENER, "api_token": "token-of-made-1", "info": {"description": "Made"},
                "oauth_no_confirm": true, "oauth_client_allowed_scopes": ["read:users!user"],
            }),
        ),
        get("admin", "/services/made"),
        get("made", "/user"),
        post("admin", "/services/boss", json!({"admin": true, "oauth_redirect_uri": "https://boss.example/cb"})),
        get("admin", "/services/boss"),
        get("admin", "/services"),
        // Deleted.
        ("alice", "DELETE", "/services/made", None),
        ("reader", "DELETE", "/services/made", None),
        ("admin", "DELETE", "/services/grades", None),
        ("admin", "DELETE", "/services/none", None),
        ("admin", "DELETE", "/services/made", None),
        ("admin", "DELETE", "/services/made", None),
        ("ops", "DELETE", "/services/boss", None),
        ("admin", "DELETE", "/services/small", None),
        get("made", "/user"),
        get("admin", "/services"),
    ]
}

//! The JSON shapes of the REST API, exactly as JupyterHub 6.1 sends them.

use hub_core::clock::{Time, isoformat};
use hub_core::life::{Desired, Phase};
use hub_core::scope::{Rights, Scope, Target};
use hub_store::{Group, Server, Token};
use serde_json::{Map, Value, json};

use crate::http::url::Paths;
use crate::people::Person;

/// Where things are, for the URLs in models.
pub struct Places<'a> {
    /// The paths of this hub.
    pub paths: &'a Paths,
    /// Scheme and host for browsers, if configured.
    pub public_origin: Option<&'a str>,
}

/// A time, or null.
pub fn time(time: Option<Time>) -> Value {
    time.map_or(Value::Null, |time| isoformat(time).into())
}

/// What a server is waiting for: `spawn`, `stop` or nothing.
pub fn pending(server: &Server) -> Option<&'static str> {
    match (server.phase, server.desired) {
        (Phase::Stopped | Phase::Ready, _) if is_settled(server) => None,
        (Phase::Stopping, _) | (_, Desired::Stopped) => Some("stop"),
        (_, Desired::Running) => Some("spawn"),
    }
}

fn is_settled(server: &Server) -> bool {
    matches!((server.phase, server.desired), (Phase::Stopped, Desired::Stopped) | (Phase::Ready, Desired::Running))
}

/// Whether people can use it.
pub fn is_ready(server: &Server) -> bool {
    server.phase == Phase::Ready && server.desired == Desired::Running
}

/// Whether anything of it exists or is wanted.
pub fn is_active(server: &Server) -> bool {
    !(server.phase == Phase::Stopped && server.desired == Desired::Stopped)
}

/// One server.
pub fn server(server: &Server, rights: &Rights, groups: &[String], places: &Places) -> Value {
    let url = places.paths.server(&server.user_name, &server.name);
    let progress = places.paths.progress(&server.user_name, &server.name);
    let full = |path: &str| places.public_origin.map(|origin| format!("{origin}{path}"));
    let mut model = json!({
        "name": server.name,
        "display_name": server.display_name,
        "full_name": format!("{}/{}", server.user_name, server.name),
        "last_activity": time(server.last_activity),
        "started": time(server.started),
        "pending": pending(server),
        "ready": is_ready(server),
        "stopped": !is_active(server),
        "url": url,
        "user_options": server.user_options.clone().unwrap_or_else(|| json!({})),
        "full_url": full(&url),
        "full_progress_url": full(&progress),
        "progress_url": progress,
    });
    let target = Target::Server { user: &server.user_name, name: &server.name, groups };
    if rights.reach(Scope::AdminServerState).covers(&target)
        && let Some(model) = model.as_object_mut()
    {
        model.insert("state".into(), server.state.clone().unwrap_or_else(|| json!({})));
    }
    model
}

fn object_or_empty(value: &Value) -> Value {
    if value.is_null() { json!({}) } else { value.clone() }
}

/// One user, as far as the rights reveal; `None` when they reveal nothing.
pub fn user(person: &Person, rights: &Rights, include_stopped: bool, places: &Places) -> Option<Value> {
    let Person { user, groups, roles, servers } = person;
    let fields = rights.user_fields(&user.name, groups);
    let visible = |server: &&Server| {
        let target = Target::Server { user: &user.name, name: &server.name, groups };
        (include_stopped || is_active(server)) && rights.reach(Scope::ReadServers).covers(&target)
    };
    let shown: Map<String, Value> =
        servers.iter().filter(visible).map(|of| (of.name.clone(), server(of, rights, groups, places))).collect();
    if !fields.name {
        return None;
    }
    let mut model = Map::new();
    let default = servers.iter().find(|server| server.name.is_empty());
    let mut put = |show: bool, key: &str, value: Value| {
        if show {
            model.insert(key.to_owned(), value);
        }
    };
    put(true, "kind", "user".into());
    put(true, "name", user.name.clone().into());
    put(fields.admin, "admin", user.admin.into());
    put(fields.roles, "roles", json!(roles));
    put(fields.groups, "groups", json!(groups));
    let url = default.filter(|server| is_ready(server)).map(|_| places.paths.server(&user.name, ""));
    put(fields.server, "server", url.into());
    put(fields.pending, "pending", default.and_then(pending).into());
    put(fields.created, "created", time(user.created));
    put(fields.last_activity, "last_activity", time(user.last_activity));
    put(fields.auth_state, "auth_state", Value::Null);
    put(fields.servers || !shown.is_empty(), "servers", shown.into());
    put(fields.user_info, "user_info", object_or_empty(&user.user_info));
    Some(model.into())
}

/// One group, as far as the rights reveal.
pub fn group(group: &Group, members: &[String], roles: &[String], rights: &Rights) -> Option<Value> {
    let fields = rights.group_fields(&group.name);
    if !fields.name {
        return None;
    }
    let mut model = Map::new();
    model.insert("kind".into(), "group".into());
    model.insert("name".into(), group.name.clone().into());
    if fields.content {
        model.insert("users".into(), json!(members));
        model.insert("properties".into(), object_or_empty(&group.properties));
    }
    if fields.roles {
        model.insert("roles".into(), json!(roles));
    }
    Some(model.into())
}

/// One token. `scopes` are those it has now, not those it was given.
pub fn token(token: &Token, owner: (&str, &str), scopes: &[String]) -> Value {
    let client = token.client_description.as_ref().or(token.client_id.as_ref());
    json!({
        owner.0: owner.1,
        "id": format!("a{}", token.id),
        "kind": "api_token",
        "roles": [],
        "scopes": scopes,
        "created": time(token.created),
        "last_activity": time(token.last_activity),
        "expires_at": time(token.expires_at),
        "note": token.note,
        "session_id": token.session_id,
        "oauth_client": client,
    })
}

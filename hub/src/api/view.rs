//! The JSON shapes of the REST API, exactly as JupyterHub 6.1 sends them.

use std::sync::LazyLock;

use hub_core::clock::{Time, isoformat};
use hub_core::life::{Desired, Phase};
use hub_core::scope::{Rights, Scope, Target, UserFields};
use hub_store::{Group, Server, Service, Token};
use serde::ser::{Serialize, SerializeMap, Serializer};
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

impl Places<'_> {
    /// The whole address of a path, if it is known; an address stays what it is.
    pub fn full(&self, path: &str) -> Option<String> {
        match path.starts_with('/') {
            true => self.public_origin.map(|origin| format!("{origin}{path}")),
            false => Some(path.to_owned()),
        }
    }
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

/// The default server of somebody who never had one: everybody has it, made or not.
pub fn never_made(user: &str, rights: &Rights, groups: &[String], places: &Places<'_>) -> Value {
    let url = places.paths.server(user, "");
    let progress = places.paths.progress(user, "");
    let full = |path: &str| places.full(path);
    let mut model = json!({
        "name": "", "display_name": "", "full_name": format!("{user}/"), "last_activity": null, "started": null,
        "pending": null, "ready": false, "stopped": true, "url": url, "user_options": {}, "progress_url": progress,
        "full_url": full(&url), "full_progress_url": full(&progress),
    });
    if rights.covers(Scope::AdminServerState, &Target::Server { user, name: "", groups }) {
        model["state"] = json!({});
    }
    model
}

/// One server, written as JSON without a detour.
pub struct ServerModel<'a> {
    server: &'a Server,
    places: &'a Places<'a>,
    shows_state: bool,
}

impl<'a> ServerModel<'a> {
    /// The model of a server, as far as the rights reveal. `groups` are its user's.
    pub fn new(server: &'a Server, rights: &Rights, groups: &[String], places: &'a Places<'a>) -> Self {
        let target = Target::Server { user: &server.user_name, name: &server.name, groups };
        Self { server, places, shows_state: rights.covers(Scope::AdminServerState, &target) }
    }
}

impl Serialize for ServerModel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { server, places, shows_state } = self;
        let url = places.paths.server(&server.user_name, &server.name);
        let progress = places.paths.progress(&server.user_name, &server.name);
        let full = |path: &str| places.full(path);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &server.name)?;
        map.serialize_entry("display_name", server.display_name.as_deref().unwrap_or_default())?;
        map.serialize_entry("full_name", &format_args!("{}/{}", server.user_name, server.name))?;
        map.serialize_entry("last_activity", &server.last_activity.map(isoformat))?;
        map.serialize_entry("started", &server.started.map(isoformat))?;
        map.serialize_entry("pending", &pending(server))?;
        map.serialize_entry("ready", &is_ready(server))?;
        map.serialize_entry("stopped", &!is_active(server))?;
        map.serialize_entry("url", &url)?;
        map.serialize_entry("user_options", server.user_options.as_ref().unwrap_or(empty()))?;
        map.serialize_entry("progress_url", &progress)?;
        map.serialize_entry("full_url", &full(&url))?;
        map.serialize_entry("full_progress_url", &full(&progress))?;
        if *shows_state {
            map.serialize_entry("state", server.state.as_ref().unwrap_or(empty()))?;
        }
        map.end()
    }
}

/// What stands for an object that was never set.
fn empty() -> &'static Value {
    static EMPTY: LazyLock<Value> = LazyLock::new(|| json!({}));
    &EMPTY
}

/// One user, written as JSON without a detour.
pub struct UserModel<'a> {
    person: &'a Person,
    rights: &'a Rights,
    fields: UserFields,
    include_stopped: bool,
    places: &'a Places<'a>,
}

impl<'a> UserModel<'a> {
    /// The model of a user, as far as the rights reveal; `None` when they reveal nothing.
    pub fn new(person: &'a Person, rights: &'a Rights, include_stopped: bool, places: &'a Places<'a>) -> Option<Self> {
        let fields = rights.user_fields(&person.user.name, &person.groups);
        fields.name.then_some(Self { person, rights, fields, include_stopped, places })
    }

    /// Whether the model has an `auth_state`. Here it is null: it is decrypted elsewhere.
    pub fn has_auth_state(&self) -> bool {
        self.fields.auth_state
    }

    /// Whether the default server is to be shown, and was never made.
    fn lacks_default(&self) -> bool {
        let Person { user, groups, .. } = self.person;
        let target = Target::Server { user: &user.name, name: "", groups };
        self.include_stopped && self.person.server("").is_none() && self.rights.covers(Scope::ReadServers, &target)
    }

    fn servers(&self) -> impl Iterator<Item = &'a Server> {
        let Person { user, groups, servers, .. } = self.person;
        let (include_stopped, rights) = (self.include_stopped, self.rights);
        servers.iter().filter(move |server| {
            let target = Target::Server { user: &user.name, name: &server.name, groups };
            (include_stopped || is_active(server)) && rights.covers(Scope::ReadServers, &target)
        })
    }
}

/// The servers of a user by name.
struct Servers<'m, 'a>(&'m UserModel<'a>);

impl Serialize for Servers<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let UserModel { person, rights, places, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if self.0.lacks_default() {
            map.serialize_entry("", &never_made(&person.user.name, rights, &person.groups, places))?;
        }
        for server in self.0.servers() {
            map.serialize_entry(&server.name, &ServerModel::new(server, rights, &person.groups, places))?;
        }
        map.end()
    }
}

impl Serialize for UserModel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (fields, Person { user, groups, roles, .. }) = (&self.fields, self.person);
        let default = self.person.server("");
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "user")?;
        map.serialize_entry("name", &user.name)?;
        if fields.admin {
            map.serialize_entry("admin", &user.admin)?;
        }
        if fields.roles {
            map.serialize_entry("roles", roles)?;
        }
        if fields.groups {
            map.serialize_entry("groups", groups)?;
        }
        if fields.server {
            let url = default.filter(|server| is_ready(server)).map(|_| self.places.paths.server(&user.name, ""));
            map.serialize_entry("server", &url)?;
        }
        if fields.pending {
            map.serialize_entry("pending", &default.and_then(pending))?;
        }
        if fields.created {
            map.serialize_entry("created", &user.created.map(isoformat))?;
        }
        if fields.last_activity {
            map.serialize_entry("last_activity", &user.last_activity.map(isoformat))?;
        }
        if fields.auth_state {
            map.serialize_entry("auth_state", &())?;
        }
        if fields.servers || self.lacks_default() || self.servers().next().is_some() {
            map.serialize_entry("servers", &Servers(self))?;
        }
        if fields.user_info {
            map.serialize_entry("user_info", &user.user_info)?;
        }
        map.end()
    }
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
        let properties = if group.properties.is_null() { empty() } else { &group.properties };
        model.insert("properties".into(), properties.clone());
    }
    if fields.roles {
        model.insert("roles".into(), json!(roles));
    }
    Some(model.into())
}

/// One service, as far as the rights reveal. What was never said has JupyterHub's defaults.
pub fn service(service: &Service, roles: &[String], paths: &Paths, rights: &Rights) -> Option<Value> {
    let spec = &service.spec;
    let info = if spec.info.is_null() { empty() } else { &spec.info };
    let display = json!(spec.display.unwrap_or(true));
    let url = json!(spec.url.as_deref().unwrap_or_default());
    service_model(service, roles, paths, rights, [("url", url), ("info", info.clone()), ("display", display)])
}

/// A service as `GET /user` tells of it: from its row alone, so that what was never said is null.
pub fn service_itself(service: &Service, roles: &[String], paths: &Paths, rights: &Rights) -> Option<Value> {
    let spec = &service.spec;
    let mut said = service_model(
        service,
        roles,
        paths,
        rights,
        [("url", json!(spec.url)), ("info", spec.info.clone()), ("display", json!(spec.display))],
    )?;
    if let Some(pid) = said.get_mut("pid") {
        *pid = json!(0);
    }
    Some(said)
}

fn service_model(
    service: &Service,
    roles: &[String],
    paths: &Paths,
    rights: &Rights,
    said: [(&str, Value); 3],
) -> Option<Value> {
    let (spec, fields) = (&service.spec, rights.service_fields(&service.spec.name));
    if !fields.name {
        return None;
    }
    let mut model = Map::new();
    model.insert("kind".into(), "service".into());
    model.insert("name".into(), spec.name.clone().into());
    model.insert("admin".into(), spec.admin.into());
    if fields.content {
        let prefix = spec.url.as_ref().map(|_| hub_core::service::prefix(&paths.base, &spec.name));
        model.insert("prefix".into(), prefix.unwrap_or_default().into());
        model.insert("command".into(), json!(spec.command));
        model.insert("pid".into(), json!(service.pid.unwrap_or(0)));
        model.extend(said.map(|(key, value)| (key.to_owned(), value)));
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

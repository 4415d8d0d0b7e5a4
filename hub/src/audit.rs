//! Who did what to whom: the one function that records an act, and the names it takes.
//!
//! An act is recorded once it is done and before it is answered. A record that cannot be written does not undo or refuse
//! the act: the record tells what happened, and an answer of failure to what has happened would be a lie that makes people
//! do it again. It is in the same database as the act, so that what keeps the record from being written nearly always kept
//! the act from being done. What is left is not silent: the whole record stands in the log, as an error, and
//! `specola_audit_lost_total` counts it. Acts go to the log in any case, for those who collect logs elsewhere.
//!
//! The names of actions, actors and objects are a promise: dashboards and scripts filter by them.

use actix_web::{HttpMessage, HttpRequest};
use hub_core::clock::Time;
use hub_core::id::TokenId;
use hub_store::{NewAudit, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::caller::Asker;
use crate::http::origin::Origin;

/// Longer texts in a detail are cut, in characters.
const LONGEST: usize = 256;
/// So much of a name that could not log in is kept: people type passwords into the wrong field.
const ATTEMPTED: usize = 16;

macro_rules! acts {
    ($($(#[$doc:meta])* $act:ident = $name:literal,)+) => {
        /// What can be done. The texts are in the database for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Act {
            $($(#[$doc])* $act,)+
        }

        impl Act {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$act),+];

            /// The name in the database.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$act => $name,)+
                }
            }
        }
    };
}

acts! {
    /// Somebody logged in.
    Login = "login",
    /// A name and a password were refused.
    LoginFailed = "login.failed",
    /// Somebody logged out of one browser.
    Logout = "logout",
    /// Somebody ended all own sessions.
    LogoutEverywhere = "logout.everywhere",
    /// Somebody chose a password.
    PasswordChange = "password.change",
    /// Somebody's password was set or reset by somebody else.
    PasswordSet = "password.set",
    /// An invitation to choose a password was made.
    PasswordInvite = "password.invite",
    /// A user was made.
    UserCreate = "user.create",
    /// A user got another name.
    UserRename = "user.rename",
    /// A user was deleted.
    UserDelete = "user.delete",
    /// A user became an administrator.
    AdminGrant = "user.admin.grant",
    /// A user is no administrator any more.
    AdminRevoke = "user.admin.revoke",
    /// A log-in changed which groups somebody is in.
    UserGroups = "user.groups",
    /// A log-in changed which roles somebody has.
    UserRoles = "user.roles",
    /// Somebody is not let in any more: sessions have ended, tokens are refused.
    UserRefuse = "user.refuse",
    /// Somebody who was refused is let in again.
    UserAdmit = "user.admit",
    /// What a login method keeps about a user was set by somebody.
    UserAuthState = "user.auth_state",
    /// A provider does not renew somebody's tokens any more.
    UserTokensLost = "user.tokens.lost",
    /// A group was made.
    GroupCreate = "group.create",
    /// A group was deleted.
    GroupDelete = "group.delete",
    /// Users became members.
    MembersAdd = "group.members.add",
    /// Users are no members any more.
    MembersRemove = "group.members.remove",
    /// A group's properties were set.
    GroupProperties = "group.properties",
    /// Roles and groups of the configuration were brought into the database.
    RolesApply = "roles.apply",
    /// A token was made.
    TokenCreate = "token.create",
    /// A token was revoked.
    TokenRevoke = "token.revoke",
    /// An application was let act for somebody.
    OAuthGrant = "oauth.grant",
    /// A server was made without being started.
    ServerCreate = "server.create",
    /// A server's name or options were changed.
    ServerChange = "server.change",
    /// Somebody wants a server to run.
    ServerStart = "server.start",
    /// A start, or options to be kept for one, were refused by policy.
    ServerRefuse = "server.refuse",
    /// Somebody wants a server to stop.
    ServerStop = "server.stop",
    /// A server was deleted for good.
    ServerDelete = "server.delete",
    /// Somebody opened a server of somebody else.
    ServerAccess = "server.access",
    /// A server was shared, or more of it.
    ShareGrant = "share.grant",
    /// What was shared was taken back.
    ShareRevoke = "share.revoke",
    /// A share code was exchanged for a share.
    ShareAccept = "share.accept",
    /// Somebody gave up what was shared.
    ShareLeave = "share.leave",
    /// A share code was made.
    ShareCodeCreate = "share.code.create",
    /// Share codes were deleted.
    ShareCodeDelete = "share.code.delete",
    /// The folders of a person who was deleted were put into the trash.
    FoldersTrash = "folders.trash",
    /// Folders were taken out of the trash again.
    FoldersRestore = "folders.restore",
    /// Folders in the trash were removed for good.
    FoldersRemove = "folders.remove",
    /// A service was made through the API.
    ServiceCreate = "service.create",
    /// A service was deleted through the API.
    ServiceDelete = "service.delete",
    /// The process of a service was started.
    ServiceStart = "service.start",
    /// An announcement was written.
    AnnouncementCreate = "announcement.create",
    /// An announcement was changed.
    AnnouncementChange = "announcement.change",
    /// An announcement was deleted.
    AnnouncementDelete = "announcement.delete",
    /// What operators say of a site was changed: drained, given up, its maintenance.
    SiteChange = "site.change",
    /// The hub began to serve.
    HubStart = "hub.start",
    /// The hub was asked to stop.
    HubStop = "hub.stop",
    /// The configuration is another than at the last start.
    ConfigChange = "config.change",
}

/// Who did it. It may be written down, for what is done later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    who: String,
    address: Option<String>,
    token: Option<TokenId>,
    session: Option<String>,
}

impl Actor {
    /// Who asks: the caller that a guard or a page recognised, from where, and by which token or session. Somebody who
    /// was not recognised is `nobody`.
    pub fn of(request: &HttpRequest, app: &App) -> Self {
        let address = Some(Origin::of(request, app).address).filter(|address| !address.is_empty());
        match request.extensions().get::<Asker>() {
            Some(asker) => Self {
                who: format!("{}:{}", asker.kind, asker.name),
                address,
                token: asker.token,
                session: asker.session.as_deref().map(reference),
            },
            None => Self { who: "nobody".to_owned(), address, token: None, session: None },
        }
    }

    /// The person who turned out to be behind a request: at a log-in.
    pub fn person(request: &HttpRequest, app: &App, user: &str) -> Self {
        Self { who: format!("user:{user}"), ..Self::of(request, app) }
    }

    /// The hub itself.
    pub fn hub() -> Self {
        Self { who: "hub".to_owned(), address: None, token: None, session: None }
    }

    /// A part of the hub that acts on its own: `hub:culler`.
    pub fn part(name: &str) -> Self {
        Self { who: format!("hub:{name}"), ..Self::hub() }
    }

    /// Whoever runs a command on the machine: `command:root`.
    pub fn command() -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let name = user.map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name);
        Self { who: format!("command:{name}"), ..Self::hub() }
    }
}

/// What a browser session is known by outside the hub: its id is half of a login.
fn reference(session: &str) -> String {
    hex::encode(Sha256::digest(session.as_bytes())).chars().take(12).collect()
}

/// What it was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// The hub.
    Hub,
    /// A user, by name.
    User(&'a str),
    /// A group, by name.
    Group(&'a str),
    /// A service, by name.
    Service(&'a str),
    /// A server, by the names of its user and its own.
    Server(&'a str, &'a str),
}

impl std::fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub => write!(f, "hub"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Server(user, name) => write!(f, "server:{user}/{name}"),
        }
    }
}

impl App {
    /// Records that `by` did something. `detail` is a JSON object, or null, without secrets; long texts in it are cut.
    pub async fn audited(&self, by: &Actor, act: Act, object: Object<'_>, detail: Value) {
        match act {
            Act::UserCreate => crate::metrics::users_changed(1.0),
            Act::UserDelete => crate::metrics::users_changed(-1.0),
            _ => {}
        }
        // What cannot be written is in the log; see the head of this file.
        let _ = write(&self.store, self.now(), by, act, object, detail).await;
    }

    /// Records that a name and a password were refused.
    pub async fn audited_failure(&self, request: &HttpRequest, name: &str, why: &str) {
        if !self.login.is_possible(name) {
            // No counter slows these down, and nobody's account is meant: they stay out of the database.
            return;
        }
        let length = name.chars().count();
        let name: String = name.chars().filter(|character| !character.is_control()).take(ATTEMPTED).collect();
        let detail = json!({ "why": why, "length": length });
        self.audited(&Actor::of(request, self), Act::LoginFailed, Object::User(&name), detail).await;
    }
}

/// Records what the configuration did to a user, while the parts of the hub are put together.
pub async fn by_config(store: &Store, at: Time, act: Act, user: &str, detail: Value) {
    // What cannot be written is in the log.
    let _ = write(store, at, &Actor::part("config"), act, Object::User(user), detail).await;
}

/// Does what `audited` promises, for commands too. The error is in the log already.
pub async fn write(
    store: &Store,
    at: Time,
    by: &Actor,
    act: Act,
    object: Object<'_>,
    detail: Value,
) -> Result<(), StoreError> {
    let detail = detail_of(by, detail);
    let (object, text) = (object.to_string(), detail.to_string());
    tracing::info!(target: "specola::audit", actor = by.who, action = act.name(), object, detail = text, "act");
    let record = NewAudit { at, actor: by.who.clone(), action: act.name().to_owned(), object, detail: Some(detail) };
    let Err(error) = store.append_audit(&record).await else { return Ok(()) };
    crate::metrics::audit_lost();
    let (actor, object) = (record.actor, record.object);
    tracing::error!(
        target: "specola::audit",
        actor, action = act.name(), object, detail = text, "an act is not in the audit: {error}"
    );
    Err(error)
}

/// The detail with where the actor was.
fn detail_of(by: &Actor, detail: Value) -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value.into());
        }
    };
    add("address", by.address.clone());
    add("token", by.token.map(|id| format!("a{id}")));
    add("session", by.session.clone());
    if let Value::Object(more) = detail {
        all.extend(more.into_iter().map(|(key, value)| (key, shortened(value))));
    }
    Value::Object(all)
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > LONGEST => {
            Value::String(text.chars().take(LONGEST).chain(['…']).collect())
        }
        Value::Array(items) => items.into_iter().map(shortened).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_actions_share_a_name_and_each_is_documented() {
        let guide = include_str!("../../docs/operate.md");
        let mut names: Vec<&str> = Act::ALL.iter().map(|act| act.name()).collect();
        for name in &names {
            assert!(guide.contains(&format!("`{name}`")), "{name} is not in docs/operate.md");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Act::ALL.len());
    }

    #[test]
    fn long_texts_are_cut_and_a_session_is_not_told() {
        let by = Actor { session: Some(reference("secret-session")), ..Actor::part("culler") };
        let detail = detail_of(&by, json!({ "note": "x".repeat(1000), "scopes": ["y".repeat(1000), "z"] }));
        assert!(detail.to_string().len() < 700, "{detail}");
        assert!(!detail.to_string().contains("secret-session"));
        assert_eq!((by.who.as_str(), detail["session"].as_str().unwrap().len()), ("hub:culler", 12));
    }
}

//! Who asks: found anew for every request, never cached across changes of the database.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest, web};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{TokenId, UserId};
use hub_core::scope::{self, Rights};
use hub_core::token;
use hub_store::{Service, Token, TokenOwner, User};
use sha2::{Digest, Sha256};

use super::held::{Held, rights_of_token, rights_of_user};
use super::{Problem, cookies};
use crate::app::App;
use crate::task::upstream::ABOUT;
use crate::upstream::{Failure, Refused};

/// Cookies tell the second in which they were signed.
const SIGNED_WITHIN: TimeDelta = TimeDelta::seconds(1);

/// Whom a request belongs to.
#[derive(Debug, Clone)]
pub enum Owner {
    /// A person.
    User(User),
    /// A service.
    Service(Service),
}

/// How the caller was recognised.
#[derive(Debug, Clone)]
pub enum Via {
    /// By an API or OAuth token.
    Token {
        /// Its row.
        id: TokenId,
        /// The browser session it is bound to.
        session_id: Option<String>,
    },
    /// By the login cookie.
    Cookie {
        /// The browser session.
        session_id: Option<String>,
    },
}

/// A recognised caller with the rights of this request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whom the request belongs to.
    pub owner: Owner,
    /// What it may do.
    pub rights: Rights,
    /// The names of the groups of a person.
    pub groups: Vec<String>,
    /// How the caller was recognised.
    pub via: Via,
    /// What keeps the person's tokens at an identity provider from being renewed; asked for pages only.
    pub upstream: Option<Failure>,
}

impl Caller {
    /// The name of the person or service.
    pub fn name(&self) -> &str {
        match &self.owner {
            Owner::User(user) => &user.name,
            Owner::Service(service) => &service.spec.name,
        }
    }

    /// The person, if it is one.
    pub fn user(&self) -> Option<&User> {
        match &self.owner {
            Owner::User(user) => Some(user),
            Owner::Service(_) => None,
        }
    }

    /// Whether it is an administrator, by whatever token.
    pub fn is_admin(&self) -> bool {
        match &self.owner {
            Owner::User(user) => user.admin,
            Owner::Service(service) => service.spec.admin,
        }
    }

    /// For the functions about scopes.
    pub fn scope_owner(&self) -> scope::Owner<'_> {
        match &self.owner {
            Owner::User(user) => scope::Owner::User(&user.name),
            Owner::Service(service) => scope::Owner::Service(&service.spec.name),
        }
    }

    /// Whether a token was shown, so that no other site can have sent the request in the caller's name.
    pub fn by_token(&self) -> bool {
        matches!(self.via, Via::Token { .. })
    }

    /// The browser session.
    pub fn session_id(&self) -> Option<&str> {
        match &self.via {
            Via::Token { session_id, .. } | Via::Cookie { session_id } => session_id.as_deref(),
        }
    }
}

/// The value of `Authorization: token X` or `Bearer X`; the word in any case.
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let (word, value) = header.split_once(char::is_whitespace)?;
    let value = value.trim();
    let known = word.eq_ignore_ascii_case("token") || word.eq_ignore_ascii_case("bearer");
    (known && !value.is_empty() && !value.contains(char::is_whitespace)).then_some(value)
}

/// Recognises the caller of a REST request: the header first, then the login cookie.
pub async fn of_api(request: &HttpRequest, app: &App) -> Result<Option<Arc<Caller>>, Problem> {
    if let Some(text) = bearer(request)
        && let Some(caller) = by_token(app, text).await?
    {
        return Ok(Some(caller));
    }
    Ok(of_page(request, app).await?.map(Arc::new))
}

/// Recognises the caller of a page: by the login cookie only. Somebody who has to choose a password first is nobody.
pub async fn of_page(request: &HttpRequest, app: &App) -> Result<Option<Caller>, Problem> {
    let found = of_login(request, app).await?;
    Ok(found.filter(|found| !found.must_change_password).map(|found| found.caller))
}

/// Somebody with a valid login cookie.
pub struct LoggedIn {
    /// Who it is.
    pub caller: Caller,
    /// Somebody else has set the password: nothing but choosing another, and logging out, is open.
    pub must_change_password: bool,
}

/// Recognises a login cookie, also of somebody who has to choose a password first.
pub async fn of_login(request: &HttpRequest, app: &App) -> Result<Option<LoggedIn>, Problem> {
    let Some(login) = cookies::login(request, app) else { return Ok(None) };
    let Some(user) = app.store.user_by_cookie_id(&login.cookie_id).await? else { return Ok(None) };
    let now = app.now();
    let Some(session_id) = session_of(app, &login, &user, now).await? else { return Ok(None) };
    touch_user(app, &user, now).await;
    let Held { rights, groups, .. } = rights_of_user(&app.store, &app.catalogue, &user, now).await?;
    let must_change_password = match app.login.passwords() {
        Some(_) => app.store.password(user.id).await?.is_some_and(|password| password.must_change),
        None => false,
    };
    let via = Via::Cookie { session_id };
    let upstream = app.upstream.shown_failure(user.id).await?;
    let caller = Caller { owner: Owner::User(user), rights, groups, via, upstream };
    Ok(Some(LoggedIn { caller, must_change_password }))
}

/// The session a login is good in; `None` when it is good in none. JupyterHub's logins need no session.
async fn session_of(
    app: &App,
    login: &cookies::LoginCookie,
    user: &User,
    now: Time,
) -> Result<Option<Option<String>>, Problem> {
    let mut ended = false;
    for id in &login.session_ids {
        match app.store.session(id).await? {
            Some(session) if session.user_id == user.id && session.is_valid(now) => return Ok(Some(Some(id.clone()))),
            Some(session) => ended |= session.user_id == user.id,
            None => {}
        }
    }
    // JupyterHub keeps no sessions: its cookies count if they were made before Specola took over.
    let by_jupyterhub = !ended && is_by_jupyterhub(app, login);
    Ok(by_jupyterhub.then(|| login.session_ids.first().cloned()))
}

/// Whether a login cookie was made before Specola took over.
pub fn is_by_jupyterhub(app: &App, login: &cookies::LoginCookie) -> bool {
    login.signed_at + SIGNED_WITHIN <= app.adopted_at
}

/// What a token is remembered by; never the token itself.
pub type TokenDigest = [u8; 32];

/// A token in force and its owner.
pub struct Holder {
    token: Token,
    caller: Arc<Caller>,
    /// When the caller's rights end by themselves, if they do: no write to the database tells of that.
    until: Option<Time>,
}

/// Recognises the owner of a token.
pub async fn by_token(app: &App, text: &str) -> Result<Option<Arc<Caller>>, Problem> {
    if text.len() > token::LONGEST {
        return Ok(None);
    }
    let now = app.now();
    let digest: TokenDigest = Sha256::digest(text.as_bytes()).into();
    let Some(mut holder) = app.tokens.get(&app.store, digest, holder_of(app, text, now)).await? else {
        return Ok(None);
    };
    if holder.until.is_some_and(|end| end <= now) {
        // Remembered from before a share ended.
        let Some(fresh) = holder_of(app, text, now).await? else { return Ok(None) };
        holder = Arc::new(fresh);
    }
    if holder.token.expires_at.is_some_and(|end| end <= now) {
        return Ok(None);
    }
    if was_asked_about(app, &holder, now).await? {
        // They may have other groups now, or be nobody any more.
        let Some(fresh) = holder_of(app, text, now).await? else { return Ok(None) };
        holder = Arc::new(fresh);
    }
    touch_token(app, &holder.token, &holder.caller, now).await;
    Ok(Some(holder.caller.clone()))
}

/// Asks the identity provider about the owner of a token that nobody has used for a while: whoever is not about is not asked
/// about, and may have left long ago. Whether it was asked. One that does not answer changes nothing.
async fn was_asked_about(app: &App, holder: &Holder, now: Time) -> Result<bool, Problem> {
    let Ok(age) = TimeDelta::from_std(app.config.auth.refresh_age()) else { return Ok(false) };
    let has_slept = holder.token.last_activity.is_none_or(|last| now - last > ABOUT);
    let Some(user) = holder.caller.user().filter(|_| has_slept && !app.login.providers().is_empty()) else {
        return Ok(false);
    };
    let due = app.store.upstream(user.id).await?.and_then(|upstream| upstream.due_at);
    if age.is_zero() || due.is_none_or(|due| due > now) {
        return Ok(false);
    }
    match app.upstream.check(user.id, age).await {
        Ok(()) | Err(Refused::NotAdmitted | Refused::Failed(_)) => Ok(true),
        Err(Refused::NotKept | Refused::Target(_)) => Ok(false),
        Err(Refused::Problem(problem)) => {
            tracing::warn!(user = user.name, "not asked who they are now: {problem}");
            Ok(false)
        }
    }
}

async fn holder_of(app: &App, text: &str, now: Time) -> Result<Option<Holder>, Problem> {
    let candidates = app.store.tokens_by_prefix(token::prefix(text), now).await?;
    let found = candidates.into_iter().find(|candidate| app.proofs.verify(candidate.hashed.expose(), text));
    let Some(token) = found else { return Ok(None) };
    let owner = owner_of(app, &token, now).await?;
    Ok(owner.map(|(caller, until)| Holder { token, caller: Arc::new(caller), until }))
}

/// The owner with the token's rights, and when they end by themselves.
async fn owner_of(app: &App, found: &Token, now: Time) -> Result<Option<(Caller, Option<Time>)>, Problem> {
    let (store, catalogue) = (&app.store, &app.catalogue);
    let (owner, held) = match found.owner {
        TokenOwner::User(id) => {
            let Some(user) = store.user_by_id(id).await? else { return Ok(None) };
            if store.refusal(id).await?.is_some() || has_to_log_in(app, found, id).await? {
                return Ok(None);
            }
            let held = rights_of_user(store, catalogue, &user, now).await?;
            (Owner::User(user), held)
        }
        TokenOwner::Service(id) => {
            let Some(service) = store.service_by_id(id).await? else { return Ok(None) };
            let roles = store.roles_of_service(id).await?;
            let scopes = roles.iter().flat_map(|role| &role.scopes);
            let rights = Rights::of_service(catalogue, &service.spec.name, scopes);
            (Owner::Service(service), Held { rights, groups: Vec::new(), until: None })
        }
    };
    let via = Via::Token { id: found.id, session_id: found.session_id.clone() };
    let mut caller = Caller { owner, rights: held.rights, groups: held.groups, via, upstream: None };
    caller.rights = rights_of_token(app, found, &caller).await?;
    Ok(Some((caller, held.until)))
}

/// Whether a token waits for a login of its owner's. A server's own goes on, so that no work is lost, and learns by it what
/// keeps it from an access token.
async fn has_to_log_in(app: &App, found: &Token, owner: UserId) -> Result<bool, Problem> {
    let waits = app.config.auth.refresh_is_strict() && app.upstream.needs_login(owner).await?;
    Ok(waits && app.store.server_of_token(found.id).await?.is_none())
}

/// Server tokens never count as the activity of their user. The first use of a token is written at once; whoever made
/// it may be waiting to see it used.
async fn touch_token(app: &App, found: &Token, caller: &Caller, now: Time) {
    if is_recent(found.last_activity, now, app) {
        return;
    }
    if found.last_activity.is_some() {
        app.seen.token(found.id, now);
    } else if let Err(error) = app.store.touch_token(found.id, now).await {
        tracing::warn!("activity of a token not recorded: {error}");
        // The same would happen to the user's, after as long a wait.
        return;
    }
    if let Some(user) = caller.user().filter(|_| !found.note.starts_with("Server at ")) {
        touch_user(app, user, now).await;
    }
}

async fn touch_user(app: &App, user: &User, now: Time) {
    if is_recent(user.last_activity, now, app) {
        return;
    }
    if user.last_activity.is_some() {
        app.seen.user(user.id, now);
    } else if let Err(error) = app.store.touch_user(user.id, now).await {
        tracing::warn!("activity of a user not recorded: {error}");
    }
}

fn is_recent(last: Option<Time>, now: Time, app: &App) -> bool {
    let resolution: Duration = app.config.hub.activity_resolution.duration();
    last.is_some_and(|last| (now - last).to_std().is_ok_and(|since| since < resolution))
}

/// The app of a request; missing only if the server was put together wrongly.
pub fn app_of(request: &HttpRequest) -> Result<web::Data<App>, Problem> {
    request.app_data::<web::Data<App>>().cloned().ok_or_else(|| Problem::internal("request", "no app"))
}

/// Remembers the caller with the request, for the log line and the audit.
pub fn remember(request: &HttpRequest, caller: &Caller) {
    let (token, session) = match &caller.via {
        Via::Token { id, .. } => (Some(*id), None),
        Via::Cookie { session_id } => (None, session_id.clone()),
    };
    let kind = if caller.user().is_some() { "user" } else { "service" };
    request.extensions_mut().insert(Asker { kind, name: caller.name().to_owned(), token, session });
}

/// Who was recognised behind a request.
pub struct Asker {
    /// `user` or `service`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The token that was shown.
    pub token: Option<TokenId>,
    /// The browser session of the cookie.
    pub session: Option<String>,
}

//! `/users/{user}/tokens`: making, listing and revoking API tokens. The token page takes the same road.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::TimeDelta;
use hub_core::id::TokenId;
use hub_core::scope::{Client, Membership, RawScope, Rights, Scope, Target};
use hub_core::secret::Secret;
use hub_core::{role, scope, token};
use hub_store::{HUB_CLIENT, NewToken, Token, TokenOwner, User};
use serde_json::{Map, Value, json};

use super::{body, view};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::caller::{Caller, Owner, Via};
use crate::http::guard::{Anybody, OnUser, rights};
use crate::http::origin::Origin;
use crate::http::{Answer, Problem, held, url};
use crate::login::Outcome;

/// The longest note the database holds, in characters.
const NOTE: usize = 1023;

/// What a new token should be.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// What it is for.
    pub note: String,
    /// Seconds; `None` for as long as the hub allows.
    pub expires_in: Option<u64>,
    /// `None` for those of the role `token`; an empty list tells no more than whose token it is.
    pub scopes: Option<Vec<String>>,
}

/// The person itself as a caller: what the rights of the person's tokens are measured against.
pub async fn as_owner(app: &App, user: &User) -> Result<Caller, Problem> {
    let held::Held { rights, groups, .. } = held::rights_of_user(&app.store, &app.catalogue, user, app.now()).await?;
    Ok(Caller {
        owner: Owner::User(user.clone()),
        rights,
        groups,
        via: Via::Cookie { session_id: None },
        upstream: None,
    })
}

/// Makes a token for a user; returns its row and its text, which is told this once.
pub async fn make(app: &App, by: &Actor, user: &User, wish: &Wish) -> Result<(Token, Secret), Problem> {
    let scopes = match &wish.scopes {
        Some(scopes) => scopes.clone(),
        None => scopes_of_roles(app, &[role::TOKEN.name.to_owned()]).await?,
    };
    let owner = as_owner(app, user).await?;
    check_scopes(app, &owner, &scopes).await?;
    let now = app.now();
    let expires_at = lifetime(app, wish.expires_in)?.map(|seconds| now + seconds);
    let mut random = rand::rng();
    let secret = token::generate(&mut random);
    let new = NewToken {
        owner: TokenOwner::User(user.id),
        hashed: Secret::new(token::hash(secret.expose(), token::GENERATED_ROUNDS, &mut random)),
        prefix: token::prefix(secret.expose()).to_owned(),
        client_id: HUB_CLIENT.to_owned(),
        session_id: None,
        note: wish.note.chars().take(NOTE).collect(),
        scopes,
        expires_at,
        now,
    };
    let id = app.store.insert_token(&new).await?;
    let detail = json!({ "made": format!("a{id}"), "note": new.note, "scopes": new.scopes, "expires_at": expires_at });
    app.audited(by, Act::TokenCreate, Object::User(&user.name), detail).await;
    let row = app.store.token(id).await?.ok_or_else(|| Problem::internal("token", "gone after it was made"))?;
    Ok((row, secret))
}

/// Nobody may give what he lacks.
pub(super) async fn check_scopes(app: &App, owner: &Caller, scopes: &[String]) -> Result<(), Problem> {
    if scopes.iter().any(|scope| scope == "inherit") {
        return Ok(());
    }
    let parse = |text: &String| app.catalogue.parse(text).map_err(|error| Problem::bad(error.to_string()));
    let wanted: BTreeSet<RawScope> = scopes.iter().map(parse).collect::<Result<_, _>>()?;
    let wanted = Rights::expand(&app.catalogue, &wanted, owner.scope_owner(), Client::Hub);
    let mut members = Membership::none();
    for user in scope::questions(&wanted, &owner.rights) {
        let groups = held::groups_of_name(app, &user).await?;
        members.learn(user, groups);
    }
    let lacking = owner.rights.lacks(&wanted, &members);
    if lacking.is_empty() {
        return Ok(());
    }
    let (lacking, name) = (lacking.join(", "), owner.name());
    let kind = if owner.user().is_some() { "User" } else { "Service" };
    Err(Problem::bad(format!("Not assigning requested scopes {lacking} not held by {kind} {name}")))
}

fn lifetime(app: &App, wanted: Option<u64>) -> Result<Option<TimeDelta>, Problem> {
    let most = app.config.hub.token_expires_in_max_seconds;
    let seconds = match (wanted, most) {
        (Some(0), _) => return Err(Problem::bad("expires_in must be a positive integer")),
        (wanted, 0) => wanted,
        (None, most) => Some(most),
        (Some(wanted), most) if wanted > most => {
            return Err(Problem::bad(format!("expires_in: {wanted} must not exceed {most}")));
        }
        (wanted, _) => wanted,
    };
    let too_long = || Problem::bad("expires_in is too large");
    let convert = |seconds: u64| i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).ok_or_else(too_long);
    let lifetime = seconds.map(convert).transpose()?;
    if lifetime.is_some_and(|lifetime| lifetime > TimeDelta::days(365_000)) { Err(too_long()) } else { Ok(lifetime) }
}

/// The model of a token, with the scopes it has at this moment.
pub async fn model(app: &App, token: &Token, owner: &Caller) -> Result<Value, Problem> {
    let scopes = held::rights_of_token(app, token, owner).await?.scopes();
    Ok(view::token(token, ("user", owner.name()), &scopes))
}

/// `GET /users/{user}/tokens`
pub async fn list(app: web::Data<App>, on: OnUser<rights::ReadTokens>) -> Answer {
    let owner = as_owner(&app, on.user()).await?;
    let mut models = Vec::new();
    for token in app.store.tokens_of(TokenOwner::User(on.user().id), app.now()).await? {
        models.push(model(&app, &token, &owner).await?);
    }
    Ok(HttpResponse::Ok().json(json!({ "api_tokens": models })))
}

/// `POST /users/{user}/tokens`
pub async fn create(request: HttpRequest, app: web::Data<App>, who: Anybody, bytes: web::Bytes) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    let caller = match who.0 {
        Some(caller) => caller,
        None => Arc::new(by_password(&request, &app, object.get("auth")).await?),
    };
    let name = url::piece(&request, "user")?;
    let refused = || Problem::forbidden(format!("User {name} not found or no permissions to generate tokens"));
    let user = app.store.user(&name).await?.ok_or_else(refused)?;
    let groups = app.store.groups_of(user.id).await?;
    if !caller.rights.reach(Scope::Tokens).covers(&Target::User { name: &user.name, groups: &groups }) {
        return Err(refused());
    }
    check_grant(&caller, &user)?;
    let mut wish = wish(&app, &object).await?;
    if wish.note.is_empty() {
        wish.note = match &caller.owner {
            Owner::User(by) if by.id == user.id => "Requested via api".to_owned(),
            Owner::User(by) => format!("Requested via api by user {}", by.name),
            Owner::Service(by) => format!("Requested via api by service {}", by.spec.name),
        };
    }
    let by = match caller.by_token() || caller.session_id().is_some() {
        true => Actor::of(&request, &app),
        false => Actor::person(&request, &app, caller.name()),
    };
    let (row, secret) = make(&app, &by, &user, &wish).await?;
    let mut model = model(&app, &row, &as_owner(&app, &user).await?).await?;
    model["token"] = secret.expose().into();
    Ok(HttpResponse::Created().json(model))
}

/// A token carries its owner's rights, so one of an administrator's is the right to administer: only administrators
/// give that. JupyterHub lets everybody who holds `tokens`.
pub fn check_grant(caller: &Caller, user: &User) -> Result<(), Problem> {
    let own = caller.user().is_some_and(|caller| caller.id == user.id);
    if user.admin && !own && !caller.is_admin() {
        return Err(Problem::forbidden("Only admins can make tokens of other admins"));
    }
    Ok(())
}

/// Somebody who shows name and password in the body, as the login form does. Nobody else's browser can have sent them.
async fn by_password(request: &HttpRequest, app: &App, auth: Option<&Value>) -> Result<Caller, Problem> {
    let wrong = || Problem::forbidden("Missing or invalid credentials.");
    let text = |key: &str| auth.and_then(|auth| auth.get(key)).and_then(Value::as_str);
    let (Some(name), Some(password)) = (text("username"), text("password")) else { return Err(wrong()) };
    let address = Origin::of(request, app).address.parse().ok();
    let password = Secret::new(password);
    match app.login.authenticate(&app.store, app.clock.as_ref(), name.trim(), &password, address).await {
        Outcome::Welcome(identity) if !identity.must_change_password => {
            let user = app.store.user(identity.name.as_str()).await?.ok_or_else(wrong)?;
            Ok(as_owner(app, &user).await?)
        }
        Outcome::Welcome(_) => Err(Problem::forbidden("Log in and choose a password of your own first.")),
        Outcome::Refused(refusal) => {
            app.audited_failure(request, name, &format!("{refusal:?}")).await;
            Err(wrong())
        }
        Outcome::Throttled { retry_after } => {
            let status = actix_web::http::StatusCode::TOO_MANY_REQUESTS;
            Err(Problem::new(status, "Too many wrong passwords").retry_after(retry_after.as_secs().max(1)))
        }
        Outcome::Unavailable => {
            let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
            Err(Problem::new(status, "Logging in does not work at the moment").retry_after(5))
        }
    }
}

async fn wish(app: &App, object: &Map<String, Value>) -> Result<Wish, Problem> {
    // Older scripts name the user in the body too, as JupyterHub lets them.
    body::only(object, &["note", "expires_in", "scopes", "roles", "auth", "username"])?;
    let expires_in = match object.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let wrong = || Problem::bad("expires_in must be a positive integer");
            Some(value.as_u64().filter(|seconds| *seconds > 0).ok_or_else(wrong)?)
        }
    };
    let scopes = body::texts(object, "Token", "scopes")?;
    let scopes = match body::texts(object, "Token", "roles")? {
        Some(_) if scopes.is_some() => {
            return Err(Problem::bad("Can only assign one of scopes or roles when creating tokens."));
        }
        Some(roles) => Some(scopes_of_roles(app, &roles).await?),
        None => scopes,
    };
    Ok(Wish { note: body::text(object, "Token", "note")?.unwrap_or_default(), expires_in, scopes })
}

/// The scopes that roles have now: what the token gets; it does not follow the roles.
async fn scopes_of_roles(app: &App, roles: &[String]) -> Result<Vec<String>, Problem> {
    let mut scopes = BTreeSet::new();
    for name in roles {
        let role = app.store.role(name).await?;
        scopes.extend(role.ok_or_else(|| Problem::bad(format!("No such role: {name}")))?.scopes);
    }
    Ok(scopes.into_iter().collect())
}

fn no_such_token() -> Problem {
    Problem::new(actix_web::http::StatusCode::NOT_FOUND, "No such token")
}

/// Finds a user's token by its id in the API, `a5`.
pub async fn find(app: &App, user: &User, id: &str) -> Result<Token, Problem> {
    let id = id.strip_prefix('a').and_then(|digits| digits.parse().ok()).map(TokenId).ok_or_else(no_such_token)?;
    let token = app.store.token(id).await?.filter(|token| token.owner == TokenOwner::User(user.id));
    token.filter(|token| token.expires_at.is_none_or(|end| end > app.now())).ok_or_else(no_such_token)
}

/// Revokes a token; one that an OAuth client holds takes all that client's tokens of the user with it.
pub async fn revoke(app: &App, by: &Actor, user: &User, token: &Token) -> Result<(), Problem> {
    match token.client_id.as_deref() {
        None | Some(HUB_CLIENT) => drop(app.store.delete_token(token.id).await?),
        Some(client_id) => drop(app.store.delete_tokens_of_client(user.id, client_id).await?),
    }
    let detail = json!({ "revoked": format!("a{}", token.id), "client": token.client_id, "note": token.note });
    app.audited(by, Act::TokenRevoke, Object::User(&user.name), detail).await;
    Ok(())
}

/// `GET /users/{user}/tokens/{token}`
pub async fn get(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadTokens>) -> Answer {
    let token = find(&app, on.user(), &url::piece(&request, "token")?).await?;
    let owner = as_owner(&app, on.user()).await?;
    Ok(HttpResponse::Ok().json(model(&app, &token, &owner).await?))
}

/// `DELETE /users/{user}/tokens/{token}`
pub async fn delete(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::Tokens>) -> Answer {
    let token = find(&app, on.user(), &url::piece(&request, "token")?).await?;
    revoke(&app, &Actor::of(&request, &app), on.user(), &token).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! `/users`, `/users/{user}` and `/user`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::name::UserName;
use hub_core::scope::{Reach, Rights, Scope};
use hub_core::token;
use hub_store::{Only, Server, Service, Sort, SortKey, StoreError, User, UserQuery, UserState};
use serde_json::{Map, Value, json};
use spawners::{Identity, RenameError, Renaming};

use super::body;
use super::listing::Window;
use super::view::{self, Places, UserModel};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::folders::people as folders;
use crate::hook::auth_state::AuthState;
use crate::http::caller::{Caller, Owner};
use crate::http::guard::{Anyone, Listing, May, OnUser, rights};
use crate::http::{Answer, Problem, url};
use crate::intent;
use crate::keeper;
use crate::people::{self, Person};

/// The places of this app's models.
pub fn places(app: &App) -> Places<'_> {
    let origin = Some(app.keeper.recipe().public_origin.as_str()).filter(|origin| !origin.is_empty());
    Places { paths: &app.paths, public_origin: origin }
}

fn include_stopped(request: &HttpRequest) -> bool {
    let value = url::argument(request, "include_stopped_servers").unwrap_or_else(|| "0".into());
    !matches!(value.to_lowercase().as_str(), "0" | "false")
}

/// The model of one person as a value; an empty object when the rights reveal nothing.
fn model_of(app: &App, person: &Person, rights: &Rights, stopped: bool) -> Value {
    let places = places(app);
    let model = UserModel::new(person, rights, stopped, &places);
    model.and_then(|model| serde_json::to_value(model).ok()).unwrap_or_else(|| json!({}))
}

/// The model of a user as it is now, with the `auth_state` for those who may see it.
pub async fn model(app: &App, user: &User, rights: &Rights, stopped: bool) -> Result<Value, Problem> {
    let people = people::complete(&app.store, vec![user.clone()]).await?;
    match people.first() {
        Some(person) => whole_model(app, person, rights, stopped).await,
        None => Ok(json!({})),
    }
}

/// The model of one person. Lists leave the `auth_state` out, as JupyterHub's do: it is decrypted one by one.
async fn whole_model(app: &App, person: &Person, rights: &Rights, stopped: bool) -> Result<Value, Problem> {
    let mut model = model_of(app, person, rights, stopped);
    if rights.user_fields(&person.user.name, &person.groups).auth_state
        && let Some(shown) = model.get_mut("auth_state")
    {
        *shown = app.hooks.auth_states.read(&app.store, person.user.id, app.now()).await?;
    }
    Ok(model)
}

/// `GET /users`
pub async fn list(request: HttpRequest, app: web::Data<App>, who: Listing<rights::ListUsers>) -> Answer {
    let window = Window::of(&request, &app)?;
    let query = UserQuery {
        state: state(&request)?,
        name_filter: url::argument(&request, "name_filter").filter(|text| !text.is_empty()),
        sort: sort(&request)?,
        offset: window.offset,
        limit: Some(window.limit),
        only: only(&who.0.rights.reach(Scope::ListUsers))?,
        ..UserQuery::default()
    };
    let page = app.people.list(&app.store, &query).await?;
    let (stopped, places) = (include_stopped(&request), places(&app));
    let models = page.items.iter().filter_map(|person| UserModel::new(person, &who.0.rights, stopped, &places));
    let models: Vec<UserModel> = models.collect();
    Ok(window.answer(&request, &app, &models, page.total))
}

fn state(request: &HttpRequest) -> Result<Option<UserState>, Problem> {
    match url::argument(request, "state").as_deref() {
        None | Some("") => Ok(None),
        Some("active") => Ok(Some(UserState::Active)),
        Some("inactive") => Ok(Some(UserState::Inactive)),
        Some("ready") => Ok(Some(UserState::Ready)),
        Some(other) => Err(Problem::bad(format!("Unrecognized state filter: '{other}'"))),
    }
}

fn sort(request: &HttpRequest) -> Result<Sort, Problem> {
    let text = url::argument(request, "sort").unwrap_or_else(|| "id".into());
    let descending = text.starts_with('-');
    let key = match text.strip_prefix('-').unwrap_or(&text) {
        "id" => SortKey::Id,
        "name" => SortKey::Name,
        "last_activity" => SortKey::LastActivity,
        _ => return Err(Problem::bad(format!("sort must be 'id', 'name', or 'last_activity', not '{text}'"))),
    };
    Ok(Sort { key, descending })
}

/// Restricts a list of users to what a filtered scope names. A filter of another kind must not widen to everything.
pub fn only(reach: &Reach) -> Result<Option<Only>, Problem> {
    match reach {
        Reach::All => Ok(None),
        Reach::Only(filters) if filters.servers.is_empty() && filters.services.is_empty() => Ok(Some(Only {
            users: filters.users.iter().cloned().collect(),
            groups: filters.groups.iter().cloned().collect(),
        })),
        _ => Err(Problem::bare(actix_web::http::StatusCode::FORBIDDEN)),
    }
}

/// `GET /users/{user}`
pub async fn get(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadUser>) -> Answer {
    let (rights, stopped, places) = (&on.caller.rights, include_stopped(&request), places(&app));
    match UserModel::new(&on.person, rights, stopped, &places) {
        Some(model) if !model.has_auth_state() => Ok(HttpResponse::Ok().json(model)),
        _ => Ok(HttpResponse::Ok().json(whole_model(&app, &on.person, rights, stopped).await?)),
    }
}

/// `GET /user`: who the credentials belong to, and what they may do.
pub async fn whoami(request: HttpRequest, app: web::Data<App>, who: Anyone) -> Answer {
    let caller = who.0;
    let mut rights = caller.rights.clone();
    rights.identify(caller.scope_owner());
    let mut model = match &caller.owner {
        Owner::User(user) => model(&app, user, &rights, include_stopped(&request)).await?,
        Owner::Service(service) => service_itself(&app, service, &rights).await?,
    };
    let id = match &caller.via {
        crate::http::caller::Via::Token { id, .. } => Some(format!("a{id}")),
        crate::http::caller::Via::Cookie { .. } => None,
    };
    if let Some(model) = model.as_object_mut() {
        let session = if caller.by_token() { caller.session_id() } else { None };
        model.insert("token_id".into(), id.into());
        model.insert("session_id".into(), session.into());
        // Not those that were added to show the caller itself.
        model.insert("scopes".into(), json!(caller.rights.scopes()));
    }
    Ok(HttpResponse::Ok().json(model))
}

/// A service as it sees itself, as far as the rights reveal.
pub async fn service_itself(app: &App, service: &Service, rights: &Rights) -> Result<Value, Problem> {
    let roles = app.store.roles_of_service(service.id).await?;
    let roles: Vec<String> = roles.into_iter().map(|role| role.name).collect();
    Ok(view::service_itself(service, &roles, &app.paths, rights).unwrap_or_else(|| json!({})))
}

/// Only administrators make administrators, whatever else a caller may do.
fn may_grant_admin(caller: &Caller, admin: bool) -> Result<(), Problem> {
    if admin && !caller.is_admin() {
        Err(Problem::forbidden("Only admins can grant admin permissions"))
    } else {
        Ok(())
    }
}

/// `POST /users`
pub async fn create_many(
    request: HttpRequest,
    app: web::Data<App>,
    who: May<rights::AdminUsers>,
    bytes: web::Bytes,
) -> Answer {
    let must = || Problem::bad("Must specify at least one user to create");
    let object = body::object(&bytes)?.ok_or_else(must)?;
    let names = body::texts(&object, "User", "usernames")?.filter(|names| !names.is_empty()).ok_or_else(must)?;
    body::only_given(&object, "User", &["usernames", "admin"])?;
    let admin = body::flag(&object, "User", "admin")?.unwrap_or(false);
    let created = make(&app, &Actor::of(&request, &app), &who.0, &names, admin).await?;
    let people = people::complete(&app.store, created).await?;
    let models: Vec<Value> = people.iter().map(|person| model_of(&app, person, &who.0.rights, false)).collect();
    Ok(HttpResponse::Created().json(models))
}

/// Makes users, for a caller who may; the admin panel takes the same road. Those that exist already are passed over, and
/// one name that cannot be keeps all from being made.
pub async fn make(app: &App, by: &Actor, caller: &Caller, names: &[String], admin: bool) -> Result<Vec<User>, Problem> {
    may_grant_admin(caller, admin)?;
    let names: Vec<String> =
        names.iter().map(|name| UserName::normalise(name, &app.config.auth.username_map)).collect();
    let invalid: Vec<&str> = names.iter().map(String::as_str).filter(|name| !app.login.is_user_name(name)).collect();
    if !invalid.is_empty() {
        let word = if invalid.len() == 1 { "username" } else { "usernames" };
        return Err(Problem::bad(format!("Invalid {word}: {}", invalid.join(", "))));
    }
    let mut created = Vec::new();
    for name in &names {
        match create(app, by, name, admin).await {
            Ok(user) => created.push(user),
            Err(StoreError::Conflict(_)) => tracing::warn!(user = name, "the user exists already"),
            Err(error) => return Err(error.into()),
        }
    }
    if created.is_empty() {
        return Err(Problem::conflict(format!("All {} users already exist", names.len())));
    }
    Ok(created)
}

async fn create(app: &App, by: &Actor, name: &str, admin: bool) -> Result<User, StoreError> {
    let cookie_id = token::generate_id(&mut rand::rng());
    let user = app.store.create_user(name, admin, &cookie_id, app.now()).await?;
    app.audited(by, Act::UserCreate, Object::User(name), json!({ "admin": admin })).await;
    Ok(user)
}

/// `POST /users/{user}`. The scope must be held without filter, or for this very name.
pub async fn create_one(request: HttpRequest, app: web::Data<App>, who: Anyone, bytes: web::Bytes) -> Answer {
    let name = url::piece(&request, "user")?;
    let target = hub_core::scope::Target::User { name: &name, groups: &[] };
    let any_of = [Scope::AdminUsers];
    crate::http::guard::require(who.0.rights.may_any(&any_of, &target), &any_of)?;
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only_given(&object, "User", &["name", "admin", "groups", "roles", "auth_state"])?;
    let admin = body::flag(&object, "User", "admin")?.unwrap_or(false);
    if app.store.user(&name).await?.is_some() {
        return Err(Problem::conflict(format!("User {name} already exists")));
    }
    may_grant_admin(&who.0, admin)?;
    UserName::parse(&name).map_err(|error| Problem::bad(format!("Invalid username: {name}: {error}")))?;
    if !app.login.is_user_name(&name) {
        return Err(Problem::bad(format!("Invalid username: {name}")));
    }
    let user = match create(&app, &Actor::of(&request, &app), &name, admin).await {
        Err(StoreError::Conflict(_)) => return Err(Problem::conflict(format!("User {name} already exists"))),
        other => other?,
    };
    Ok(HttpResponse::Created().json(model(&app, &user, &who.0.rights, false).await?))
}

/// `PATCH /users/{user}`: name, admin and `auth_state`. The same name is no change.
pub async fn change(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnUser<rights::AdminUsers>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.ok_or_else(|| Problem::bad("Must specify what to change"))?;
    body::only_given(&object, "User", &["name", "admin", "auth_state"])?;
    let admin = body::flag(&object, "User", "admin")?;
    let auth_state = auth_state(&app, &object)?;
    let name = body::text(&object, "User", "name")?;
    let by = Actor::of(&request, &app);
    let user = edit(&app, &by, &on.caller, on.user(), name.as_deref(), admin).await?;
    if let Some(state) = &auth_state {
        app.hooks.auth_states.write(&app.store, user.id, Some(state), app.now()).await?;
        app.audited(&by, Act::UserAuthState, Object::User(&user.name), Value::Null).await;
    }
    let mut model = model(&app, &user, &on.caller.rights, false).await?;
    // The key is always there, as in JupyterHub; what it holds is for those who may see it, there for everybody.
    if let Some(model) = model.as_object_mut() {
        model.entry("auth_state").or_insert(Value::Null);
    }
    Ok(HttpResponse::Ok().json(model))
}

/// The state to keep, where a body has one.
fn auth_state(app: &App, object: &Map<String, Value>) -> Result<Option<AuthState>, Problem> {
    match object.get("auth_state") {
        None => Ok(None),
        Some(Value::Object(_)) if !app.hooks.auth_states.has_key() => {
            Err(Problem::bad("This hub has no key to keep an auth_state with"))
        }
        Some(state @ Value::Object(_)) => Ok(Some(AuthState(state.clone()))),
        Some(_) => Err(Problem::bad("User.auth_state must be an object")),
    }
}

/// Changes name and admin flag of a user, for a caller who may; the admin panel takes the same road. Returns the user as
/// it is then.
pub async fn edit(
    app: &App,
    by: &Actor,
    caller: &Caller,
    user: &User,
    name: Option<&str>,
    admin: Option<bool>,
) -> Result<User, Problem> {
    if user.admin && may_grant_admin(caller, true).is_err() {
        return Err(Problem::forbidden("Only admins can modify other admins"));
    }
    may_grant_admin(caller, admin == Some(true))?;
    if let Some(name) = name {
        rename(app, by, user, name).await?;
    }
    if let Some(admin) = admin {
        app.store.set_admin(user.id, admin).await?;
    }
    let changed = app.store.user_by_id(user.id).await?.ok_or_else(Problem::not_found)?;
    if changed.admin != user.admin {
        let act = if changed.admin { Act::AdminGrant } else { Act::AdminRevoke };
        app.audited(by, act, Object::User(&changed.name), Value::Null).await;
    }
    Ok(changed)
}

async fn rename(app: &App, by: &Actor, user: &User, name: &str) -> Result<(), Problem> {
    let name = UserName::normalise(name, &app.config.auth.username_map);
    if name == user.name {
        return Ok(());
    }
    if !app.login.is_user_name(&name) {
        return Err(Problem::bad(format!("Invalid username: {name}")));
    }
    let servers = app.store.servers_of(&[user.id]).await?;
    // Its route, its OAuth client and its environment carry the old name.
    let runs = || Problem::bad(format!("{} has running servers; stop them before the name is changed", user.name));
    if servers.iter().any(view::is_active) {
        return Err(runs());
    }
    let taken = || Problem::bad(format!("User {name} already exists, username must be unique"));
    if app.store.user(&name).await?.is_some() {
        return Err(taken());
    }
    keep_storage(app, user, &name, &servers).await?;
    let names: Vec<String> = servers.into_iter().map(|server| server.name).collect();
    // First what may take long. Volumes are given back by a hub that died after it, folders are not.
    let left = folders::leave_volumes(app, user, &name, &names).await?;
    let restore = async || {
        if let Some(left) = &left
            && let Err(error) = app.store.restore_volumes(&left.entry).await
        {
            tracing::error!(user = user.name, entry = left.entry, "their volumes stay in the trash: {error}");
        }
    };
    if let Err(error) = folders::follow_name(&app.config.folders, &user.name, &name).await {
        tracing::error!(user = user.name, "{error:#}");
        restore().await;
        return Err(Problem::conflict(format!("The folders of {} cannot be renamed to {name}", user.name)));
    }
    let renamed = app.store.rename_user(user.id, &name).await;
    if !matches!(renamed, Ok(true)) {
        if let Err(error) = folders::follow_name(&app.config.folders, &name, &user.name).await {
            tracing::error!(user = user.name, "the folders carry the name {name} now: {error:#}");
        }
        restore().await;
    }
    match renamed {
        Ok(true) => {
            folders::take_up(app, by, user, &name).await;
            if let Some(left) = left {
                let detail = json!({ "entry": left.entry, "remove_at": null, "volumes": left.volumes });
                app.audited(by, Act::FoldersTrash, Object::User(&user.name), detail).await;
            }
            app.audited(by, Act::UserRename, Object::User(&user.name), json!({ "name": name })).await;
            Ok(())
        }
        // One was started meanwhile; somebody who was deleted meanwhile has none.
        Ok(false) => Err(runs()),
        Err(StoreError::Conflict(_)) => Err(taken()),
        Err(error) => Err(error.into()),
    }
}

/// Lets the driver see to it that what it keeps for somebody stays theirs under another name.
async fn keep_storage(app: &App, user: &User, name: &str, servers: &[Server]) -> Result<(), Problem> {
    let account = keeper::account(user.id, user.created);
    let identities: Vec<Identity> = servers.iter().map(|server| app.keeper.identity(server)).collect();
    let renaming = Renaming { account: &account, user: &user.name, name, servers: &identities };
    match app.driver.rename(&renaming).await {
        Ok(()) => Ok(()),
        Err(RenameError::Refused(sentence)) => Err(Problem::conflict(sentence)),
        Err(RenameError::Unreachable(error)) => {
            tracing::warn!(user = user.name, "not renamed: {error}");
            let message = format!("Where servers run cannot be asked, so that {} keeps the name", user.name);
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message).advise("Try again in a few minutes."))
        }
    }
}

/// `DELETE /users/{user}`: stops all its servers first.
pub async fn delete(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::DeleteUsers>) -> Answer {
    remove_for(&app, &Actor::of(&request, &app), &on.caller, on.user()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes a user for a caller who may; the admin panel takes the same road.
pub async fn remove_for(app: &App, by: &Actor, caller: &Caller, user: &User) -> Result<(), Problem> {
    if caller.user().is_some_and(|caller| caller.id == user.id) {
        return Err(Problem::bad("Cannot delete yourself!"));
    }
    remove(app, by, user).await
}

/// Deletes a user for good, with all servers, which are stopped first.
pub async fn remove(app: &App, by: &Actor, user: &User) -> Result<(), Problem> {
    let mine = app.store.servers_of(&[user.id]).await?;
    for server in mine.iter().filter(|server| view::is_active(server)) {
        intent::want_stopped(app, by, server).await?;
    }
    for server in mine.iter().filter(|server| view::is_active(server)) {
        if !intent::wait_for(app, server.id, intent::Until::Stopped).await? {
            let name = &user.name;
            return Err(Problem::bad(format!("{name}'s server is in the process of stopping, please wait.")));
        }
    }
    for server in &mine {
        if !intent::remove(app, by, server.id).await? {
            let message = format!("Where servers run cannot be asked, so that {} is not deleted", user.name);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
                .advise("Try again in a few minutes.")
                .retry_after(60));
        }
    }
    if !app.store.servers_of(&[user.id]).await?.is_empty() {
        // One was started or made meanwhile; without its row nobody would ever stop it.
        return Err(Problem::conflict(format!("{} has started a server again", user.name)));
    }
    // Before the account goes: somebody new of the same name must not find them.
    let servers: Vec<String> = mine.iter().map(|server| server.name.clone()).collect();
    let trashed = folders::put_away(app, by, user, &servers).await?;
    match (app.store.delete_user(user.id).await, trashed) {
        (Ok(true), _) => app.audited(by, Act::UserDelete, Object::User(&user.name), Value::Null).await,
        (Ok(false), _) => {}
        (Err(error), trashed) => {
            folders::take_back(app, by, &user.name, trashed).await;
            return Err(error.into());
        }
    }
    Ok(())
}

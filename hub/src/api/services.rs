//! `/services` and `/services/{service}`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::role;
use hub_core::scope::{Scope, Target};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{Existing, Put, Service, ServiceSpec, TokenOwner};
use serde_json::{Map, Value, json};

use super::{body, tokens, view};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::caller::Caller;
use crate::http::guard::{Listing, OnService, rights};
use crate::http::{Answer, Problem};
use crate::service::spec::{Besides, Wanted};
use crate::service::tokens::{self as service_tokens, Chosen};
use crate::task::routes;

/// Seconds a service made here may take to answer.
const TIMEOUT: i32 = 30;

/// The keys of a service that is to be made, and what each has to be.
const KEYS: [(&str, Kind); 13] = [
    ("admin", Kind::Flag),
    ("url", Kind::Text),
    ("oauth_client_allowed_scopes", Kind::List),
    ("api_token", Kind::Text),
    ("info", Kind::Object),
    ("display", Kind::Flag),
    ("oauth_no_confirm", Kind::Flag),
    ("command", Kind::List),
    ("cwd", Kind::Text),
    ("environment", Kind::Object),
    ("user", Kind::Text),
    ("oauth_client_id", Kind::Text),
    ("oauth_redirect_uri", Kind::Text),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    List,
    Object,
}

/// The model of a service, as far as the caller may see it; empty when that is nothing.
async fn model(app: &App, service: &Service, caller: &Caller) -> Result<Value, Problem> {
    let roles = app.store.roles_of_service(service.id).await?.into_iter().map(|role| role.name).collect::<Vec<_>>();
    Ok(view::service(service, &roles, &app.paths, &caller.rights).unwrap_or_else(|| json!({})))
}

/// `GET /services`: an object by name, all at once.
pub async fn list(app: web::Data<App>, who: Listing<rights::ListServices>) -> Answer {
    let reach = who.0.rights.reach(Scope::ListServices);
    let mut models = Map::new();
    for service in app.store.list_services().await? {
        if reach.covers(&Target::Service(&service.spec.name)) {
            models.insert(service.spec.name.clone(), model(&app, &service, &who.0).await?);
        }
    }
    Ok(HttpResponse::Ok().json(models))
}

async fn find(app: &App, name: &str) -> Result<Option<Service>, Problem> {
    Ok(app.store.service(name).await?)
}

/// `GET /services/{service}`
pub async fn get(app: web::Data<App>, on: OnService<rights::ReadService>) -> Answer {
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("No such service: {}", on.name));
    let service = find(&app, &on.name).await?.ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(model(&app, &service, &on.caller).await?))
}

/// `POST /services/{service}`. JupyterHub waits up to half a minute for the new service to answer; here whoever has
/// made it gets the answer at once and can start it then.
pub async fn create(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnService<rights::AdminServices>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::json(&bytes)?;
    let exists = || Problem::conflict(format!("Service {} already exists", on.name));
    if find(&app, &on.name).await?.is_some() {
        return Err(exists());
    }
    let object = object.as_ref().and_then(Value::as_object).filter(|object| !object.is_empty());
    let object = object.ok_or_else(|| Problem::bad("Invalid service data"))?;
    check_kinds(object)?;
    let wanted = read(&app, &on.name, object)?;
    if !wanted.spec.command.is_empty() {
        return Err(Problem::bad(format!("Can not create managed service {} at runtime", on.name)));
    }
    check_grant(&app, &on.caller, &wanted.spec).await?;
    let secret = check_token(&app, wanted.api_token.as_ref()).await?;
    let client = wanted.client(None, &mut rand::rng());
    match app.store.put_service(&wanted.spec, client.as_ref(), wanted.address.as_ref(), Existing::Refuse).await? {
        Put::Done(_) => {}
        Put::NameTaken => return Err(exists()),
        Put::ClientTaken => return Err(Problem::bad("oauth_client_id belongs to another service")),
    }
    let service = find(&app, &on.name).await?.ok_or_else(|| Problem::internal("service", "gone after it was made"))?;
    if let Some(secret) = secret {
        let owner = TokenOwner::Service(service.id);
        if service_tokens::choose_at_runtime(&app.store, owner, secret, app.now()).await? == Chosen::Taken {
            app.store.delete_service(service.id).await?;
            return Err(Problem::bad("api_token is in use already"));
        }
    }
    routes::put_service(&app, &service).await?;
    app.services.nudge();
    let detail = json!({ "admin": service.spec.admin, "url": service.spec.url });
    app.audited(&Actor::of(&request, &app), Act::ServiceCreate, Object::Service(&on.name), detail).await;
    Ok(HttpResponse::Created().json(model(&app, &service, &on.caller).await?))
}

/// `DELETE /services/{service}`
pub async fn delete(request: HttpRequest, app: web::Data<App>, on: OnService<rights::AdminServices>) -> Answer {
    remove(&app, &Actor::of(&request, &app), &on.name).await?;
    Ok(HttpResponse::Ok().content_type("application/json").finish())
}

/// Deletes a service that was made while the hub runs; the admin panel takes the same road.
pub async fn remove(app: &App, by: &Actor, name: &str) -> Result<(), Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("Service {name} does not exist"));
    let service = find(app, name).await?.ok_or_else(missing)?;
    if service.spec.from_config {
        let message = format!("Service {name} is not modifiable at runtime");
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    app.store.delete_service(service.id).await?;
    routes::delete_service(&app.store, app.keeper.recipe(), app.keeper.signals(), name).await?;
    app.services.nudge();
    app.audited(by, Act::ServiceDelete, Object::Service(name), Value::Null).await;
    Ok(())
}

fn check_kinds(object: &Map<String, Value>) -> Result<(), Problem> {
    // The name is the path's; another one in the body is passed over, as by JupyterHub.
    let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).chain(["name"]).collect();
    body::only(object, &known)?;
    for (key, kind) in KEYS {
        let Some(value) = object.get(key) else { continue };
        let (right, name) = match kind {
            Kind::Text => (value.is_string(), "a string"),
            Kind::Flag => (value.is_boolean(), "a boolean"),
            Kind::List => (value.as_array().is_some_and(|list| list.iter().all(Value::is_string)), "a list of strings"),
            Kind::Object => (value.is_object(), "an object"),
        };
        if !right {
            return Err(Problem::bad(format!("service.{key} must be {name}")));
        }
    }
    Ok(())
}

/// Reads a body whose kinds are right.
fn read(app: &App, name: &str, object: &Map<String, Value>) -> Result<Wanted, Problem> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| object.get(key).and_then(Value::as_bool);
    let list = |key: &str| -> Vec<String> {
        let items = object.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let spec = ServiceSpec {
        name: name.to_owned(),
        admin: flag("admin").unwrap_or(false),
        url: text("url"),
        oauth_client_allowed_scopes: list("oauth_client_allowed_scopes"),
        info: object.get("info").cloned().unwrap_or_default(),
        display: flag("display"),
        oauth_no_confirm: flag("oauth_no_confirm"),
        command: list("command"),
        cwd: text("cwd"),
        environment: object.get("environment").cloned().unwrap_or_default(),
        user: text("user"),
        timeout: TIMEOUT,
        from_config: false,
        oauth_client_id: None,
    };
    let besides = Besides {
        api_token: text("api_token").map(Secret::new),
        client_id: text("oauth_client_id"),
        redirect_uri: text("oauth_redirect_uri"),
    };
    Wanted::complete(spec, besides, &app.paths)
        .map_err(|error| Problem::bad(format!("Failed to create service {name}: {error}")))
}

/// Nobody may give what he lacks: neither to the service itself, nor through it to whoever has it act for others.
///
/// A client with `inherit` acts as whoever opens it, and asks them before. One that does not ask could act as the first
/// administrator who follows a link; that takes an administrator, unlike in JupyterHub.
async fn check_grant(app: &App, caller: &Caller, spec: &ServiceSpec) -> Result<(), Problem> {
    let mut wanted = spec.oauth_client_allowed_scopes.clone();
    let inherits = wanted.iter().any(|scope| scope == "inherit");
    wanted.retain(|scope| scope != "inherit");
    if spec.admin || (inherits && spec.oauth_no_confirm == Some(true)) {
        wanted.extend(role::ADMIN.scopes.iter().map(|scope| (*scope).to_owned()));
    }
    if wanted.is_empty() { Ok(()) } else { tokens::check_scopes(app, caller, &wanted).await }
}

/// A token that can be given to a service: of the right length, and nobody's yet.
async fn check_token<'t>(app: &App, token: Option<&'t Secret>) -> Result<Option<&'t Secret>, Problem> {
    let Some(secret) = token else { return Ok(None) };
    token::check_length(secret.expose()).map_err(|error| Problem::bad(format!("api_token: {error}")))?;
    let candidates = app.store.tokens_by_prefix(token::prefix(secret.expose()), app.now()).await?;
    match candidates.iter().any(|candidate| token::verify(candidate.hashed.expose(), secret.expose())) {
        true => Err(Problem::bad("api_token is in use already")),
        false => Ok(Some(secret)),
    }
}

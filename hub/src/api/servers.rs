//! `/users/{user}/server` and `/users/{user}/servers/{server}`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::life::Phase;
use hub_core::name::DisplayName;
use hub_store::{Server, User};
use serde_json::{Map, Value, json};

use super::view::ServerModel;
use super::{body, users, view};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::guard::{OnServer, rights};
use crate::http::{Answer, Problem};
use crate::keeper::failure::Failure;
use crate::{intent, options};

/// Options of a start. A body with neither `display_name` nor `user_options` is, as of old, the options themselves.
fn start_body(bytes: &[u8]) -> Result<(Option<String>, Option<Value>), Problem> {
    let Some(object) = body::object(bytes)?.filter(|object| !object.is_empty()) else { return Ok((None, None)) };
    if !object.contains_key("display_name") && !object.contains_key("user_options") {
        return Ok((None, Some(Value::Object(object))));
    }
    settings(&object)
}

fn settings(object: &Map<String, Value>) -> Result<(Option<String>, Option<Value>), Problem> {
    let display_name = match body::text(object, "Server", "display_name")?.filter(|text| !text.is_empty()) {
        Some(text) => {
            let parsed =
                DisplayName::parse(&text).map_err(|error| Problem::bad(format!("Invalid display_name: {error}")))?;
            Some(parsed.as_str().to_owned())
        }
        None => None,
    };
    match object.get("user_options") {
        None | Some(Value::Null) => Ok((display_name, None)),
        Some(options @ Value::Object(_)) => Ok((display_name, Some(options.clone()))),
        Some(_) => Err(Problem::bad("Server.user_options must be an object")),
    }
}

/// `POST …/server[s/{server}]`
pub async fn start(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::StartServers>,
    bytes: web::Bytes,
) -> Answer {
    let (display_name, options) = start_body(&bytes)?;
    let server = intent::want_running(&app, &Actor::of(&request, &app), on.user(), &on.name, options).await?;
    if let Some(display_name) = display_name {
        app.store.set_server_display_name(server.id, Some(&display_name)).await?;
    }
    if !intent::wait_for(&app, server.id, intent::Until::Started).await? {
        return Ok(HttpResponse::Accepted().content_type("text/plain").finish());
    }
    let Some(server) = app.store.server_by_id(server.id).await? else { return Err(Problem::not_found()) };
    if view::is_ready(&server) {
        return Ok(HttpResponse::Created().content_type("text/plain").finish());
    }
    match intent::failure(&server) {
        Some(failure) => Err(failed(&failure)),
        None => Err(Problem::bad("The start was cancelled")),
    }
}

/// A refusal is the caller's matter; a failure is the hub's.
pub fn failed(failure: &Failure) -> Problem {
    let status = if failure.refused { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
    Problem::new(status, failure.message.clone()).advise(failure.advice.clone())
}

/// `DELETE …/server[s/{server}]`, with `{"remove": true}` to delete the named server for good.
pub async fn stop(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::DeleteServers>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["remove"])?;
    let remove = body::flag(&object, "Server", "remove")?.unwrap_or(false);
    if !on.name.is_empty() && !app.config.hub.allow_named_servers {
        return Err(Problem::bad("Named servers are not enabled."));
    }
    if remove && on.name.is_empty() {
        return Err(Problem::bad("Cannot delete the default server"));
    }
    let Some(server) = on.server() else {
        let missing =
            || Problem::new(StatusCode::NOT_FOUND, format!("{} has no server named '{}'", on.user().name, on.name));
        return if on.name.is_empty() { Ok(HttpResponse::NoContent().finish()) } else { Err(missing()) };
    };
    let by = Actor::of(&request, &app);
    let is_over = if remove {
        intent::stop_and_remove(&app, &by, server).await?
    } else {
        intent::want_stopped(&app, &by, server).await?;
        intent::wait_for(&app, server.id, intent::Until::Stopped).await?
    };
    if is_over {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Ok(HttpResponse::Accepted().content_type("text/plain").finish())
    }
}

/// `GET …/server[s/{server}]`
pub async fn get(app: web::Data<App>, on: OnServer<rights::ReadServers>) -> Answer {
    let places = users::places(&app);
    if on.server().is_none() && on.name.is_empty() {
        let model = view::never_made(&on.user().name, &on.caller.rights, &on.person.groups, &places);
        return Ok(HttpResponse::Ok().json(model));
    }
    let server = on.server().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(ServerModel::new(server, &on.caller.rights, &on.person.groups, &places)))
}

/// `PUT …/servers/{server}`: makes a server without starting it.
pub async fn put(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::StartServers>,
    bytes: web::Bytes,
) -> Answer {
    let exists = || Problem::conflict(format!("Server {}/{} already exists", on.user().name, on.name));
    if on.server().is_some() || on.name.is_empty() {
        return Err(exists());
    }
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["display_name", "user_options"])?;
    let (display_name, options) = settings(&object)?;
    let by = Actor::of(&request, &app);
    let options = options::to_keep(&app, &by, on.user(), &on.name, options).await?;
    let made = intent::create(&app, &by, on.user(), &on.name, display_name.as_deref(), options.as_ref()).await?;
    let (server, true) = made else { return Err(exists()) };
    let places = users::places(&app);
    Ok(HttpResponse::Created().json(ServerModel::new(&server, &on.caller.rights, &on.person.groups, &places)))
}

/// `PATCH …/server[s/{server}]`: name, display name and options of a stopped server.
pub async fn change(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnServer<rights::StartServers>,
    bytes: web::Bytes,
) -> Answer {
    let server = on.server().ok_or_else(Problem::not_found)?;
    let empty = || Problem::bad("Must specify what to change");
    let object = body::object(&bytes)?.filter(|object| !object.is_empty()).ok_or_else(empty)?;
    body::only(&object, &["name", "display_name", "user_options"])?;
    if server.phase != Phase::Stopped || view::is_active(server) {
        return Err(Problem::bad("The server must be stopped before it is changed"));
    }
    let (display_name, options) = settings(&object)?;
    let options = options::to_keep(&app, &Actor::of(&request, &app), on.user(), &server.name, options).await?;
    if let Some(name) = body::text(&object, "Server", "name")?.filter(|name| *name != server.name) {
        rename(&app, on.user(), server, &name).await?;
    }
    if let Some(display_name) = display_name {
        app.store.set_server_display_name(server.id, Some(&display_name)).await?;
    }
    if let Some(options) = options {
        app.store.set_server_options(server.id, Some(&options)).await?;
    }
    let keys: Vec<&String> = object.keys().collect();
    let (by, was) = (Actor::of(&request, &app), Object::Server(&server.user_name, &server.name));
    app.audited(&by, Act::ServerChange, was, json!({ "changed": keys, "name": object.get("name") })).await;
    let server = app.store.server_by_id(server.id).await?.ok_or_else(Problem::not_found)?;
    let places = users::places(&app);
    Ok(HttpResponse::Ok().json(ServerModel::new(&server, &on.caller.rights, &on.person.groups, &places)))
}

async fn rename(app: &App, user: &User, server: &Server, name: &str) -> Result<(), Problem> {
    let taken = || Problem::conflict(format!("Server {}/{name} already exists", user.name));
    // Everybody has a default server, made or not.
    if name.is_empty() {
        return Err(taken());
    }
    // A default server that gets a name is one named server more.
    if server.name.is_empty() {
        intent::check_new_name(app, user, name).await?;
    } else {
        intent::check_name(app, name)?;
    }
    if app.store.rename_server(server.id, name).await? {
        return Ok(());
    }
    Err(taken())
}

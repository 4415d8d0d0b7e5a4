//! `/groups` and `/groups/{group}`.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::id::UserId;
use hub_core::name::GroupName;
use hub_core::scope::{Reach, Scope};
use hub_store::{Group, GroupQuery, StoreError};
use serde_json::{Map, Value, json};

use super::listing::Window;
use super::{body, view};
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::caller::Caller;
use crate::http::guard::{Listing, May, OnGroup, rights};
use crate::http::{Answer, Problem};

async fn models(app: &App, groups: &[Group], caller: &Caller) -> Result<Vec<Value>, Problem> {
    let ids: Vec<_> = groups.iter().map(|group| group.id).collect();
    let mut members = app.store.members_of(&ids).await?;
    let mut roles = app.store.roles_of_groups(&ids).await?;
    let model = |group: &Group| {
        let members = members.remove(&group.id).unwrap_or_default();
        let roles = roles.remove(&group.id).unwrap_or_default();
        view::group(group, &members, &roles, &caller.rights)
    };
    Ok(groups.iter().filter_map(model).collect())
}

async fn model(app: &App, group: &Group, caller: &Caller) -> Result<Value, Problem> {
    Ok(models(app, std::slice::from_ref(group), caller).await?.pop().unwrap_or_else(|| json!({})))
}

/// The group of this name; 404 when there is none.
pub async fn find(app: &App, name: &str) -> Result<Group, Problem> {
    app.store.group(name).await?.ok_or_else(Problem::not_found)
}

/// The users named in a body; all of them must exist.
async fn named_users(app: &App, object: &Map<String, Value>) -> Result<Named, Problem> {
    users_of(app, body::texts(object, "Group", "users")?.unwrap_or_default()).await
}

/// The users of these names; all of them must exist.
pub async fn users_of(app: &App, names: Vec<String>) -> Result<Named, Problem> {
    let mut named = Named::default();
    for name in names {
        let user = app.store.user(&name).await?;
        named.ids.push(user.ok_or_else(|| Problem::bad(format!("No such user: {name}")))?.id);
        named.names.push(name);
    }
    Ok(named)
}

/// Users that a body or a form names.
#[derive(Default)]
pub struct Named {
    ids: Vec<UserId>,
    names: Vec<String>,
}

fn check_name(name: &str) -> Result<(), Problem> {
    GroupName::parse(name).map(drop).map_err(|error| Problem::bad(format!("Invalid group name: {error}")))
}

/// Makes groups with their members: all of them, or none.
async fn create(app: &App, by: &Actor, names: &[String], members: &Named) -> Result<Vec<Group>, Problem> {
    let groups = match app.store.create_groups(names, &members.ids).await {
        Err(StoreError::Conflict(_)) => return Err(Problem::conflict(taken(app, names).await?)),
        Err(StoreError::Missing(_)) => return Err(Problem::bad("A user of the new groups has just been deleted")),
        other => other?,
    };
    for name in names {
        app.audited(by, Act::GroupCreate, Object::Group(name), json!({ "users": members.names })).await;
    }
    Ok(groups)
}

/// Makes one empty group; the group pages take the same road.
pub async fn make(app: &App, by: &Actor, name: &str) -> Result<(), Problem> {
    check_name(name)?;
    create(app, by, &[name.to_owned()], &Named::default()).await.map(drop)
}

/// Says which of the names exists already.
async fn taken(app: &App, names: &[String]) -> Result<String, Problem> {
    for name in names {
        if app.store.group(name).await?.is_some() {
            return Ok(format!("Group {name} already exists"));
        }
    }
    Ok("A group of this name was just made and deleted".to_owned())
}

/// `GET /groups`
pub async fn list(request: HttpRequest, app: web::Data<App>, who: Listing<rights::ListGroups>) -> Answer {
    let window = Window::of(&request, &app)?;
    let only = match who.0.rights.reach(Scope::ListGroups) {
        Reach::All => None,
        Reach::Only(filters)
            if filters.users.is_empty() && filters.servers.is_empty() && filters.services.is_empty() =>
        {
            Some(filters.groups.iter().cloned().collect())
        }
        _ => return Err(Problem::bare(StatusCode::FORBIDDEN)),
    };
    let query = GroupQuery { offset: window.offset, limit: Some(window.limit), only };
    let page = app.store.list_groups(&query).await?;
    let models = models(&app, &page.items, &who.0).await?;
    Ok(window.answer(&request, &app, &models, page.total))
}

/// `POST /groups`: all of them or none.
pub async fn create_many(
    request: HttpRequest,
    app: web::Data<App>,
    who: May<rights::AdminGroups>,
    bytes: web::Bytes,
) -> Answer {
    let must = || Problem::bad("Must specify at least one group to create");
    let object = body::object(&bytes)?.ok_or_else(must)?;
    body::only_given(&object, "Group", &["groups", "users"])?;
    let mut names = body::texts(&object, "Group", "groups")?.filter(|names| !names.is_empty()).ok_or_else(must)?;
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let members = named_users(&app, &object).await?;
    for name in &names {
        check_name(name)?;
    }
    let created = create(&app, &Actor::of(&request, &app), &names, &members).await?;
    Ok(HttpResponse::Created().json(models(&app, &created, &who.0).await?))
}

/// `GET /groups/{group}`
pub async fn get(app: web::Data<App>, on: OnGroup<rights::ReadGroup>) -> Answer {
    let group = find(&app, &on.name).await?;
    Ok(HttpResponse::Ok().json(model(&app, &group, &on.caller).await?))
}

/// `POST /groups/{group}`
pub async fn create_one(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnGroup<rights::AdminGroups>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only_given(&object, "Group", &["name", "users", "roles"])?;
    check_name(&on.name)?;
    if app.store.group(&on.name).await?.is_some() {
        return Err(Problem::conflict(format!("Group {} already exists", on.name)));
    }
    let members = named_users(&app, &object).await?;
    let name = std::slice::from_ref(&on.name);
    let groups = create(&app, &Actor::of(&request, &app), name, &members).await?;
    Ok(HttpResponse::Created().json(models(&app, &groups, &on.caller).await?.pop().unwrap_or_else(|| json!({}))))
}

/// `DELETE /groups/{group}`
pub async fn delete(request: HttpRequest, app: web::Data<App>, on: OnGroup<rights::DeleteGroups>) -> Answer {
    let group = find(&app, &on.name).await?;
    remove(&app, &Actor::of(&request, &app), &group).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes a group.
pub async fn remove(app: &App, by: &Actor, group: &Group) -> Result<(), Problem> {
    if app.store.delete_group(group.id).await? {
        app.audited(by, Act::GroupDelete, Object::Group(&group.name), Value::Null).await;
    }
    Ok(())
}

/// Makes users members.
pub async fn join(app: &App, by: &Actor, group: &Group, users: &Named) -> Result<(), Problem> {
    app.store.add_members(group.id, &users.ids).await?;
    app.audited(by, Act::MembersAdd, Object::Group(&group.name), json!({ "users": users.names })).await;
    Ok(())
}

/// Ends memberships.
pub async fn leave(app: &App, by: &Actor, group: &Group, users: &Named) -> Result<(), Problem> {
    app.store.remove_members(group.id, &users.ids).await?;
    app.audited(by, Act::MembersRemove, Object::Group(&group.name), json!({ "users": users.names })).await;
    Ok(())
}

/// Replaces the properties of a group.
pub async fn put_properties(app: &App, by: &Actor, group: &Group, new: Map<String, Value>) -> Result<(), Problem> {
    let keys: Vec<String> = new.keys().cloned().collect();
    app.store.set_group_properties(group.id, &Value::Object(new)).await?;
    app.audited(by, Act::GroupProperties, Object::Group(&group.name), json!({ "keys": keys })).await;
    Ok(())
}

async fn members_in(app: &App, bytes: &[u8]) -> Result<Named, Problem> {
    let must = || Problem::bad("Must specify at least one user");
    let object = body::object(bytes)?.ok_or_else(must)?;
    body::only_given(&object, "Group", &["users"])?;
    let users = named_users(app, &object).await?;
    if users.ids.is_empty() { Err(must()) } else { Ok(users) }
}

/// `POST /groups/{group}/users`
pub async fn add_users(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnGroup<rights::Groups>,
    bytes: web::Bytes,
) -> Answer {
    let group = find(&app, &on.name).await?;
    join(&app, &Actor::of(&request, &app), &group, &members_in(&app, &bytes).await?).await?;
    Ok(HttpResponse::Ok().json(model(&app, &group, &on.caller).await?))
}

/// `DELETE /groups/{group}/users`
pub async fn remove_users(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnGroup<rights::Groups>,
    bytes: web::Bytes,
) -> Answer {
    let group = find(&app, &on.name).await?;
    leave(&app, &Actor::of(&request, &app), &group, &members_in(&app, &bytes).await?).await?;
    Ok(HttpResponse::Ok().json(model(&app, &group, &on.caller).await?))
}

/// `PUT /groups/{group}/properties`
pub async fn set_properties(
    request: HttpRequest,
    app: web::Data<App>,
    on: OnGroup<rights::Groups>,
    bytes: web::Bytes,
) -> Answer {
    let group = find(&app, &on.name).await?;
    let properties = body::object(&bytes)?.ok_or_else(|| Problem::bad("Group properties must be a JSON object"))?;
    put_properties(&app, &Actor::of(&request, &app), &group, properties).await?;
    let group = find(&app, &on.name).await?;
    Ok(HttpResponse::Ok().json(model(&app, &group, &on.caller).await?))
}

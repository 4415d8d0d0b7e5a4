//! `/groups/{group}`: one group with its members, by the rights that REST asks for. Members may open it too, and see no
//! more than its name without such a right.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::id::UserId;
use hub_core::scope::{Scope, Target, Verdict};
use hub_store::{Group, Server};
use pages::groups::{Content, GroupForm, Member, Running};
use serde_json::Value;

use super::groups::{PART, offset, part, path};
use super::{Form, href, may, person, see_other, server, show, surround};
use crate::api::{body, groups, view};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{self, Right, rights};
use crate::http::url::piece;
use crate::http::{Answer, Caller, Problem};

/// `GET /groups/{group}`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let group = opened(&request, &app, &caller).await?;
    page(&request, &app, &caller, &group, GroupForm::default(), None).await
}

/// `POST /groups/{group}`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let group = opened(&request, &app, &caller).await?;
    match act(&request, &app, &caller, &group, &form).await {
        Ok(response) => Ok(response),
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
            let adds = form.get("action") == Some("add");
            let typed = GroupForm {
                user: form.get("user").filter(|_| adds).unwrap_or_default().to_owned(),
                properties: form.get("properties").map(str::to_owned),
            };
            page(&request, &app, &caller, &group, typed, Some(problem)).await
        }
        Err(problem) => Err(problem),
    }
}

/// The group that the path names, for who may see it or is in it.
async fn opened(request: &HttpRequest, app: &App, caller: &Caller) -> Result<Group, Problem> {
    let name = piece(request, "group")?;
    if !caller.groups.contains(&name) {
        let scopes = rights::ReadGroup::ANY_OF;
        guard::require(caller.rights.may_any(scopes, &Target::Group(&name)), scopes)?;
    }
    groups::find(app, &name).await
}

fn verdict<R: Right>(caller: &Caller, group: &Group) -> Verdict {
    caller.rights.may_any(R::ANY_OF, &Target::Group(&group.name))
}

async fn act(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    group: &Group,
    form: &Form,
) -> Result<HttpResponse, Problem> {
    let by = Actor::of(request, app);
    let named = async || {
        let name = form.get("user").unwrap_or_default().trim();
        if name.is_empty() {
            return Err(Problem::bad("Name a user"));
        }
        groups::users_of(app, vec![name.to_owned()]).await
    };
    let action = form.get("action").unwrap_or_default();
    match action {
        "add" | "remove" | "properties" => {
            guard::require(verdict::<rights::Groups>(caller, group), rights::Groups::ANY_OF)?;
        }
        "delete" => guard::require(verdict::<rights::DeleteGroups>(caller, group), rights::DeleteGroups::ANY_OF)?,
        _ => return Err(Problem::bad("This form is not complete")),
    }
    match action {
        "add" => groups::join(app, &by, group, &named().await?).await?,
        "remove" => groups::leave(app, &by, group, &named().await?).await?,
        "properties" => {
            let text = form.get("properties").unwrap_or_default();
            let object = body::object(text.as_bytes())?;
            groups::put_properties(app, &by, group, object.unwrap_or_default()).await?;
        }
        _ => {
            groups::remove(app, &by, group).await?;
            return Ok(see_other(&app.paths.hub("groups")));
        }
    }
    Ok(see_other(&path(app, &group.name)))
}

async fn page(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    group: &Group,
    form: GroupForm,
    error: Option<Problem>,
) -> Answer {
    let fields = caller.rights.group_fields(&group.name);
    let roles = match fields.roles {
        true => Some(app.store.roles_of_groups(&[group.id]).await?.remove(&group.id).unwrap_or_default()),
        false => None,
    };
    let content = if fields.content { Some(content(request, app, caller, group).await?) } else { None };
    let (frame, cookie) = surround(request, app, Some(caller), "groups").parts();
    let status = error.as_ref().map_or(StatusCode::OK, Problem::status);
    let page = pages::Group {
        frame,
        name: group.name.clone(),
        action: href(&path(app, &group.name)),
        content,
        roles,
        may_change: verdict::<rights::Groups>(caller, group) == Verdict::Allowed,
        may_delete: verdict::<rights::DeleteGroups>(caller, group) == Verdict::Allowed,
        form,
        error: error.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    show(&page, status, cookie)
}

/// One part of the members, with the servers of theirs that the caller may know of.
async fn content(request: &HttpRequest, app: &App, caller: &Caller, group: &Group) -> Result<Content, Problem> {
    let offset = offset(request)?;
    let found = app.store.list_members(group.id, offset, PART).await?;
    let ids: Vec<UserId> = found.items.iter().map(|(id, _)| *id).collect();
    let groups = app.store.groups_of_users(&ids).await?;
    let mut running: HashMap<UserId, Vec<Running>> = HashMap::new();
    for of in app.store.servers_of(&ids).await? {
        let groups = groups.get(&of.user_id).map_or(&[][..], Vec::as_slice);
        if view::is_ready(&of) && may(caller, Scope::ReadServers, &of.user_name, groups, &of.name) {
            running.entry(of.user_id).or_default().push(shown(app, &of));
        }
    }
    let properties =
        if group.properties.is_null() { Value::Object(serde_json::Map::new()) } else { group.properties.clone() };
    Ok(Content {
        part: part(&path(app, &group.name), offset, found.items.len(), found.total),
        members: found
            .items
            .into_iter()
            .map(|(id, name)| Member { name, servers: running.remove(&id).unwrap_or_default() })
            .collect(),
        properties: serde_json::to_string_pretty(&properties).map_err(|error| Problem::internal("group", error))?,
    })
}

fn shown(app: &App, of: &Server) -> Running {
    let row = server::shown(app, &of.user_name, &of.name, Some(of), None);
    Running { label: row.label(&pages::words::ENGLISH).to_owned(), url: row.open }
}

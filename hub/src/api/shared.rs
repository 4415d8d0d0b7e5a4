//! `/users/{user}/shared` and `/groups/{group}/shared`: what others share with somebody, and leaving it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_store::{Share, ShareWith, Shares};

use super::{groups, shares};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{OnGroup, OnUser, rights};
use crate::http::{Answer, Problem, url};
use crate::sharing;

/// The share that the rest of the path names.
async fn find(request: &HttpRequest, app: &App, with: ShareWith, whose: &str) -> Result<Share, Problem> {
    let (owner, name) = (url::piece(request, "owner")?, url::piece(request, "server")?);
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("No such share for {whose} on {owner}/{name}"));
    let person = app.people.person(&app.store, &owner).await?.ok_or_else(missing)?;
    let server = person.server(&name).ok_or_else(missing)?;
    app.store.share(server.id, with, app.now()).await?.ok_or_else(missing)
}

async fn leave(request: &HttpRequest, app: &App, share: &Share) -> Answer {
    sharing::leave(app, &Actor::of(request, app), share).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /users/{user}/shared`: also what is shared with the user's groups.
pub async fn list_of_user(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadUsersShares>) -> Answer {
    shares::list(&request, &app, Shares::WithUser(on.user().id)).await
}

/// `GET /users/{user}/shared/{owner}/{server}`
pub async fn get_of_user(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::ReadUsersShares>) -> Answer {
    let share = find(&request, &app, ShareWith::User(on.user().id), &format!("user {}", on.user().name)).await?;
    Ok(HttpResponse::Ok().json(shares::model(&app, &share)))
}

/// `DELETE /users/{user}/shared/{owner}/{server}`
pub async fn leave_by_user(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::UsersShares>) -> Answer {
    let share = find(&request, &app, ShareWith::User(on.user().id), &format!("user {}", on.user().name)).await?;
    leave(&request, &app, &share).await
}

/// `GET /groups/{group}/shared`
pub async fn list_of_group(request: HttpRequest, app: web::Data<App>, on: OnGroup<rights::ReadGroupsShares>) -> Answer {
    let group = groups::find(&app, &on.name).await?;
    shares::list(&request, &app, Shares::WithGroup(group.id)).await
}

/// `GET /groups/{group}/shared/{owner}/{server}`
pub async fn get_of_group(request: HttpRequest, app: web::Data<App>, on: OnGroup<rights::ReadGroupsShares>) -> Answer {
    let group = groups::find(&app, &on.name).await?;
    let share = find(&request, &app, ShareWith::Group(group.id), &format!("group {}", group.name)).await?;
    Ok(HttpResponse::Ok().json(shares::model(&app, &share)))
}

/// `DELETE /groups/{group}/shared/{owner}/{server}`
pub async fn leave_by_group(request: HttpRequest, app: web::Data<App>, on: OnGroup<rights::GroupsShares>) -> Answer {
    let group = groups::find(&app, &on.name).await?;
    let share = find(&request, &app, ShareWith::Group(group.id), &format!("group {}", group.name)).await?;
    leave(&request, &app, &share).await
}

//! `/admin/services`: the services that the caller may list, with their state.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::scope::{Reach, Scope, Target};
use pages::admin::services::{Service, Services};

use super::{incomplete, opened, require};
use crate::api::services;
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::rights;
use crate::http::{Answer, Caller, Problem};
use crate::page::{Form, href, see_other, show, surround};
use crate::service::board::Shown;

/// `GET /admin/services`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    match opened(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, &caller, None).await,
        Err(login) => Ok(login),
    }
}

/// `POST /admin/services`: deletes a service that was made while the hub runs.
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match opened(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let name = form.get("service").unwrap_or_default();
    let done = match form.get("action") {
        Some("delete") => {
            require::<rights::AdminServices>(&caller, &Target::Service(name))?;
            services::remove(&app, &Actor::of(&request, &app), name).await
        }
        _ => Err(incomplete()),
    };
    match done {
        Ok(()) => Ok(see_other(&app.paths.hub("admin/services"))),
        Err(problem) if problem.status().is_client_error() => page(&request, &app, &caller, Some(problem)).await,
        Err(problem) => Err(problem),
    }
}

async fn page(request: &HttpRequest, app: &App, caller: &Caller, error: Option<Problem>) -> Answer {
    let reach = caller.rights.reach(Scope::ListServices);
    if reach == Reach::Nothing {
        require::<rights::ListServices>(caller, &Target::Hub)?;
    }
    let all = app.services.refresh(&app.store).await?;
    let mut shown = Vec::new();
    for one in all.iter().filter(|one| reach.covers(&Target::Service(&one.service.spec.name))) {
        shown.push(service(app, caller, one).await?);
    }
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let page = Services {
        frame,
        action: href(&app.paths.hub("admin/services")),
        services: shown,
        error: error.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    show(&page, error.as_ref().map_or(StatusCode::OK, Problem::status), cookie)
}

async fn service(app: &App, caller: &Caller, shown: &Shown) -> Result<Service, Problem> {
    let spec = &shown.service.spec;
    let target = Target::Service(&spec.name);
    let fields = caller.rights.service_fields(&spec.name);
    let roles = match fields.roles {
        true => app.store.roles_of_service(shown.service.id).await?.into_iter().map(|role| role.name).collect(),
        false => Vec::new(),
    };
    let opens = spec.url.is_some() && caller.rights.covers(Scope::AccessServices, &target);
    Ok(Service {
        name: spec.name.clone(),
        admin: spec.admin,
        open: opens.then(|| href(&shown.path(&app.paths))),
        url: spec.url.clone().filter(|_| fields.content),
        answers: shown.answers.filter(|_| fields.content),
        managed: fields.content && !spec.command.is_empty(),
        configured: spec.from_config,
        roles,
        may_delete: !spec.from_config && caller.rights.covers(Scope::AdminServices, &target),
    })
}

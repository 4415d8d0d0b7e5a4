//! Home: a person's servers.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::Scope;
use hub_store::{Server, User};
use pages::Home;
use pages::home::{Leaving, NamedServers, Service};

use super::{Form, href, may, person, see_other, server, shared, show, surround_servers, together};
use crate::app::App;
use crate::audit::Actor;
use crate::folders::people;
use crate::http::{Answer, Caller, Problem};
use crate::intent;
use crate::service::board::Shown;
use crate::task::cull;

/// `GET /home`
pub async fn show_home(request: HttpRequest, app: web::Data<App>) -> Answer {
    match person(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, &caller, StatusCode::OK, None, "").await,
        Err(login) => Ok(login),
    }
}

async fn page(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    status: StatusCode,
    error: Option<String>,
    typed: &str,
) -> Answer {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let all = app.store.servers_of(&[user.id]).await?;
    let told = app.labs.of(&app.store, &all, app.now()).await?;
    let of = |name: &str| all.iter().find(|server| server.name == name);
    let shown = |name: &str, of: Option<&Server>| pages::server::Server {
        ends: of.and_then(|of| server::ending(app, of, &caller.groups)),
        ..shared::offer(app, caller, of, server::shown(app, &user.name, name, of, of.and_then(|of| told.get(&of.id))))
    };
    let limit = Some(app.config.hub.named_server_limit_per_user).filter(|limit| *limit > 0);
    let named = app.config.hub.allow_named_servers.then(|| NamedServers {
        servers: all.iter().filter(|server| !server.name.is_empty()).map(|of| shown(&of.name, Some(of))).collect(),
        limit,
        typed: typed.to_owned(),
    });
    let (frame, cookie) = surround_servers(request, app, caller, "home", &all.iter().collect::<Vec<_>>()).parts();
    let page = Home {
        frame,
        owner: user.name.clone(),
        leaving: leaving(app, user, &caller.groups),
        default: shown("", of("")),
        has_options: app.rules.is_some(),
        named,
        together: together::of(app, caller).await?,
        shares: shared::with_me(app, caller).await?,
        services: app.services.of(caller).iter().map(|shown| tile(app, shown)).collect(),
        error,
    };
    show(&page, status, cookie)
}

/// When the culler will delete who looks, and what becomes of their files.
fn leaving(app: &App, user: &User, groups: &[String]) -> Option<Leaving> {
    let end = cull::end_of(app, user, groups)?;
    Some(Leaving { at: end.at, unless_used: end.by_idleness, files: people::what_becomes_of_own(app, end.at) })
}

/// A service in the list.
fn tile(app: &App, shown: &Shown) -> Service {
    Service {
        name: shown.service.spec.name.clone(),
        description: shown.description(),
        url: href(&shown.path(&app.paths)),
        answers: shown.answers != Some(false),
    }
}

/// `POST /home`: what the page's buttons do in a browser without scripts.
pub async fn act(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let name = form.get("server_name").unwrap_or_default().trim();
    let by = Actor::of(&request, &app);
    let done = match form.get("action").unwrap_or_default() {
        "leave" => {
            let owner = form.get("owner").unwrap_or_default();
            shared::leave(&app, &by, &caller, owner, name).await.map(|()| see_other(&app.paths.hub("home")))
        }
        "stop" if form.get("owner").is_some() => {
            let owner = form.get("owner").unwrap_or_default();
            together::stop(&app, &by, &caller, owner).await.map(|()| see_other(&app.paths.hub("home")))
        }
        action => perform(&app, (&caller, by), user, action, name).await,
    };
    match done {
        Ok(response) => Ok(response),
        Err(problem) if problem.status().is_client_error() => {
            let text = problem.message().map(str::to_owned);
            page(&request, &app, &caller, problem.status(), text, name).await
        }
        Err(problem) => Err(problem),
    }
}

async fn perform(
    app: &web::Data<App>,
    (caller, by): (&Caller, Actor),
    user: &User,
    action: &str,
    name: &str,
) -> Result<HttpResponse, Problem> {
    let allowed = |scope| {
        let yes = may(caller, scope, &user.name, &caller.groups, name);
        if yes { Ok(()) } else { Err(Problem::forbidden("You may not do this")) }
    };
    match action {
        "start" | "new" => {
            if action == "new" && name.is_empty() {
                return Err(Problem::bad("Give the new server a name"));
            }
            allowed(Scope::StartServers)?;
            intent::want_running(app, &by, user, name, None).await?;
            Ok(see_other(&app.paths.server_page("spawn-pending", &user.name, name)))
        }
        "keep" => {
            allowed(Scope::UsersActivity)?;
            let server = app.store.server(user.id, name).await?.ok_or_else(Problem::not_found)?;
            app.store.touch_server(server.id, app.now()).await?;
            Ok(see_other(&app.paths.hub("home")))
        }
        "stop" | "delete" => {
            allowed(Scope::DeleteServers)?;
            let server = app.store.server(user.id, name).await?.ok_or_else(Problem::not_found)?;
            if action == "delete" && !name.is_empty() {
                intent::stop_and_remove(app, &by, &server).await?;
            } else {
                intent::want_stopped(app, &by, &server).await?;
            }
            Ok(see_other(&app.paths.hub("home")))
        }
        _ => Err(Problem::bad("This form is not complete")),
    }
}

//! What reaches the hub although it is meant for a server: `/user/…` without a route, and redirects to one's own server.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::Scope;
use hub_store::Server;
use pages::NotRunning;
use serde_json::{Value, json};

use super::{found, href, may, see_other, server, show, surround_servers, to_login};
use crate::api::view;
use crate::app::App;
use crate::http::origin::Origin;
use crate::http::url::{Paths, argument, encode_pairs, form_pairs, piece};
use crate::http::{Answer, Caller, Problem, caller, xsrf};

/// JupyterHub's status for a server that is not there: 424 Failed Dependency.
const STOPPED: StatusCode = StatusCode::FAILED_DEPENDENCY;
/// A redirect back to a server that is ready but has no route yet is tried so often.
const REDIRECTS: u32 = 4;

/// Everything outside the hub's own part: to the same path inside it.
pub async fn outside(request: HttpRequest, app: web::Data<App>) -> Answer {
    let path = request.uri().path();
    let Some(rest) = path.strip_prefix(&app.paths.base) else {
        return Ok(found(&app.paths.hub));
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if needs_slash(rest) {
        let location = format!("{path}/{query}");
        return Ok(HttpResponse::MovedPermanently().insert_header(("Location", location)).finish());
    }
    // One slash only: two would be another host to a browser.
    Ok(found(&format!("{}{}{query}", app.paths.hub, rest.trim_start_matches('/'))))
}

/// `/user/alice` and `/services/x` are folders.
fn needs_slash(rest: &str) -> bool {
    let mut pieces = rest.split('/');
    matches!(pieces.next(), Some("user" | "services"))
        && pieces.next().is_some_and(|name| !name.is_empty())
        && pieces.next().is_none()
}

/// `GET /hub/user-redirect/{path}`: to the person's own server.
pub async fn redirect(request: HttpRequest, app: web::Data<App>) -> Answer {
    let Some(caller) = xsrf::page_caller(&request, &app, None).await? else { return Ok(to_login(&request, &app)) };
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let name = &app.config.hub.default_server_name;
    // As it was written: what stands escaped in it must arrive so.
    let rest = request.uri().path().strip_prefix(&app.paths.hub("user-redirect")).unwrap_or_default();
    let rest = rest.trim_start_matches('/');
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let next = format!("{}{rest}{query}", app.paths.server(&user.name, name));
    let query = encode_pairs([("next".to_owned(), next)]);
    Ok(found(&format!("{}?{query}", app.paths.server_page("spawn", &user.name, name))))
}

/// `/hub/user/{user}/…`: a server that has no route.
pub async fn without_route(request: HttpRequest, app: web::Data<App>) -> Answer {
    let rest = piece(&request, "rest")?;
    let Some(caller) = caller::of_api(&request, &app).await? else {
        if *request.method() == Method::GET {
            return Ok(to_login(&request, &app));
        }
        return Err(Problem::forbidden("Missing or invalid credentials."));
    };
    if *request.method() != Method::GET {
        xsrf::check_page(&request, &app, Some(&caller), None)?;
    }
    let owner = piece(&request, "user")?;
    let user = app.store.user(&owner).await?.ok_or_else(Problem::not_found)?;
    let groups = app.store.groups_of(user.id).await?;
    let servers = app.store.servers_of(&[user.id]).await?;
    let name = named_in(&rest, &servers);
    if !may(&caller, Scope::AccessServers, &user.name, &groups, &name) {
        return Err(Problem::not_found());
    }
    let server = servers.iter().find(|server| server.name == name);
    if server.is_some_and(view::is_ready) && *request.method() == Method::GET {
        return back(&request, &app, &user.name).await;
    }
    if is_api_like(&request, &rest) || *request.method() != Method::GET {
        let origin = Origin::of(&request, &app);
        let origin = format!("{}://{}", origin.scheme, origin.host);
        let path = outside_path(&request, &app);
        // As JupyterHub says it: without the base path.
        let path = path.strip_prefix(app.paths.base.trim_end_matches('/')).unwrap_or(&path);
        let body = stopped_message(&app.paths, &origin, &user.name, &name, path);
        return Ok(HttpResponse::build(STOPPED).json(body));
    }
    if let Some("spawn") = server.and_then(view::pending) {
        let next = encode_pairs([("next".to_owned(), outside_uri(&request, &app))]);
        return Ok(see_other(&format!("{}?{next}", app.paths.server_page("spawn-pending", &user.name, &name))));
    }
    stopped(&request, &app, &caller, (&user.name, &groups, &name), server)
}

/// The name of the server a path is about: a named one if its first piece is the name of one, else the default one.
fn named_in(rest: &str, servers: &[Server]) -> String {
    let first = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    let known = !first.is_empty() && servers.iter().any(|server| server.name == first);
    if known { first.to_owned() } else { String::new() }
}

/// Whether a program asks and not a person; `rest` is the path below the user's own.
fn is_api_like(request: &HttpRequest, rest: &str) -> bool {
    let accept = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let position = |kind: &str| accept.find(kind);
    let prefers_json = match (position("application/json"), position("text/html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        (None, _) => false,
    };
    prefers_json || rest.split('/').any(|piece| piece == "api")
}

/// What a program is told whose server is not there.
fn stopped_message(paths: &Paths, origin: &str, user: &str, name: &str, path: &str) -> Value {
    let restart = format!("{origin}{}", paths.server_page("spawn", user, name));
    json!({ "message": format!("JupyterHub server no longer running at {path}. Restart the server at {restart}") })
}

/// The path as the browser knows it.
fn outside_path(request: &HttpRequest, app: &App) -> String {
    let path = request.uri().path();
    path.strip_prefix(&app.paths.hub).map_or_else(|| path.to_owned(), |rest| format!("{}{rest}", app.paths.base))
}

fn outside_uri(request: &HttpRequest, app: &App) -> String {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", outside_path(request, app))
}

/// The server is ready, so the proxy is about to know it: back there, a few times at most. Where users have hosts of
/// their own, this is also the way from the hub's to theirs.
async fn back(request: &HttpRequest, app: &App, user: &str) -> Answer {
    let count: u32 = argument(request, "redirects").and_then(|count| count.parse().ok()).unwrap_or(0);
    if count >= REDIRECTS {
        let message = "Your server runs, but the way to it does not open.";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            .advise("Stop the server on your home page and start it again."));
    }
    if count > 0 || app.paths.hosts.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(250 << count.min(4))).await;
    }
    let pairs = form_pairs(request.query_string());
    let kept = pairs.into_iter().filter(|(key, _)| key != "redirects");
    let query = encode_pairs(kept.chain([("redirects".to_owned(), (count + 1).to_string())]));
    Ok(found(&format!("{}{}?{query}", app.paths.origin_of_user(user), outside_path(request, app))))
}

fn stopped(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    (user, groups, name): (&str, &[String], &str),
    row: Option<&Server>,
) -> Answer {
    let next = encode_pairs([("next".to_owned(), outside_uri(request, app))]);
    let start = format!("{}?{next}", app.paths.server_page("spawn", user, name));
    let (frame, cookie) = surround_servers(request, app, caller, "spawn", row.as_slice()).parts();
    let seconds = app.config.hub.implicit_spawn_seconds.0;
    let page = NotRunning {
        frame,
        owner: Some(user.to_owned()).filter(|user| user != caller.name()),
        server_name: name.to_owned(),
        start: may(caller, Scope::StartServers, user, groups, name).then(|| href(&start)),
        failure: row.and_then(server::failure),
        starts_in: (seconds > 0.0).then_some(seconds.ceil() as u32),
    };
    show(&page, STOPPED, cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_slash_gets_one() {
        assert!(needs_slash("user/alice"));
        assert!(needs_slash("services/announcements"));
        for rest in ["user/alice/", "user/alice/lab", "user/", "user", "foo/bar", ""] {
            assert!(!needs_slash(rest), "{rest}");
        }
    }
}

//! Starting a server from a page: `/spawn[/{user}[/{server}]]`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::Scope;
use hub_store::User;
use pages::Spawn;
use serde_json::{Map, Value, json};

use super::{Form, found, href, next, on_server, person, see_other, show, surround};
use crate::api::view;
use crate::app::App;
use crate::audit::Actor;
use crate::http::url::{encode_pairs, form_pairs, piece};
use crate::http::{Answer, Caller, Problem};
use crate::intent;

/// Whose server a path is about, when the caller may start it.
async fn target(request: &HttpRequest, app: &App, caller: &Caller) -> Result<(User, String), Problem> {
    let (user, server) = (piece(request, "user")?, piece(request, "server")?);
    let own = caller.user().ok_or_else(Problem::not_found)?;
    let server = if user.is_empty() { app.config.hub.default_server_name.clone() } else { server };
    let user = if user.is_empty() { own.name.clone() } else { user };
    let (user, _) = on_server(app, caller, Scope::Servers, &user, &server).await?;
    Ok((user, server))
}

/// The place to watch a start, with the way on.
fn watch(request: &HttpRequest, app: &App, user: &str, server: &str) -> String {
    let next = next(request, app).map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
    format!("{}{}", app.paths.server_page("spawn-pending", user, server), next.unwrap_or_default())
}

/// `GET /spawn…`: starts the server, unless it runs. Nothing is asked as long as there are no options.
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let (user, name) = target(&request, &app, &caller).await?;
    let server = app.store.server(user.id, &name).await?;
    if let Some(server) = server.as_ref().filter(|server| view::is_active(server)) {
        let ready = view::is_ready(server);
        let open = next(&request, &app).filter(|_| ready);
        let open = open.unwrap_or_else(|| app.paths.server(&user.name, &name));
        return Ok(found(&if ready { open } else { watch(&request, &app, &user.name, &name) }));
    }
    if is_foreign(&request) {
        // Another site's link may open this page, but the start is a click of the person's own.
        return ask(&request, &app, &caller, &user, &name, StatusCode::OK, None);
    }
    let options = options(form_pairs(request.query_string()));
    start(&request, &app, &caller, &user, &name, options).await
}

/// Whether the browser says that a page of another origin led here, be it a neighbour below the same domain.
fn is_foreign(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site").map(|value| value.as_bytes());
    site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

/// `POST /spawn…`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let (user, name) = target(&request, &app, &caller).await?;
    let options = options(form.without(&["_xsrf"]));
    start(&request, &app, &caller, &user, &name, options).await
}

/// Options of a form or of a link: lists of texts, as JupyterHub's `options_from_form` gets them. None keep the last.
fn options(pairs: Vec<(String, String)>) -> Option<Value> {
    let mut options = Map::new();
    for (key, value) in pairs {
        let key = key.strip_prefix("opt-").unwrap_or(&key).to_owned();
        if matches!(key.as_str(), "" | "next" | "display_name" | "_xsrf") {
            continue;
        }
        if let Value::Array(values) = options.entry(key).or_insert_with(|| json!([])) {
            values.push(value.into());
        }
    }
    (!options.is_empty()).then_some(Value::Object(options))
}

async fn start(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    user: &User,
    name: &str,
    options: Option<Value>,
) -> Result<HttpResponse, Problem> {
    match intent::want_running(app, &Actor::of(request, app), user, name, options).await {
        Ok(_) => Ok(see_other(&watch(request, app, &user.name, name))),
        Err(problem) if problem.status().is_client_error() => {
            let text = problem.message().map(str::to_owned);
            ask(request, app, caller, user, name, problem.status(), text)
        }
        Err(problem) => Err(problem),
    }
}

fn ask(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    user: &User,
    name: &str,
    status: StatusCode,
    error: Option<String>,
) -> Answer {
    let (frame, cookie) = surround(request, app, Some(caller), "spawn").parts();
    let action = request.uri().path_and_query().map_or("", |path| path.as_str());
    let page = Spawn {
        frame,
        action: href(action),
        for_user: Some(user.name.clone()).filter(|name| name != caller.name()),
        server_name: name.to_owned(),
        sections: Vec::new(),
        error,
    };
    show(&page, status, cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_link_are_lists_and_leave_the_rest_out() {
        let pairs = form_pairs("next=%2Fx&opt-profile=small&opt-env=a&opt-env=b&_xsrf=t");
        assert_eq!(options(pairs), Some(json!({ "profile": ["small"], "env": ["a", "b"] })));
        assert_eq!(options(form_pairs("next=%2Fx")), None);
    }
}

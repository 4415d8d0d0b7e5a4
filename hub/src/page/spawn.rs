//! Starting a server from a page: `/spawn[/{user}[/{server}]]`. What is asked there is in `form`.

mod form;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::policy::{Rules, Standing};
use hub_core::scope::Scope;
use hub_store::User;
use pages::Spawn;
use serde_json::{Map, Value, json};

use super::{Form, found, href, link, next, on_server, person, see_other, show, surround_servers};
use crate::api::view;
use crate::app::App;
use crate::audit::Actor;
use crate::http::origin::Origin;
use crate::http::url::{encode_pairs, form_pairs, piece};
use crate::http::{Answer, Caller, Problem};
use crate::{intent, stock};

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

/// `GET /spawn…`: starts the server, unless it runs; asks first when the link is, or may be, somebody else's.
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
    let options = options(form_pairs(request.query_string()));
    // Where there is something to choose, it is asked, unless the link has the answers.
    let asks = app.rules.as_ref().is_some_and(has_questions)
        && options.is_none()
        && app.config.collaboration_of(&user.name).is_none();
    if asks || asks_first(&request, &app, options.is_some()) {
        // Another site's link may open this page, but the start is a click of the person's own.
        return ask(&request, &app, &caller, (&user, &name), options.as_ref(), None).await;
    }
    start(&request, &app, &caller, &user, &name, options).await
}

/// Whether anybody is asked anything.
fn has_questions(rules: &Rules) -> bool {
    !rules.only_sites || rules.sites.len() > 1
}

fn asks_first(request: &HttpRequest, app: &App, has_options: bool) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let origin = Origin::of(request, app);
    link::asks_first(&link::Way {
        site: header("sec-fetch-site"),
        upgrade: header("upgrade-insecure-requests"),
        referer: header("referer"),
        origin: &format!("{}://{}", origin.scheme, origin.host),
        has_options,
    })
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
    match intent::want_running(app, &Actor::of(request, app), user, name, options.clone()).await {
        Ok(_) => Ok(see_other(&watch(request, app, &user.name, name))),
        Err(problem) if problem.status().is_client_error() => {
            ask(request, app, caller, (user, name), options.as_ref(), Some(problem)).await
        }
        Err(problem) => Err(problem),
    }
}

/// The page with the button; `options` stand in it to be seen and changed.
async fn ask(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    (user, name): (&User, &str),
    options: Option<&Value>,
    refused: Option<Problem>,
) -> Answer {
    let row = app.store.server(user.id, name).await?;
    let (frame, cookie) = surround_servers(request, app, caller, "spawn", row.as_ref().as_slice()).parts();
    let next = next(request, app).map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
    let of = Some(user.name.clone()).filter(|name| name != caller.name());
    let questions = match app.rules.as_ref().filter(|_| app.config.collaboration_of(&user.name).is_none()) {
        Some(rules) => {
            let person = crate::options::person(app, user, row.as_ref()).await?;
            let kept = row.as_ref().and_then(|server| server.user_options.as_ref());
            let shown = options.or(kept).unwrap_or(&Value::Null);
            let stock = stock::devices(app).await?;
            let mut asked =
                form::questions(rules, &person, app.driver.abilities(), shown, refused.as_ref(), &stock, frame.words);
            let quotas = stock::quotas(app, user, &Standing::of(rules, &person)).await?;
            if rules.only_sites {
                // What a link brings along is seen, as where nothing is judged.
                let brought = options.cloned().map(|mut brought| {
                    brought.as_object_mut().map(|brought| brought.remove("site"));
                    brought
                });
                let brought = brought.filter(|brought| brought.as_object().is_some_and(|all| !all.is_empty()));
                asked.sections.extend(form::plain(brought.as_ref(), &frame).sections);
            }
            asked.left = quotas.iter().map(|quota| form::left(quota, of.as_deref(), frame.words)).collect();
            asked
        }
        None => form::plain(options, &frame),
    };
    let error = refused.as_ref().and_then(|problem| {
        let advice = problem.advice().map(|advice| format!(" {advice}")).unwrap_or_default();
        problem.message().map(|message| format!("{message}{advice}"))
    });
    let mut page = Spawn {
        action: href(&format!("{}{}", request.path(), next.unwrap_or_default())),
        for_user: of,
        server_name: name.to_owned(),
        greeting: questions.greeting,
        left: questions.left,
        sections: questions.sections,
        startable: questions.closed.is_none(),
        error: questions.closed,
        frame,
    };
    // It is said beside its question where there is one, and not a second time.
    let beside = refused.as_ref().and_then(Problem::field).is_some_and(|field| page.says(field));
    page.error = error.filter(|_| !beside).or(page.error);
    show(&page, refused.map_or(StatusCode::OK, |problem| problem.status()), cookie)
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

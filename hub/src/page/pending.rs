//! Watching a server start or stop: `/spawn-pending/{user}[/{server}]`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::life::Phase;
use hub_core::scope::Scope;
use hub_store::{Event, Server, User};
use pages::spawn_pending::{LogLine, SpawnPending, Step, StepState, timeline};
use pages::words::ENGLISH;
use pages::{NotRunning, StopPending};

use super::{Form, found, href, may, next, on_server, person, see_other, server, show, surround_servers};
use crate::api::view;
use crate::app::App;
use crate::audit::Actor;
use crate::http::url::{encode_pairs, piece};
use crate::http::{Answer, Caller, Problem};
use crate::intent;
use crate::keeper::progress::told_under;

async fn target(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
) -> Result<(User, Vec<String>, String, Option<Server>), Problem> {
    let (user, name) = (piece(request, "user")?, piece(request, "server")?);
    let (user, groups) = on_server(app, caller, Scope::Servers, &user, &name).await?;
    let server = app.store.server(user.id, &name).await?;
    Ok((user, groups, name, server))
}

/// `GET /spawn-pending/…`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let (user, groups, name, server) = target(&request, &app, &caller).await?;
    let Some(server) = server else { return not_running(&request, &app, &caller, &user, &groups, &name, None) };
    if view::is_ready(&server) {
        let open = next(&request, &app).unwrap_or_else(|| app.paths.server(&user.name, &name));
        return Ok(found(&open));
    }
    match view::pending(&server) {
        Some("spawn") => starting(&request, &app, &caller, &groups, &server).await,
        Some(_) => {
            let (frame, cookie) = surround_servers(&request, &app, &caller, "spawn", &[&server]).parts();
            let page = StopPending { frame, server_name: label(&server), since: server.changed_at };
            show(&page, StatusCode::OK, cookie)
        }
        None => not_running(&request, &app, &caller, &user, &groups, &name, Some(&server)),
    }
}

fn label(server: &Server) -> String {
    server::own_name(server).unwrap_or_else(|| server.name.clone())
}

async fn starting(request: &HttpRequest, app: &App, caller: &Caller, groups: &[String], server: &Server) -> Answer {
    let events = app.store.events_since(server.id, told_under(server), 0).await?;
    let (frame, cookie) = surround_servers(request, app, caller, "spawn", &[server]).parts();
    let now = app.now();
    let durations = |phase| (took(&events, phase, now), None);
    let may_stop = may(caller, Scope::DeleteServers, &server.user_name, groups, &server.name);
    let cancel = app.paths.server_page("spawn-pending", &server.user_name, &server.name);
    let page = SpawnPending {
        owner: server.user_name.clone(),
        server_name: server.name.clone(),
        display_name: server::own_name(server),
        since: events.first().map(|event| event.at).or(server.changed_at).unwrap_or(now),
        steps: with_detail(timeline(&ENGLISH, server.phase, durations), &events),
        log: events.iter().map(|event| LogLine { at: event.at, text: event.message.clone() }).collect(),
        progress: events.last().map_or(0, |event| event.progress),
        progress_url: href(&app.paths.progress(&server.user_name, &server.name)),
        cancel: may_stop.then(|| href(&cancel)),
        frame,
    };
    show(&page, StatusCode::OK, cookie)
}

/// Says beside the step under way what its latest event tells: a place in a queue.
fn with_detail(mut steps: Vec<Step>, events: &[Event]) -> Vec<Step> {
    let detail = events.last().and_then(|event| event.detail.as_ref()).and_then(|detail| detail.get("detail"));
    let detail = detail.and_then(serde_json::Value::as_str).filter(|detail| !detail.is_empty());
    if let Some(step) = steps.iter_mut().find(|step| step.state == StepState::Working) {
        step.detail = detail.map(str::to_owned);
    }
    steps
}

/// How many seconds a phase took, from the events: from its first to the first of a later one, or to now.
fn took(events: &[Event], phase: Phase, now: hub_core::clock::Time) -> Option<u64> {
    let begin = events.iter().position(|event| event.phase == phase)?;
    let rest = events.get(begin..)?;
    let end = rest.iter().find(|event| event.phase != phase).map_or(now, |event| event.at);
    u64::try_from((end - rest.first()?.at).num_seconds()).ok()
}

/// The page of a server that does not run.
fn not_running(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    user: &User,
    groups: &[String],
    name: &str,
    server: Option<&Server>,
) -> Answer {
    let failure = server.and_then(server::failure);
    let status = server.and_then(intent::failure).map_or(StatusCode::OK, |failure| {
        // A refusal is the person's matter, a failure ours; a server that was ready before did not fail to start.
        match (failure.refused, failure.phase) {
            (true, _) => StatusCode::BAD_REQUEST,
            (false, Phase::Ready) => StatusCode::OK,
            (false, _) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    });
    let next = next(request, app).map(|next| format!("?{}", encode_pairs([("next".to_owned(), next)])));
    let start = format!("{}{}", app.paths.server_page("spawn", &user.name, name), next.unwrap_or_default());
    let (frame, cookie) = surround_servers(request, app, caller, "spawn", server.as_slice()).parts();
    let page = NotRunning {
        frame,
        owner: Some(user.name.clone()).filter(|name| name != caller.name()),
        server_name: server.map(label).unwrap_or_else(|| name.to_owned()),
        start: may(caller, Scope::StartServers, &user.name, groups, name).then(|| href(&start)),
        failure,
        starts_in: None,
    };
    show(&page, status, cookie)
}

/// `POST /spawn-pending/…` with `action=cancel`.
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let (user, groups, name, server) = target(&request, &app, &caller).await?;
    if form.get("action") != Some("cancel") {
        return Err(Problem::bad("This form is not complete"));
    }
    if !may(&caller, Scope::DeleteServers, &user.name, &groups, &name) {
        return Err(Problem::forbidden("You may not stop this server"));
    }
    intent::want_stopped(&app, &Actor::of(&request, &app), &server.ok_or_else(Problem::not_found)?).await?;
    Ok(see_other(&app.paths.hub("home")))
}

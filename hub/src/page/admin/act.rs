//! What the forms of `/admin` do. Each act is checked for each person and server by the right of REST; what touches many is
//! asked before, with the number and what will happen.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join_all;
use hub_core::scope::{Reach, Scope, Target};
use hub_store::{Server, User};
use pages::admin::Hidden;
use pages::admin::confirm::{Choice, Confirm};
use pages::admin::people::AddForm;
use pages::words::{ENGLISH, fill};

use super::people::{self, Told};
use super::{incomplete, opened, require};
use crate::api::{hub, users};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{self, rights};
use crate::http::{Answer, Caller, Problem};
use crate::intent;
use crate::page::{Form, href, see_other, show, surround};
use crate::panel::asked::Asked;
use crate::panel::plan::{self, Plan, Wish};
use crate::people::complete;
use crate::run::Shutdown;

/// So many people can be ticked at once.
const MOST: usize = 200;
/// So many names are shown before it is done.
const NAMED: usize = 10;

/// `POST /admin`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match opened(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let asked = Asked::read(form.get("back").unwrap_or_default());
    let told = match act(&request, &app, &caller, &form, &asked).await {
        Ok(Done::Answered(answer)) => return Ok(answer),
        Ok(Done::All) => return Ok(see_other(&people::path(&app, &asked))),
        Ok(Done::NotAll(errors)) => Told { errors, ..Told::default() },
        Err(problem) if problem.status().is_client_error() && problem.message().is_some() => {
            let adds = form.get("action") == Some("add");
            let typed = |name| form.get(name).filter(|_| adds);
            let form =
                AddForm { names: typed("names").unwrap_or_default().to_owned(), admin: typed("admin").is_some() };
            Told { status: problem.status(), errors: problem.message().map(str::to_owned).into_iter().collect(), form }
        }
        Err(problem) => return Err(problem),
    };
    people::page(&request, &app, &caller, &asked, told).await
}

/// What became of a form.
enum Done {
    /// Everything that was wanted.
    All,
    /// Some of it; a sentence for each that was not.
    NotAll(Vec<String>),
    /// A page of its own: a question, or the end.
    Answered(HttpResponse),
}

async fn act(
    request: &HttpRequest,
    app: &web::Data<App>,
    caller: &Caller,
    form: &Form,
    asked: &Asked,
) -> Result<Done, Problem> {
    let by = Actor::of(request, app);
    for one in ["start", "stop"] {
        if let Some(place) = form.get(one) {
            let (user, server) = place.split_once('/').ok_or_else(incomplete)?;
            one_server(app, &by, caller, one, user, server).await?;
            return Ok(Done::All);
        }
    }
    let confirmed = form.get("confirmed") == Some("1");
    let wish = match form.get("action").unwrap_or_default() {
        "add" => return add(app, &by, caller, form).await,
        "shutdown" => return shutdown(request, app, caller, form, confirmed, asked).await,
        "stop-all" => {
            let plan = all_running(app, caller).await?;
            return match confirmed {
                true => carry_out(app, &by, caller, Wish::Stop, plan).await,
                false => ask(request, app, caller, Wish::Stop, plan, &[Hidden::new("action", "stop-all")], asked),
            };
        }
        "start" => Wish::Start,
        "stop" => Wish::Stop,
        "delete" => Wish::Delete,
        _ => return Err(incomplete()),
    };
    // Who may do it to nobody is told so, also where there is nothing to be done.
    let scope = match wish {
        Wish::Start => Scope::StartServers,
        Wish::Stop => Scope::DeleteServers,
        Wish::Delete => Scope::DeleteUsers,
    };
    if caller.rights.reach(scope) == Reach::Nothing {
        guard::require(caller.rights.may_any(&[scope], &Target::Hub), &[scope])?;
    }
    let names: Vec<String> = form.all("user").map(str::to_owned).collect();
    if names.len() > MOST {
        return Err(Problem::bad(format!("At most {MOST} people can be ticked at once")));
    }
    let ticked = complete(&app.store, app.store.users_named(&names).await?).await?;
    let plan = plan::of(caller, wish, &ticked);
    if confirmed {
        return carry_out(app, &by, caller, wish, plan).await;
    }
    let mut fields = vec![Hidden::new("action", form.get("action").unwrap_or_default())];
    fields.extend(ticked.iter().map(|person| Hidden::new("user", person.user.name.clone())));
    ask(request, app, caller, wish, plan, &fields, asked)
}

/// Starts or stops one server of a user that may not exist, by the rules of REST.
pub async fn one_server(
    app: &App,
    by: &Actor,
    caller: &Caller,
    what: &str,
    user: &str,
    name: &str,
) -> Result<(), Problem> {
    let person = app.people.person(&app.store, user).await?;
    let groups = person.as_deref().map_or(&[][..], |person| &person.groups);
    let target = Target::Server { user, name, groups };
    match what {
        "start" => require::<rights::StartServers>(caller, &target)?,
        _ => require::<rights::DeleteServers>(caller, &target)?,
    }
    let person = person.ok_or_else(Problem::not_found)?;
    match what {
        "start" => intent::want_running(app, by, &person.user, name, None).await.map(drop),
        _ => intent::want_stopped(app, by, person.server(name).ok_or_else(Problem::not_found)?).await,
    }
}

async fn add(app: &App, by: &Actor, caller: &Caller, form: &Form) -> Result<Done, Problem> {
    require::<rights::AdminUsers>(caller, &Target::Hub)?;
    let lines = form.get("names").unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Problem::bad("Name at least one person"));
    }
    users::make(app, by, caller, &names, form.get("admin").is_some()).await?;
    Ok(Done::All)
}

/// Every server in use that the caller may stop.
async fn all_running(app: &App, caller: &Caller) -> Result<Plan, Problem> {
    let reach = caller.rights.reach(Scope::DeleteServers);
    if reach == Reach::Nothing {
        require::<rights::DeleteServers>(caller, &Target::Hub)?;
    }
    let active = app.store.active_servers().await?;
    let owners: Vec<_> = active.iter().map(|server| server.user_id).collect();
    let groups = match reach {
        Reach::All => HashMap::new(),
        _ => app.store.groups_of_users(&owners).await?,
    };
    let may = |server: &Server| {
        let groups = groups.get(&server.user_id).map_or(&[][..], Vec::as_slice);
        reach.covers(&Target::Server { user: &server.user_name, name: &server.name, groups })
    };
    Ok(Plan { servers: active.into_iter().filter(may).collect(), ..Plan::default() })
}

/// Does what a plan says; one that fails does not keep the others from being done.
async fn carry_out(app: &App, by: &Actor, caller: &Caller, wish: Wish, plan: Plan) -> Result<Done, Problem> {
    if plan.people.is_empty() && plan.servers.is_empty() && !plan.left_out.is_empty() {
        return Err(Problem::forbidden("You may do this for nobody who is ticked"));
    }
    let mut errors: Vec<String> = plan.left_out.iter().map(|name| fill(ENGLISH.admin_left_out, name)).collect();
    let mut note = |user: &str, done: Result<(), Problem>| {
        if let Err(problem) = done {
            let why = problem.message().map_or_else(|| problem.status().to_string(), str::to_owned);
            errors.push(format!("{user}: {why}"));
        }
    };
    match wish {
        Wish::Start => {
            for user in &plan.people {
                note(&user.name, intent::want_running(app, by, user, "", None).await.map(drop));
            }
        }
        Wish::Stop => {
            for server in &plan.servers {
                note(&server.user_name, intent::want_stopped(app, by, server).await);
            }
        }
        Wish::Delete => {
            // Side by side: each waits for servers to stop.
            let delete = |user: &User| {
                let user = user.clone();
                async move { (users::remove_for(app, by, caller, &user).await, user) }
            };
            for (done, user) in join_all(plan.people.iter().map(delete)).await {
                note(&user.name, done);
            }
        }
    }
    Ok(if errors.is_empty() { Done::All } else { Done::NotAll(errors) })
}

/// Asks before something is done to many.
fn ask(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    wish: Wish,
    plan: Plan,
    fields: &[Hidden],
    asked: &Asked,
) -> Result<Done, Problem> {
    let words = &ENGLISH;
    let people = counted(plan.people.len(), words.admin_one, words.admin_many);
    let servers = counted(plan.servers.len(), words.admin_server_one, words.admin_server_many);
    let mut owners: Vec<&str> = plan.servers.iter().map(|server| server.user_name.as_str()).collect();
    owners.dedup();
    let of_people = fill(&fill(words.admin_of, &servers), counted(owners.len(), words.admin_one, words.admin_many));
    let (title, consequence, yes) = match wish {
        Wish::Start => (
            fill(words.admin_start_many, &people),
            words.admin_start_what.to_owned(),
            fill(words.admin_start_yes, &people),
        ),
        Wish::Stop => (
            fill(words.admin_stop_many, of_people),
            words.admin_stop_what.to_owned(),
            fill(words.admin_stop_yes, &servers),
        ),
        Wish::Delete => {
            let files = crate::folders::people::what_becomes(app);
            let mut what = format!("{} {files}", words.admin_delete_what_follows);
            if !plan.servers.is_empty() {
                what = format!("{} {what}", fill(words.admin_delete_and_servers, &servers));
            }
            (fill(words.admin_delete_many, &people), what, fill(words.admin_delete_yes, &people))
        }
    };
    let names: Vec<String> = match wish {
        Wish::Stop => owners.iter().map(|name| (*name).to_owned()).collect(),
        _ => plan.people.iter().map(|user| user.name.clone()).collect(),
    };
    let (title, consequence, yes) = match names.is_empty() {
        true => (words.admin_nothing.to_owned(), words.admin_nothing_what.to_owned(), None),
        false => (title, consequence, Some(yes)),
    };
    let left_out = plan.left_out.iter().take(NAMED).map(|name| fill(words.admin_left_out, name));
    let others = plan.left_out.len().saturating_sub(NAMED);
    let others = (others > 0).then(|| fill(words.admin_left_out_many, others));
    let question = Question {
        title,
        consequence,
        more: names.len().saturating_sub(NAMED),
        names: names.into_iter().take(NAMED).collect(),
        left_out: left_out.chain(others).collect(),
        fields: fields.to_vec(),
        choices: Vec::new(),
        yes,
    };
    put(request, app, caller, question, asked)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { one.to_owned() } else { fill(many, count) }
}

/// A question, without what surrounds it.
struct Question {
    title: String,
    consequence: String,
    names: Vec<String>,
    more: usize,
    left_out: Vec<String>,
    fields: Vec<Hidden>,
    choices: Vec<Choice>,
    yes: Option<String>,
}

fn put(request: &HttpRequest, app: &App, caller: &Caller, question: Question, asked: &Asked) -> Result<Done, Problem> {
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let Question { title, consequence, names, more, left_out, mut fields, choices, yes } = question;
    fields.push(Hidden::new("back", asked.write()));
    let page = Confirm {
        frame,
        title,
        consequence,
        names,
        more,
        left_out,
        action: href(&app.paths.hub("admin")),
        fields,
        choices,
        yes,
        back: href(&people::path(app, asked)),
    };
    show(&page, actix_web::http::StatusCode::OK, cookie).map(Done::Answered)
}

/// Stops the hub, after the question what of it.
async fn shutdown(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    form: &Form,
    confirmed: bool,
    asked: &Asked,
) -> Result<Done, Problem> {
    require::<rights::Shutdown>(caller, &Target::Hub)?;
    let words = &ENGLISH;
    let empty = Question {
        title: words.admin_shutting_down.to_owned(),
        consequence: words.admin_shutting_down_what.to_owned(),
        names: Vec::new(),
        more: 0,
        left_out: Vec::new(),
        fields: Vec::new(),
        choices: Vec::new(),
        yes: None,
    };
    if confirmed {
        let how = Shutdown { proxy: form.get("proxy").is_some(), servers: form.get("servers").is_some() };
        // The page first: nothing answers afterwards.
        let answer = put(request, app, caller, empty, asked);
        hub::stop(app, Actor::of(request, app), how);
        return answer;
    }
    let running = app.store.count_active_servers().await?;
    let servers = counted(usize::try_from(running).unwrap_or(0), words.admin_server_one, words.admin_server_many);
    let question = Question {
        title: words.admin_shutdown_many.to_owned(),
        consequence: words.admin_shutdown_what.to_owned(),
        fields: vec![Hidden::new("action", "shutdown")],
        choices: vec![
            Choice { name: "servers", label: fill(words.admin_shutdown_servers, servers) },
            Choice { name: "proxy", label: words.admin_shutdown_proxy.to_owned() },
        ],
        yes: Some(words.admin_shutdown_yes.to_owned()),
        ..empty
    };
    put(request, app, caller, question, asked)
}

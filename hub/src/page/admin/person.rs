//! `/admin/users/{user}`: one person, with what belongs to it, by the rights that REST asks for.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::role;
use hub_core::scope::{Scope, Target};
use hub_core::secret::Secret;
use hub_store::{AuditQuery, HeldRole, NewAudit, TokenOwner};
use pages::Link;
use pages::admin::audit::Entry;
use pages::admin::person::{NewToken, Role};
use pages::token::TokenForm;
use pages::words::{ENGLISH, fill};

use super::{act, audit, incomplete, opened, path, require};
use crate::api::{tokens, users};
use crate::app::App;
use crate::audit::Actor;
use crate::http::guard::{Right, rights};
use crate::http::url::{encode_pairs, piece};
use crate::http::{Answer, Caller, Problem};
use crate::intent;
use crate::page::{self, Form, groups, href, see_other, show, surround};
use crate::panel::rows;
use crate::people::Person;

/// So many acts are shown.
const RECENT: u32 = 20;

/// `GET /admin/users/{user}`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match opened(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let person = named(&request, &app, &caller).await?;
    page(&request, &app, &caller, &person, Told::default()).await
}

/// What an action leaves to show.
#[derive(Default)]
struct Told {
    refused: Option<Problem>,
    /// The name that was typed.
    typed: Option<String>,
    /// A new token.
    made: Option<Secret>,
    /// What was filled in for one that was refused.
    token: TokenForm,
}

/// What became of a form.
enum Done {
    /// The answer that leads on.
    Answered(HttpResponse),
    /// A token, to be shown this once.
    Made(Secret),
}

/// The person that the path names, for who may see anything of it.
async fn named(request: &HttpRequest, app: &App, caller: &Caller) -> Result<Arc<Person>, Problem> {
    let name = piece(request, "user")?;
    let person = app.people.person(&app.store, &name).await?;
    let groups = person.as_deref().map_or(&[][..], |person| &person.groups);
    require::<rights::ReadUser>(caller, &Target::User { name: &name, groups })?;
    person.ok_or_else(Problem::not_found)
}

/// `POST /admin/users/{user}`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match opened(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let person = named(&request, &app, &caller).await?;
    let by = Actor::of(&request, &app);
    match perform(&app, &by, &caller, &person, &form).await {
        Ok(Done::Answered(response)) => Ok(response),
        Ok(Done::Made(secret)) => {
            let told = Told { made: Some(secret), ..Told::default() };
            page(&request, &app, &caller, &person, told).await
        }
        Err(problem) if problem.status().is_client_error() && problem.message().is_some() => {
            let typed = form.get("name").map(str::to_owned);
            let told = Told { refused: Some(problem), typed, token: page::token::typed(&form), made: None };
            page(&request, &app, &caller, &person, told).await
        }
        Err(problem) => Err(problem),
    }
}

async fn perform(
    app: &web::Data<App>,
    by: &Actor,
    caller: &Caller,
    person: &Person,
    form: &Form,
) -> Result<Done, Problem> {
    let Person { user, groups, .. } = person;
    let target = Target::User { name: &user.name, groups };
    let here = || Done::Answered(see_other(&path(app, &user.name)));
    for what in ["start", "stop", "remove"] {
        let Some(place) = form.get(what) else { continue };
        // The address says whose it is; the form cannot say otherwise.
        let name =
            place.strip_prefix(user.name.as_str()).and_then(|rest| rest.strip_prefix('/')).ok_or_else(incomplete)?;
        match what {
            "remove" => remove(app, by, caller, person, name).await?,
            _ => act::one_server(app, by, caller, what, &user.name, name).await?,
        }
        return Ok(here());
    }
    match form.get("action").unwrap_or_default() {
        "edit" => {
            require::<rights::AdminUsers>(caller, &target)?;
            let name = form.get("name").map(str::trim).filter(|name| !name.is_empty()).ok_or_else(incomplete)?;
            // What is as it was is not changed: who may not make administrators may still give a name.
            let admin = Some(form.get("admin").is_some()).filter(|admin| *admin != user.admin);
            let changed = users::edit(app, by, caller, user, Some(name), admin).await?;
            Ok(Done::Answered(see_other(&path(app, &changed.name))))
        }
        "token" => {
            require::<rights::Tokens>(caller, &target)?;
            tokens::check_grant(caller, user)?;
            let wish = page::token::wish(form, format!("Requested via the admin panel by {}", caller.name()))?;
            Ok(Done::Made(tokens::make(app, by, user, &wish).await?.1))
        }
        "revoke" => {
            require::<rights::Tokens>(caller, &target)?;
            let token = tokens::find(app, user, form.get("token_id").unwrap_or_default()).await?;
            tokens::revoke(app, by, user, &token).await?;
            Ok(here())
        }
        "delete" => {
            require::<rights::DeleteUsers>(caller, &target)?;
            users::remove_for(app, by, caller, user).await?;
            Ok(Done::Answered(see_other(&app.paths.hub("admin"))))
        }
        _ => Err(incomplete()),
    }
}

/// Deletes a named server for good, as REST does.
async fn remove(app: &web::Data<App>, by: &Actor, caller: &Caller, person: &Person, name: &str) -> Result<(), Problem> {
    let Person { user, groups, .. } = person;
    require::<rights::DeleteServers>(caller, &Target::Server { user: &user.name, name, groups })?;
    if name.is_empty() {
        return Err(Problem::bad("Cannot delete the default server"));
    }
    let server = person.server(name).ok_or_else(Problem::not_found)?;
    intent::stop_and_remove(app, by, server).await.map(drop)
}

async fn page(request: &HttpRequest, app: &App, caller: &Caller, person: &Person, told: Told) -> Answer {
    let Person { user, groups: names, .. } = person;
    let target = Target::User { name: &user.name, groups: names };
    let may = |scopes: &[Scope]| scopes.iter().any(|scope| caller.rights.covers(*scope, &target));
    let fields = caller.rights.user_fields(&user.name, names);
    let link = |name: &String| Link::new(name.clone(), href(&groups::path(app, name)));
    let roles = match fields.roles {
        true => Some(app.store.role_origins(user.id).await?.iter().map(|held| role(app, held)).collect()),
        false => None,
    };
    let tokens = match may(rights::ReadTokens::ANY_OF) {
        true => Some(app.store.tokens_of(TokenOwner::User(user.id), app.now()).await?),
        false => None,
    };
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let query = encode_pairs([("actor".to_owned(), format!("user:{}", user.name))]);
    let page = pages::admin::person::Person {
        frame,
        name: user.name.clone(),
        action: href(&path(app, &user.name)),
        admin: fields.admin && user.admin,
        created: user.created.filter(|_| fields.created),
        last_activity: user.last_activity.filter(|_| fields.last_activity),
        groups: fields.groups.then(|| names.iter().map(link).collect()),
        roles,
        servers: fields.servers.then(|| with_default(app, caller, person)),
        tokens: tokens.map(|tokens| tokens.iter().map(page::token::shown).collect()),
        may_revoke: may(rights::Tokens::ANY_OF),
        new_token: (may(rights::Tokens::ANY_OF) && tokens::check_grant(caller, user).is_ok()).then(|| NewToken {
            expiries: page::token::expiries(app.config.hub.token_expires_in_max_seconds),
            form: told.token,
        }),
        made: told.made,
        audit: recent(app, caller, &user.name).await?,
        audit_all: href(&format!("{}?{query}", app.paths.hub("admin/audit"))),
        may_edit: may(rights::AdminUsers::ANY_OF),
        files: crate::folders::people::what_becomes(app),
        may_delete: may(rights::DeleteUsers::ANY_OF) && caller.user().is_none_or(|caller| caller.id != user.id),
        typed: told.typed,
        error: told.refused.as_ref().and_then(Problem::message).map(str::to_owned),
    };
    let status = told.refused.as_ref().map_or(StatusCode::OK, Problem::status);
    show(&page, status, cookie)
}

/// The servers, the default one first also where it was never made.
fn with_default(app: &App, caller: &Caller, person: &Person) -> Vec<pages::admin::people::Lab> {
    let mut labs = rows::labs(app, caller, person);
    if person.server("").is_none() {
        labs.insert(0, rows::never_made(app, caller, person));
    }
    labs
}

/// A role with where it comes from.
fn role(app: &App, held: &HeldRole) -> Role {
    let words = &ENGLISH;
    let name = held.role.name.as_str();
    let configured = app.config.hub.load_roles.iter().any(|role| role.name == name);
    let origin = match &held.group {
        Some(group) => fill(words.origin_group, group),
        None if name == role::USER.name => words.origin_everybody.to_owned(),
        None if name == role::ADMIN.name => words.origin_flag.to_owned(),
        None if held.by_auth => words.origin_login.to_owned(),
        None if configured => words.origin_config.to_owned(),
        None => words.origin_hand.to_owned(),
    };
    Role { name: name.to_owned(), description: held.role.description.clone().unwrap_or_default(), origin }
}

/// The latest acts of a person and on it, if the caller may read the audit.
async fn recent(app: &App, caller: &Caller, name: &str) -> Result<Option<Vec<Entry>>, Problem> {
    if audit::may(caller).is_err() {
        return Ok(None);
    }
    let who = format!("user:{name}");
    let query = AuditQuery { limit: RECENT, ..AuditQuery::default() };
    let by = AuditQuery { actor: Some(who.clone()), ..query.clone() };
    let on = AuditQuery { object: Some(who), ..query };
    let mut found: Vec<(i64, NewAudit)> = app.store.list_audit(&by).await?.items;
    found.extend(app.store.list_audit(&on).await?.items);
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    found.dedup_by_key(|(id, _)| *id);
    Ok(Some(found.iter().take(RECENT as usize).map(|(_, act)| audit::entry(act)).collect()))
}

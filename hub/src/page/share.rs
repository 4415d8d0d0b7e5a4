//! `/share/{user}[/{server}]`: with whom a server is shared, and by which links. JupyterHub has no such page.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::{RawScope, Reach, Scope as Known};
use hub_core::secret::Secret;
use hub_store::{Server, Share, ShareCode, ShareQuery, ShareWith, Shares};
use pages::Sharing;
use pages::sharing::{Granted, Invitation, SharingForm};
use pages::token::{Expiry, Scope};
use pages::words::ENGLISH;

use super::{Form, href, may, person, see_other, server, show, surround};
use crate::api::share_codes::accept_url;
use crate::app::App;
use crate::audit::Actor;
use crate::http::origin::Origin;
use crate::http::url::piece;
use crate::http::{Answer, Caller, Problem};
use crate::sharing::{self, Whom};

const LIVES: [(i64, &str); 5] =
    [(3600, "1 hour"), (86_400, "1 day"), (7 * 86_400, "1 week"), (30 * 86_400, "30 days"), (365 * 86_400, "1 year")];
/// The most shares, and the most links, the page shows; the API shows all, in pages.
const SHOWN: u32 = 500;

/// A server that the caller may share.
struct Mine {
    server: Server,
    /// The groups of its owner.
    groups: Vec<String>,
}

impl Mine {
    async fn of(request: &HttpRequest, app: &App, caller: &Caller) -> Result<Self, Problem> {
        let (owner, name) = (piece(request, "user")?, piece(request, "server")?);
        let user = app.store.user(&owner).await?.ok_or_else(Problem::not_found)?;
        let groups = app.store.groups_of(user.id).await?;
        if !may(caller, Known::Shares, &user.name, &groups, &name) {
            if caller.name() != user.name {
                return Err(Problem::not_found());
            }
            return Err(Problem::forbidden("You may not share your servers")
                .advise("Ask the people who run this hub for the right to share."));
        }
        let server = app.store.server(user.id, &name).await?;
        let never = || Problem::new(StatusCode::NOT_FOUND, "There is no such server");
        let server = server.ok_or_else(|| never().advise("Start it once, then it can be shared."))?;
        Ok(Self { server, groups })
    }

    fn path(&self, app: &App) -> String {
        app.paths.server_page("share", &self.server.user_name, &self.server.name)
    }

    /// What is given: use, and with `manage` start and stop as well.
    fn scopes(&self, app: &App, caller: &Caller, manage: bool) -> Result<Vec<RawScope>, Problem> {
        let (owner, name) = (&self.server.user_name, &self.server.name);
        let mut asked = vec![Known::AccessServers.as_str().to_owned()];
        asked.extend(manage.then(|| Known::Servers.as_str().to_owned()));
        let scopes = sharing::requested(app, owner, name, &asked)?;
        sharing::check_held(app, caller, (owner, &self.groups), &scopes)?;
        Ok(scopes)
    }
}

/// `GET /share/…`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let mine = Mine::of(&request, &app, &caller).await?;
    page(&request, &app, &caller, &mine, Shown::default()).await
}

/// What an action leaves to show.
#[derive(Default)]
struct Shown {
    created: Option<Secret>,
    error: Option<Problem>,
    form: SharingForm,
}

/// `POST /share/…`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let mine = Mine::of(&request, &app, &caller).await?;
    let shown = match act(&request, &app, &caller, &mine, &form).await {
        Ok(Some(link)) => Shown { created: Some(link), ..Shown::default() },
        Ok(None) => return Ok(see_other(&mine.path(&app))),
        Err(problem) if problem.status().is_client_error() => {
            let name = form.get("name").unwrap_or_default().to_owned();
            let form = SharingForm { is_group: form.get("kind") == Some("group"), name };
            Shown { error: Some(problem), form, created: None }
        }
        Err(problem) => return Err(problem),
    };
    page(&request, &app, &caller, &mine, shown).await
}

/// Does what a form asks for. Returns the link it made, if it made one.
async fn act(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    mine: &Mine,
    form: &Form,
) -> Result<Option<Secret>, Problem> {
    let (by, server) = (Actor::of(request, app), &mine.server);
    let manage = form.get("manage").is_some_and(|value| !value.is_empty());
    match form.get("action") {
        Some("grant") => {
            let scopes = mine.scopes(app, caller, manage)?;
            let with = sharing::find_to_grant(app, caller, &whom(form)?).await?;
            sharing::grant(app, &by, server, with, &scopes).await?;
        }
        Some("code") => {
            let text = form.get("expires_in").unwrap_or_default();
            let seconds = text.parse().map_err(|_| Problem::bad("The lifetime must be a number of seconds"))?;
            let scopes = mine.scopes(app, caller, manage)?;
            let code = sharing::make_code(app, &by, server, &scopes, seconds).await?.1;
            let Origin { scheme, host, .. } = Origin::of(request, app);
            return Ok(Some(Secret::new(format!("{scheme}://{host}{}", accept_url(app, code.expose())))));
        }
        Some("revoke") => drop(sharing::revoke(app, &by, server, &whom(form)?, None).await?),
        Some("revoke-code") => {
            if let Some(id) = sharing::parse_code_id(form.get("code_id").unwrap_or_default()) {
                sharing::delete_code(app, &by, server, id).await?;
            }
        }
        Some("end") => {
            sharing::delete_codes(app, &by, server).await?;
            sharing::revoke_all(app, &by, server).await?;
        }
        _ => return Err(Problem::bad("This form is not complete")),
    }
    Ok(None)
}

fn whom(form: &Form) -> Result<Whom, Problem> {
    let name = form.get("name").unwrap_or_default().trim().to_owned();
    match form.get("kind") {
        _ if name.is_empty() => Err(Problem::bad("Name somebody to share with")),
        Some("user") => Ok(Whom::User(name)),
        Some("group") => Ok(Whom::Group(name)),
        _ => Err(Problem::bad("This form is not complete")),
    }
}

async fn page(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    mine: &Mine,
    shown: Shown,
) -> Result<HttpResponse, Problem> {
    let query = ShareQuery { of: Shares::OfServer(mine.server.id), offset: 0, limit: Some(SHOWN) };
    let shares = app.store.list_shares(&query, app.now()).await?.items;
    let links = app.store.list_share_codes(&query, app.now()).await?.items;
    let (frame, cookie) = surround(request, app, Some(caller), "share").parts();
    let status = shown.error.as_ref().map_or(StatusCode::OK, Problem::status);
    let (owner, name) = (&mine.server.user_name, &mine.server.name);
    let row = server::shown(app, owner, name, Some(&mine.server), None);
    let page = Sharing {
        frame,
        owner: Some(owner.clone()).filter(|owner| owner != caller.name()),
        label: row.label(&ENGLISH).to_owned(),
        action: href(&mine.path(app)),
        users: knows_others(caller, &caller.rights.reach(Known::ReadUsersName)),
        groups: caller.rights.reach(Known::ReadGroupsName) != Reach::Nothing,
        may_manage: may(caller, Known::Servers, owner, &mine.groups, name),
        expiries: LIVES.map(|(seconds, label)| expiry(seconds, label)).into(),
        form: shown.form,
        created: shown.created,
        error: shown.error.as_ref().and_then(Problem::message).map(str::to_owned),
        shares: shares.iter().map(granted).collect(),
        links: links.iter().map(invitation).collect(),
    };
    show(&page, status, cookie)
}

/// Everybody may know the own name; sharing by name takes knowing another.
fn knows_others(caller: &Caller, reach: &Reach) -> bool {
    match reach {
        Reach::All => true,
        Reach::Only(filters) => !filters.groups.is_empty() || filters.users.iter().any(|user| user != caller.name()),
        Reach::Nothing => false,
    }
}

fn expiry(seconds: i64, label: &str) -> Expiry {
    let selected = seconds == sharing::CODE_LIFE_DEFAULT;
    Expiry { seconds: u64::try_from(seconds).ok(), label: label.to_owned(), selected }
}

fn explained(scopes: Vec<String>) -> Vec<Scope> {
    scopes.into_iter().map(|scope| Scope::of_share(&ENGLISH, scope)).collect()
}

fn granted(share: &Share) -> Granted {
    Granted {
        is_group: matches!(share.with, ShareWith::Group(_)),
        name: share.with_name.clone(),
        scopes: explained(share.as_scopes().current()),
        created: share.created_at,
        expires_at: share.expires_at,
    }
}

fn invitation(code: &ShareCode) -> Invitation {
    Invitation {
        id: sharing::code_id(code.id),
        scopes: explained(code.as_scopes().current()),
        created: code.created_at,
        expires_at: code.expires_at,
        used: code.exchange_count,
        last_used: code.last_exchanged_at,
    }
}

//! The token page: a person's API tokens, and the applications that may act for the person.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::scope::Scope as Known;
use hub_core::secret::Secret;
use hub_store::{HUB_CLIENT, Token, TokenOwner, User};
use pages::token::{Client, Expiry, Scope, Token as Shown, TokenForm, TokenPage};
use pages::words::ENGLISH;

use super::{Form, person, show, surround};
use crate::api::tokens::{self, Wish};
use crate::app::App;
use crate::audit::Actor;
use crate::http::{Answer, Caller, Problem};

const LIFETIMES: [(u64, &str); 5] =
    [(3600, "1 hour"), (86_400, "1 day"), (7 * 86_400, "1 week"), (30 * 86_400, "30 days"), (365 * 86_400, "1 year")];

/// `GET /token`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    match person(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, &caller, Shows::default()).await,
        Err(login) => Ok(login),
    }
}

/// What an action leaves to show.
#[derive(Default)]
struct Shows {
    created: Option<Secret>,
    error: Option<Problem>,
    form: TokenForm,
}

/// `POST /token`: makes or revokes a token.
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let shows = match act(&app, &Actor::of(&request, &app), &caller, &form).await {
        Ok(created) => Shows { created, ..Shows::default() },
        Err(problem) if problem.status().is_client_error() => {
            Shows { error: Some(problem), form: typed(&form), created: None }
        }
        Err(problem) => return Err(problem),
    };
    page(&request, &app, &caller, shows).await
}

async fn act(app: &App, by: &Actor, caller: &Caller, form: &Form) -> Result<Option<Secret>, Problem> {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let target = hub_core::scope::Target::User { name: &user.name, groups: &caller.groups };
    if !caller.rights.reach(Known::Tokens).covers(&target) {
        return Err(Problem::forbidden("You may not make or revoke tokens"));
    }
    match form.get("action") {
        Some("create") => {
            let wish = wish(form, "Requested via token page".to_owned())?;
            Ok(Some(tokens::make(app, by, user, &wish).await?.1))
        }
        Some("revoke") => {
            let token = tokens::find(app, user, form.get("token_id").unwrap_or_default()).await?;
            tokens::revoke(app, by, user, &token).await?;
            Ok(None)
        }
        _ => Err(Problem::bad("This form is not complete")),
    }
}

/// What a form of a new token asks for; `note` is what is noted where nothing was written.
pub fn wish(form: &Form, note: String) -> Result<Wish, Problem> {
    let expires_in = match form.get("expires_in").unwrap_or_default() {
        "" => None,
        text => Some(text.parse().map_err(|_| Problem::bad("The lifetime must be a number of seconds"))?),
    };
    let scopes: Vec<String> = form.all("scopes").flat_map(str::split_whitespace).map(str::to_owned).collect();
    let scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
    let written = form.get("note").unwrap_or_default().trim();
    Ok(Wish { note: if written.is_empty() { note } else { written.to_owned() }, expires_in, scopes })
}

/// What was filled into a form of a new token, to be filled in again.
pub fn typed(form: &Form) -> TokenForm {
    let scopes = form.all("scopes").collect::<Vec<_>>().join(" ");
    TokenForm { note: form.get("note").unwrap_or_default().to_owned(), scopes }
}

async fn page(request: &HttpRequest, app: &App, caller: &Caller, shows: Shows) -> Answer {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let all = app.store.tokens_of(TokenOwner::User(user.id), app.now()).await?;
    let (own, clients): (Vec<Token>, Vec<Token>) =
        all.into_iter().partition(|token| matches!(token.client_id.as_deref(), None | Some(HUB_CLIENT)));
    let (frame, cookie) = surround(request, app, Some(caller), "token").parts();
    let status = shows.error.as_ref().map_or(StatusCode::OK, Problem::status);
    let page = TokenPage {
        frame,
        owner: user.name.clone(),
        expiries: expiries(app.config.hub.token_expires_in_max_seconds),
        offered: offered(user),
        form: shows.form,
        created: shows.created,
        error: shows.error.as_ref().and_then(Problem::message).map(str::to_owned),
        tokens: own.iter().map(shown).collect(),
        clients: by_client(&clients),
    };
    show(&page, status, cookie)
}

/// The lifetimes to offer.
pub fn expiries(most: u64) -> Vec<Expiry> {
    let known = LIFETIMES.iter().filter(|(seconds, _)| most == 0 || *seconds <= most);
    let mut expiries: Vec<Expiry> = known
        .map(|(seconds, label)| Expiry { seconds: Some(*seconds), label: (*label).to_owned(), selected: false })
        .collect();
    let last = if most == 0 { "Never" } else { "As long as allowed" };
    expiries.push(Expiry { seconds: (most > 0).then_some(most), label: last.to_owned(), selected: true });
    expiries
}

fn offered(user: &User) -> Vec<Scope> {
    let own = |scope: &str| Scope::explained(&ENGLISH, format!("{scope}!user={}", user.name));
    ["read:users", "read:servers", "servers", "access:servers", "tokens"].map(own).into()
}

/// A token as pages show it.
pub fn shown(token: &Token) -> Shown {
    Shown {
        id: format!("a{}", token.id),
        note: token.note.clone(),
        scopes: token.scopes.iter().map(|scope| Scope::explained(&ENGLISH, scope.as_str())).collect(),
        created: token.created,
        last_used: token.last_activity,
        expires_at: token.expires_at,
        of_server: token.note.starts_with("Server at "),
    }
}

fn by_client(tokens: &[Token]) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for token in tokens {
        let id = token.client_id.clone().unwrap_or_default();
        if let Some(client) = clients.iter_mut().find(|client| client.id == id) {
            client.created = client.created.min(token.created);
            client.last_used = client.last_used.max(token.last_activity);
            continue;
        }
        clients.push(Client {
            token_id: format!("a{}", token.id),
            description: token.client_description.clone().unwrap_or_else(|| id.clone()),
            id,
            scopes: token.scopes.iter().map(|scope| Scope::explained(&ENGLISH, scope.as_str())).collect(),
            created: token.created,
            last_used: token.last_activity,
        });
    }
    clients
}

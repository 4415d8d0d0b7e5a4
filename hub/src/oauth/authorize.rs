//! `/api/oauth2/authorize`: a page, though it lives below the API. Ends with a code at the client's redirect address.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::pkce;
use hub_core::scope::RawScope;
use hub_core::token;
use hub_store::NewCode;
use serde_json::json;

use super::client::{Behind, Client};
use super::consent;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::url::{arguments, encode_pairs, form_pairs};
use crate::http::{Answer, Caller, Problem, xsrf};
use crate::page;

/// What a client asks for, once its redirect address is known to be its own.
struct Request {
    client: Client,
    state: Option<String>,
    challenge: Option<(String, pkce::Method)>,
    wanted: BTreeSet<RawScope>,
}

/// How a request ends early.
enum Ended {
    /// Told to the client at its redirect address.
    Error(&'static str, &'static str),
    /// Shown to the person.
    Problem(Problem),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// `GET /api/oauth2/authorize`
pub async fn ask(request: HttpRequest, app: web::Data<App>) -> Answer {
    let Some(caller) = xsrf::page_caller(&request, &app, None).await? else {
        return Ok(page::to_login(&request, &app));
    };
    let asked = split_scopes(&arguments(&request, "scope"));
    let wish = match read(&request, &app, &caller, &asked).await? {
        Ok(wish) => wish,
        Err(redirect) => return Ok(redirect),
    };
    let granted = consent::granted(&app, &wish.client, &caller, &wish.wanted).await?;
    if !consent::is_needed(&app, &wish.client, &caller, &granted).await? {
        return grant(&request, &app, &caller, &wish, &granted).await;
    }
    // That a client may open itself needs no words.
    let required = wish.client.required();
    let told = granted.into_iter().filter(|scope| !required.contains(scope)).collect();
    page::oauth::show(&request, &app, &caller, &wish.client.row, &told).await
}

/// `POST /api/oauth2/authorize`: the person agreed.
pub async fn agree(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let fields = form_pairs(&String::from_utf8_lossy(&bytes));
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(caller) = xsrf::page_caller(&request, &app, field("_xsrf")).await? else {
        return Ok(page::to_login(&request, &app));
    };
    let mut asked: Vec<String> =
        fields.iter().filter(|(key, _)| key == "scopes").map(|(_, value)| value.clone()).collect();
    if asked.is_empty() {
        // The page said no more than this.
        asked.push(consent::IDENTIFY.to_owned());
    }
    let wish = match read(&request, &app, &caller, &asked).await? {
        Ok(wish) => wish,
        Err(redirect) => return Ok(redirect),
    };
    let granted = consent::granted(&app, &wish.client, &caller, &wish.wanted).await?;
    grant(&request, &app, &caller, &wish, &granted).await
}

fn split_scopes(values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
}

/// Reads a request. The inner error is the redirect that tells the client.
async fn read(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    asked: &[String],
) -> Result<Result<Request, HttpResponse>, Problem> {
    let argument = |name: &str| arguments(request, name).into_iter().next();
    let unknown =
        || Problem::bad("Invalid client_id parameter value.").advise("Go back to your server and open it again.");
    let client = Client::find(app, &argument("client_id").unwrap_or_default()).await?.ok_or_else(unknown)?;
    // A client has one address: not to name it is to mean it.
    if argument("redirect_uri").is_some_and(|uri| uri != client.row.redirect_uri) {
        return Err(Problem::bad("Mismatching redirect URI."));
    }
    let (redirect_uri, state) = (client.row.redirect_uri.clone(), argument("state"));
    match check(app, caller, client, asked, &argument).await {
        Ok(wish) => Ok(Ok(wish)),
        Err(Ended::Problem(problem)) => Err(problem),
        Err(Ended::Error(error, description)) => {
            let pairs = [("error", error.to_owned()), ("error_description", description.to_owned())];
            Ok(Err(redirect(&redirect_uri, pairs, state)))
        }
    }
}

async fn check(
    app: &App,
    caller: &Caller,
    client: Client,
    asked: &[String],
    argument: &dyn Fn(&str) -> Option<String>,
) -> Result<Request, Ended> {
    let response_type = argument("response_type");
    if response_type.is_none() {
        return Err(Ended::Error("invalid_request", "Missing response_type parameter."));
    }
    if response_type.as_deref() != Some("code") {
        return Err(Ended::Error("unsupported_response_type", "Only response_type=code is supported"));
    }
    let method = pkce::Method::parse(argument("code_challenge_method").as_deref());
    let challenge = match (argument("code_challenge"), method) {
        (Some(challenge), Some(method)) if pkce::is_well_formed(&challenge) => Some((challenge, method)),
        (Some(_), _) => return Err(Ended::Error("invalid_request", "The code challenge is not valid")),
        (None, _) if app.config.hub.oauth_require_pkce => {
            return Err(Ended::Error("invalid_request", "Code challenge required."));
        }
        (None, _) => None,
    };
    let wanted = consent::requested(app, &client, caller, asked)
        .await?
        .map_err(|_| Ended::Error("invalid_scope", "The client may not ask for these scopes"))?;
    if !client.admits(caller) {
        let what = &client.row.description;
        return Err(Problem::forbidden(format!("You do not have permission to access {what}"))
            .advise("Ask its owner or the people who run this hub.")
            .into());
    }
    Ok(Request { client, state: argument("state"), challenge, wanted })
}

async fn grant(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    wish: &Request,
    granted: &BTreeSet<RawScope>,
) -> Answer {
    let Some(user) = caller.user() else { return Err(Problem::forbidden("Only people can authorise applications")) };
    let code = token::generate_oauth(&mut rand::rng());
    let new = NewCode {
        code: code.clone(),
        client_id: wish.client.row.identifier.clone(),
        user_id: user.id,
        redirect_uri: wish.client.row.redirect_uri.clone(),
        session_id: caller.session_id().unwrap_or_default().to_owned(),
        scopes: granted.iter().map(ToString::to_string).collect(),
        code_challenge: wish.challenge.as_ref().map(|(challenge, _)| challenge.clone()),
        code_challenge_method: wish.challenge.as_ref().map(|(_, method)| method.as_str().to_owned()),
    };
    app.store.insert_code(&new, app.now()).await?;
    let (act, object) = match &wish.client.behind {
        // Not each request, but each way in: the code becomes the token of a browser session.
        Behind::Server(server, _) if server.user_id != user.id => {
            (Act::ServerAccess, Object::Server(&server.user_name, &server.name))
        }
        Behind::Server(server, _) => (Act::OAuthGrant, Object::Server(&server.user_name, &server.name)),
        Behind::Service(service) => (Act::OAuthGrant, Object::Service(&service.spec.name)),
    };
    let detail = json!({ "client": new.client_id, "scopes": new.scopes });
    app.audited(&Actor::of(request, app), act, object, detail).await;
    Ok(redirect(&wish.client.row.redirect_uri, [("code", code.expose().to_owned())], wish.state.clone()))
}

fn redirect<const N: usize>(uri: &str, pairs: [(&str, String); N], state: Option<String>) -> HttpResponse {
    let state = state.map(|state| ("state".to_owned(), state));
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(state);
    let separator = if uri.contains('?') { '&' } else { '?' };
    page::found(&format!("{uri}{separator}{}", encode_pairs(pairs)))
}

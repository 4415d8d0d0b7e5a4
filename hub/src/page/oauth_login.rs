//! Logging in at an identity provider: the way there, and what follows when the browser comes back.
//!
//! Whatever goes wrong, people see the login page with a sentence that says whose fault it is; the cause is in the log.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::secret::Secret;
use pages::refused::Admitting;
use pages::{Href, Refused};
use serde_json::json;

use super::{bare_default_page, found, href, login, next, oauth_attempt, show, surround};
use crate::admission;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::origin::Origin;
use crate::http::problem::reference;
use crate::http::url::{argument, encode_pairs};
use crate::http::{Answer, Problem, caller};
use crate::login::oidc::{Attempt, Known, Provider, RefreshError, Trouble, is_same_issuer};
use crate::login::{Outcome, Refusal};
use hub_core::policy::group::GroupRule;

/// So many groups that would do are named.
const MOST_GROUPS: usize = 50;

/// `GET /oauth_login`: sends the browser to the provider.
pub async fn begin(request: HttpRequest, app: web::Data<App>) -> Answer {
    let name = argument(&request, "provider").filter(|name| !name.is_empty());
    let provider = app.login.provider(name.as_deref()).ok_or_else(Problem::not_found)?;
    let now = app.now();
    let redirect_uri = redirect_uri(&request, &app, provider);
    let attempt = Attempt::new(provider.name(), &redirect_uri, next(&request, &app), now, &mut rand::rng());
    send_on(&request, &app, provider, &attempt).await
}

/// `GET /oauth_callback`: the browser comes back, with a code or an error.
pub async fn callback(request: HttpRequest, app: web::Data<App>) -> Answer {
    let begun = std::time::Instant::now();
    let state = argument(&request, "state").unwrap_or_default();
    let Some(attempt) = oauth_attempt::find(&request, &app, &state) else {
        return begun_elsewhere(&request, &app).await;
    };
    let answer = match app.login.provider(Some(&attempt.provider)) {
        Some(provider) => come_back(&request, &app, provider, &attempt).await,
        // The configuration has changed meanwhile.
        None => begun_elsewhere(&request, &app).await,
    };
    let mut response = answer?;
    crate::metrics::logged_in(response.status().is_redirection(), begun.elapsed());
    // Whatever became of it, this attempt is over.
    oauth_attempt::forget(&mut response, &request, &app, &attempt.cookie())?;
    Ok(response)
}

async fn come_back(request: &HttpRequest, app: &App, provider: &Provider, attempt: &Attempt) -> Answer {
    if let Some(code) = argument(request, "error").filter(|code| !code.is_empty()) {
        return refused_there(request, app, provider, attempt, &code).await;
    }
    // RFC 9207: another provider's answer must not be taken for this one's.
    if argument(request, "iss").is_some_and(|issuer| !is_same_issuer(&issuer, provider.issuer())) {
        let trouble = Trouble::Untrusted("the answer names another issuer".to_owned());
        return failed(request, app, provider, &trouble).await;
    }
    let Some(code) = argument(request, "code").filter(|code| !code.is_empty()) else {
        let trouble = Trouble::Broken("it sent people back with neither code nor error".to_owned());
        return failed(request, app, provider, &trouble).await;
    };
    // The code is good once. While the database is away it is not spent, so that the same address does later.
    app.store.ping().await?;
    match provider.finish(attempt, &Secret::new(code), app.now()).await {
        Ok(known) => judge(request, app, provider, attempt, &known).await,
        Err(trouble) => failed(request, app, provider, &trouble).await,
    }
}

/// Decides about somebody who has proven who they are.
async fn judge(request: &HttpRequest, app: &App, provider: &Provider, attempt: &Attempt, known: &Known) -> Answer {
    let address = Origin::of(request, app).address.parse().ok();
    let (status, text) = match app.login.admit_known(&app.store, known, address).await {
        Outcome::Welcome(identity) => {
            let next = attempt.next.clone().unwrap_or_else(|| bare_default_page(app));
            return login::welcome(request, app, identity, Some(next)).await;
        }
        Outcome::Refused(refusal) => {
            put_out(request, app, known, &refusal).await?;
            if refusal == Refusal::NoGroup {
                return not_admitted(request, app, provider, &known.claims.username, true);
            }
            (StatusCode::FORBIDDEN, refusal.to_string())
        }
        Outcome::Throttled { .. } | Outcome::Unavailable => {
            let text = "Logging in does not work at the moment. Try again later.";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
    };
    login::again(request, app, status, "", Some(text))
}

/// Records a refusal, and ends what the same person still has open from when they were let in.
async fn put_out(request: &HttpRequest, app: &App, known: &Known, refusal: &Refusal) -> Result<(), Problem> {
    let claims = &known.claims;
    let why = format!("{refusal:?}");
    let detail = json!({ "why": why, "provider": claims.provider, "subject": claims.subject });
    let by = Actor::of(request, app);
    app.audited(&by, Act::LoginFailed, Object::User(&claims.username), detail).await;
    let is_over = matches!(refusal, Refusal::NoGroup | Refusal::NotAllowed);
    match app.login.name_of_claims(claims).filter(|_| is_over) {
        Some(name) => admission::refuse_known(app, &by, name.as_str(), claims, &why).await,
        None => Ok(()),
    }
}

/// The page that says which groups would let somebody in; without them where none would.
fn not_admitted(request: &HttpRequest, app: &App, provider: &Provider, username: &str, by_group: bool) -> Answer {
    let (frame, cookie) = surround(request, app, None, "login").parts();
    let join = provider.config().join_url.as_deref().filter(|_| by_group);
    let groups = app.login.admitting(provider.name()).into_iter().take(MOST_GROUPS);
    let admitting = |rule: &GroupRule| Admitting { name: rule.group().to_owned(), and_below: rule.is_deep() };
    let page = Refused {
        frame,
        provider: provider.config().shown().to_owned(),
        username: username.to_owned(),
        groups: if by_group { groups.map(admitting).collect() } else { Vec::new() },
        join: join.and_then(|join| Href::parse(join).ok()),
        login_url: href(&app.paths.hub("login")),
    };
    show(&page, StatusCode::FORBIDDEN, cookie)
}

/// The provider sent an error in place of a code.
async fn refused_there(request: &HttpRequest, app: &App, provider: &Provider, attempt: &Attempt, code: &str) -> Answer {
    if code == "invalid_scope" {
        let asked = provider.asked(attempt).await;
        tracing::warn!(
            provider = provider.name(),
            ?asked,
            "the provider does not give all of these scopes: register them for the hub's client, or set `scope` and \
             `optional_scope` to those that are"
        );
        if provider.has_another_choice(attempt).await {
            return send_on(request, app, provider, &attempt.again(app.now(), &mut rand::rng())).await;
        }
    }
    let told = |text: Option<String>| crate::login::oidc::excerpt(&text.unwrap_or_default());
    let trouble = Trouble::Denied {
        code: told(Some(code.to_owned())),
        description: told(argument(request, "error_description")),
    };
    failed(request, app, provider, &trouble).await
}

/// Tells what went wrong: to people in a sentence, to the log with its cause.
async fn failed(request: &HttpRequest, app: &App, provider: &Provider, trouble: &Trouble) -> Answer {
    let name = provider.config().shown();
    let operators = || {
        let reference = reference();
        tracing::error!(provider = provider.name(), reference, "a login did not work: {trouble}");
        format!("Ask the people who run this hub, and tell them this reference: {reference}")
    };
    let refuses = || format!("{name} refuses to log in people of this hub. {}", operators());
    let warn = || tracing::warn!(provider = provider.name(), "a login did not work: {trouble}");
    let (status, text) = match trouble {
        Trouble::Required(_) => {
            warn();
            return not_admitted(request, app, provider, "", false);
        }
        Trouble::Unreachable(_) => {
            warn();
            (StatusCode::SERVICE_UNAVAILABLE, format!("{name} does not answer at the moment. Try again in a minute."))
        }
        Trouble::Denied { code, description } => match code.as_str() {
            "temporarily_unavailable" | "server_error" => {
                warn();
                let text = format!("{name} cannot log anybody in at the moment. Try again in a minute.");
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            "access_denied" => {
                warn();
                (StatusCode::FORBIDDEN, format!("{name} did not let you in, or you did not agree to it."))
            }
            "login_required" | "consent_required" | "interaction_required" | "account_selection_required" => {
                warn();
                (StatusCode::FORBIDDEN, format!("{name} has to ask you something first. Log in there, then here."))
            }
            "invalid_grant" | "unauthorized" => match RefreshError::of_denial(code, description.clone()) {
                RefreshError::Suspended { .. } => {
                    warn();
                    let text = format!("Your account at {name} is suspended. Ask there.");
                    return login::again(request, app, StatusCode::FORBIDDEN, "", Some(text));
                }
                RefreshError::UsagePolicy { .. } => {
                    warn();
                    let text =
                        format!("{name} wants you to sign its usage policy first. Sign it there, then log in again.");
                    return login::again(request, app, StatusCode::FORBIDDEN, "", Some(text));
                }
                RefreshError::InvalidGrant { .. } => {
                    warn();
                    let text = "This login has been used or has taken too long. Log in again.";
                    (StatusCode::BAD_REQUEST, text.to_owned())
                }
                _ => (StatusCode::BAD_GATEWAY, refuses()),
            },
            _ => (StatusCode::BAD_GATEWAY, refuses()),
        },
        Trouble::Broken(_) | Trouble::Untrusted(_) => {
            (StatusCode::BAD_GATEWAY, format!("The answer of {name} cannot be used. {}", operators()))
        }
        Trouble::Incomplete(_) => {
            let what = format!("{name} does not tell what this hub has to know about you.");
            (StatusCode::FORBIDDEN, format!("{what} {}", operators()))
        }
    };
    login::again(request, app, status, "", Some(text))
}

/// No login of this browser is waiting for this answer: too old, used, or another browser's.
async fn begun_elsewhere(request: &HttpRequest, app: &App) -> Answer {
    if caller::of_login(request, app).await?.is_some() {
        // Somebody went back to a page of before.
        return Ok(found(&bare_default_page(app)));
    }
    let text = "This login was not begun in this browser, or has been used already. Log in again.";
    login::again(request, app, StatusCode::BAD_REQUEST, "", Some(text.to_owned()))
}

async fn send_on(request: &HttpRequest, app: &App, provider: &Provider, attempt: &Attempt) -> Answer {
    let url = match provider.begin(attempt).await {
        Ok(url) => url,
        Err(trouble) => return failed(request, app, provider, &trouble).await,
    };
    let mut response = found(&url);
    oauth_attempt::keep(&mut response, request, app, attempt)?;
    Ok(response)
}

/// Where the provider sends people back to.
fn redirect_uri(request: &HttpRequest, app: &App, provider: &Provider) -> String {
    match &provider.config().oauth_callback_url {
        Some(url) => url.as_str().to_owned(),
        None => format!("{}{}", here(request, app), app.paths.hub("oauth_callback")),
    }
}

/// The hub's own address as browsers know it, without a path.
pub fn here(request: &HttpRequest, app: &App) -> String {
    let origin = Origin::of(request, app);
    format!("{}://{}", origin.scheme, origin.host)
}

/// Where a login at a provider begins.
pub fn path(app: &App, provider: &Provider, next: Option<String>) -> String {
    let pairs = [("provider".to_owned(), provider.name().to_owned())];
    let pairs = pairs.into_iter().chain(next.map(|next| ("next".to_owned(), next)));
    format!("{}?{}", app.paths.hub("oauth_login"), encode_pairs(pairs))
}

//! `/iam/{provider}`: the hub in the place of an identity provider, for programs in labs that refresh tokens by
//! themselves, such as oidc-agent, sts-wire and scripts of old images.
//!
//! What such a program takes for its refresh token, and for its client's secret, is the token that its server was started
//! with: it is good here only, only for this person, and only as long as the server runs.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use hub_core::secret::Secret;
use hub_store::Server;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::url::{client_of_server, form_pairs, piece};
use crate::http::{Answer, Caller, Problem, caller};
use crate::upstream::lab::{check_alone, lab_of, seconds_left, want};
use crate::upstream::{Code, Refused};

/// Whoever refreshes wants a token that lasts a while.
const AT_LEAST: TimeDelta = TimeDelta::seconds(300);

/// `GET /iam/{provider}/.well-known/openid-configuration`
pub async fn discovery(request: HttpRequest, app: web::Data<App>) -> Answer {
    let name = piece(&request, "provider")?;
    let provider = app.login.provider(Some(&name)).ok_or_else(Problem::not_found)?;
    let issuer = issuer(&app, &name);
    let mut said = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["refresh_token"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    // Who only reads what is public goes to the provider itself, which may be down.
    let public = provider.public().await.unwrap_or_default();
    if let (Some(said), Value::Object(public)) = (said.as_object_mut(), public) {
        said.extend(public.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>());
    }
    Ok(HttpResponse::Ok().json(said))
}

/// Where the hub stands for a provider, as labs reach it.
pub fn issuer(app: &App, provider: &str) -> String {
    format!("{}/iam/{provider}", app.keeper.recipe().api_url)
}

/// What a program sent, from address, form and header.
struct Sent(Vec<(String, String)>);

impl Sent {
    fn of(request: &HttpRequest, bytes: &[u8]) -> Self {
        let mut pairs = form_pairs(&String::from_utf8_lossy(bytes));
        pairs.extend(form_pairs(request.query_string()));
        pairs.extend(basic(request).into_iter().flatten());
        Self(pairs)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// A client's name and secret in HTTP's own form (RFC 6749, 2.3.1), both of them encoded as in a form.
fn basic(request: &HttpRequest) -> Option<[(String, String); 2]> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let (word, value) = header.split_once(' ')?;
    if !word.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some([("client_id".to_owned(), decoded(id)), ("client_secret".to_owned(), decoded(secret))])
}

/// `POST /iam/{provider}/token`: a refresh, in the words of RFC 6749.
pub async fn token(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let name = piece(&request, "provider")?;
    app.login.provider(Some(&name)).ok_or_else(Problem::not_found)?;
    let sent = Sent::of(&request, &bytes);
    if sent.get("grant_type") != Some("refresh_token") {
        return Ok(refuse(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "Tokens are refreshed here, nothing else",
        ));
    }
    let Some((asker, lab)) = lab(&app, &sent).await? else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant", "This refresh token is of no server that runs"));
    };
    if !is_client_of(&sent, &lab) {
        return Ok(refuse(StatusCode::UNAUTHORIZED, "invalid_client", "The client is not that of this server"));
    }
    if let Err(problem) = check_alone(&app, &lab).await {
        return in_oauth(problem, "invalid_grant");
    }
    let user = asker.user().ok_or_else(Problem::not_found)?;
    if app.upstream.provider(user.id).await?.is_some_and(|own| own != name) {
        // Another provider's token must not be taken for one of this.
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant", "This refresh token is not for this provider"));
    }
    let audience = ["audience", "aud", "resource"].into_iter().find_map(|name| sent.get(name));
    let want = match want(audience.map(str::to_owned), sent.get("scope").map(str::to_owned)) {
        Ok(want) => want,
        Err(problem) => return in_oauth(problem, "invalid_request"),
    };
    let access = match app.upstream.access(user.id, want, AT_LEAST).await {
        Ok(access) => access,
        Err(Refused::Failed(failure)) => {
            let (status, code) = match failure.code {
                Code::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
                Code::SignInNeeded | Code::TokenEnded | Code::Suspended | Code::UsagePolicy | Code::Refused => {
                    (StatusCode::BAD_REQUEST, "invalid_grant")
                }
            };
            return Ok(refuse(status, code, &failure.sentence));
        }
        Err(Refused::Target(sentence)) => return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_target", &sentence)),
        Err(Refused::NotKept | Refused::NotAdmitted) => {
            return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant", "This hub has no token of yours"));
        }
        Err(Refused::Problem(problem)) => return Err(problem),
    };
    let mut body = json!({
        "access_token": access.token.expose(),
        "token_type": "Bearer",
        "refresh_token": sent.get("refresh_token"),
        "scope": access.scope.join(" "),
    });
    if let Some(seconds) = seconds_left(&app, &access) {
        body["expires_in"] = seconds.into();
    }
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store")).insert_header(("Pragma", "no-cache"));
    Ok(response.json(body))
}

/// The server whose token was sent as a refresh token.
async fn lab(app: &App, sent: &Sent) -> Result<Option<(Arc<Caller>, Server)>, Problem> {
    let Some(text) = sent.get("refresh_token") else { return Ok(None) };
    let Some(asker) = caller::by_token(app, text).await? else { return Ok(None) };
    Ok(lab_of(app, &asker).await?.map(|lab| (asker, lab)))
}

/// Whether the client is the server's own, and its secret the same token. Old scripts leave out one or both.
fn is_client_of(sent: &Sent, lab: &Server) -> bool {
    let own = client_of_server(&lab.user_name, &lab.name);
    let token = Secret::new(sent.get("refresh_token").unwrap_or_default());
    sent.get("client_id").is_none_or(|client| client == own)
        && sent.get("client_secret").is_none_or(|secret| token.matches(secret))
}

/// A refusal of the hub's own in the words of OAuth; a fault stays one.
fn in_oauth(problem: Problem, error: &str) -> Answer {
    match problem.message() {
        Some(text) if problem.status().is_client_error() => Ok(refuse(StatusCode::BAD_REQUEST, error, text)),
        _ => Err(problem),
    }
}

fn refuse(status: StatusCode, error: &str, description: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.insert_header(("Cache-Control", "no-store"));
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("WWW-Authenticate", "Basic"));
    }
    response.json(json!({ "error": error, "error_description": description }))
}

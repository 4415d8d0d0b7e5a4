//! `POST /api/oauth2/token`: a code becomes a token.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use hub_core::{pkce, token};
use hub_store::{Code, NewToken, TokenOwner};
use serde_json::json;

use super::client::Client;
use crate::app::App;
use crate::http::url::form_pairs;
use crate::http::{Answer, Problem, cookies};

/// An error as RFC 6749, section 5.2, wants it.
fn refuse(status: StatusCode, error: &str, description: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("WWW-Authenticate", format!("Bearer error=\"{error}\"")));
    }
    response
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(json!({ "error": error, "error_description": description }))
}

/// `POST /api/oauth2/token`
pub async fn exchange(app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let fields = form_pairs(&String::from_utf8_lossy(&bytes));
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("grant_type") == Some("refresh_token") {
        return Ok(refuse(StatusCode::BAD_REQUEST, "unauthorized_client", "There are no refresh tokens"));
    }
    if field("grant_type") != Some("authorization_code") {
        return Ok(refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", "Only authorization_code is supported"));
    }
    let (identifier, secret) = (field("client_id").unwrap_or_default(), field("client_secret").unwrap_or_default());
    let client = Client::find(&app, identifier).await?;
    let known =
        |client: &Client| secret.len() <= token::LONGEST && app.proofs.verify(client.row.secret.expose(), secret);
    let Some(client) = client.filter(known) else {
        return Ok(refuse(StatusCode::UNAUTHORIZED, "invalid_client", "The client is unknown or its secret is wrong"));
    };
    let Some(code) = field("code").filter(|code| !code.is_empty()) else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_request", "Missing code parameter."));
    };
    let lifetime = lifetime(&app)?;
    let asked = Asked { redirect_uri: field("redirect_uri"), verifier: field("code_verifier") };
    let (identifier, now) = (&client.row.identifier, app.now());
    let secret = token::generate_oauth(&mut rand::rng());
    // The code is used up by a mistake too: whoever makes one may have stolen it.
    let decide = |code: Code| match asked.fault(&code) {
        Some((error, description)) => (Decided::Refused(error, description), None),
        None => {
            let new = new_token(identifier, code, &secret, now + lifetime, now);
            (Decided::Given { scope: new.scopes.join(" "), session: new.session_id.clone() }, Some(new))
        }
    };
    match app.store.exchange_code(code, identifier, now, decide).await? {
        None => Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant", "The code is wrong, used or expired")),
        Some((Decided::Refused(error, description), _)) => Ok(refuse(StatusCode::BAD_REQUEST, error, description)),
        Some((Decided::Given { scope, session }, id)) => {
            if let (Some(id), Some(session)) = (id, session)
                && app.store.session(&session).await?.is_some_and(|session| !session.is_valid(now))
            {
                // The person has logged out since the code was made. Asked after the token is there: a log-out that
                // comes later deletes it.
                app.store.delete_token(id).await?;
                let description = "The login that the code was made in has ended";
                return Ok(refuse(StatusCode::BAD_REQUEST, "invalid_grant", description));
            }
            Ok(given(&secret, &scope, lifetime))
        }
    }
}

/// What becomes of a code that was there.
enum Decided {
    /// A token was made of it, in this session, if that is known.
    Given { scope: String, session: Option<String> },
    /// An error as RFC 6749 wants it, and a sentence.
    Refused(&'static str, &'static str),
}

/// What comes with a code.
struct Asked<'f> {
    redirect_uri: Option<&'f str>,
    verifier: Option<&'f str>,
}

impl Asked<'_> {
    /// Why the code is not theirs who bring it: an error as RFC 6749 wants it, and a sentence.
    fn fault(&self, code: &Code) -> Option<(&'static str, &'static str)> {
        if code.redirect_uri.as_deref() != self.redirect_uri {
            return Some(("invalid_request", "Mismatching redirect URI."));
        }
        if code.code_challenge.is_some() && self.verifier.is_none() {
            return Some(("invalid_request", "Code verifier required."));
        }
        let is_proven = is_proven(code, self.verifier);
        (!is_proven).then_some(("invalid_grant", "The code verifier does not fit the challenge"))
    }
}

fn is_proven(code: &Code, verifier: Option<&str>) -> bool {
    let challenge = code
        .code_challenge
        .as_deref()
        .map(|challenge| (challenge, pkce::Method::parse(code.code_challenge_method.as_deref())));
    let challenge = match challenge {
        Some((challenge, Some(method))) => Some((challenge, method)),
        Some((_, None)) => return false,
        None => None,
    };
    pkce::verify(challenge, verifier)
}

/// How long a token is good.
fn lifetime(app: &App) -> Result<TimeDelta, Problem> {
    let seconds = match app.config.hub.oauth_token_expires_in {
        0 => cookies::login_age(app).num_seconds(),
        seconds => i64::try_from(seconds).unwrap_or(i64::MAX),
    };
    TimeDelta::try_seconds(seconds).ok_or_else(|| Problem::internal("token", "lifetime out of range"))
}

fn new_token(client_id: &str, code: Code, secret: &Secret, expires_at: Time, now: Time) -> NewToken {
    NewToken {
        owner: TokenOwner::User(code.user_id),
        hashed: Secret::new(token::hash(secret.expose(), token::GENERATED_ROUNDS, &mut rand::rng())),
        prefix: token::prefix(secret.expose()).to_owned(),
        client_id: client_id.to_owned(),
        session_id: code.session_id.filter(|session| !session.is_empty()),
        note: String::new(),
        scopes: code.scopes,
        expires_at: Some(expires_at),
        now,
    }
}

fn given(secret: &Secret, scope: &str, lifetime: TimeDelta) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).insert_header(("Pragma", "no-cache")).json(json!({
        "access_token": secret.expose(),
        "expires_in": lifetime.num_seconds(),
        "token_type": "Bearer",
        "scope": scope,
    }))
}

//! `/user/access-token`: a fresh access token of the caller's identity provider, for the caller's own servers and scripts.
//!
//! A server asks with the token it was started with, which ends when it stops. Anybody else needs the right to see the
//! person's `auth_state`. The refresh token and the client's secret never leave the hub.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::TimeDelta;
use serde_json::json;

use crate::app::App;
use crate::http::guard::Anyone;
use crate::http::{Answer, Problem, url};
use crate::upstream::lab::{check_may, seconds_left, want};
use crate::upstream::{Code, Failure, Refused};

/// How long a token is good for at least, in seconds, where nothing is said.
const AT_LEAST: i64 = 60;
/// Nobody needs to ask for more.
const MOST: i64 = 86_400;

/// `GET /user/access-token?min_valid=SECONDS&audience=…&scope=…`
pub async fn get(request: HttpRequest, app: web::Data<App>, who: Anyone) -> Answer {
    let user = who.0.user().ok_or_else(|| Problem::forbidden("Only people log in at identity providers"))?;
    check_may(&app, &who.0).await?;
    let at_least = at_least(&request)?;
    let want = want(url::argument(&request, "audience"), url::argument(&request, "scope"))?;
    let access = match app.upstream.access(user.id, want, at_least).await {
        Ok(access) => access,
        Err(Refused::Failed(failure)) => return Ok(failed(&failure)),
        Err(refused) => return Err(problem(refused)),
    };
    let body = json!({
        "access_token": access.token.expose(),
        "token_type": "Bearer",
        "expires_in": seconds_left(&app, &access),
        "expires_at": access.expires_at.map(hub_core::clock::isoformat),
        "scope": access.scope.join(" "),
        "provider": access.provider,
    });
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}

fn at_least(request: &HttpRequest) -> Result<TimeDelta, Problem> {
    let Some(text) = url::argument(request, "min_valid").filter(|text| !text.is_empty()) else {
        return Ok(TimeDelta::seconds(AT_LEAST));
    };
    let seconds = text.parse().ok().filter(|seconds| (0..=MOST).contains(seconds));
    seconds.map(TimeDelta::seconds).ok_or_else(|| Problem::bad(format!("min_valid is a number from 0 to {MOST}")))
}

/// What stands between somebody and their token, with a word for machines: 409 where they can do something about it.
pub(super) fn failed(failure: &Failure) -> HttpResponse {
    let status = match failure.code {
        Code::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        Code::SignInNeeded | Code::Suspended | Code::UsagePolicy | Code::Refused => StatusCode::CONFLICT,
    };
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header(("Retry-After", "5"));
    }
    response.json(json!({
        "status": status.as_u16(), "message": failure.sentence, "code": failure.code, "link": failure.link,
    }))
}

/// What is told of a refusal.
pub(super) fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::NotKept => Problem::new(StatusCode::NOT_FOUND, "This hub keeps no access token of yours"),
        Refused::NotAdmitted => Problem::forbidden("You may not use this hub any more"),
        Refused::Target(sentence) => Problem::bad(sentence),
        Refused::Failed(failure) => Problem::conflict(failure.sentence),
        Refused::Problem(problem) => problem,
    }
}

//! `/user/access-token`: a fresh access token of the caller's identity provider, for the caller's own servers and scripts.
//!
//! A server asks with the token it was started with, which ends when it stops. Anybody else needs the right to see the
//! person's `auth_state`. The refresh token and the client's secret never leave the hub.
//!
//! Who keeps a token for others, as the lab's agent does, asks for the next one with `If-None-Match` and `Prefer: wait=…`
//! (RFC 7240): the answer comes when another token is to be used, or `304` after that time.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::TimeDelta;
use serde_json::json;

use crate::app::App;
use crate::http::guard::Anyone;
use crate::http::{Answer, Problem, etag, url};
use crate::upstream::lab::{check_may, seconds_left, want};
use crate::upstream::{Access, Code, Failure, Refused};

/// How long a token is good for at least, in seconds, where nothing is said.
const AT_LEAST: i64 = 60;
/// Nobody needs to ask for more.
const MOST: i64 = 86_400;

/// Nobody is kept waiting for longer: proxies on the way give up.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// `GET /user/access-token?min_valid=SECONDS&audience=…&scope=…`
pub async fn get(request: HttpRequest, app: web::Data<App>, who: Anyone) -> Answer {
    let user = who.0.user().ok_or_else(|| Problem::forbidden("Only people log in at identity providers"))?;
    check_may(&app, &who.0).await?;
    let at_least = at_least(&request)?;
    let want = want(url::argument(&request, "audience"), url::argument(&request, "scope"))?;
    let wait = waits(&request).filter(|_| want.is_plain());
    let given = match wait {
        Some(wait) => app.upstream.next(user.id, at_least, wait, |access| is_known(&request, access)).await,
        None => app.upstream.access(user.id, want, at_least).await.map(Some),
    };
    let access = match given {
        Ok(Some(access)) => access,
        Ok(None) => return Ok(HttpResponse::NotModified().insert_header(("Cache-Control", "no-store")).finish()),
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
    let tag = etag::of(access.token.expose().as_bytes());
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).insert_header(("ETag", tag)).json(body))
}

/// For how long somebody wants to wait who has a token already.
fn waits(request: &HttpRequest) -> Option<Duration> {
    request.headers().get("if-none-match")?;
    let wished = request.headers().get("prefer")?.to_str().ok()?;
    let wait = wished.split(',').find_map(|one| one.trim().strip_prefix("wait="))?;
    wait.parse().ok().map(Duration::from_secs).map(|wait| wait.min(LONGEST_WAIT))
}

fn is_known(request: &HttpRequest, access: &Access) -> bool {
    let tag = etag::of(access.token.expose().as_bytes());
    request.headers().get_all("if-none-match").any(|held| etag::names(held.as_bytes(), &tag))
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
        Code::SignInNeeded | Code::TokenEnded | Code::Suspended | Code::UsagePolicy | Code::Refused => {
            StatusCode::CONFLICT
        }
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

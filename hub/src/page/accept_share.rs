//! `/accept-share`: somebody is invited to use somebody else's server. JupyterHub's address, fields and statuses.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_store::ShareCode;
use pages::AcceptShare;
use pages::token::Scope;
use pages::words::ENGLISH;

use super::{Form, found, href, next, person, show, surround};
use crate::app::App;
use crate::audit::Actor;
use crate::http::url::argument;
use crate::http::{Answer, Caller, Problem};
use crate::sharing;

/// What is wrong with an invitation; the statuses differ between looking and accepting, as JupyterHub's do.
struct Refusals {
    unknown: StatusCode,
    own: StatusCode,
}

const LOOKING: Refusals = Refusals { unknown: StatusCode::NOT_FOUND, own: StatusCode::FORBIDDEN };
const ACCEPTING: Refusals = Refusals { unknown: StatusCode::BAD_REQUEST, own: StatusCode::BAD_REQUEST };

async fn find(app: &App, caller: &Caller, code: Option<&str>, refusals: &Refusals) -> Result<ShareCode, Problem> {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let code = code.ok_or_else(|| Problem::bad("Missing argument code"))?;
    let gone =
        || Problem::new(refusals.unknown, "Share not found or expired").advise("Ask who invited you for another link.");
    let code = sharing::find_code(app, code.trim()).await?.ok_or_else(gone)?;
    if code.server.owner_id == user.id {
        return Err(Problem::new(refusals.own, "You can't share with yourself!"));
    }
    Ok(code)
}

/// Where to go then: to the place asked for, else to the server.
fn onward(request: &HttpRequest, app: &App, code: &ShareCode) -> String {
    next(request, app).unwrap_or_else(|| app.paths.server(&code.server.owner, &code.server.name))
}

/// `GET /accept-share?code=…`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match person(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let text = argument(&request, "code");
    let code = find(&app, &caller, text.as_deref(), &LOOKING).await?;
    let (frame, cookie) = surround(&request, &app, Some(&caller), "accept-share").parts();
    let scopes = code.as_scopes().current();
    let page = AcceptShare {
        frame,
        url: href(&app.paths.server(&code.server.owner, &code.server.name)),
        next: href(&onward(&request, &app, &code)),
        scopes: scopes.into_iter().map(|scope| Scope::of_share(&ENGLISH, scope)).collect(),
        owner: code.server.owner,
        server: code.server.name,
        ready: code.server.ready,
        code: hub_core::secret::Secret::new(text.unwrap_or_default().trim()),
    };
    show(&page, StatusCode::OK, cookie)
}

/// `POST /accept-share`: the person agreed.
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match person(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    let text = form.get("code").map(str::to_owned).or_else(|| argument(&request, "code"));
    let code = find(&app, &caller, text.as_deref(), &ACCEPTING).await?;
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let share = sharing::exchange(&app, &Actor::of(&request, &app), &code, user).await?;
    share.ok_or_else(|| Problem::bad("Share not found or expired"))?;
    Ok(found(&onward(&request, &app, &code)))
}

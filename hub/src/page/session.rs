//! Browser sessions: opened at login, ended at logout, all of them ended when a password changes.

use actix_web::{HttpRequest, HttpResponse};
use hub_core::token;
use hub_store::{NewSession, User};

use crate::app::App;
use crate::http::origin::Origin;
use crate::http::{Answer, Problem, cookies, xsrf};

/// So much of what a browser calls itself is kept.
const AGENT: usize = 255;

/// Opens a session and gives its cookies to a response. Its id is always a new one, whatever the browser sent.
pub async fn open(request: &HttpRequest, app: &App, user: &User, mut response: HttpResponse) -> Answer {
    // Whichever way leads here: who works in a lab for working together is somebody else.
    if app.config.collaboration_of(&user.name).is_some() {
        return Err(Problem::forbidden("Nobody can log in under this name"));
    }
    let origin = Origin::of(request, app);
    let session_id = token::generate_id(&mut rand::rng());
    let now = app.now();
    let agent = request.headers().get("user-agent").and_then(|agent| agent.to_str().ok());
    let session = NewSession {
        session_id: session_id.clone(),
        user_id: user.id,
        now,
        expires_at: now + cookies::login_age(app),
        address: Some(origin.address.clone()).filter(|address| !address.is_empty()),
        agent: agent.map(|agent| agent.chars().take(AGENT).collect()),
    };
    app.store.insert_session(&session).await?;
    let cookies = [
        cookies::login_cookie(app, &origin, &user.cookie_id),
        cookies::session_cookie(app, &origin, &session_id),
        xsrf::for_login(app, &origin, &session_id, &user.cookie_id),
    ];
    for cookie in &cookies {
        response.add_cookie(cookie).map_err(|error| Problem::internal("cookie", error))?;
    }
    Ok(response)
}

/// Ends one session, with every token that was made in it.
///
/// Revoked first: an OAuth code that is exchanged meanwhile meets either a revoked session or the deletion.
pub async fn end(app: &App, user: &User, session_id: Option<&str>) -> Result<(), Problem> {
    let revoked = match session_id {
        Some(session) => app.store.revoke_session(session, app.now()).await?,
        None => false,
    };
    if !revoked {
        // JupyterHub made this login: it has no session of ours, and ends only with the id that its cookie carries.
        renew_cookie_id(app, user).await?;
    }
    if let Some(session) = session_id {
        app.store.delete_tokens_of_session(user.id, session).await?;
    }
    Ok(())
}

/// Ends every session of a person, in every browser, with every token that was made in one. Returns the person with
/// the id for new cookies.
pub async fn end_all(app: &App, user: &User) -> Result<User, Problem> {
    app.store.revoke_sessions_of(user.id, app.now()).await?;
    let renewed = renew_cookie_id(app, user).await?;
    app.store.delete_oauth_tokens_of(user.id).await?;
    Ok(renewed)
}

async fn renew_cookie_id(app: &App, user: &User) -> Result<User, Problem> {
    let cookie_id = token::generate_id(&mut rand::rng());
    app.store.set_cookie_id(user.id, &cookie_id).await?;
    Ok(User { cookie_id, ..user.clone() })
}

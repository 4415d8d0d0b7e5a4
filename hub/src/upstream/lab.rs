//! Labs that ask for their person's tokens: recognised by the token they were started with.

use hub_store::{Server, ShareQuery, Shares};

use super::{Access, Want};
use crate::app::App;
use crate::http::Problem;
use crate::http::caller::{Caller, Via};

/// Longer audiences and scopes are no use.
const LONGEST: usize = 1024;

/// The server that a caller is, if it is one that runs.
pub async fn lab_of(app: &App, caller: &Caller) -> Result<Option<Server>, Problem> {
    let Via::Token { id, .. } = &caller.via else { return Ok(None) };
    let server = app.store.server_of_token(*id).await?;
    Ok(server.filter(|server| caller.user().is_some_and(|user| user.id == server.user_id)))
}

/// Lets a caller have what is their person's alone: a server that runs and is used by nobody else, or who may see the
/// person's `auth_state`.
pub async fn check_may(app: &App, caller: &Caller) -> Result<(), Problem> {
    if let Some(lab) = lab_of(app, caller).await? {
        return check_alone(app, &lab).await;
    }
    if caller.rights.user_fields(caller.name(), &caller.groups).auth_state {
        return Ok(());
    }
    Err(Problem::forbidden("Only a running server gets its owner's credentials, or who may see the auth_state"))
}

/// Refuses a server that others may use: whatever reaches it, they could read.
pub async fn check_alone(app: &App, server: &Server) -> Result<(), Problem> {
    if app.config.auth.tokens_in_shared_servers {
        return Ok(());
    }
    let query = ShareQuery { of: Shares::OfServer(server.id), offset: 0, limit: Some(1) };
    if app.store.list_shares(&query, app.now()).await?.total == 0 {
        return Ok(());
    }
    Err(Problem::forbidden("This server is shared with others, so that it gets no access tokens")
        .advise("Take the shares back, or use a server of your own."))
}

/// What is asked for, from parameters.
pub fn want(audience: Option<String>, scope: Option<String>) -> Result<Want, Problem> {
    let clean = |name: &str, text: Option<String>| match text.filter(|text| !text.trim().is_empty()) {
        Some(text) if text.len() > LONGEST || text.chars().any(char::is_control) => {
            Err(Problem::bad(format!("{name} is too long, or has control characters")))
        }
        text => Ok(text),
    };
    Ok(Want { audience: clean("audience", audience)?, scope: clean("scope", scope)?, id_token: false })
}

/// How many seconds a token is good for, where that is known.
pub fn seconds_left(app: &App, access: &Access) -> Option<i64> {
    access.expires_at.map(|end| (end - app.now()).num_seconds().max(0))
}

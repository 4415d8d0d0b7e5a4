//! What home shows of labs for working together: those that the person may open, and stopping one.

use hub_core::scope::Scope;
use pages::home::Together;

use super::{may, on_server, server};
use crate::app::App;
use crate::audit::Actor;
use crate::config::CollaborationConfig;
use crate::http::{Caller, Problem};
use crate::intent;

/// The labs whose account is there and whose server the caller may open.
pub async fn of(app: &App, caller: &Caller) -> Result<Vec<Together>, Problem> {
    let mut labs = Vec::new();
    for one in &app.config.collaboration {
        labs.extend(shown(app, caller, one).await?);
    }
    Ok(labs)
}

async fn shown(app: &App, caller: &Caller, one: &CollaborationConfig) -> Result<Option<Together>, Problem> {
    let Some(account) = app.store.user(&one.name).await? else { return Ok(None) };
    let groups = app.store.groups_of(account.id).await?;
    if !may(caller, Scope::AccessServers, &account.name, &groups, "") {
        return Ok(None);
    }
    let of = app.store.server(account.id, "").await?;
    let told = app.labs.of(&app.store, of.as_slice(), app.now()).await?;
    let told = of.as_ref().and_then(|of| told.get(&of.id));
    Ok(Some(Together {
        title: one.title().to_owned(),
        description: one.description.clone(),
        server: server::shown(app, &account.name, "", of.as_ref(), told),
        account: account.name,
    }))
}

/// Stops the lab of an account.
pub async fn stop(app: &App, by: &Actor, caller: &Caller, account: &str) -> Result<(), Problem> {
    if app.config.collaboration_of(account).is_none() {
        return Err(Problem::not_found());
    }
    let (account, _) = on_server(app, caller, Scope::DeleteServers, account, "").await?;
    match app.store.server(account.id, "").await? {
        Some(server) => intent::want_stopped(app, by, &server).await,
        None => Ok(()),
    }
}

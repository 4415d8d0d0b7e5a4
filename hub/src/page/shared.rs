//! What home shows of sharing: servers of others, leaving them, and the way to share one's own.

use hub_core::scope::{Scope, Target};
use hub_store::{Server, Share, ShareWith};
use pages::home::Share as Shown;
use pages::server::Server as ShownServer;

use super::{href, may};
use crate::app::App;
use crate::audit::Actor;
use crate::http::{Caller, Problem};
use crate::sharing;

/// The servers that others share with the caller, each once.
pub async fn with_me(app: &App, caller: &Caller) -> Result<Vec<Shown>, Problem> {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let mut shares = app.store.shares_with(user.id, app.now()).await?;
    // The own share before that of a group: it is the one that can be left.
    shares.sort_by_key(|share| (share.server.owner.clone(), share.server.name.clone(), is_of_group(share)));
    shares.dedup_by_key(|share| share.server.id);
    Ok(shares
        .into_iter()
        .filter(|share| share.server.owner_id != user.id)
        .map(|share| shown(app, caller, share))
        .collect())
}

fn is_of_group(share: &Share) -> bool {
    matches!(share.with, ShareWith::Group(_))
}

fn shown(app: &App, caller: &Caller, share: Share) -> Shown {
    let server = &share.server;
    // The share is the reason for whatever may be done, so that the owner's groups do not matter.
    let start = may(caller, Scope::Servers, &server.owner, &[], &server.name);
    Shown {
        url: href(&app.paths.server(&server.owner, &server.name)),
        start: start.then(|| href(&app.paths.server_page("spawn", &server.owner, &server.name))),
        ready: server.ready,
        by_group: is_of_group(&share).then(|| share.with_name.clone()),
        owner: share.server.owner,
        server: share.server.name,
    }
}

/// Leads from a server's row to its sharing page, if the caller may share it and it was ever made.
pub fn offer(app: &App, caller: &Caller, server: Option<&Server>, row: ShownServer) -> ShownServer {
    let share = server.filter(|server| may(caller, Scope::Shares, &server.user_name, &caller.groups, &server.name));
    ShownServer {
        share: share.map(|server| href(&app.paths.server_page("share", &server.user_name, &server.name))),
        ..row
    }
}

/// Gives up a share. One that is gone already is no error.
pub async fn leave(app: &App, by: &Actor, caller: &Caller, owner: &str, name: &str) -> Result<(), Problem> {
    let user = caller.user().ok_or_else(Problem::not_found)?;
    let target = Target::User { name: &user.name, groups: &caller.groups };
    if !caller.rights.covers(Scope::UsersShares, &target) {
        return Err(Problem::forbidden("You may not leave shared servers"));
    }
    let Some(owner) = app.store.user(owner).await? else { return Ok(()) };
    let Some(server) = app.store.server(owner.id, name).await? else { return Ok(()) };
    if let Some(share) = app.store.share(server.id, ShareWith::User(user.id), app.now()).await? {
        sharing::leave(app, by, &share).await?;
    }
    Ok(())
}

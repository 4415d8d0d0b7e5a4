//! Which scopes a client is granted, and whether the person has to be asked.

use std::collections::BTreeSet;

use hub_core::scope::{self, Membership, RawScope, Rights};
use hub_store::TokenOwner;

use super::client::Client;
use crate::app::App;
use crate::http::held::groups_of_name;
use crate::http::{Caller, Problem};

/// Asks for nothing beyond what is always granted.
pub const IDENTIFY: &str = "identify";

/// The client asked for what it may not ask for.
pub struct NotAllowed;

/// What was asked for, checked against what the client may ask for: scopes, or as of old the names of roles. Nothing
/// asked means all of that.
pub async fn requested(
    app: &App,
    client: &Client,
    caller: &Caller,
    asked: &[String],
) -> Result<Result<BTreeSet<RawScope>, NotAllowed>, Problem> {
    let required: BTreeSet<RawScope> = client.required().into_iter().collect();
    let mut may_ask: BTreeSet<RawScope> = client.allowed(&app.catalogue).into_iter().collect();
    may_ask.extend(required.iter().cloned());
    let asked: Vec<&String> = asked.iter().filter(|scope| !scope.is_empty()).collect();
    if asked.is_empty() {
        return Ok(Ok(may_ask));
    }
    // What older clients ask for: no more than is always granted.
    let asked: Vec<&String> = asked.into_iter().filter(|scope| *scope != IDENTIFY).collect();
    let parsed: Result<BTreeSet<RawScope>, _> = asked.iter().map(|text| app.catalogue.parse(text)).collect();
    let parsed = match parsed {
        Ok(scopes) => Some(scopes),
        Err(_) => scopes_of_roles(app, &asked).await?,
    };
    let Some(mut wanted) = parsed else { return Ok(Err(NotAllowed)) };
    wanted.extend(required);
    let (owner, of) = (caller.scope_owner(), client.scope_client());
    let allowed = Rights::expand(&app.catalogue, &may_ask, owner, of);
    let members = members(app, &Rights::expand(&app.catalogue, &wanted, owner, of), &allowed).await?;
    let grant = scope::resolve_requested(&app.catalogue, &wanted, &may_ask, owner, of, &members);
    Ok(if grant.refused.is_empty() { Ok(wanted) } else { Err(NotAllowed) })
}

/// The scopes of roles, if all of these are names of roles.
async fn scopes_of_roles(app: &App, names: &[&String]) -> Result<Option<BTreeSet<RawScope>>, Problem> {
    let mut scopes = BTreeSet::new();
    for name in names {
        let Some(role) = app.store.role(name).await? else { return Ok(None) };
        scopes.extend(role.scopes.iter().filter_map(|text| app.catalogue.parse(text).ok()));
    }
    Ok(Some(scopes))
}

/// What is granted of it: what the person holds. The rest is dropped, as JupyterHub does.
pub async fn granted(
    app: &App,
    client: &Client,
    caller: &Caller,
    wanted: &BTreeSet<RawScope>,
) -> Result<BTreeSet<RawScope>, Problem> {
    let mut have: BTreeSet<RawScope> = client.required().into_iter().collect();
    have.extend(app.catalogue.parse("inherit").ok());
    if let Some(user) = caller.user() {
        let roles = app.store.roles_of_user(user.id).await?;
        let texts = roles.iter().flat_map(|role| &role.scopes);
        have.extend(texts.filter_map(|text| app.catalogue.parse(text).ok()));
    }
    let (owner, of) = (caller.scope_owner(), client.scope_client());
    let (held, asked) =
        (Rights::expand(&app.catalogue, &have, owner, of), Rights::expand(&app.catalogue, wanted, owner, of));
    let members = members(app, &asked, &held).await?;
    let grant = scope::resolve_requested(&app.catalogue, wanted, &have, owner, of, &members);
    if !grant.refused.is_empty() {
        let refused: Vec<String> = grant.refused.iter().map(ToString::to_string).collect();
        tracing::warn!(user = caller.name(), client = client.row.identifier, "not granted: {}", refused.join(", "));
    }
    Ok(grant.allowed)
}

async fn members(app: &App, a: &Rights, b: &Rights) -> Result<Membership, Problem> {
    let mut members = Membership::none();
    for user in scope::questions(a, b) {
        let groups = groups_of_name(app, &user).await?;
        members.learn(user, groups);
    }
    Ok(members)
}

/// Whether the person has to be asked: not for the own server, and not for what tokens in force already allow.
pub async fn is_needed(
    app: &App,
    client: &Client,
    caller: &Caller,
    granted: &BTreeSet<RawScope>,
) -> Result<bool, Problem> {
    if client.is_trusted_by(app, caller) {
        return Ok(false);
    }
    let Some(user) = caller.user() else { return Ok(true) };
    let mut before: BTreeSet<RawScope> = BTreeSet::new();
    for token in app.store.tokens_of(TokenOwner::User(user.id), app.now()).await? {
        if token.client_id.as_deref() == Some(&client.row.identifier) {
            before.extend(token.scopes.iter().filter_map(|text| app.catalogue.parse(text).ok()));
        }
    }
    if before.is_empty() {
        return Ok(true);
    }
    let (owner, of) = (caller.scope_owner(), client.scope_client());
    let before = Rights::expand(&app.catalogue, &before, owner, of);
    let wanted = Rights::expand(&app.catalogue, granted, owner, of);
    let members = members(app, &wanted, &before).await?;
    Ok(!before.lacks(&wanted, &members).is_empty())
}

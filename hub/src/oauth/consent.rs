//! Which scopes a client is granted, and whether the person has to be asked.

use std::collections::BTreeSet;

use hub_core::scope::{self, Membership, RawScope, Rights};
use hub_store::TokenOwner;

use super::client::Client;
use crate::app::App;
use crate::http::held::groups_of_name;
use crate::http::{Caller, Problem};

/// The client asked for what it may not ask for.
pub struct NotAllowed;

/// What was asked for, checked against what the client may ask for. Nothing asked means all of that.
pub fn requested(
    app: &App,
    client: &Client,
    caller: &Caller,
    asked: &[String],
) -> Result<BTreeSet<RawScope>, NotAllowed> {
    let required: BTreeSet<RawScope> = client.required(caller).into_iter().collect();
    let mut may_ask: BTreeSet<RawScope> = client.allowed(&app.catalogue).into_iter().collect();
    may_ask.extend(required.iter().cloned());
    // `identify` is what older clients ask for; it is always granted.
    let asked: Vec<&String> = asked.iter().filter(|scope| *scope != "identify" && !scope.is_empty()).collect();
    if asked.is_empty() {
        return Ok(may_ask);
    }
    let mut wanted = required;
    for text in asked {
        let scope = app.catalogue.parse(text).map_err(|_| NotAllowed)?;
        if !may_ask.contains(&scope) {
            return Err(NotAllowed);
        }
        wanted.insert(scope);
    }
    Ok(wanted)
}

/// What is granted of it: what the person holds. The rest is dropped, as JupyterHub does.
pub async fn granted(
    app: &App,
    client: &Client,
    caller: &Caller,
    wanted: &BTreeSet<RawScope>,
) -> Result<BTreeSet<RawScope>, Problem> {
    let mut have: BTreeSet<RawScope> = client.required(caller).into_iter().collect();
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
    if client.is_trusted_by(caller) {
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

//! What a person or a token may do at this moment, from roles, groups and the scopes of the token.

use hub_core::clock::Time;
use hub_core::scope::{Catalogue, Client, Membership, Rights};
use hub_store::{HUB_CLIENT, Server, Service, Share, Store, StoreError, Token, User};

use super::{Caller, Problem};
use crate::app::App;

/// The rights of a token: never more than its owner's at this moment, which `owner` carries.
pub async fn rights_of_token(app: &App, found: &Token, owner: &Caller) -> Result<Rights, Problem> {
    let behind = match found.client_id.as_deref() {
        None | Some(HUB_CLIENT) => None,
        Some(client_id) => Some(behind(app, client_id).await?),
    };
    let client = match &behind {
        None => Client::Hub,
        Some(Behind::Server(server)) => Client::Server { user: &server.user_name, name: &server.name },
        Some(Behind::Service(service)) => Client::Service(&service.spec.name),
        Some(Behind::Nothing) => Client::Orphan,
    };
    let who = owner.scope_owner();
    let questions = Rights::token_questions(&app.catalogue, &found.scopes, who, client, &owner.rights);
    let mut members = Membership::none();
    for user in questions {
        let groups = groups_of_name(app, &user).await?;
        members.learn(user, groups);
    }
    Ok(Rights::of_token(&app.catalogue, &found.scopes, who, client, &owner.rights, &members))
}

/// What is behind an OAuth client.
enum Behind {
    Server(Box<Server>),
    Service(Box<Service>),
    Nothing,
}

async fn behind(app: &App, client_id: &str) -> Result<Behind, StoreError> {
    if let Some(server) = app.store.server_by_client(client_id).await? {
        return Ok(Behind::Server(Box::new(server)));
    }
    let service = app.store.service_by_client(client_id).await?;
    Ok(service.map_or(Behind::Nothing, |service| Behind::Service(Box::new(service))))
}

/// What a person may do at one moment.
pub struct Held {
    /// By roles, and by what was shared with the person or its groups.
    pub rights: Rights,
    /// The names of the person's groups.
    pub groups: Vec<String>,
    /// When a share ends that counts now: until then the rights stay what they are as long as the database does.
    pub until: Option<Time>,
}

/// What a person may do now.
pub async fn rights_of_user(store: &Store, catalogue: &Catalogue, user: &User, now: Time) -> Result<Held, StoreError> {
    let groups = store.groups_of(user.id).await?;
    let roles = store.roles_of_user(user.id).await?;
    let shares = store.shares_with(user.id, now).await?;
    let scopes = roles.iter().flat_map(|role| &role.scopes);
    let rights = Rights::of_user(catalogue, &user.name, scopes, shares.iter().map(Share::as_scopes));
    Ok(Held { rights, groups, until: shares.iter().filter_map(|share| share.expires_at).min() })
}

/// The groups of a user by name; none for a user who does not exist.
pub async fn groups_of_name(app: &App, name: &str) -> Result<Vec<String>, StoreError> {
    match app.store.user(name).await? {
        Some(user) => app.store.groups_of(user.id).await,
        None => Ok(Vec::new()),
    }
}

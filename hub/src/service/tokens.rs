//! Tokens of services: those somebody chose, and those each start of a process gets.

use hub_core::clock::Time;
use hub_core::id::{ServiceId, TokenId};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{HUB_CLIENT, NewToken, Service, Store, StoreError, TokenOwner};

/// The note on tokens that the configuration names, as JupyterHub writes it.
const FROM_CONFIG: &str = "from config";
/// The note on tokens that came with a service through the API.
const FROM_API: &str = "given with the service";
/// The note on tokens made for a process, as JupyterHub writes it.
pub const AT_START: &str = "generated at startup";

/// Whose a token that somebody chose has become.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// It is the owner's.
    Known(TokenId),
    /// It is somebody else's, and stays so.
    Taken,
}

/// Makes a token of the configuration known, unless it is already.
pub async fn choose(store: &Store, owner: TokenOwner, secret: &Secret, now: Time) -> Result<Chosen, StoreError> {
    if let Some(known) = find(store, owner, secret, now).await? {
        return Ok(known);
    }
    let new = new(owner, secret, token::CHOSEN_ROUNDS, FROM_CONFIG, now);
    Ok(Chosen::Known(store.insert_config_token(&new).await?))
}

/// Makes a token known that came with a service through the API.
pub async fn choose_at_runtime(
    store: &Store,
    owner: TokenOwner,
    secret: &Secret,
    now: Time,
) -> Result<Chosen, StoreError> {
    if let Some(known) = find(store, owner, secret, now).await? {
        return Ok(known);
    }
    let new = new(owner, secret, token::CHOSEN_ROUNDS, FROM_API, now);
    Ok(Chosen::Known(store.insert_token(&new).await?))
}

async fn find(store: &Store, owner: TokenOwner, secret: &Secret, now: Time) -> Result<Option<Chosen>, StoreError> {
    let candidates = store.tokens_by_prefix(token::prefix(secret.expose()), now).await?;
    let known = candidates.into_iter().find(|candidate| token::verify(candidate.hashed.expose(), secret.expose()));
    Ok(known.map(|known| if known.owner == owner { Chosen::Known(known.id) } else { Chosen::Taken }))
}

/// Makes the token of one start: in place of those of earlier starts, and as the secret of the OAuth client.
pub async fn begin(store: &Store, service: &Service, now: Time) -> Result<Secret, StoreError> {
    let secret = token::generate(&mut rand::rng());
    end(store, service.id).await?;
    let owner = TokenOwner::Service(service.id);
    store.insert_token(&new(owner, &secret, token::GENERATED_ROUNDS, AT_START, now)).await?;
    if let Some(identifier) = &service.spec.oauth_client_id
        && let Some(mut client) = store.oauth_client(identifier).await?
    {
        client.secret = Secret::new(token::hash(secret.expose(), token::CHOSEN_ROUNDS, &mut rand::rng()));
        store.sync_oauth_client(&client).await?;
    }
    Ok(secret)
}

/// Deletes what `begin` made.
pub async fn end(store: &Store, service: ServiceId) -> Result<(), StoreError> {
    store.delete_service_tokens(service, AT_START).await.map(drop)
}

fn new(owner: TokenOwner, secret: &Secret, rounds: u32, note: &str, now: Time) -> NewToken {
    NewToken {
        owner,
        hashed: Secret::new(token::hash(secret.expose(), rounds, &mut rand::rng())),
        prefix: token::prefix(secret.expose()).to_owned(),
        client_id: HUB_CLIENT.to_owned(),
        session_id: None,
        note: note.to_owned(),
        scopes: vec!["inherit".to_owned()],
        expires_at: None,
        now,
    }
}

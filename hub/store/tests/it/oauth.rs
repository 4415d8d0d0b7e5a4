//! OAuth clients and codes.

use crate::harness::{Database, at, both, new_token, user};
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_store::{CODE_SECONDS, Code, HUB_CLIENT, NewCode, NewToken, OAuthClient, Store, StoreError, TokenOwner};

fn new_code(user_id: UserId, code: &str) -> NewCode {
    NewCode {
        code: Secret::new(code),
        client_id: HUB_CLIENT.to_owned(),
        user_id,
        redirect_uri: "/user/ann/oauth_callback".to_owned(),
        session_id: "s1".to_owned(),
        scopes: vec!["access:servers!server=ann/".to_owned()],
        code_challenge: Some("challenge".to_owned()),
        code_challenge_method: Some("S256".to_owned()),
    }
}

/// Exchanges a code for nothing, and tells what it was good for.
async fn take(store: &Store, code: &str, client: &str, now: Time) -> Result<Option<Code>, StoreError> {
    let taken = store.exchange_code(code, client, now, |code| (code, None)).await?;
    Ok(taken.map(|(code, _)| code))
}

async fn a_client_is_made_replaced_and_deleted(Database { store, .. }: Database) {
    let hub = store.oauth_client(HUB_CLIENT).await.unwrap().expect("every database has the hub's own client");
    assert!(hub.secret.is_empty());
    let client = OAuthClient {
        identifier: "app".into(),
        description: "An app".into(),
        secret: Secret::new("hash"),
        redirect_uri: "/a".into(),
        allowed_scopes: vec!["self".into()],
    };
    store.sync_oauth_client(&client).await.unwrap();
    store.sync_oauth_client(&OAuthClient { redirect_uri: "/b".into(), ..client }).await.unwrap();
    let found = store.oauth_client("app").await.unwrap().unwrap();
    assert_eq!((found.redirect_uri.as_str(), found.description.as_str()), ("/b", "An app"));
    assert!(found.secret.matches("hash"));
    assert!(store.delete_oauth_client("app").await.unwrap());
    assert!(!store.delete_oauth_client("app").await.unwrap());
    assert!(store.oauth_client("app").await.unwrap().is_none());
}

async fn a_code_is_exchanged_once_by_its_client(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    store.insert_code(&new_code(ann, "c1"), at(0)).await.unwrap();
    assert_eq!(take(&store, "c1", "other", at(1)).await.unwrap(), None);
    assert_eq!(take(&store, "c2", HUB_CLIENT, at(1)).await.unwrap(), None);
    let code = take(&store, "c1", HUB_CLIENT, at(1)).await.unwrap().unwrap();
    assert_eq!((code.user_id, code.session_id.as_deref()), (ann, Some("s1")));
    assert_eq!(code.redirect_uri.as_deref(), Some("/user/ann/oauth_callback"));
    assert_eq!(code.scopes, ["access:servers!server=ann/"]);
    assert_eq!(code.code_challenge.zip(code.code_challenge_method), Some(("challenge".into(), "S256".into())));
    assert_eq!(take(&store, "c1", HUB_CLIENT, at(1)).await.unwrap(), None);
}

async fn of_many_who_exchange_a_code_at_once_one_gets_it(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    store.insert_code(&new_code(ann, "c1"), at(0)).await.unwrap();
    let tasks = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { take(&store, "c1", HUB_CLIENT, at(1)).await.unwrap() })
    });
    let mut taken = 0;
    for task in tasks.collect::<Vec<_>>() {
        taken += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(taken, 1);
}

async fn an_expired_code_is_worth_nothing(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    store.insert_code(&new_code(ann, "c1"), at(0)).await.unwrap();
    assert_eq!(take(&store, "c1", HUB_CLIENT, at(CODE_SECONDS)).await.unwrap(), None);
    assert_eq!(take(&store, "c1", HUB_CLIENT, at(1)).await.unwrap(), None, "a late attempt uses it up");
    let stray = NewCode { client_id: "nothing".into(), ..new_code(ann, "c2") };
    let stray = store.insert_code(&stray, at(0)).await;
    assert!(matches!(stray, Err(StoreError::Missing(_))), "{stray:?}");
}

async fn a_code_cannot_be_read_in_the_database(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    store.insert_code(&new_code(ann, "c1"), at(0)).await.unwrap();
    let held = database.cell("SELECT code FROM oauth_codes").await;
    assert_eq!(held, hub_core::token::hash_code("c1"));
    assert_eq!(take(store, &held, HUB_CLIENT, at(1)).await.unwrap(), None, "what was read is no code");
    assert!(take(store, "c1", HUB_CLIENT, at(1)).await.unwrap().is_some());
}

async fn a_code_that_jupyterhub_made_is_exchanged(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let sql = "INSERT INTO oauth_codes (client_id, code, expires_at, redirect_uri, session_id, user_id, scopes)
               VALUES ('jupyterhub', 'theirs', 1800000300, '/', 's', USER, '[]')";
    database.hand(&sql.replace("USER", &ann.0.to_string())).await;
    assert!(take(store, "theirs", HUB_CLIENT, at(1)).await.unwrap().is_some());
    assert_eq!(take(store, "theirs", HUB_CLIENT, at(1)).await.unwrap(), None);
}

async fn a_code_and_its_token_are_one_thing(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    store.insert_code(&new_code(ann, "c1"), at(0)).await.unwrap();
    let owner = TokenOwner::User(ann);
    let stray = NewToken { client_id: "nothing".into(), ..new_token(owner, "of nothing") };
    let failed = store.exchange_code("c1", HUB_CLIENT, at(1), |code| (code, Some(stray))).await;
    assert!(matches!(failed, Err(StoreError::Missing(_))), "{failed:?}");
    let good = new_token(owner, "good");
    let taken = store.exchange_code("c1", HUB_CLIENT, at(1), |code| (code.user_id, Some(good))).await;
    let (whose, token) = taken.unwrap().expect("what failed has used nothing up");
    assert_eq!((whose, store.token(token.unwrap()).await.unwrap().unwrap().note.as_str()), (ann, "a note"));
    let again = new_token(owner, "again");
    let late = store.exchange_code("c1", HUB_CLIENT, at(1), |code| (code.user_id, Some(again))).await;
    assert_eq!(late.unwrap(), None);
    assert_eq!(store.tokens_of(owner, at(1)).await.unwrap().len(), 1);
}

both!(
    a_code_and_its_token_are_one_thing,
    a_code_cannot_be_read_in_the_database,
    a_code_that_jupyterhub_made_is_exchanged,
    a_client_is_made_replaced_and_deleted,
    a_code_is_exchanged_once_by_its_client,
    of_many_who_exchange_a_code_at_once_one_gets_it,
    an_expired_code_is_worth_nothing,
);

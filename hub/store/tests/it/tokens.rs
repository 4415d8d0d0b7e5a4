//! Tokens, and what runs out with time.

use crate::harness::{Database, at, both, new_token, user};
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_store::{NewCode, NewSession, NewToken, OAuthClient, Purged, ServiceSpec, Store, StoreError, TokenOwner};

async fn client(store: &Store, identifier: &str) {
    let client = OAuthClient {
        identifier: identifier.to_owned(),
        description: format!("about {identifier}"),
        secret: Secret::default(),
        redirect_uri: String::new(),
        allowed_scopes: vec![],
    };
    store.sync_oauth_client(&client).await.unwrap();
}

async fn a_token_is_found_by_its_prefix_until_it_expires(Database { store, .. }: Database) {
    let owner = TokenOwner::User(user(&store, "ann").await.id);
    let lasting = store.insert_token(&new_token(owner, "abcd-1")).await.unwrap();
    let short = NewToken { expires_at: Some(at(60)), ..new_token(owner, "abcd-2") };
    let short = store.insert_token(&short).await.unwrap();
    let found = async |prefix, seconds| {
        let tokens = store.tokens_by_prefix(prefix, at(seconds)).await.unwrap();
        tokens.into_iter().map(|token| token.id).collect::<Vec<_>>()
    };
    assert_eq!(found("abcd", 59).await, [lasting, short]);
    assert_eq!(found("abcd", 60).await, [lasting]);
    assert_eq!(found("abc", 0).await, []);
    let token = store.token(short).await.unwrap().unwrap();
    assert_eq!((token.owner, token.expires_at, token.created), (owner, Some(at(60)), Some(at(0))));
    assert_eq!(
        (token.client_id.as_deref(), token.client_description.as_deref()),
        (Some("jupyterhub"), Some("JupyterHub"))
    );
    assert_eq!((token.note.as_str(), token.scopes.as_slice()), ("a note", &["inherit".to_owned()][..]));
    assert!(token.hashed.matches("sha512:1:5a17:abcd-2"));
    assert_eq!((token.last_activity, token.session_id), (None, None));
}

async fn the_id_of_a_deleted_token_is_not_given_again(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let owner = TokenOwner::User(ann);
    let first = store.insert_token(&new_token(owner, "aaaa-1")).await.unwrap();
    store.delete_token(first).await.unwrap();
    let second = store.insert_token(&new_token(owner, "aaaa-2")).await.unwrap();
    assert!(second > first, "{second:?}");
    // JupyterHub makes one while it has the database; it is deleted after we have come back.
    let id = second.0 + 40;
    let sql = "INSERT INTO api_tokens (id, user_id, hashed, prefix, client_id, scopes) VALUES (ID, USER, 'x', 'aaaa', 'jupyterhub', '[]')";
    database.hand(&sql.replace("ID", &id.to_string()).replace("USER", &ann.0.to_string())).await;
    let again = Store::open(&database.url, crate::harness::options()).await.unwrap();
    database.hand("DELETE FROM api_tokens").await;
    let third = again.insert_token(&new_token(owner, "aaaa-3")).await.unwrap();
    match again.dialect() {
        "sqlite" => assert_eq!(third.0, id + 1),
        _ => assert!(third > second),
    }
    again.close().await;
}

async fn tokens_belong_to_users_or_services(Database { store, .. }: Database) {
    let ann = TokenOwner::User(user(&store, "ann").await.id);
    let spec = ServiceSpec { name: "cull".into(), timeout: 30, ..ServiceSpec::default() };
    let cull = TokenOwner::Service(store.sync_service(&spec).await.unwrap());
    let first = store.insert_token(&new_token(ann, "aaaa")).await.unwrap();
    let second = store.insert_token(&new_token(cull, "bbbb")).await.unwrap();
    let ids = async |owner| {
        let tokens = store.tokens_of(owner, at(0)).await.unwrap();
        tokens.into_iter().map(|token| (token.id, token.owner)).collect::<Vec<_>>()
    };
    assert_eq!(ids(ann).await, [(first, ann)]);
    assert_eq!(ids(cull).await, [(second, cull)]);
    assert!(store.delete_token(first).await.unwrap());
    assert!(!store.delete_token(first).await.unwrap());
    assert_eq!(ids(ann).await, []);
}

async fn a_token_needs_an_owner_a_client_and_a_hash_of_its_own(Database { store, .. }: Database) {
    let ann = TokenOwner::User(user(&store, "ann").await.id);
    store.insert_token(&new_token(ann, "aaaa")).await.unwrap();
    let twice = store.insert_token(&new_token(ann, "aaaa")).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    let nobody = store.insert_token(&new_token(TokenOwner::User(UserId(999)), "bbbb")).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    let stray = NewToken { client_id: "nothing".into(), ..new_token(ann, "cccc") };
    let stray = store.insert_token(&stray).await;
    assert!(matches!(stray, Err(StoreError::Missing(_))), "{stray:?}");
}

async fn tokens_go_with_their_client_or_session(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    client(&store, "app").await;
    let make = async |user, hashed: &str, client: &str, session: Option<&str>| {
        let token = new_token(TokenOwner::User(user), hashed);
        let token = NewToken { client_id: client.into(), session_id: session.map(str::to_owned), ..token };
        store.insert_token(&token).await.unwrap()
    };
    make(ann, "1", "app", None).await;
    make(ann, "2", "jupyterhub", Some("s1")).await;
    make(ann, "3", "jupyterhub", Some("s2")).await;
    let own = make(ann, "4", "jupyterhub", None).await;
    let other = make(bea, "5", "app", Some("s1")).await;
    assert_eq!(store.delete_tokens_of_client(ann, "app").await.unwrap(), 1);
    assert_eq!(store.delete_tokens_of_session(ann, "s1").await.unwrap(), 1);
    assert_eq!(store.delete_oauth_tokens_of(ann).await.unwrap(), 1);
    assert!(store.token(own).await.unwrap().is_some());
    assert!(store.token(other).await.unwrap().is_some());
    assert!(store.delete_oauth_client("app").await.unwrap());
    assert!(store.token(other).await.unwrap().is_none());
}

async fn use_of_a_token_only_moves_forward(Database { store, .. }: Database) {
    let owner = TokenOwner::User(user(&store, "ann").await.id);
    let id = store.insert_token(&new_token(owner, "aaaa")).await.unwrap();
    assert!(store.touch_token(id, at(10)).await.unwrap());
    assert!(!store.touch_token(id, at(9)).await.unwrap());
    assert_eq!(store.token(id).await.unwrap().unwrap().last_activity, Some(at(10)));
}

async fn uses_of_many_are_recorded_together(Database { store, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, user(&store, "bob").await.id);
    let first = store.insert_token(&new_token(TokenOwner::User(ann), "aaaa")).await.unwrap();
    let second = store.insert_token(&new_token(TokenOwner::User(ann), "bbbb")).await.unwrap();
    store.touch_token(second, at(50)).await.unwrap();
    store.touch(&[(first, at(20)), (second, at(20))], &[(bob, at(30))]).await.unwrap();
    assert_eq!(store.token(first).await.unwrap().unwrap().last_activity, Some(at(20)));
    assert_eq!(store.token(second).await.unwrap().unwrap().last_activity, Some(at(50)));
    assert_eq!(store.user_by_id(bob).await.unwrap().unwrap().last_activity, Some(at(30)));
    assert_eq!(store.user_by_id(ann).await.unwrap().unwrap().last_activity, None);
}

async fn what_has_run_out_is_purged_and_nothing_else(Database { store, url, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    for (hashed, expires_at) in [("old", Some(at(10))), ("new", Some(at(1000))), ("lasting", None)] {
        let token = NewToken { expires_at, ..new_token(TokenOwner::User(ann), hashed) };
        store.insert_token(&token).await.unwrap();
        store.insert_invite(&Secret::new(hashed), ann, expires_at.unwrap_or(at(2000))).await.unwrap();
        let session_id = hashed.to_owned();
        let expires_at = expires_at.unwrap_or(at(2000));
        let session = NewSession { session_id, user_id: ann, now: at(0), expires_at, address: None, agent: None };
        store.insert_session(&session).await.unwrap();
    }
    for (code, seconds) in [("old", -600), ("new", 0)] {
        let code = NewCode {
            code: Secret::new(code),
            client_id: "jupyterhub".to_owned(),
            user_id: ann,
            redirect_uri: String::new(),
            session_id: String::new(),
            scopes: vec![],
            code_challenge: None,
            code_challenge_method: None,
        };
        store.insert_code(&code, at(seconds)).await.unwrap();
    }
    let shares = "INSERT INTO shares (user_id, created_at, expires_at) VALUES
                      (USER, '2027-01-15 08:00:00.000000', '2027-01-15 08:00:01.000000'),
                      (USER, '2027-01-15 08:00:00.000000', NULL);
                  INSERT INTO share_codes (hashed, created_at, expires_at) VALUES
                      ('a', '2027-01-15 08:00:00.000000', '2027-01-15 08:00:01.000000'),
                      ('b', '2027-01-15 08:00:00.000000', '2027-01-16 08:00:01.000000')";
    crate::open::outside(&url, &shares.replace("USER", &ann.to_string())).await;
    let purged = store.purge_expired(at(100)).await.unwrap();
    assert_eq!(purged, Purged { tokens: 1, codes: 1, shares: 1, share_codes: 1, invites: 1, sessions: 1 });
    assert_eq!(store.purge_expired(at(100)).await.unwrap(), Purged::default());
    assert_eq!(store.tokens_of(TokenOwner::User(ann), at(0)).await.unwrap().len(), 2);
}

both!(
    the_id_of_a_deleted_token_is_not_given_again,
    a_token_is_found_by_its_prefix_until_it_expires,
    tokens_belong_to_users_or_services,
    a_token_needs_an_owner_a_client_and_a_hash_of_its_own,
    tokens_go_with_their_client_or_session,
    use_of_a_token_only_moves_forward,
    uses_of_many_are_recorded_together,
    what_has_run_out_is_purged_and_nothing_else,
);

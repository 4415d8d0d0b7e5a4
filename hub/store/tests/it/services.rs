//! Services.

use crate::harness::{Database, at, both, new_token};
use chrono::TimeDelta;
use hub_core::secret::Secret;
use hub_store::{Existing, NewToken, OAuthClient, Put, ServiceAddress, ServiceSpec, StoreError, TokenOwner};
use serde_json::json;

fn full() -> ServiceSpec {
    ServiceSpec {
        name: "cull".into(),
        admin: true,
        url: Some("http://127.0.0.1:9000".into()),
        oauth_client_allowed_scopes: vec!["read:users".into()],
        info: json!({"a": 1}),
        display: Some(false),
        oauth_no_confirm: Some(true),
        command: vec!["run".into(), "it".into()],
        cwd: Some("/srv".into()),
        environment: json!({"A": "b"}),
        user: Some("nobody".into()),
        timeout: 30,
        from_config: true,
        oauth_client_id: Some("service-cull".into()),
    }
}

async fn a_service_keeps_every_column_and_can_be_changed(Database { store, .. }: Database) {
    let early = store.sync_service(&full()).await;
    assert!(matches!(early, Err(StoreError::Missing(_))), "its client comes first: {early:?}");
    let client = OAuthClient {
        identifier: "service-cull".into(),
        description: String::new(),
        secret: Secret::new("hash"),
        redirect_uri: "/services/cull/oauth_callback".into(),
        allowed_scopes: vec!["read:users".into()],
    };
    store.sync_oauth_client(&client).await.unwrap();
    let id = store.sync_service(&full()).await.unwrap();
    let service = store.service("cull").await.unwrap().unwrap();
    assert_eq!((service.id, service.pid, &service.spec), (id, None, &full()));
    assert_eq!(store.service_by_id(id).await.unwrap().as_ref(), Some(&service));
    assert_eq!(store.service_by_client("service-cull").await.unwrap().as_ref(), Some(&service));

    let bare = ServiceSpec { name: "cull".into(), timeout: 5, ..ServiceSpec::default() };
    assert_eq!(store.sync_service(&bare).await.unwrap(), id);
    assert_eq!(store.service("cull").await.unwrap().unwrap().spec, bare);
    assert_eq!(store.roles_of_service(id).await.unwrap(), [], "no admin any more");
}

async fn a_service_goes_with_its_client(Database { store, .. }: Database) {
    let other = ServiceSpec { name: "other".into(), timeout: 30, ..ServiceSpec::default() };
    store.sync_service(&other).await.unwrap();
    let client = OAuthClient {
        identifier: "service-cull".into(),
        description: String::new(),
        secret: Secret::default(),
        redirect_uri: String::new(),
        allowed_scopes: vec![],
    };
    store.sync_oauth_client(&client).await.unwrap();
    let id = store.sync_service(&full()).await.unwrap();
    let names = async || store.list_services().await.unwrap().into_iter().map(|one| one.spec.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["other", "cull"]);
    assert!(store.delete_service(id).await.unwrap());
    assert!(!store.delete_service(id).await.unwrap());
    assert_eq!(names().await, ["other"]);
    assert!(store.oauth_client("service-cull").await.unwrap().is_none());
}

fn client(identifier: &str) -> OAuthClient {
    OAuthClient {
        identifier: identifier.into(),
        description: String::new(),
        secret: Secret::new("hash"),
        redirect_uri: "/services/cull/oauth_callback".into(),
        allowed_scopes: vec![],
    }
}

async fn a_service_is_put_with_its_client_and_address(Database { store, .. }: Database) {
    let address =
        ServiceAddress { proto: "http".into(), host: "127.0.0.1".into(), port: 9000, prefix: "/services/cull/".into() };
    let put = async |spec: &ServiceSpec, existing| {
        let client = spec.oauth_client_id.as_deref().map(client);
        store.put_service(spec, client.as_ref(), Some(&address), existing).await.unwrap()
    };
    let Put::Done(id) = put(&full(), Existing::Refuse).await else { panic!("a new one") };
    assert_eq!(put(&full(), Existing::Refuse).await, Put::NameTaken);
    assert_eq!(put(&full(), Existing::Change).await, Put::Done(id));
    let thief = ServiceSpec { name: "thief".into(), ..full() };
    assert_eq!(put(&thief, Existing::Refuse).await, Put::ClientTaken);
    assert!(store.service("thief").await.unwrap().is_none(), "nothing of what was refused is there");

    let renamed = ServiceSpec { oauth_client_id: Some("service-new".into()), ..full() };
    assert_eq!(put(&renamed, Existing::Change).await, Put::Done(id));
    assert!(store.oauth_client("service-cull").await.unwrap().is_none(), "the client it had before is gone");
    assert!(store.set_service_pid(id, Some(77)).await.unwrap());
    assert_eq!(store.service("cull").await.unwrap().unwrap().pid, Some(77));
    store.sync_oauth_client(&client("service-left")).await.unwrap();
    assert_eq!(store.delete_orphaned_service_clients().await.unwrap(), 1);
    assert!(store.oauth_client("service-new").await.unwrap().is_some(), "only those that no service has");
}

async fn one_hub_at_a_time_holds_a_service(Database { store, .. }: Database) {
    let bare = ServiceSpec { name: "cull".into(), timeout: 5, ..ServiceSpec::default() };
    let id = store.sync_service(&bare).await.unwrap();
    let claim = async |holder: &str, seconds| {
        store.claim_service(id, holder, at(seconds), TimeDelta::seconds(30)).await.unwrap()
    };
    assert!(claim("one", 0).await);
    assert!(!claim("two", 10).await);
    assert!(claim("one", 20).await, "held on to");
    assert!(!claim("two", 40).await);
    assert!(claim("two", 50).await, "the lease ran out");
    assert!(!store.release_service(id, "one").await.unwrap());
    assert!(store.release_service(id, "two").await.unwrap());
    assert!(claim("one", 51).await);
}

async fn whether_a_service_answers_is_news_once(Database { store, .. }: Database) {
    let bare = ServiceSpec { name: "cull".into(), timeout: 5, ..ServiceSpec::default() };
    let id = store.sync_service(&bare).await.unwrap();
    assert_eq!(store.service_states().await.unwrap(), []);
    assert!(store.note_service(id, false, Some("nobody listens"), at(1)).await.unwrap());
    assert!(!store.note_service(id, false, Some("nobody listens"), at(2)).await.unwrap());
    let state = store.service_states().await.unwrap().pop().unwrap();
    assert_eq!(
        (state.answers, state.detail.as_deref(), state.changed_at),
        (Some(false), Some("nobody listens"), at(1))
    );
    assert!(store.note_service(id, true, None, at(3)).await.unwrap());
    assert!(store.delete_service(id).await.unwrap());
    assert_eq!(store.service_states().await.unwrap(), []);
}

async fn tokens_of_the_configuration_go_when_it_does_not_name_them(Database { store, .. }: Database) {
    let bare = ServiceSpec { name: "cull".into(), timeout: 5, ..ServiceSpec::default() };
    let owner = TokenOwner::Service(store.sync_service(&bare).await.unwrap());
    let kept = store.insert_config_token(&new_token(owner, "one")).await.unwrap();
    store.insert_config_token(&new_token(owner, "two")).await.unwrap();
    let by_hand = store.insert_token(&new_token(owner, "three")).await.unwrap();
    assert_eq!(store.delete_config_tokens_but(&[kept]).await.unwrap(), 1);
    let left: Vec<_> = store.tokens_of(owner, at(0)).await.unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(left, [kept, by_hand]);

    // What JupyterHub made: it writes the same note on tokens that came by the API.
    let named = ServiceSpec { name: "named".into(), timeout: 5, from_config: true, ..ServiceSpec::default() };
    for (owner, deleted) in [(owner, 0), (TokenOwner::Service(store.sync_service(&named).await.unwrap()), 1)] {
        let hashed = if deleted == 0 { "four" } else { "five" };
        let token = NewToken { note: "from config".into(), ..new_token(owner, hashed) };
        store.insert_token(&token).await.unwrap();
        assert_eq!(store.delete_config_tokens_but(&[kept]).await.unwrap(), deleted);
    }
}

both!(
    a_service_keeps_every_column_and_can_be_changed,
    a_service_goes_with_its_client,
    a_service_is_put_with_its_client_and_address,
    one_hub_at_a_time_holds_a_service,
    whether_a_service_answers_is_news_once,
    tokens_of_the_configuration_go_when_it_does_not_name_them,
);

//! Services.

use crate::harness::{Database, both};
use hub_core::secret::Secret;
use hub_store::{OAuthClient, ServiceSpec, StoreError};
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

both!(a_service_keeps_every_column_and_can_be_changed, a_service_goes_with_its_client);

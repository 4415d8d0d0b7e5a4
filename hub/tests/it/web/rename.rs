//! Another name for somebody, where what they have is kept by the driver.

use serde_json::json;

use super::house::{House, request, send};

/// A hub on a cluster that is away.
async fn house() -> House {
    House::changed("", |settings| {
        let options = "image = \"lab:1\", k8s_api_host = \"http://127.0.0.1:9\", k8s_api_request_retry_timeout = 0.2";
        let driver =
            format!("[spawner]\ndriver = \"kubernetes\"\nkubernetes = {{ {options}, namespace = \"labs\" }}\n");
        settings.replace("[spawner]\n", &driver)
    })
    .await
}

#[actix_web::test]
async fn nobody_gets_another_name_while_it_is_not_known_what_they_have() {
    let house = house().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["admin:users".to_owned()]).await;
    let patch = request("PATCH", "/hub/api/users/alice")
        .insert_header(("Authorization", format!("token {token}")))
        .set_json(json!({ "name": "ann" }));
    let answer = send(&site, patch).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(app.store.user("alice").await.unwrap().is_some() && app.store.user("ann").await.unwrap().is_none());
}

/// SQLite gives the number of the last one to the next.
#[actix_web::test]
async fn no_two_accounts_are_the_same_to_a_driver() {
    let house = House::new().await;
    let app = house.app();
    let account = async |name: &str| {
        let user = app.store.create_user(name, false, name, app.now()).await.unwrap();
        let server = app.store.create_server(user.id, "", None, None, app.now()).await.unwrap().unwrap();
        (user.id, app.keeper.identity(&server).account.unwrap())
    };
    let (id, before) = account("carl").await;
    assert!(app.store.rename_user(id, "karl").await.unwrap());
    let server = app.store.server(id, "").await.unwrap().unwrap();
    assert_eq!(app.keeper.identity(&server).account.as_ref(), Some(&before), "whatever they are called");
    assert!(app.store.delete_user(id).await.unwrap());
    let (again, after) = account("carl").await;
    assert_eq!(again, id);
    assert_ne!(after, before);
}

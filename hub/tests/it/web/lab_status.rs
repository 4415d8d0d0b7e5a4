//! What labs tell of themselves: taken from themselves alone, whatever it is.

use hub_core::scope::Scope;
use serde_json::json;

use super::house::{House, by_token, request, send};

#[actix_web::test]
async fn only_a_running_server_tells_how_it_is() {
    let house = House::new().await;
    let site = house.site().await;
    let (path, told) = ("/hub/api/user/lab-status", json!({ "ready": true }));
    assert_eq!(send(&site, request("PUT", path).set_json(&told)).await.status, 403, "nobody");
    let everything: Vec<String> = Scope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect();
    for (name, scopes) in [("root", everything), ("alice", vec!["inherit".to_owned()])] {
        let token = house.token(name, &scopes).await;
        let answer = by_token(&site, &token, "PUT", path, Some(&told)).await;
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(answer.text.contains("Only a running server"), "{answer:?}");
    }
}

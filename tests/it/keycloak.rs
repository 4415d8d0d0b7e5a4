//! The second provider of the tests, which nobody here has written: that it is ready for the hub to meet.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::provider::{Visitor, claims, parameter, tokens};
use tests::{Keycloak, keycloak, need};

const CALLBACK: &str = "http://127.0.0.1:9/hub/oauth_callback";
const SCOPE: &str = "openid profile email offline_access";

#[tokio::test]
async fn keycloak_signs_people_in_tells_their_groups_and_rotates_refresh_tokens() -> Result<()> {
    let home = need!(keycloak::installed(), "Keycloak", "SPECOLA_REQUIRE_KEYCLOAK");
    let keycloak = Keycloak::start(&home).await?;
    let path = "/realms/institute/.well-known/openid-configuration";
    let document = keycloak.session()?.get(path).await?.expect(&[200])?.json()?;
    assert_eq!(document["issuer"], keycloak.issuer());
    let mut anna = Visitor::at(keycloak.origin(), "anna")?;
    let client = keycloak.client(CALLBACK)?;
    let endpoint = client.authorize(SCOPE, "irrelevant", &[])?;
    assert!(document["authorization_endpoint"].as_str().is_some_and(|own| endpoint.as_str().starts_with(own)));

    let back = client.answer(&mut anna, SCOPE, &[]).await?;
    assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    let given = client.sign_in(&mut anna, SCOPE).await?;
    let told = claims(&given.id_token.context("an id token")?)?;
    assert_eq!((&told["preferred_username"], &told["nonce"]), (&json!("anna"), &json!("the nonce")));
    let groups: BTreeSet<&str> = told["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(groups, BTreeSet::from(["/users", "/users/cygno"]));
    let userinfo = client.userinfo(&given.access_token).await?.expect(&[200])?.json()?;
    assert_eq!((&userinfo["sub"], &userinfo["groups"]), (&told["sub"], &told["groups"]));

    let first = given.refresh_token.context("a refresh token")?;
    let second = tokens(client.refresh(&first, &[]).await?)?.refresh_token.context("a refresh token")?;
    assert_ne!(first, second);
    let again = client.refresh(&first, &[]).await?.expect(&[400])?.json()?;
    assert_eq!(again["error"], "invalid_grant");

    let mut berta = Visitor::at(keycloak.origin(), "berta")?;
    let given = client.sign_in(&mut berta, SCOPE).await?;
    let told = client.userinfo(&given.access_token).await?.expect(&[200])?.json()?;
    assert_eq!((&told["preferred_username"], told.get("groups").unwrap_or(&json!([]))), (&json!("berta"), &json!([])));
    Ok(())
}

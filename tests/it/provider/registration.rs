//! Dynamic registration and repair of a client with its registration access token.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::provider::{self, Provider};
use tests::{Answer, Body, Session, need};

use super::CALLBACK;

const PATH: &str = "/iam/api/client-registration";
const GRAFANA: &str = "https://hub.example.org/grafana/login/generic_oauth";

async fn post(provider: &Provider, metadata: Value) -> Result<Answer> {
    provider.session()?.send(Method::POST, PATH, Body::Json(metadata)).await
}

fn holder(provider: &Provider, client: &Value) -> Result<(Session, String)> {
    let token = client["registration_access_token"].as_str().context("a registration access token")?;
    let path = format!("{PATH}/{}", client["client_id"].as_str().context("an id")?);
    Ok((provider.session()?.authorized(&format!("Bearer {token}")), path))
}

#[tokio::test]
async fn a_client_registers_reads_itself_and_changes_its_addresses() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let metadata = json!({"client_name": "hub", "redirect_uris": [GRAFANA], "scope": "openid profile offline_access",
        "token_endpoint_auth_method": "client_secret_basic", "contacts": ["admin@example.org"]});
    let client = post(&provider, metadata).await?.expect(&[201])?.json()?;
    assert_eq!(client["client_id"].as_str().map(str::len), Some(36));
    assert_eq!(client["client_secret"].as_str().map(str::len), Some(86));
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    let (mut session, path) = holder(&provider, &client)?;
    assert_eq!(client["registration_client_uri"], format!("{}{path}", provider.issuer()));
    // As the role of INFN does: what was read is sent back with one more address, its own members and all.
    let mut read = session.get(&path).await?.expect(&[200])?.json()?;
    assert_eq!(read["client_secret"], client["client_secret"]);
    read["redirect_uris"] = json!([GRAFANA, CALLBACK]);
    let changed = session.send(Method::PUT, &path, Body::Json(read)).await?.expect(&[200])?.json()?;
    assert_eq!(changed["redirect_uris"], json!([GRAFANA, CALLBACK]));
    assert_eq!(changed["client_secret"], client["client_secret"]);
    assert_eq!(changed["registration_access_token"], client["registration_access_token"]);
    let mut read = session.get(&path).await?.expect(&[200])?.json()?;
    read["redirect_uris"] = json!([CALLBACK]);
    let changed = session.send(Method::PUT, &path, Body::Json(read)).await?.expect(&[200])?.json()?;
    assert_eq!(changed["redirect_uris"], json!([CALLBACK]), "a list is replaced");
    session.send(Method::DELETE, &path, Body::Empty).await?.expect(&[204])?;
    session.get(&path).await?.expect(&[401])?;
    Ok(())
}

#[tokio::test]
async fn scopes_that_are_kept_back_vanish_without_a_word() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let metadata = |scope: &str| json!({"client_name": "hub", "redirect_uris": [CALLBACK], "scope": scope});
    let client = post(&provider, metadata("openid ssh-keys wlcg.groups scim:read")).await?.expect(&[201])?.json()?;
    assert_eq!(client["scope"], "openid wlcg.groups");
    assert_eq!(client["grant_types"], json!(["authorization_code"]));
    provider.switch("restricted_scopes", json!(["wlcg.groups"])).await?;
    let client = post(&provider, metadata("openid ssh-keys wlcg.groups")).await?.expect(&[201])?.json()?;
    assert_eq!(client["scope"], "openid ssh-keys");
    Ok(())
}

#[tokio::test]
async fn the_flags_of_refresh_tokens_are_not_for_a_client_to_set() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let metadata = json!({"redirect_uris": [CALLBACK], "reuse_refresh_token": false});
    let client = post(&provider, metadata).await?.expect(&[201])?.json()?;
    assert_eq!(client.get("reuse_refresh_token"), None);
    let id = client["client_id"].as_str().context("an id")?;
    provider.set_client(id, json!({"reuse_refresh_token": false, "scope": "openid"})).await?;
    let (mut session, path) = holder(&provider, &client)?;
    let mut read = session.get(&path).await?.expect(&[200])?.json()?;
    assert_eq!(read["reuse_refresh_token"], false);
    read["reuse_refresh_token"] = json!(true);
    let changed = session.send(Method::PUT, &path, Body::Json(read)).await?.expect(&[200])?.json()?;
    assert_eq!(changed["reuse_refresh_token"], false);
    Ok(())
}

#[tokio::test]
async fn strangers_and_bad_requests_are_refused() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let client = post(&provider, json!({"redirect_uris": [CALLBACK]})).await?.expect(&[201])?.json()?;
    let (_, path) = holder(&provider, &client)?;
    provider.session()?.authorized("Bearer nothing").get(&path).await?.expect(&[401])?;
    post(&provider, json!({"redirect_uris": [CALLBACK], "client_id": "mine"})).await?.expect(&[400])?;
    post(&provider, json!({"redirect_uris": ["nowhere"]})).await?.expect(&[400])?;
    provider.switch("registration", "nobody").await?;
    post(&provider, json!({"redirect_uris": [CALLBACK]})).await?.expect(&[403])?;
    let issued = provider.issued().await?;
    let token = client["registration_access_token"].as_str();
    assert!(issued.iter().any(|given| Some(given.value.as_str()) == token && given.is_secret()));
    Ok(())
}

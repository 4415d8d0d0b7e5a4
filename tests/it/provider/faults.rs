//! The provider out of order, by endpoint and as a whole.

use std::time::Duration;

use anyhow::{Context, Result};
use tests::provider::{self, Fault, tokens};
use tests::{need, until};

use super::{Ground, SCOPE};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_endpoint_can_be_out_of_order_by_itself() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    for (endpoint, path) in [
        ("discovery", "/.well-known/openid-configuration"),
        ("authorize", "/authorize"),
        ("token", "/token"),
        ("userinfo", "/userinfo"),
        ("jwks", "/jwk"),
        ("introspect", "/introspect"),
        ("revoke", "/revoke"),
        ("registration", "/iam/api/client-registration"),
        ("logout", "/logout"),
        ("login", "/interaction/x"),
    ] {
        let mut session = ground.provider.session()?;
        ground.provider.set_fault(endpoint, &Fault::status(503)).await?;
        let other = if endpoint == "jwks" { "/userinfo" } else { "/jwk" };
        session.get(path).await?.expect(&[503])?;
        assert_ne!(session.get(other).await?.status, 503, "{endpoint}");
        ground.provider.set_fault(endpoint, &Fault::refuse()).await?;
        assert!(session.get(path).await.is_err(), "{endpoint}");
        ground.provider.set_fault(endpoint, &Fault::garbage()).await?;
        assert!(session.get(path).await?.expect(&[200])?.json().is_err(), "{endpoint}");
        ground.provider.clear_fault(endpoint).await?;
        assert_ne!(session.get(path).await?.status, 503, "{endpoint}");
    }
    Ok(())
}

#[tokio::test]
async fn userinfo_can_be_missing() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.set_fault("userinfo", &Fault::status(404)).await?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    ground.client.userinfo(&given.access_token).await?.expect(&[404])?;
    Ok(())
}

#[tokio::test]
async fn a_fault_can_befall_a_number_of_requests_and_refreshes_alone() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.set_fault("refresh", &Fault::body(400, r#"{"error":"invalid_client"}"#).times(2)).await?;
    let refresh = ground.client.sign_in(&mut ground.anna, SCOPE).await?.refresh_token.context("a refresh token")?;
    for _ in 0..2 {
        let answer = ground.client.refresh(&refresh, &[]).await?.expect(&[400])?.json()?;
        assert_eq!(answer["error"], "invalid_client");
    }
    tokens(ground.client.refresh(&refresh, &[]).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_hanging_request_is_held_until_the_fault_is_cleared() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    ground.provider.set_fault("jwks", &Fault::hang()).await?;
    let mut session = ground.provider.session()?;
    let asking = tokio::spawn(async move { session.get("/jwk").await.is_ok() });
    until("request", PATIENCE, async || Ok((!ground.provider.requests("jwks").await?.is_empty()).then_some(())))
        .await?;
    assert!(!asking.is_finished());
    ground.provider.clear_fault("jwks").await?;
    assert!(!asking.await?);
    ground.provider.session()?.get("/jwk").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_leaves_its_work_done() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("reuse_refresh_token", false).await?;
    let refresh = ground.client.sign_in(&mut ground.anna, SCOPE).await?.refresh_token.context("a refresh token")?;
    ground.provider.set_fault("refresh", &Fault::lost().times(1)).await?;
    assert!(ground.client.refresh(&refresh, &[]).await.is_err());
    let again = ground.client.refresh(&refresh, &[]).await?.expect(&[401])?.json()?;
    assert_eq!(again["error"], "invalid_token");
    assert_eq!(ground.provider.counters().await?.user("anna").refreshes, 1);
    Ok(())
}

#[tokio::test]
async fn an_endless_answer_has_more_than_anybody_should_read() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    ground.provider.set_fault("discovery", &Fault::endless()).await?;
    let read = ground.provider.session()?.get("/.well-known/openid-configuration").await;
    assert!(read.is_err(), "the connection is closed in the end");
    assert_eq!(ground.provider.requests("discovery").await?.first().context("a request")?.status, Some(0));
    Ok(())
}

#[tokio::test]
async fn the_provider_goes_down_and_comes_up_with_all_it_knew() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let refresh = ground.client.sign_in(&mut ground.anna, SCOPE).await?.refresh_token.context("a refresh token")?;
    ground.provider.go_down().await?;
    assert!(ground.client.refresh(&refresh, &[]).await.is_err());
    ground.provider.come_up().await?;
    tokens(ground.client.refresh(&refresh, &[]).await?)?;
    Ok(())
}

#[tokio::test]
async fn it_can_be_called_localhost() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = provider::Provider::called("localhost", &installed).await?;
    assert!(provider.issuer().starts_with("http://localhost:"), "{}", provider.issuer());
    provider.session()?.get("/jwk").await?.expect(&[200])?;
    Ok(())
}

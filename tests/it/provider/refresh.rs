//! The rules of refresh tokens: reuse, rotation, what a refresh ends, and who is refused.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tests::provider::{self, Fault, Tokens, claims, parameter, tokens};
use tests::{need, until};

use super::{CALLBACK, Ground, SCOPE};

const PATIENCE: Duration = Duration::from_secs(30);

impl Ground {
    async fn signed_in(&mut self) -> Result<(Tokens, String)> {
        let given = self.client.sign_in(&mut self.anna, SCOPE).await?;
        let refresh = given.refresh_token.clone().context("a refresh token")?;
        Ok((given, refresh))
    }

    async fn refusal(&self, refresh_token: &str) -> Result<(String, String)> {
        let answer = self.client.refresh(refresh_token, &[]).await?.expect(&[400, 401])?.json()?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok((text("error"), text("error_description")))
    }
}

#[tokio::test]
async fn a_reused_refresh_token_ends_all_access_tokens_before() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let (first, refresh) = ground.signed_in().await?;
    let second = tokens(ground.client.refresh(&refresh, &[]).await?)?;
    assert_eq!(second.refresh_token.as_deref(), Some(refresh.as_str()));
    assert_ne!(first.access_token, second.access_token);
    ground.client.userinfo(&first.access_token).await?.expect(&[401])?;
    assert_eq!(ground.client.introspect(&first.access_token).await?["active"], false);
    ground.client.userinfo(&second.access_token).await?.expect(&[200])?;
    // Offline the old one is as good as before.
    assert!(ground.provider.verify(&first.access_token, ground.provider.issuer(), None)?.is_ok());
    ground.provider.switch("clear_access_tokens_on_refresh", false).await?;
    let third = tokens(ground.client.refresh(&refresh, &[]).await?)?;
    for token in [&second, &third] {
        ground.client.userinfo(&token.access_token).await?.expect(&[200])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rotated_refresh_token_is_gone_at_once_and_its_successor_lives() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("reuse_refresh_token", false).await?;
    let (_, first) = ground.signed_in().await?;
    let second = tokens(ground.client.refresh(&first, &[]).await?)?.refresh_token.context("a refresh token")?;
    assert_ne!(first, second);
    assert_eq!(ground.refusal(&first).await?.0, "invalid_token");
    tokens(ground.client.refresh(&second, &[]).await?)?;
    let counters = ground.provider.counters().await?;
    assert_eq!((counters.user("anna").refreshes, counters.user("anna").refused_refreshes), (2, 1));
    Ok(())
}

#[tokio::test]
async fn of_two_refreshes_at_once_rotation_refuses_one() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let metadata = json!({"redirect_uris": [CALLBACK], "scope": SCOPE, "reuse_refresh_token": false});
    ground.client = ground.provider.set_client("hub", metadata).await?;
    let (_, refresh) = ground.signed_in().await?;
    ground.provider.set_fault("refresh", &Fault::slow(Duration::from_millis(300))).await?;
    let (one, other) = tokio::try_join!(ground.client.refresh(&refresh, &[]), ground.client.refresh(&refresh, &[]))?;
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    assert_eq!(ground.provider.counters().await?.user("anna").most_refreshes_at_once, 2);
    assert_eq!(ground.provider.counters().await?.client("hub").refreshes_under_way, 0);
    Ok(())
}

#[tokio::test]
async fn a_refresh_narrows_the_scope_and_chooses_the_audience() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let (_, refresh) = ground.signed_in().await?;
    let narrow = tokens(ground.client.refresh(&refresh, &[("scope", "openid offline_access")]).await?)?;
    assert_eq!(narrow.scope.as_deref(), Some("openid offline_access"));
    let userinfo = ground.client.userinfo(&narrow.access_token).await?.json()?;
    assert_eq!((userinfo.get("email"), userinfo.get("groups")), (None, None));
    let wide = ground.client.refresh(&refresh, &[("scope", "openid wlcg.groups")]).await?.expect(&[400])?.json()?;
    assert_eq!(wide["error"], "invalid_scope");
    for (parameter, value, audience) in [
        ("audience", "object", json!("object")),
        ("aud", "a b", json!(["a", "b"])),
        ("resource", "https://object.example.org/", json!("https://object.example.org/")),
    ] {
        let token = tokens(ground.client.refresh(&refresh, &[(parameter, value)]).await?)?;
        assert_eq!(claims(&token.access_token)?.get("aud"), Some(&audience), "{parameter}");
        ground.client.userinfo(&token.access_token).await?.expect(&[200])?;
    }
    let bound = ground.client.sign_in_with(&mut ground.anna, SCOPE, &[("resource", "https://one.example.org")]).await?;
    assert_eq!(claims(&bound.access_token)?["aud"], "https://one.example.org");
    let bound = bound.refresh_token.context("a refresh token")?;
    let other = ground.client.refresh(&bound, &[("resource", "https://two.example.org")]).await?.expect(&[400])?;
    assert_eq!(other.json()?["error"], "invalid_target");
    Ok(())
}

#[tokio::test]
async fn a_suspended_person_and_one_who_has_not_signed_the_policy_are_refused() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let (_, refresh) = ground.signed_in().await?;
    ground.provider.set_user("anna", json!({"aup_signed": false})).await?;
    let (error, text) = ground.refusal(&refresh).await?;
    assert_eq!(error, "invalid_grant");
    assert!(text.contains("needs to sign AUP"), "{text}");
    // Who comes back signs it, and all is well.
    let silent = ground.client.answer(&mut ground.anna, SCOPE, &[("prompt", "none")]).await?;
    assert_eq!(parameter(&silent, "error").as_deref(), Some("consent_required"));
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let given = tokens(ground.client.refresh(&refresh, &[]).await?)?;
    ground.client.userinfo(&given.access_token).await?.expect(&[200])?;
    ground.provider.set_user("anna", json!({"suspended": true})).await?;
    let (error, text) = ground.refusal(&refresh).await?;
    assert_eq!((error.as_str(), text.as_str()), ("unauthorized", "User anna is not active."));
    ground.client.userinfo(&given.access_token).await?.expect(&[401])?;
    assert_eq!(ground.client.introspect(&given.access_token).await?["active"], false);
    assert!(ground.client.sign_in(&mut ground.anna, SCOPE).await.is_err());
    ground.provider.set_user("anna", json!({"suspended": false})).await?;
    tokens(ground.client.refresh(&refresh, &[]).await?)?;
    ground.provider.revoke_tokens_of("anna").await?;
    assert_eq!(ground.refusal(&refresh).await?.0, "invalid_token");
    ground.provider.switch("bad_refresh_token", "invalid_grant").await?;
    assert_eq!(ground.refusal(&refresh).await?.0, "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn another_clients_refresh_token_is_refused_and_lost() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let (_, refresh) = ground.signed_in().await?;
    let other = ground.provider.register("other", &[CALLBACK], SCOPE).await?;
    other.refresh(&refresh, &[]).await?.expect(&[401])?;
    assert_eq!(ground.refusal(&refresh).await?.0, "invalid_token");
    Ok(())
}

#[tokio::test]
async fn there_is_no_refresh_token_without_offline_access() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let given = ground.client.sign_in(&mut ground.anna, "openid profile").await?;
    assert_eq!(given.refresh_token, None);
    Ok(())
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_refresh_token_and_not_the_other_way_round() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let (given, refresh) = ground.signed_in().await?;
    ground.client.revoke(&given.access_token).await?.expect(&[200])?;
    ground.client.userinfo(&given.access_token).await?.expect(&[401])?;
    let next = tokens(ground.client.refresh(&refresh, &[]).await?)?;
    ground.client.revoke(&refresh).await?.expect(&[200])?;
    assert_eq!(ground.refusal(&refresh).await?.0, "invalid_token");
    ground.client.userinfo(&next.access_token).await?.expect(&[401])?;
    Ok(())
}

#[tokio::test]
async fn lifetimes_are_as_short_as_they_are_set() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch_all(json!({"access_ttl": 1, "refresh_ttl": 2})).await?;
    let (given, refresh) = ground.signed_in().await?;
    assert_eq!(given.expires_in, 1);
    until("end of the access token", PATIENCE, async || {
        Ok((ground.client.userinfo(&given.access_token).await?.status == 401).then_some(()))
    })
    .await?;
    until("end of the refresh token", PATIENCE, async || {
        Ok((ground.client.introspect(&refresh).await?["active"] == false).then_some(()))
    })
    .await?;
    assert_eq!(ground.refusal(&refresh).await?.0, "invalid_token");
    Ok(())
}

//! Each quirk, switched on.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::need;
use tests::provider::{self, claims, parameter};

use super::{Ground, SCOPE};

#[tokio::test]
async fn the_issuer_of_tokens_and_of_discovery_may_differ_by_a_slash() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer().to_owned();
    for (in_tokens, in_discovery) in [(true, true), (true, false), (false, true), (false, false)] {
        ground.provider.switch_all(json!({"issuer_slash": in_tokens, "discovery_slash": in_discovery})).await?;
        let slash = |yes: bool| format!("{issuer}{}", if yes { "/" } else { "" });
        assert_eq!(ground.discovery().await?["issuer"], slash(in_discovery));
        let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
        assert_eq!(claims(&given.access_token)?["iss"], slash(in_tokens));
        let id = given.id_token.context("an id token")?;
        assert!(ground.provider.verify(&id, &slash(in_tokens), Some("hub"))?.is_ok());
    }
    Ok(())
}

#[tokio::test]
async fn discovery_can_name_other_addresses() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    ground.provider.switch("discovery_origin", "http://elsewhere.example.org").await?;
    let document = ground.discovery().await?;
    assert_eq!(document["token_endpoint"], "http://elsewhere.example.org/token");
    assert_eq!(document["issuer"], format!("{}/", ground.provider.issuer()));
    let changes = json!({
        "discovery_origin": null,
        "discovery_issuer": "https://elsewhere.example.org/",
        "discovery": {"userinfo_endpoint": null, "token_endpoint": "https://elsewhere.example.org/t"},
    });
    ground.provider.switch_all(changes).await?;
    let document = ground.discovery().await?;
    assert_eq!(document["issuer"], "https://elsewhere.example.org/");
    assert_eq!(document["token_endpoint"], "https://elsewhere.example.org/t");
    assert_eq!(document.get("userinfo_endpoint"), None);
    Ok(())
}

#[tokio::test]
async fn an_id_token_can_be_wrong_in_every_way() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer().to_owned();
    for (kind, refusal) in [
        ("none", "ERR_JOSE_ALG_NOT_ALLOWED"),
        ("hs256", "ERR_JOSE_ALG_NOT_ALLOWED"),
        ("other_key", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ("expired", "ERR_JWT_EXPIRED"),
        ("future", "\"nbf\" claim"),
        ("wrong_audience", "\"aud\" claim"),
        ("wrong_issuer", "\"iss\" claim"),
        ("garbage", "ERR_JWS_INVALID"),
    ] {
        ground.provider.switch("id_token", kind).await?;
        let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
        let verdict = ground.provider.verify(given.id_token.as_deref().unwrap_or_default(), &issuer, Some("hub"))?;
        let reason = verdict.err().with_context(|| format!("{kind} is taken"))?;
        assert!(reason.contains(refusal), "{kind}: {reason}");
    }
    ground.provider.switch("id_token", "missing").await?;
    assert_eq!(ground.client.sign_in(&mut ground.anna, SCOPE).await?.id_token, None);
    Ok(())
}

#[tokio::test]
async fn a_well_signed_id_token_can_be_meant_for_another_sign_in() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer().to_owned();
    for kind in ["wrong_nonce", "no_nonce", "wrong_subject", "extra_audience"] {
        ground.provider.switch("id_token", kind).await?;
        let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
        let token = given.id_token.as_deref().context("an id token")?;
        let told = ground.provider.verify(token, &issuer, Some("hub"))?.map_err(anyhow::Error::msg)?;
        let userinfo = ground.client.userinfo(&given.access_token).await?.json()?;
        assert_eq!(told.get("nonce") == Some(&json!("the nonce")), !kind.ends_with("nonce"), "{kind}");
        assert_eq!(told.contains_key("nonce"), kind != "no_nonce", "{kind}");
        assert_eq!(told["sub"] == userinfo["sub"], kind != "wrong_subject", "{kind}");
        assert_eq!(told["aud"].is_array(), kind == "extra_audience", "{kind}");
    }
    ground.provider.switch_all(json!({"id_token": null, "userinfo_wrong_subject": true})).await?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let userinfo = ground.client.userinfo(&given.access_token).await?.json()?;
    assert_ne!(userinfo["sub"], claims(&given.id_token.context("an id token")?)?["sub"]);
    Ok(())
}

#[tokio::test]
async fn rotated_keys_sign_what_comes_after() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer().to_owned();
    let sign_in = async |ground: &mut Ground| -> Result<String> {
        ground.client.sign_in(&mut ground.anna, SCOPE).await?.id_token.context("an id token")
    };
    let first = sign_in(&mut ground).await?;
    ground.provider.rotate_keys(true).await?;
    let second = sign_in(&mut ground).await?;
    for token in [&first, &second] {
        assert!(ground.provider.verify(token, &issuer, Some("hub"))?.is_ok());
    }
    ground.provider.rotate_keys(false).await?;
    let third = sign_in(&mut ground).await?;
    assert!(ground.provider.verify(&third, &issuer, Some("hub"))?.is_ok());
    for token in [&first, &second] {
        let reason = ground.provider.verify(token, &issuer, Some("hub"))?.err().context("an old key is taken")?;
        assert!(reason.contains("ERR_JWKS_NO_MATCHING_KEY"), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_scope_that_is_not_registered_is_refused() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    for scope in ["openid wlcg", "openid nothing-known", "openid ssh-keys"] {
        let back = ground.client.answer(&mut ground.anna, scope, &[]).await?;
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_scope"), "{scope}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    }
    Ok(())
}

#[tokio::test]
async fn policy_takes_scopes_away_without_a_word() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.set_user("anna", json!({"denied_scopes": ["email"]})).await?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    assert_eq!(given.scope.as_deref(), Some("openid profile offline_access"));
    let userinfo = ground.client.userinfo(&given.access_token).await?.json()?;
    assert_eq!(userinfo.get("email"), None);
    // What was given can be taken away later.
    ground.provider.switch("denied_scopes", json!(["profile"])).await?;
    let refresh = given.refresh_token.context("a refresh token")?;
    let later = provider::tokens(ground.client.refresh(&refresh, &[]).await?)?;
    assert_eq!(later.scope.as_deref(), Some("openid offline_access"));
    let userinfo = ground.client.userinfo(&later.access_token).await?.json()?;
    assert_eq!(userinfo.get("groups"), None);
    ground.provider.switch("denied_scopes", json!(["offline_access"])).await?;
    assert_eq!(ground.client.sign_in(&mut ground.anna, SCOPE).await?.refresh_token, None);
    ground.provider.switch("scope_in_answer", false).await?;
    assert_eq!(ground.client.sign_in(&mut ground.anna, SCOPE).await?.scope, None);
    Ok(())
}

#[tokio::test]
async fn a_second_factor_is_told() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("mfa", true).await?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let told = claims(&given.id_token.context("an id token")?)?;
    assert_eq!((&told["amr"], &told["acr"]), (&json!(["pwd", "otp"]), &json!("https://refeds.org/profile/mfa")));
    Ok(())
}

#[tokio::test]
async fn what_is_not_known_cannot_be_switched() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    let provider = &ground.provider;
    assert!(provider.switch("profle", "iam").await.is_err());
    assert!(provider.switch("profile", "oidc").await.is_err());
    assert!(provider.switch("access_ttl", -1).await.is_err());
    assert!(provider.switch("id_token", "bad").await.is_err());
    assert!(provider.set_user("anna", json!({"group": []})).await.is_err());
    assert!(provider.set_fault("tokens", &provider::Fault::hang()).await.is_err());
    assert!(provider.set_client("bad", json!({"redirect_uris": ["nowhere"]})).await.is_err());
    assert!(provider.set_client("bad", json!({"redirect_uris": []})).await.is_err());
    Ok(())
}

impl Ground {
    async fn discovery(&self) -> Result<Value> {
        self.provider.session()?.get("/.well-known/openid-configuration").await?.expect(&[200])?.json()
    }
}

//! Discovery and the code flow.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::provider::{self, Visitor, claims, parameter, tokens};
use tests::{Browser, need};
use url::Url;

use super::{CALLBACK, Ground, SCOPE};

#[tokio::test]
async fn discovery_is_iams() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer();
    // A discovery address with a doubled slash is one of the quirks.
    let path = "//.well-known/openid-configuration";
    let answer =
        ground.provider.session()?.send(http::Method::GET, &format!("{issuer}{path}"), tests::Body::Empty).await?;
    let document = answer.expect(&[200])?.json()?;
    assert_eq!(document["issuer"], format!("{issuer}/"));
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("userinfo_endpoint", "/userinfo"),
        ("jwks_uri", "/jwk"),
        ("introspection_endpoint", "/introspect"),
        ("revocation_endpoint", "/revoke"),
        ("registration_endpoint", "/iam/api/client-registration"),
    ] {
        assert_eq!(document[name], format!("{issuer}{path}"), "{name}");
    }
    assert_eq!(document.get("end_session_endpoint"), None);
    let listed = |name: &str, value: &str| document[name].as_array().is_some_and(|list| list.contains(&json!(value)));
    assert!(listed("id_token_signing_alg_values_supported", "none"));
    for scope in SCOPE.split(' ').chain(["address", "wlcg", "wlcg.groups", "eduperson_entitlement"]) {
        assert!(listed("scopes_supported", scope), "{scope}");
    }
    Ok(())
}

#[tokio::test]
async fn the_code_flow_with_pkce_gives_tokens_that_another_library_takes() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let issuer = ground.provider.issuer();
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let id = ground.provider.verify(given.id_token.as_deref().context("an id token")?, issuer, Some("hub"))?;
    let id = id.map_err(anyhow::Error::msg)?;
    assert_eq!(id["nonce"], "the nonce");
    assert_eq!(id["preferred_username"], "anna");
    assert_eq!(id["groups"], json!(["users", "users/cygno"]));
    assert_eq!(id["organisation_name"], "specola-test");
    let access = ground.provider.verify(&given.access_token, issuer, None)?.map_err(anyhow::Error::msg)?;
    assert_eq!(access["client_id"], "hub");
    assert_eq!(access.get("groups"), None);
    assert_eq!(access.get("aud"), None);
    assert_eq!(given.scope.as_deref(), Some(SCOPE));
    let userinfo = ground.client.userinfo(&given.access_token).await?.expect(&[200])?.json()?;
    assert_eq!(userinfo["sub"], id["sub"]);
    assert_eq!(userinfo["email"], "anna@example.org");
    let told = ground.client.introspect(&given.access_token).await?;
    assert_eq!((&told["active"], &told["groups"]), (&json!(true), &json!(["users", "users/cygno"])));
    Ok(())
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_serves_once() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let back = ground.client.answer(&mut ground.anna, SCOPE, &[]).await?;
    assert_eq!(parameter(&back, "state").as_deref(), Some("the state"));
    assert_eq!(parameter(&back, "iss"), None);
    let code = parameter(&back, "code").context("a code")?;
    let wrong = "another-verifier-of-at-least-forty-three-characters";
    ground.client.exchange(&code, wrong).await?.expect(&[400])?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    ground.client.userinfo(&given.access_token).await?.expect(&[200])?;
    let back = ground.client.answer(&mut ground.anna, SCOPE, &[]).await?;
    let code = parameter(&back, "code").context("a code")?;
    let verifier = "a-verifier-is-at-least-forty-three-characters-long";
    tokens(ground.client.exchange(&code, verifier).await?)?;
    let again = ground.client.exchange(&code, verifier).await?.expect(&[400])?.json()?;
    assert_eq!(again["error"], "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn a_visitor_signs_in_once_and_a_wrong_name_not_at_all() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    assert_eq!(ground.provider.counters().await?.user("anna").logins, 1);
    ground.provider.end_sessions().await?;
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    assert_eq!(ground.provider.counters().await?.user("anna").logins, 2);
    let mut nobody = Visitor::new(&ground.provider, "nobody")?;
    assert!(ground.client.sign_in(&mut nobody, SCOPE).await.is_err());
    Ok(())
}

#[tokio::test]
async fn consent_is_asked_for_when_it_is_switched_on() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("consent", "ask").await?;
    let mut refusing = Visitor::new(&ground.provider, "anna")?.refusing();
    let denied = ground.client.answer(&mut refusing, SCOPE, &[]).await?;
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let silent = ground.client.answer(&mut ground.anna, SCOPE, &[("prompt", "none")]).await?;
    assert_eq!(parameter(&silent, "error").as_deref(), Some("consent_required"));
    ground.provider.switch("consent", "auto").await?;
    let silent = ground.client.sign_in_with(&mut ground.anna, SCOPE, &[("prompt", "none")]).await?;
    assert!(silent.refresh_token.is_some());
    let mut stranger = Visitor::new(&ground.provider, "anna")?;
    let silent = ground.client.answer(&mut stranger, SCOPE, &[("prompt", "none")]).await?;
    assert_eq!(parameter(&silent, "error").as_deref(), Some("login_required"));
    Ok(())
}

#[tokio::test]
async fn signing_out_at_the_provider_ends_its_session() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("end_session", true).await?;
    let home = "http://127.0.0.1:9/hub/";
    let metadata = json!({"redirect_uris": [CALLBACK], "scope": SCOPE, "post_logout_redirect_uris": [home]});
    let client = ground.provider.set_client("hub", metadata).await?;
    let given = client.sign_in(&mut ground.anna, SCOPE).await?;
    let document = ground.provider.session()?.get("/.well-known/openid-configuration").await?.json()?;
    let mut url: Url = document["end_session_endpoint"].as_str().context("an endpoint")?.parse()?;
    let hint = given.id_token.context("an id token")?;
    url.query_pairs_mut().extend_pairs([("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", home)]);
    let back = ground.anna.walk(&url).await?.map_err(|page| anyhow::anyhow!(page.text()))?;
    assert!(back.as_str().starts_with(home), "{back}");
    ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    assert_eq!(ground.provider.counters().await?.user("anna").logins, 2);
    Ok(())
}

#[tokio::test]
async fn the_forms_work_in_a_browser() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let ground = Ground::new(&installed).await?;
    ground.provider.switch("consent", "ask").await?;
    ground.provider.set_user("anna", json!({"aup_signed": false})).await?;
    browser.go(ground.client.authorize(SCOPE, "irrelevant", &[])?.as_str()).await?;
    browser.fill("#name", "anna").await?;
    browser.fill("#password", "anna").await?;
    browser.click("#sign-in").await?;
    browser.click("#sign").await?;
    browser.click("#allow").await?;
    // Nobody listens there; the address is all that matters.
    let issued = tests::until("code", std::time::Duration::from_secs(30), async || {
        let issued = ground.provider.issued().await?;
        Ok(issued.into_iter().find(|token| token.kind == tests::provider::Kind::Code))
    });
    assert_eq!(issued.await?.client.as_deref(), Some("hub"));
    assert_eq!(ground.provider.counters().await?.user("anna").logins, 1);
    Ok(())
}

#[tokio::test]
async fn what_was_asked_is_written_down() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let given = ground.client.sign_in(&mut ground.anna, SCOPE).await?;
    let asked = ground.provider.requests("authorize").await?;
    let first = asked.first().context("a request")?;
    assert_eq!(first.query.get("scope").map(String::as_str), Some(SCOPE));
    assert_eq!(first.query.get("code_challenge_method").map(String::as_str), Some("S256"));
    let asked = ground.provider.requests("token").await?;
    let exchange = asked.first().context("a request")?;
    assert_eq!((exchange.client.as_deref(), exchange.authorization.as_deref()), (Some("hub"), Some("Basic")));
    assert_eq!((exchange.status, exchange.method.as_str()), (Some(200), "POST"));
    let issued = ground.provider.issued().await?;
    let held = issued.iter().find(|token| Some(&token.value) == given.refresh_token.as_ref()).context("the token")?;
    assert_eq!((held.user.as_deref(), held.alive, held.is_secret()), (Some("anna"), Some(true), true));
    assert!(issued.iter().any(|token| token.value == ground.client.secret));
    assert!(issued.iter().any(|token| token.value == given.access_token && !token.is_secret()));
    assert_eq!(claims(&given.access_token)?.get("client_id"), Some(&Value::from("hub")));
    ground.provider.forget_counters().await?;
    assert_eq!(ground.provider.counters().await?.all.tokens, 0);
    Ok(())
}

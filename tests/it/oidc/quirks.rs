//! What a client of INDIGO IAM has to survive: the twelve quirks, each against a provider that has it. Those that are
//! nothing but reading (slashes, dialects) have tables beside the code as well.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::provider::{self, parameter};
use tests::{need, until};

use super::{Entry, House, LOGIN, SCOPE, is_out, keeping, open, whoami};

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub whose client may ask for everything IAM has.
async fn house(installed: &provider::Installed) -> Result<House> {
    let house = House::new(installed, &Entry::by_group()).await?;
    house.register(&format!("{SCOPE} wlcg.groups entitlements eduperson_entitlement")).await?;
    Ok(house)
}

#[tokio::test]
async fn quirk_1_the_issuer_has_a_slash_in_one_place_and_none_in_another() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    for (in_token, in_discovery) in [(false, true), (true, true), (true, false), (false, false)] {
        house.provider.switch_all(json!({"issuer_slash": in_token, "discovery_slash": in_discovery})).await?;
        house.signed_in("anna").await.with_context(|| format!("{in_token} {in_discovery}"))?;
    }
    // The configuration may have it as well: then the address of the description gets no second one.
    let options = Entry::open().options(&format!("{}/", house.provider.issuer()));
    let mut specola = tests::Specola::start(options).await?;
    specola.session()?.get(LOGIN).await?.expect(&[302])?;
    specola.kill_hub();
    Ok(())
}

#[tokio::test]
async fn quirk_2_a_scope_that_is_not_registered_is_given_up_and_the_operator_told() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), keeping).await?;
    for (registered, granted) in [
        ("openid profile email offline_access wlcg.groups", "openid profile email offline_access wlcg.groups"),
        ("openid profile email offline_access", "openid profile email offline_access"),
        ("openid profile email wlcg.groups", "openid profile email wlcg.groups"),
        ("openid profile email", "openid profile email"),
    ] {
        house.register(registered).await?;
        house.provider.forget_counters().await?;
        house.signed_in("anna").await.context(registered)?;
        let asked = house.provider.requests("authorize").await?;
        let last = asked.iter().rev().find_map(|request| request.query.get("scope")).context("a scope")?;
        assert_eq!(last, granted, "registered: {registered}");
    }
    // What the hub cannot do without is not given up: the operator is told what to register, people whom to ask.
    house.register("openid email").await?;
    let text = house.visit("anna").await?.2.expect(&[502])?.text();
    assert!(text.contains("Test IAM refuses to log in people of this hub"), "{text}");
    let log = house.specola.log();
    assert!(log.contains("register them for the hub's client"), "{log}");
    Ok(())
}

#[tokio::test]
async fn quirk_3_groups_come_in_four_dialects_from_three_places_with_a_slash_or_none() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry =
        Entry::by_group().with("optional_scope = [\"wlcg.groups\", \"entitlements\", \"eduperson_entitlement\"]");
    let house = House::new(&installed, &entry).await?;
    house.register(&format!("{SCOPE} wlcg.groups entitlements eduperson_entitlement")).await?;
    house.provider.switch("authn_info", true).await?;
    let places = ["id_token", "userinfo", "access_token"];
    for profile in ["iam", "wlcg", "aarc", "kc"] {
        for slash in [false, true] {
            for place in places {
                let hidden: Vec<&str> = places.into_iter().filter(|other| *other != place).collect();
                let change = json!({"profile": profile, "leading_slash": slash, "hide_groups_in": hidden});
                house.provider.switch_all(change).await?;
                let case = format!("{profile} {slash} {place}");
                let mut anna = house.signed_in("anna").await.context(case.clone())?;
                assert_eq!(whoami(&mut anna).await?["groups"], json!(["users", "users/cygno"]), "{case}");
            }
        }
    }
    // Nowhere: as if the person had no group.
    house.provider.switch("hide_groups_in", json!(places)).await?;
    house.visit("anna").await?.2.expect(&[403])?;
    Ok(())
}

#[tokio::test]
async fn quirk_4_an_access_token_for_nobody_or_for_anybody_is_read_all_the_same() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.switch_all(json!({"authn_info": true, "hide_groups_in": ["id_token", "userinfo"]})).await?;
    for (profile, audience) in [("iam", Value::Null), ("wlcg", json!("https://wlcg.cern.ch/jwt/v1/any"))] {
        house.provider.switch("profile", profile).await?;
        house.signed_in("anna").await.context(profile)?;
        let issued = house.provider.issued().await?;
        let last = issued.iter().rfind(|one| one.kind == provider::Kind::AccessToken).context("a token")?;
        let claims = provider::claims(&last.value)?;
        assert_eq!(claims.get("aud").cloned().unwrap_or_default(), audience);
    }
    Ok(())
}

#[tokio::test]
async fn quirk_5_keys_without_certificates_will_do() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    let keys = house.provider.session()?.get("/jwk").await?.expect(&[200])?.json()?;
    assert!(keys["keys"].as_array().context("keys")?.iter().all(|key| key.get("x5c").is_none()));
    house.signed_in("anna").await?;
    Ok(())
}

#[tokio::test]
async fn quirk_6_alg_none_is_advertised_and_never_taken() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    let described = house.provider.session()?.get("/.well-known/openid-configuration").await?.json()?;
    let advertised = described["id_token_signing_alg_values_supported"].as_array().context("algorithms")?;
    assert!(advertised.contains(&json!("none")));
    for forgery in ["none", "hs256"] {
        house.provider.switch("id_token", forgery).await?;
        let (mut session, _, page) = house.visit("boss").await?;
        page.expect(&[502])?;
        assert!(is_out(&mut session).await?);
    }
    Ok(())
}

#[tokio::test]
async fn quirk_7_a_userinfo_that_knows_nobody_is_told_and_openid_is_always_asked_for() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::open().with("scope = [\"profile\"]").with("optional_scope = []");
    let house = House::new(&installed, &entry).await?;
    house.signed_in("anna").await?;
    let asked = house.provider.requests("authorize").await?;
    assert_eq!(
        asked.first().and_then(|request| request.query.get("scope")).map(String::as_str),
        Some("openid profile")
    );
    house.provider.set_fault("userinfo", &provider::Fault::body(404, "")).await?;
    let text = house.visit("anna").await?.2.expect(&[403])?.text();
    assert!(text.contains("does not tell what this hub has to know"), "{text}");
    Ok(())
}

#[tokio::test]
async fn quirk_8_a_scope_that_policy_takes_away_is_noticed() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.set_user("anna", json!({"denied_scopes": ["wlcg.groups", "email"]})).await?;
    house.signed_in("anna").await?;
    let log = house.specola.log();
    assert!(log.contains("not all scopes that were asked for were granted"), "{log}");
    // Without `profile` there is no name, and so nobody.
    house.provider.set_user("anna", json!({"denied_scopes": ["profile"]})).await?;
    let text = house.visit("anna").await?.2.expect(&[403])?.text();
    assert!(text.contains("does not tell what this hub has to know"), "{text}");
    Ok(())
}

#[tokio::test]
async fn quirk_9_a_page_of_consent_is_passed_and_prompt_none_ends_in_a_sentence() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.switch("consent", "ask").await?;
    house.signed_in("anna").await?;
    let entry = Entry::by_group().with("extra_authorize_params = { prompt = \"none\" }").with("optional_scope = []");
    let silent = House::new(&installed, &entry).await?;
    let text = silent.visit("anna").await?.2.expect(&[403])?.text();
    assert!(text.contains("has to ask you something first"), "{text}");
    Ok(())
}

#[tokio::test]
async fn quirk_10_an_access_token_that_vanishes_before_userinfo_is_a_refusal_not_a_fault() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.set_fault("userinfo", &provider::Fault::body(401, "{\"error\":\"invalid_token\"}")).await?;
    let (mut session, _, page) = house.visit("anna").await?;
    page.expect(&[502])?;
    assert!(is_out(&mut session).await?);
    house.provider.clear_fault("userinfo").await?;
    house.signed_in("anna").await?;
    Ok(())
}

/// The same later on: whoever is about is asked about with the token at hand, and gets another one where that is gone.
#[tokio::test]
async fn quirk_10_an_access_token_that_vanished_before_its_time_is_replaced() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house =
        House::changed(&installed, &Entry::by_group(), |options| keeping(options).set("auth", "auth_refresh_age", "1"))
            .await?;
    let client = house.register(SCOPE).await?;
    let mut anna = house.signed_in("anna").await?;
    let issued = house.provider.issued().await?;
    let first = issued.iter().rfind(|one| one.kind == provider::Kind::AccessToken).context("a token")?.value.clone();
    assert_eq!(house.provider.counters().await?.user("anna").refreshes, 0, "it is good for an hour");
    client.revoke(&first).await?.expect(&[200])?;
    until("another token", PATIENCE, async || {
        Ok((house.provider.counters().await?.user("anna").refreshes > 0).then_some(()))
    })
    .await?;
    // With it the provider told who she is, as it tells from now on.
    house.provider.set_user("anna", json!({"groups": ["users", "users/new"]})).await?;
    until("the new group", PATIENCE, async || {
        // Beside those of the ID token, if it was given before.
        let groups = whoami(&mut anna).await?["groups"].as_array().cloned().unwrap_or_default();
        Ok(groups.contains(&json!("users/new")).then_some(()))
    })
    .await?;
    assert_eq!(house.provider.counters().await?.user("anna").refreshes, 1);
    Ok(())
}

#[tokio::test]
async fn quirk_11_claims_of_a_second_factor_change_nothing() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.switch("mfa", true).await?;
    house.signed_in("anna").await?;
    Ok(())
}

#[tokio::test]
async fn quirk_12_a_provider_that_calls_itself_otherwise_is_not_believed_and_the_log_says_what_to_compare() -> Result<()>
{
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = tests::Provider::start(&installed).await?;
    provider.switch("discovery_issuer", "http://inside.example.org/").await?;
    let options = Entry::open().options(provider.issuer());
    let specola = tests::Specola::start(options).await?;
    let text = specola.session()?.get(LOGIN).await?.expect(&[502])?.text();
    assert!(text.contains("The answer of Test IAM cannot be used") && !text.contains("inside.example"), "{text}");
    let log = specola.log();
    assert!(log.contains("inside.example.org") && log.contains(provider.issuer()), "{log}");
    Ok(())
}

/// RFC 9207, which IAM does not know: an answer that names another provider is not taken for this one's.
#[tokio::test]
async fn an_answer_that_names_another_issuer_is_not_taken() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    let mut session = house.specola.session()?;
    let entry = house.answer(&mut session, LOGIN, "anna").await;
    // The first choice of scopes may have been refused; its answer is as good as any.
    let mut back = entry?;
    assert!(parameter(&back, "iss").is_none());
    back.query_pairs_mut().append_pair("iss", "https://evil.example.org");
    open(&mut session, &back).await?.expect(&[502])?;
    assert!(is_out(&mut session).await?);
    Ok(())
}

//! Who enters, who administers, and who does no more.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::provider;
use tests::{Body, need};

use super::{Entry, House, SCOPE, is_out, whoami};

/// H6: no claim at all is no group, and the answer is a page that says what would help.
#[tokio::test]
async fn somebody_in_no_group_is_told_which_would_do_and_where_to_join() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::by_group()).await?;
    for profile in ["iam", "wlcg", "kc", "aarc"] {
        house.provider.switch("profile", profile).await?;
        let (mut eve, _, page) = house.visit("eve").await?;
        let text = page.expect(&[403]).context(profile)?.text();
        assert!(text.contains("<code>users</code>") && text.contains("https://iam.example.org/join"), "{text}");
        assert!(text.contains("Test IAM") && text.contains("eve"), "{text}");
        assert!(is_out(&mut eve).await?);
    }
    house.provider.switch("profile", "iam").await?;
    let mut boss = house.signed_in("boss").await?;
    boss.api(Method::GET, "/users/eve", Body::Empty).await?.expect(&[404]).context("no user was made")?;
    let record = boss.api(Method::GET, "/audit?action=login.failed", Body::Empty).await?.expect(&[200])?.text();
    assert!(record.contains("user:eve") && record.contains("NoGroup"), "{record}");
    Ok(())
}

/// H1: a group taken away counts at the next login, for what is open already too, and for API tokens.
#[tokio::test]
async fn a_group_taken_away_puts_somebody_out_with_sessions_and_tokens_until_it_is_back() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::by_group()).await?;
    let mut anna = house.signed_in("anna").await?;
    let token = anna.new_token("anna").await?;
    let mut script = anna.with_token(&token);
    assert_eq!(whoami(&mut script).await?["groups"], json!(["users", "users/cygno"]));
    house.provider.set_user("anna", json!({"groups": ["visitors"]})).await?;
    house.visit("anna").await?.2.expect(&[403])?;
    assert!(is_out(&mut anna).await?, "the session of before");
    assert!(is_out(&mut script).await?, "the token of before");
    let mut boss = house.signed_in("boss").await?;
    let record = boss.api(Method::GET, "/audit?action=user.refuse", Body::Empty).await?.expect(&[200])?.text();
    assert!(record.contains("user:anna"), "{record}");
    house.provider.set_user("anna", json!({"groups": ["users"]})).await?;
    let mut anna = house.signed_in("anna").await?;
    assert_eq!(whoami(&mut anna).await?["groups"], json!(["users"]));
    assert!(!is_out(&mut script).await?, "nothing was deleted");
    Ok(())
}

/// H10: the owner needs no group.
#[tokio::test]
async fn administrators_come_by_group_or_by_owning_and_lose_the_right_with_the_group() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::by_group().with("owner_subjects = [\"the-owner\"]");
    let house = House::new(&installed, &entry).await?;
    let mut boss = house.signed_in("boss").await?;
    assert_eq!(whoami(&mut boss).await?["admin"], true);
    boss.api(Method::GET, "/users", Body::Empty).await?.expect(&[200])?;
    house.provider.set_user("boss", json!({"groups": ["users"]})).await?;
    let mut boss = house.signed_in("boss").await?;
    assert_eq!(whoami(&mut boss).await?["admin"], false);
    house.provider.set_user("eve", json!({"sub": "the-owner"})).await?;
    let mut owner = house.signed_in("eve").await?;
    let model = whoami(&mut owner).await?;
    assert_eq!((&model["admin"], &model["groups"]), (&json!(true), &json!([])));
    Ok(())
}

#[tokio::test]
async fn roles_come_from_a_claim_where_that_is_configured() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::open().with("roles_claim = \"hub.roles\"");
    let house = House::changed(&installed, &entry, |options| {
        let roles = "[{ name = \"tutor\", scopes = [\"list:users\"] }]";
        options.set("auth", "manage_roles", "true").set("hub", "load_roles", roles)
    })
    .await?;
    let claims = json!({"hub": {"roles": ["tutor", "user", "/not a role"]}});
    house.provider.set_user("anna", json!({ "claims": claims })).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.api(Method::GET, "/users", Body::Empty).await?.expect(&[200])?;
    house.provider.set_user("anna", json!({"claims": {"hub": {"roles": ["user"]}}})).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.api(Method::GET, "/users", Body::Empty).await?.expect(&[403])?;
    house.register(SCOPE).await?;
    Ok(())
}

/// H13: who is not looked after by anybody is told before anybody is turned away, or let in.
#[test]
fn check_config_says_that_nobody_or_everybody_can_log_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("specola.toml");
    let provider = "[[auth.providers]]\nname = \"iam\"\nissuer = \"https://iam.example.org/\"\nclient_id = \"hub\"\n";
    for (auth, of_provider, says) in [
        ("authenticator = \"pam\"", "", "- Nobody can log in: set auth.allowed_users"),
        (
            "authenticator = \"pam\"\nallowed_groups = [\"users\"]",
            "",
            "- Nobody can log in: this method tells no groups",
        ),
        ("authenticator = \"pam\"\nallow_all = true", "", "- Everybody with an account on this machine can log in"),
        ("authenticator = \"oidc\"", provider, "- Nobody of the provider \"iam\" can log in"),
        (
            "authenticator = \"oidc\"\nallow_all = true",
            provider,
            "- Everybody with an account at the provider \"iam\" can log in",
        ),
    ] {
        std::fs::write(&file, format!("[auth]\n{auth}\n{of_provider}"))?;
        let done = std::process::Command::new(tests::place::binary()?)
            .arg("check-config")
            .arg("--config")
            .arg(&file)
            .output()?;
        let said = String::from_utf8(done.stdout)?;
        assert!(done.status.success() && said.contains("Worth a second look") && said.contains(says), "{says}: {said}");
        let other = if says.contains("Nobody") { "Everybody" } else { "Nobody" };
        assert!(!said.contains(other), "{said}");
    }
    std::fs::write(&file, format!("[auth]\nauthenticator = \"oidc\"\n{provider}allowed_groups = [\"users\"]\n"))?;
    let done =
        std::process::Command::new(tests::place::binary()?).arg("check-config").arg("--config").arg(&file).output()?;
    let said = String::from_utf8(done.stdout)?;
    assert!(done.status.success() && !said.contains("can log in"), "{said}");
    Ok(())
}

//! What is kept of a login, and what never is: in the database, and in the log.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::provider::{self, Issued};
use tests::{Body, Specola, need};

use super::{Entry, House, SECRET, keeping};

async fn state_of_anna(house: &House) -> Result<Value> {
    let mut boss = house.signed_in("boss").await?;
    let anna = boss.api(Method::GET, "/users/anna", Body::Empty).await?.expect(&[200])?.json()?;
    Ok(anna["auth_state"].clone())
}

/// What must not be found in clear: everything the provider gave out, and the client's secret.
async fn secrets(house: &House) -> Result<Vec<Issued>> {
    let issued = house.provider.issued().await?;
    assert!(issued.iter().filter(|one| one.user.is_some()).count() >= 4, "{issued:?}");
    Ok(issued)
}

/// H2: the log of a hub that says all it can has no code, token or secret.
#[tokio::test]
async fn what_the_provider_gives_is_kept_encrypted_as_oauthenticator_writes_it() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), keeping).await?;
    house.signed_in("anna").await?;
    let state = state_of_anna(&house).await?;
    let issued = secrets(&house).await?;
    let given = |kind: provider::Kind| {
        let of_anna = issued.iter().find(|one| one.kind == kind && one.user.as_deref() == Some("anna"));
        of_anna.map(|one| one.value.clone()).with_context(|| format!("{kind:?}"))
    };
    assert_eq!(state["access_token"], given(provider::Kind::AccessToken)?);
    assert_eq!(state["refresh_token"], given(provider::Kind::RefreshToken)?);
    assert_eq!(state["id_token"], given(provider::Kind::IdToken)?);
    assert_eq!(state["scope"], json!(["openid", "profile", "email", "offline_access"]));
    assert_eq!(state["token_response"]["access_token"], state["access_token"]);
    assert_eq!(state["oauth_user"]["preferred_username"], "anna");
    let own = &state["specola"];
    assert_eq!((&own["provider"], &own["groups"]), (&json!("iam"), &json!(["users", "users/cygno"])));
    assert_eq!((&own["sub"], own["issuer"].as_str()), (&state["oauth_user"]["sub"], Some(house.provider.issuer())));
    let expires = own["expires_at"].as_str().context("when it ends")?;
    assert!(expires.len() == 20 && expires.ends_with('Z'), "{expires}");
    let folder = &house.specola.ground.folder;
    let mut database = Vec::new();
    for file in ["jupyterhub.sqlite", "jupyterhub.sqlite-wal"] {
        database.extend(std::fs::read(folder.join(file)).unwrap_or_default());
    }
    assert!(database.len() > 10_000);
    let log = house.specola.log();
    assert!(log.contains("oauth_callback") && log.contains("DEBUG"), "the log says what happened");
    for one in issued.iter().map(|one| one.value.as_str()).chain([SECRET]) {
        assert!(!log.contains(one), "in the log: {one}");
        assert!(!database.windows(one.len()).any(|window| window == one.as_bytes()), "in the database: {one}");
    }
    Ok(())
}

#[tokio::test]
async fn without_enable_auth_state_nothing_is_kept_and_no_refresh_token_asked_for() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::by_group()).await?;
    house.signed_in("anna").await?;
    assert_eq!(state_of_anna(&house).await?, Value::Null);
    let issued = house.provider.issued().await?;
    assert!(!issued.iter().any(|one| one.kind == provider::Kind::RefreshToken), "{issued:?}");
    Ok(())
}

/// H7: no key is made up, and none is needed where nothing is kept.
#[tokio::test]
async fn a_hub_that_is_to_keep_tokens_does_not_start_without_a_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Entry::open().options("https://iam.example.org").set("auth", "enable_auth_state", "true");
    let ground = tests::jupyterhub::Ground::new(folder.path())?;
    let mut specola = Specola::on(ground, options, Default::default());
    specola.launch(&[("JUPYTERHUB_CRYPT_KEY", "")])?;
    assert!(!specola.ended()?.success());
    let log = specola.log();
    assert!(log.contains("JUPYTERHUB_CRYPT_KEY") && log.contains("openssl rand -hex 32"), "{log}");
    Ok(())
}

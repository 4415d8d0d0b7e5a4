//! Logging out: here, and at the provider where it offers that.

use anyhow::{Context, Result};
use tests::provider::{self, Visitor};
use tests::{need, until};
use url::Url;

use super::{Entry, House, LOGIN, is_out, keeping};

#[tokio::test]
async fn a_log_out_ends_the_session_here_and_offers_to_end_that_at_the_provider() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = tests::Provider::start(&installed).await?;
    provider.switch("end_session", true).await?;
    let options = keeping(Entry::open().options(provider.issuer()));
    let house = House { specola: tests::Specola::start(options).await?, provider };
    house.register(super::SCOPE).await?;
    house.provider.set_user("anna", serde_json::json!({})).await?;
    let (mut session, mut anna) = (house.specola.session()?, Visitor::new(&house.provider, "anna")?);
    anna.sign_in(&mut session, LOGIN).await?.1.expect(&[200])?;
    let mut copy = session.clone();
    let page = session.get("/hub/logout").await?.expect(&[200])?.text();
    assert!(is_out(&mut session).await? && is_out(&mut copy).await?);
    let link = page.split("href=\"").filter_map(|rest| rest.split('"').next()).find(|link| link.contains("/logout?"));
    let link = link.with_context(|| page.clone())?.replace("&#38;", "&").replace("&amp;", "&");
    let back = anna.walk(&Url::parse(&link)?).await?.map_err(|page| anyhow::anyhow!(page.text()))?;
    assert_eq!(back.path(), "/hub/");
    anna.sign_in(&mut session, LOGIN).await?.1.expect(&[200])?;
    assert_eq!(house.provider.counters().await?.user("anna").logins, 2, "the provider asked for the password again");
    Ok(())
}

#[tokio::test]
async fn a_log_out_waits_for_no_provider_and_iam_offers_none() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::open()).await?;
    let mut session = house.signed_in("anna").await?;
    house.provider.go_down().await?;
    let page = session.get("/hub/logout").await?.expect(&[200])?.text();
    assert!(!page.contains("identity provider"), "{page}");
    until("end", std::time::Duration::from_secs(5), async || Ok(is_out(&mut session).await?.then_some(()))).await
}

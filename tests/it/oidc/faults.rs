//! A provider that is down, hangs or talks nonsense: people read a sentence, soon, and the hub goes on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::provider::{self, Fault};
use tests::{Specola, need, until};

use super::{Entry, House, LOGIN, SCOPE, is_out, open};

/// The provider may take so many seconds for an answer, and everything else is quick.
const LIMIT: u64 = 2;

fn faults() -> Vec<(&'static str, Fault, &'static [u16])> {
    vec![
        ("refuse", Fault::refuse(), &[503]),
        ("hang", Fault::hang(), &[503]),
        ("503", Fault::status(503), &[503]),
        ("404", Fault::status(404), &[502, 403, 503]),
        ("garbage", Fault::garbage(), &[502]),
        ("no object", Fault::body(200, "[]"), &[502]),
        ("nothing in it", Fault::body(200, "{}"), &[502]),
        ("endless", Fault::endless(), &[503]),
        ("lost", Fault::lost(), &[503]),
    ]
}

#[tokio::test]
async fn a_provider_that_fails_at_any_step_is_told_soon_and_in_a_sentence() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::open().with(format!("timeout = {LIMIT}")).with("optional_scope = []");
    let house = House::new(&installed, &entry).await?;
    // Keys are kept once they were had, so that theirs comes first.
    for endpoint in ["jwks", "token", "userinfo"] {
        for (what, fault, statuses) in faults() {
            let mut session = house.specola.session()?;
            let answer = house.answer(&mut session, LOGIN, "anna").await?;
            house.provider.set_fault(endpoint, &fault).await?;
            let begun = Instant::now();
            let page = open(&mut session, &answer).await?;
            let took = begun.elapsed();
            house.provider.clear_fault(endpoint).await?;
            let case = format!("{endpoint}: {what}");
            // A failure to get the keys is remembered for a moment, so that the next is told as the one before.
            let statuses = if endpoint == "jwks" { &[502, 503] } else { statuses };
            let text = page.expect(statuses).context(case.clone())?.text();
            assert!(took < Duration::from_secs(3 * LIMIT + 2), "{case}: {took:?}");
            assert!(text.contains("Test IAM") && text.contains("login_error"), "{case}: {text}");
            assert!(is_out(&mut session).await?, "{case}");
        }
    }
    house.signed_in("anna").await?;
    Ok(())
}

#[tokio::test]
async fn the_hub_starts_without_its_provider_says_so_and_finds_it_again() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = tests::Provider::start(&installed).await?;
    provider.go_down().await?;
    let options = Entry::open().with(format!("timeout = {LIMIT}")).options(provider.issuer());
    let house = House { specola: Specola::start(options).await?, provider };
    let mut session = house.specola.session()?;
    let notice = "Test IAM does not answer at the moment";
    until("notice", Duration::from_secs(20), async || {
        Ok(session.get("/hub/login").await?.expect(&[200])?.text().contains(notice).then_some(()))
    })
    .await?;
    let page = session.get(LOGIN).await?.expect(&[503])?;
    assert!(page.text().contains(notice));
    house.provider.come_up().await?;
    house.register(SCOPE).await?;
    house.provider.set_user("anna", serde_json::json!({})).await?;
    until("login", Duration::from_secs(20), async || Ok(house.signed_in("anna").await.ok())).await?;
    assert!(!session.get("/hub/login").await?.text().contains(notice));
    Ok(())
}

#[tokio::test]
async fn a_description_that_is_no_description_begins_no_login() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    for (what, fault, statuses) in faults().into_iter().filter(|(what, ..)| *what != "lost") {
        let provider = tests::Provider::start(&installed).await?;
        provider.set_fault("discovery", &fault).await?;
        let options = Entry::open().with(format!("timeout = {LIMIT}")).options(provider.issuer());
        let specola = Specola::start(options).await?;
        let begun = Instant::now();
        let page = specola.session()?.get(LOGIN).await?;
        let text = page.expect(statuses).context(what)?.text();
        assert!(begun.elapsed() < Duration::from_secs(3 * LIMIT + 2), "{what}");
        assert!(text.contains("Test IAM"), "{what}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn new_keys_of_the_provider_are_found_without_a_restart() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::open()).await?;
    house.signed_in("anna").await?;
    house.provider.rotate_keys(false).await?;
    // Keys are asked for anew at most every ten seconds.
    until("login with the new keys", Duration::from_secs(30), async || Ok(house.signed_in("anna").await.ok())).await?;
    Ok(())
}

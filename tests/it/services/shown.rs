//! Services on the pages, in a real browser.

use std::time::Duration;

use anyhow::Result;
use tests::browser::LOOKS;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Browser, Specola, need, place, until};

use super::configured;
use crate::likeness::services::listen;

const CONSENT: &str = "/hub/api/oauth2/authorize?client_id=service-grades\
                       &redirect_uri=%2Fservices%2Fgrades%2Foauth_callback&response_type=code";

async fn look_at(browser: &Browser, name: &str) -> Result<()> {
    for look in LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "{name} is wider than the window when {}", look.name);
        browser.screenshot(&format!("{name}-{}", look.name)).await?;
    }
    browser.look(LOOKS[0]).await
}

/// One service that answers, one that does not, and one that is not to be shown. Alice may open all of them.
async fn with_services() -> Result<Specola> {
    let (listener, nobody) = (listen().await?, place::free_port()?);
    let services = [
        format!("name = \"grades\", url = {listener:?}, info = {{ description = \"Points and comments\" }}"),
        format!("name = \"statistics\", url = \"http://127.0.0.1:{nobody}\", timeout = 1"),
        format!("name = \"secret\", url = {listener:?}, display = false"),
    ];
    let roles = "[{ name = \"opening\", users = [\"alice\"], scopes = [\"access:services\"] }]";
    Specola::start(configured(Options::default(), &services).set("hub", "load_roles", roles)).await
}

#[tokio::test]
async fn services_stand_on_the_home_page_and_in_the_top_bar_of_those_who_may_open_them() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = with_services().await?;
    let origin = specola.origin();
    let mut alice = specola.logged_in("alice").await?;
    let home = until("word on the service that does not answer", Duration::from_secs(20), async || {
        let home = alice.get("/hub/home").await?.expect(&[200])?.text();
        Ok(Some(home).filter(|home| home.contains("Does not answer")))
    })
    .await?;
    assert_eq!(home.matches("Does not answer").count(), 1, "{home}");
    assert!(home.contains("Points and comments") && !home.contains("secret"), "{home}");
    let bob = specola.logged_in("bob").await?.get("/hub/home").await?.expect(&[200])?.text();
    assert!(!bob.contains("/services/"), "{bob}");

    browser.log_in(&origin, "alice", PASSWORD).await?;
    browser.go(&format!("{origin}/hub/home")).await?;
    browser.click("nav details.menu summary").await?;
    look_at(&browser, "home-services").await?;
    browser.go(&format!("{origin}{CONSENT}")).await?;
    look_at(&browser, "consent-service").await?;
    browser.go(&format!("{origin}/hub/home")).await?;
    browser.click("nav details.menu summary").await?;
    browser.click("nav details.menu a[href='/services/grades/']").await?;
    browser.arrives("the service", |url| url.path() == "/services/grades/").await?;
    browser.text("body", |text| text == "hi").await?;
    Ok(())
}

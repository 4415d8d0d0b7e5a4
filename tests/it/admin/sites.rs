//! Sites, as operators steer them and people meet it.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::wait::until;
use tests::{Body, Browser, Session, Specola, need};

use super::{ENTER, PATIENCE, options, press, tab_to};

const SITES: &str = r#"[{"name": "cnaf", "display_name": "CNAF"}, {"name": "bari", "display_name": "Bari"}]"#;

async fn server(session: &mut Session, name: &str) -> Result<Value> {
    let model = session.api(Method::GET, &format!("/users/{name}"), Body::Empty).await?.expect(&[200])?.json()?;
    Ok(model["servers"][""].clone())
}

async fn start(session: &mut Session, name: &str, options: Value, statuses: &[u16]) -> Result<()> {
    let path = format!("/users/{name}/server");
    session.api(Method::POST, &path, Body::Json(options)).await?.expect(statuses)?;
    Ok(())
}

#[tokio::test]
async fn a_site_is_drained_maintained_and_given_up_and_people_are_told() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?.set("hub", "site", "\"cnaf\"").variable("SPECOLA_SITES", SITES)).await?;
    let (mut admin, mut alice) = (specola.logged_in("admin").await?, specola.logged_in("alice").await?);
    start(&mut alice, "alice", json!({}), &[201, 202]).await?;
    alice.server_ready("alice").await?;
    let site = server(&mut alice, "alice").await?["user_options"]["site"].clone();
    anyhow::ensure!(site == "cnaf", "where the hub is: {site}");

    // By keyboard: what runs goes on, and a start goes to the other site.
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    let page = format!("{}/hub/admin/sites", specola.origin());
    browser.go(&page).await?;
    browser.text("[data-site=cnaf] .facts", |text| text.contains("1 server")).await?;
    tab_to(&browser, "Drain").await?;
    press(&browser, ENTER).await?;
    browser.text("[data-site=cnaf] .state", |text| text == "Drained").await?;
    browser.screenshots("admin-sites").await?;
    anyhow::ensure!(!browser.scrolls_sideways().await?, "it scrolls sideways");
    start(&mut admin, "admin", json!({"site": "cnaf"}), &[403]).await?;
    start(&mut admin, "admin", json!({}), &[201, 202]).await?;
    admin.server_ready("admin").await?;
    let site = server(&mut admin, "admin").await?["user_options"]["site"].clone();
    anyhow::ensure!(site == "bari", "the one that takes starts: {site}");
    anyhow::ensure!(server(&mut alice, "alice").await?["ready"] == true, "a drain ends nothing");

    // A maintenance that has begun stops what is there, and nothing else.
    let window = json!({"begins": "2020-01-01", "ends": "2126-01-01", "text": "New disks", "stops_servers": true});
    let change = Body::Json(json!({"drained": false, "maintenance": window}));
    admin.api(Method::PATCH, "/sites/cnaf", change).await?.expect(&[200])?;
    until("alice's server stops", PATIENCE, async || Ok(server(&mut alice, "alice").await?.is_null().then_some(())))
        .await?;
    anyhow::ensure!(server(&mut admin, "admin").await?["ready"] == true, "it is at the other site");
    browser.go(&format!("{}/hub/spawn-pending/alice", specola.origin())).await?;
    browser.text("main", |text| text.contains("Your server was stopped: CNAF is under maintenance until")).await?;
    browser.text(".announcements", |text| text.contains("CNAF: under maintenance until")).await?;
    let told = "return document.querySelector('time.exact').title";
    let title = browser.client.execute(told, vec![]).await?;
    anyhow::ensure!(title.as_str().context("no title")?.ends_with("UTC"), "the zone of the browser is shown: {title}");

    // It is asked before a site is given up.
    browser.go(&page).await?;
    tab_to(&browser, "Give up…").await?;
    press(&browser, ENTER).await?;
    browser.text("h1", |text| text == "Give up CNAF?").await?;
    browser.screenshots("admin-sites-give-up").await?;
    browser.shown("#confirm-yes").await?.send_keys(ENTER).await?;
    browser.text("[data-site=cnaf] .state", |text| text == "Given up").await?;
    Ok(())
}

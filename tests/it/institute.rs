//! An institute's day in a real browser with a real identity provider: groups decide what people may start, who
//! administers, and who is let in at all.

use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::provider::{self, Provider};
use tests::specola::Options;
use tests::{Body, Browser, need, until};

use crate::oidc::{Entry, House, keeping};

const PATIENCE: Duration = Duration::from_secs(60);

const FLAVOURS: &str = r#"[{ name = "small", display_name = "Small", cpu = 1, memory = "1G" }, { name = "large", display_name = "Large and fast", cpu = 4, memory = "4G" }]"#;

const GREETING: &str =
    "You are logged in as default user. If you want to enhance your quota please contact staff@institute.example.";

fn options(options: Options) -> Options {
    let everybody = format!(
        r#"{{ name = "everybody", grant = {{ flavours = ["small"] }}, limit = {{ cpu = 1, memory = "1G" }}, greeting = {GREETING:?} }}"#
    );
    let a = r#"{ name = "a", groups = ["users/a"], grant = { flavours = ["large"] }, limit = { cpu = 4, memory = "4G" }, greeting = "" }"#;
    keeping(options)
        .set("options", "flavours", FLAVOURS)
        .set("options", "policies", &format!("[{everybody}, {a}]"))
        .set("auth", "auth_refresh_age", "1")
        .set("spawner.local", "interrupt_timeout", "1")
        .set("spawner.local", "term_timeout", "1")
}

/// Anna is in group A, bert in group B, boss administers.
async fn institute(installed: &provider::Installed) -> Result<House> {
    // Another site than the hub's, as the institute's provider is to a browser.
    let provider = Provider::called("localhost", installed).await?;
    let lab = Options::default().small_lab("quick.py")?;
    let house = House::at(provider, &Entry::by_group(), |entry| options(entry.and(lab))).await?;
    house.provider.set_user("anna", json!({"groups": ["users", "users/a"]})).await?;
    house.provider.set_user("bert", json!({"groups": ["users", "users/b"]})).await?;
    Ok(house)
}

/// A page in every look, which fits the window.
async fn look(browser: &Browser, name: &str) -> Result<()> {
    for look in tests::browser::LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "{name} is wider than the window when {}", look.name);
    }
    browser.screenshots(&format!("institute-{name}")).await
}

async fn page(house: &House, browser: &Browser, path: &str) -> Result<()> {
    browser.go(&format!("{}{path}", house.specola.origin())).await
}

/// From the hub's log-in page through the provider's form, to the home page.
async fn sign_in(house: &House, browser: &Browser, name: &str) -> Result<()> {
    page(house, browser, "/hub/login").await?;
    browser.click(".service-login a").await?;
    browser.fill("#name", name).await?;
    browser.fill("#password", name).await?;
    browser.click("#sign-in").await?;
    let url = browser.arrives("the home page", |url| url.path() == "/hub/home").await?;
    assert_eq!(url.query(), None, "the provider's code is for nobody's history");
    Ok(())
}

async fn member_of_a_starts_the_flavour_of_the_group(house: &House, browser: &Browser) -> Result<()> {
    page(house, browser, "/hub/login").await?;
    look(browser, "login").await?;
    sign_in(house, browser, "anna").await?;
    browser.click("#start").await?;
    browser.arrives("the questions", |url| url.path().starts_with("/hub/spawn")).await?;
    browser.text("#start", |text| text == "Start Small, 1 core, 1 GB").await?;
    browser.click("label.choice:has(input[value=large])").await?;
    browser.text("#start", |text| text == "Start Large and fast, 4 cores, 4 GB").await?;
    assert!(!browser.client.source().await?.contains("notice said"), "an empty greeting is none");
    look(browser, "options-a").await?;
    browser.click("#start").await?;
    browser.arrives("the lab", |url| url.path().starts_with("/user/anna/")).await?;
    browser.text("body", |text| text.contains(r#""user": "anna""#)).await?;
    let labs = house.specola.labs();
    let lab = labs.first().context("a lab")?;
    assert_eq!(
        (labs.len(), lab.variable("CPU_LIMIT"), lab.variable("MEM_LIMIT")),
        (1, Some("4.0"), Some("4294967296"))
    );
    Ok(())
}

async fn member_of_b_cannot(house: &House, browser: &Browser) -> Result<()> {
    sign_in(house, browser, "bert").await?;
    browser.click("#start").await?;
    browser.text(".notice.said", |text| text == GREETING).await?;
    browser.text("#start", |text| text == "Start Small, 1 core, 1 GB").await?;
    let text = browser.client.source().await?;
    assert!(!text.contains("Large and fast") && !text.contains("large"), "{text}");
    look(browser, "options-b").await?;
    // The form, changed by hand.
    let change = "document.querySelector('#spawn_form input[value=small]').value = 'large'";
    browser.client.execute(change, vec![]).await?;
    browser.click("#start").await?;
    let said = |text: &str| text.contains("“large” is not among the choices you have.");
    browser.text(".spawn-error-msg", said).await?;
    look(browser, "options-refused").await?;
    // A link that somebody sent.
    for link in ["/hub/spawn?opt-flavour=large", "/hub/spawn/bert?flavour=large"] {
        page(house, browser, link).await?;
        browser.text("body", said).await.context(link)?;
    }
    // The interface for programs, from the page itself with all its rights, and with a token.
    let ask = "const [done] = arguments; const xsrf = document.querySelector('input[name=_xsrf]')?.value
        ?? document.cookie.match(/_xsrf=([^;]+)/)[1];
        fetch('/hub/api/users/bert/server', {method: 'POST', headers: {'X-XSRFToken': xsrf, 'Content-Type': 'application/json'},
        body: JSON.stringify({user_options: {flavour: 'large'}})})
        .then(async (answer) => done([answer.status, await answer.json()]), (error) => done(String(error)))";
    page(house, browser, "/hub/spawn").await?;
    let told = browser.client.execute_async(ask, vec![]).await?;
    assert_eq!((&told[0], &told[1]["code"]), (&json!(403), &json!("not_offered")), "{told}");
    let mut bert = house.signed_in("bert").await?;
    let mut script = bert.with_token(&bert.clone().new_token("bert").await?);
    for session in [&mut bert, &mut script] {
        let body = Body::Json(json!({"flavour": "large"}));
        let told: Value = session.api(Method::POST, "/users/bert/server", body).await?.expect(&[403])?.json()?;
        assert_eq!(told["code"], "not_offered", "{told}");
    }
    assert_eq!(house.specola.labs().len(), 1, "anna's alone");
    Ok(())
}

async fn administrator_stops_it(house: &House, browser: &Browser) -> Result<()> {
    sign_in(house, browser, "boss").await?;
    page(house, browser, "/hub/admin").await?;
    browser.text("tbody .state", |text| text == "Running").await?;
    look(browser, "admin").await?;
    page(house, browser, "/hub/admin?running=1").await?;
    browser.text("tbody th a", |text| text == "anna").await?;
    browser.click("tbody tr:first-child input").await?;
    browser.click("#bulk button[value=stop]").await?;
    browser.text("h1", |text| text == "Stop 1 server of 1 person?").await?;
    look(browser, "admin-stop").await?;
    browser.click("#confirm-yes").await?;
    until("the end of the lab", PATIENCE, async || Ok(house.specola.labs().is_empty().then_some(()))).await
}

async fn who_is_in_no_group_is_out(house: &House, browser: &Browser) -> Result<()> {
    page(house, browser, "/hub/home").await?;
    browser.shown(".start-server").await?;
    house.provider.set_user("anna", json!({"groups": []})).await?;
    until("the log-in page", PATIENCE, async || {
        page(house, browser, "/hub/home").await?;
        Ok((browser.client.current_url().await?.path() == "/hub/login").then_some(()))
    })
    .await?;
    // Logging in again tells what would help.
    browser.click(".service-login a").await?;
    browser.text("main", |text| text.contains("users") && text.contains("anna")).await?;
    let text = browser.client.source().await?;
    assert!(text.contains("https://iam.example.org/join"), "{text}");
    look(browser, "not-admitted").await
}

#[tokio::test]
async fn groups_decide_what_is_started_who_administers_and_who_is_in() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let anna = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let house = institute(&installed).await?;
    member_of_a_starts_the_flavour_of_the_group(&house, &anna).await?;
    let bert = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    member_of_b_cannot(&house, &bert).await?;
    drop(bert);
    let boss = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    administrator_stops_it(&house, &boss).await?;
    drop(boss);
    who_is_in_no_group_is_out(&house, &anna).await
}

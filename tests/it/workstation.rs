//! The "Jupyter with persistence" of one machine, as a physicist meets it: signs in at the institute's provider, picks an
//! image and memory, works in JupyterLab in a container, and finds the files again in the next one.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tests::docker::{Engine, lab_image};
use tests::provider::{self, Provider};
use tests::{Browser, need, until};

use crate::flow;
use crate::oidc::{Entry, House};

/// What the kernel allows the container, by either version of control groups.
const LIMIT: &str = "import glob; print(open((glob.glob('/sys/fs/cgroup/memory/memory.limit_in_bytes') + ['/sys/fs/cgroup/memory.max'])[0]).read().strip())";

/// The images and sizes that people choose from.
fn options(engine: &Engine, image: &str) -> Result<tests::specola::Options> {
    let images = format!(
        r#"[{{ name = "plain", display_name = "Plain", image = "specola-test-nowhere:1" }}, {{ name = "lab", display_name = "JupyterLab", image = {image:?} }}]"#
    );
    let options = engine.options()?.set("spawner", "cmd", "[]").set("spawner", "default_url", "\"/lab\"");
    Ok(options.set("options", "images", &images).set("options", "memory", "[\"256M\", \"1G\"]").set(
        "options",
        "policies",
        r#"[{ name = "everybody", grant = { images = ["*"] }, limit = { memory = "1G" } }]"#,
    ))
}

/// From the hub's log-in page through the provider's form, to the home page.
pub(crate) async fn sign_in(house: &House, browser: &Browser, name: &str) -> Result<()> {
    browser.go(&format!("{}/hub/login", house.specola.origin())).await?;
    browser.click(".service-login a").await?;
    browser.fill("#name", name).await?;
    browser.fill("#password", name).await?;
    browser.click("#sign-in").await?;
    browser.arrives("the home page", |url| url.path() == "/hub/home").await.map(drop)
}

/// From the home page through the form into JupyterLab.
async fn start(browser: &Browser, memory: &str) -> Result<()> {
    browser.click("#start").await?;
    browser.arrives("the questions", |url| url.path().starts_with("/hub/spawn")).await?;
    browser.click("label.choice:has(input[value=lab])").await?;
    browser.click(&format!("select option[value='{memory}'], label.choice:has(input[value='{memory}'])")).await?;
    browser.screenshots("workstation-options").await?;
    browser.click("#start").await?;
    browser.arrives("the lab", |url| url.path().starts_with("/user/anna/lab")).await.map(drop)
}

#[tokio::test]
async fn a_file_written_in_jupyterlab_in_a_container_is_there_in_the_next_one() -> Result<()> {
    let image = need!(lab_image(), "an image with JupyterLab", "SPECOLA_LAB_IMAGE");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let engine = Engine::new(&image);
    let more = options(&engine, &image)?;
    // Another site than the hub's, as the institute's provider is to a browser.
    let provider = Provider::called("localhost", &installed).await?;
    let house = House::at(provider, &Entry::by_group(), |entry| entry.and(more)).await?;
    house.provider.set_user("anna", json!({"groups": ["users"]})).await?;

    sign_in(&house, &browser, "anna").await?;
    start(&browser, "256M").await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, LIMIT, "268435456").await?;
    flow::run_cell(&browser, "print(open('/home/jovyan/kept.txt', 'w').write('from the first'))", "14").await?;
    browser.screenshot("workstation-lab").await?;

    browser.go(&format!("{}/hub/home", house.specola.origin())).await?;
    browser.click("#stop").await?;
    let gone = async || Ok(engine.containers()?.is_empty().then_some(()));
    until("the end of the first container", Duration::from_secs(60), gone).await?;
    browser.shown(".start-server").await?;

    start(&browser, "1G").await?;
    // Without the notebook that was open: it has the first lab's output.
    browser.go(&format!("{}/user/anna/lab?reset", house.specola.origin())).await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, LIMIT, "1073741824").await?;
    flow::run_cell(&browser, "print(open('/home/jovyan/kept.txt').read() * 2)", "from the firstfrom the first").await?;

    // Who administers sees what runs, and where.
    let boss = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    sign_in(&house, &boss, "boss").await?;
    boss.go(&format!("{}/hub/admin?running=1", house.specola.origin())).await?;
    let all = ["JupyterLab", "http://127.0.0.1:"];
    boss.text("#people tbody tr", |text| text.contains("anna") && all.iter().all(|one| text.contains(one))).await?;
    boss.screenshots("workstation-admin").await
}

//! The pages in a real browser: the main job from log-in to log-out, and a look at each page.

use anyhow::{Context, Result};
use http::Method;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Browser, Session, Specola, need, place};

use crate::flow;

/// From the home page to an open JupyterLab.
async fn start_from_home(browser: &Browser, origin: &str) -> Result<()> {
    browser.go(&format!("{origin}/hub/home")).await?;
    browser.click("#start").await?;
    browser.arrives("JupyterLab", |url| url.path().starts_with("/user/alice/lab")).await?;
    Ok(())
}

async fn stop_and_log_out(browser: &Browser, specola: &Specola) -> Result<()> {
    browser.go(&format!("{}/hub/home", specola.origin())).await?;
    browser.click("#stop").await?;
    browser.shown(".start-server").await?;
    specola.logged_in("alice").await?.server_stopped("alice").await?;
    browser.click("#login_widget summary").await?;
    browser.click("#logout").await?;
    browser.arrives("page after the log-out", |url| url.path() != "/hub/home").await?;
    browser.go(&format!("{}/hub/home", specola.origin())).await?;
    browser.shown("#login_submit").await?;
    Ok(())
}

#[tokio::test]
async fn a_person_logs_in_runs_a_cell_stops_and_logs_out() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola =
        Specola::start(Options::default().set("hub", "redirect_to_server", "false").real_lab(&python)).await?;
    browser.log_in(&specola.origin(), "alice", PASSWORD).await?;
    start_from_home(&browser, &specola.origin()).await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, "print(6 * 7)", "42").await?;
    stop_and_log_out(&browser, &specola).await
}

#[tokio::test]
async fn the_same_works_while_the_hub_is_killed_in_the_middle() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let mut specola =
        Specola::start(Options::default().set("hub", "redirect_to_server", "false").real_lab(&python)).await?;
    browser.log_in(&specola.origin(), "alice", PASSWORD).await?;
    // The first death comes while the server starts, on the page that shows it starting.
    browser.go(&format!("{}/hub/home", specola.origin())).await?;
    browser.click("#start").await?;
    browser.arrives("page of the start", |url| !url.path().ends_with("/home")).await?;
    specola.kill_hub();
    specola.run().await?;
    browser.arrives("JupyterLab", |url| url.path().starts_with("/user/alice/lab")).await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, "kept = 40; print(kept)", "40").await?;
    specola.kill_hub();
    flow::run_cell(&browser, "print(kept + 2)", "42").await?;
    specola.run().await?;
    flow::run_cell(&browser, "print(kept + 3)", "43").await?;
    stop_and_log_out(&browser, &specola).await
}

/// Looks at one page in every look, and that it fits the window.
async fn look_at(browser: &Browser, specola: &Specola, path: &str, name: &str) -> Result<()> {
    browser.go(&format!("{}{path}", specola.origin())).await?;
    for look in tests::browser::LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "{name} is wider than the window when {}", look.name);
        browser.screenshot(&format!("{name}-{}", look.name)).await?;
    }
    browser.look(tests::browser::LOOKS[0]).await
}

/// Bob's server is shared with alice, and hers with him.
async fn look_at_sharing(browser: &Browser, specola: &Specola, alice: &mut Session) -> Result<()> {
    let mut bob = specola.logged_in("bob").await?;
    bob.start_server("bob").await?;
    let invited = bob.api(Method::POST, "/share-codes/bob/", Body::Empty).await?.expect(&[200])?.json()?;
    let path = invited["accept_url"].as_str().context("where to accept")?;
    look_at(browser, specola, path, "accept-share").await?;
    browser.go(&format!("{}{path}", specola.origin())).await?;
    browser.click("form button").await?;
    browser.arrives("bob's server", |url| url.path().starts_with("/user/bob") || url.path().contains("oauth2")).await?;
    bob.stop_server("bob").await?;
    let with = serde_json::json!({"user": "bob", "scopes": ["access:servers", "servers"]});
    alice.api(Method::POST, "/shares/alice/", Body::Json(with)).await?.expect(&[200])?;
    browser.go(&format!("{}/hub/home", specola.origin())).await?;
    browser.click("#share").await?;
    browser.shown("#share-link-make").await?;
    browser.click("#share-link-make").await?;
    browser.shown("#share-link").await?;
    for look in tests::browser::LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "the link is wider than the window when {}", look.name);
        browser.screenshot(&format!("share-link-{}", look.name)).await?;
    }
    browser.look(tests::browser::LOOKS[0]).await?;
    look_at(browser, specola, "/hub/share/alice", "share").await
}

#[tokio::test]
async fn every_page_has_its_look_wide_and_narrow_light_and_dark() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let options = Options::default()
        .set("hub", "allow_named_servers", "true")
        .set("hub", "redirect_to_server", "false")
        .set("hub", "extra_user_scopes", "[\"shares!user\", \"read:users:name\", \"read:groups:name\"]")
        .set("spawner", "start_timeout", "600")
        .set("spawner.local", "interrupt_timeout", "1")
        .set("spawner.local", "term_timeout", "1");
    let mut specola = Specola::start(options.clone().small_lab("quick.py")?).await?;
    look_at(&browser, &specola, "/hub/login", "login").await?;
    browser.log_in(&specola.origin(), "alice", "wrong").await.ok();
    browser.log_in(&specola.origin(), "alice", PASSWORD).await?;
    look_at(&browser, &specola, "/hub/home", "home-empty").await?;
    look_at(&browser, &specola, "/hub/user/alice/", "not-running").await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    alice.new_token("alice").await?;
    look_at_sharing(&browser, &specola, &mut alice).await?;
    look_at(&browser, &specola, "/hub/home", "home-running").await?;
    look_at(&browser, &specola, "/hub/token", "token").await?;
    look_at(&browser, &specola, "/hub/no-such-page", "not-found").await?;
    let client = "client_id=jupyterhub-user-alice&response_type=code&redirect_uri=nonsense";
    look_at(&browser, &specola, &format!("/hub/api/oauth2/authorize?{client}"), "refused").await?;
    alice.stop_server("alice").await?;

    // A start that takes as long as the page is looked at, then one that fails.
    specola.reconfigure(options.clone().small_lab("deaf.py")?).await?;
    let mut starting = alice.clone();
    let asked = tokio::spawn(async move { starting.api(Method::POST, "/users/alice/server", Body::Empty).await });
    browser.go(&format!("{}/hub/spawn-pending/alice", specola.origin())).await?;
    look_at(&browser, &specola, "/hub/spawn-pending/alice", "starting").await?;
    look_at(&browser, &specola, "/hub/home", "home-starting").await?;
    alice.stop_server("alice").await?;
    asked.await??;
    specola.reconfigure(options.small_lab("dies.py")?).await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
    alice.server_stopped("alice").await?;
    look_at(&browser, &specola, "/hub/spawn-pending/alice", "failed").await?;
    look_at(&browser, &specola, "/hub/home", "home-failed").await?;
    Ok(())
}

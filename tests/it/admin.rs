//! The admin panel in a real browser: by keyboard alone, live over its stream, without scripts, and how it looks.

use anyhow::Result;
use http::Method;
use serde_json::json;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::wait::until;
use tests::{Body, Browser, Specola, need, place};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn options() -> Result<Options> {
    Options::default()
        .set("hub", "redirect_to_server", "false")
        .set("spawner.local", "interrupt_timeout", "1")
        .set("spawner.local", "term_timeout", "1")
        .small_lab("quick.py")
}

/// Presses keys wherever the focus is, once. The element in focus may be replaced in between by a row that is told anew: that one had no key yet.
async fn press(browser: &Browser, keys: &str) -> Result<()> {
    until("an element in focus", PATIENCE, async || {
        match browser.client.active_element().await?.send_keys(keys).await {
            Err(error) if error.is_stale_element_reference() => Ok(None),
            other => Ok(Some(other)),
        }
    })
    .await??;
    Ok(())
}

/// The text of the element in focus, once it is the one that is meant.
async fn focused(browser: &Browser, text: &str) -> Result<()> {
    until(text, PATIENCE, async || {
        let found = browser.client.active_element().await?.text().await?;
        Ok((found == text).then_some(()))
    })
    .await
}

async fn is_true(browser: &Browser, script: &str) -> Result<()> {
    let script = format!("return {script}");
    until(&script, PATIENCE, async || Ok((browser.client.execute(&script, vec![]).await? == json!(true)).then_some(())))
        .await
}

const DOWN: &str = "\u{e015}";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";

#[tokio::test]
async fn everything_goes_by_keyboard_and_rows_change_by_themselves() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?).await?;
    let mut admin = specola.logged_in("admin").await?;
    let people = json!({"usernames": ["alan", "alba", "bruno"]});
    admin.api(Method::POST, "/users", Body::Json(people)).await?.expect(&[201])?;
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    browser.go(&format!("{}/hub/admin", specola.origin())).await?;
    browser.shown("#people tbody tr").await?;

    // Help, and back.
    press(&browser, "?").await?;
    browser.shown("#keys[open]").await?;
    press(&browser, ESCAPE).await?;
    is_true(&browser, "!document.getElementById('keys').open").await?;

    // Search as one types, without leaving the page.
    is_true(&browser, "(window.stays = true)").await?;
    press(&browser, "/").await?;
    press(&browser, "al").await?;
    is_true(&browser, "[...document.querySelectorAll('tbody th a')].map((a) => a.textContent).join() === 'alan,alba'")
        .await?;
    is_true(&browser, "window.stays && location.search === '?q=al&group='").await?;

    // Down to the rows, tick one, on to the next, and back.
    press(&browser, DOWN).await?;
    focused(&browser, "alan").await?;
    press(&browser, "x").await?;
    browser.text("#bulk-count", |text| text == "1 person ticked").await?;
    press(&browser, "j").await?;
    focused(&browser, "alba").await?;
    press(&browser, "x").await?;
    browser.text("#bulk-count", |text| text == "2 people ticked").await?;
    press(&browser, "x").await?;
    press(&browser, "k").await?;
    focused(&browser, "alan").await?;

    // What somebody else starts is shown by itself, and ticks and focus stay.
    admin.start_server("alan").await?;
    browser.text("tbody tr:first-child .state", |text| text == "Running").await?;
    is_true(&browser, "window.stays && document.querySelector('tbody tr:first-child input').checked").await?;
    focused(&browser, "alan").await?;

    // Somebody who comes to what is searched for is shown too, and again ticks and focus stay.
    admin.api(Method::POST, "/users/alberto", Body::Empty).await?.expect(&[201])?;
    is_true(
        &browser,
        "[...document.querySelectorAll('tbody th a')].map((a) => a.textContent).join() === 'alan,alba,alberto'",
    )
    .await?;
    is_true(&browser, "window.stays && document.querySelector('tbody tr:first-child input').checked").await?;
    focused(&browser, "alan").await?;

    // Stop those that are ticked: the question has the focus in reach of the keyboard.
    browser.shown("#bulk button[value=stop]").await?.send_keys(ENTER).await?;
    browser.text("h1", |text| text == "Stop 1 server of 1 person?").await?;
    browser.screenshots("admin-question").await?;
    browser.shown("#confirm-yes").await?.send_keys(ENTER).await?;
    browser.shown("#people").await?;
    admin.server_stopped("alan").await?;
    is_true(&browser, "!document.querySelector('tbody .state.ready')").await?;

    // Enter opens the person.
    press(&browser, DOWN).await?;
    focused(&browser, "alan").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the page of alan", |url| url.path() == "/hub/admin/users/alan").await?;
    browser.text("h1", |text| text == "alan").await?;
    Ok(())
}

/// Goes on with the tab key to the element with this text or label.
async fn tab_to(browser: &Browser, wanted: &str) -> Result<()> {
    const NAME: &str = "const it = document.activeElement; return (it.labels?.[0] ?? it).textContent.trim();";
    for _ in 0..80 {
        if browser.client.execute(NAME, vec![]).await? == json!(wanted) {
            return Ok(());
        }
        press(browser, TAB).await?;
    }
    anyhow::bail!("the tab key does not lead to {wanted:?}")
}

#[tokio::test]
async fn people_groups_and_the_hub_are_managed_by_keyboard_alone() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let mut specola = Specola::start(options()?).await?;
    let mut admin = specola.logged_in("admin").await?;
    let origin = specola.origin();
    admin.api(Method::POST, "/groups/physics", Body::Empty).await?.expect(&[201])?;
    browser.log_in(&origin, "admin", PASSWORD).await?;

    // Two people are added.
    browser.go(&format!("{origin}/hub/admin")).await?;
    tab_to(&browser, "Add people").await?;
    press(&browser, ENTER).await?;
    tab_to(&browser, "User names, one a line").await?;
    press(&browser, "dora\nelio").await?;
    tab_to(&browser, "Add").await?;
    press(&browser, ENTER).await?;
    is_true(&browser, "[...document.querySelectorAll('tbody th a')].some((a) => a.textContent === 'elio')").await?;

    // One is made an administrator, the other deleted.
    browser.go(&format!("{origin}/hub/admin/users/dora")).await?;
    tab_to(&browser, "Administrator").await?;
    press(&browser, " ").await?;
    tab_to(&browser, "Save").await?;
    press(&browser, ENTER).await?;
    browser.text(".flag", |text| text == "Administrator").await?;
    browser.go(&format!("{origin}/hub/admin/users/elio")).await?;
    tab_to(&browser, "Delete this person").await?;
    press(&browser, ENTER).await?;
    tab_to(&browser, "Yes, delete").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the list", |url| url.path() == "/hub/admin").await?;
    admin.api(Method::GET, "/users/elio", Body::Empty).await?.expect(&[404])?;

    // A group gets a member and properties.
    browser.go(&format!("{origin}/hub/groups/physics")).await?;
    tab_to(&browser, "User name of a new member").await?;
    press(&browser, "dora").await?;
    press(&browser, ENTER).await?;
    browser.text("#members-table tbody th", |text| text == "dora").await?;
    tab_to(&browser, "A JSON object").await?;
    press(&browser, "\u{e009}a\u{e000}{\"site\": \"cnaf\"}").await?;
    tab_to(&browser, "Save").await?;
    press(&browser, ENTER).await?;
    until("the properties", PATIENCE, async || {
        let group = admin.api(Method::GET, "/groups/physics", Body::Empty).await?.expect(&[200])?.json()?;
        Ok((group["properties"] == json!({"site": "cnaf"})).then_some(()))
    })
    .await?;

    // All servers are stopped, and then the hub.
    admin.start_server("dora").await?;
    browser.go(&format!("{origin}/hub/admin")).await?;
    for (wanted, question) in
        [("Stop all servers", "Stop 1 server of 1 person?"), ("Shut down the hub", "Shut down the hub?")]
    {
        tab_to(&browser, "Hub").await?;
        press(&browser, ENTER).await?;
        tab_to(&browser, wanted).await?;
        press(&browser, ENTER).await?;
        browser.text("h1", |text| text == question).await?;
        browser.shown("#confirm-yes").await?.send_keys(ENTER).await?;
        if wanted == "Stop all servers" {
            browser.shown("#people").await?;
            admin.server_stopped("dora").await?;
        }
    }
    assert!(specola.ended()?.success());
    Ok(())
}

#[tokio::test]
async fn a_server_is_started_with_a_choice_and_a_token_made_by_keyboard_alone() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let sizes = r#"[{ name = "s", display_name = "Small", cpu = 1 }, { name = "l", display_name = "Large", cpu = 4 }]"#;
    let specola = Specola::start(options()?.set("options", "flavours", sizes)).await?;
    let mut admin = specola.logged_in("admin").await?;
    let group = json!({"users": ["alice"]});
    admin.api(Method::POST, "/users", Body::Json(json!({"usernames": ["alice"]}))).await?.expect(&[201])?;
    admin.api(Method::POST, "/groups/physics", Body::Json(group)).await?.expect(&[201])?;
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    browser.go(&format!("{}/hub/admin?group=physics", specola.origin())).await?;
    browser.text(".chips a[aria-current]", |text| text.starts_with("Group physics")).await?;
    browser.screenshots("admin-group").await?;
    // The group is taken away, and everybody is there again.
    browser.shown(".chips a[aria-current]").await?.send_keys(ENTER).await?;
    browser.arrives("the whole list", |url| url.path() == "/hub/admin" && url.query().is_none()).await?;
    press(&browser, "j").await?;
    press(&browser, "j").await?;
    focused(&browser, "alice").await?;
    // Tab leads from the name to what can be done.
    press(&browser, TAB).await?;
    focused(&browser, "Start…").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the question", |url| url.path() == "/hub/spawn/alice").await?;
    browser.screenshots("admin-start").await?;
    browser.shown("input[value=s]").await?.send_keys(DOWN).await?;
    browser.text("#start", |text| text == "Start Large, 4 cores").await?;
    browser.shown("#start").await?.send_keys(ENTER).await?;
    browser.arrives("the person", |url| url.path() == "/hub/admin/users/alice").await?;
    browser.text(".lab .facts", |text| text.contains("Large")).await?;
    // A token for her.
    browser.shown("#new-token summary").await?.send_keys(ENTER).await?;
    browser.shown("#token-note").await?.send_keys("for the robot").await?;
    browser.screenshots("admin-token-form").await?;
    browser.shown("#new-token button").await?.send_keys(ENTER).await?;
    let secret = browser.text("#token-result", |text| text.len() == 32).await?;
    browser.screenshots("admin-token").await?;
    let mut robot = specola.session()?.with_token(&secret);
    let told = robot.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(told["name"], "alice");
    admin.stop_server("alice").await
}

#[tokio::test]
async fn an_administrator_opens_somebodys_server_and_it_is_recorded() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let options = Options::default().set("hub", "redirect_to_server", "false").real_lab(&python);
    let specola = Specola::start(options).await?;
    let mut admin = specola.logged_in("admin").await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    browser.go(&format!("{}/hub/admin?running=1", specola.origin())).await?;
    browser.click("tbody a.button").await?;
    // Another's server asks first whether it may know who comes.
    browser.arrives("the question", |url| url.path().ends_with("/oauth2/authorize")).await?;
    browser.click("form button.primary").await?;
    browser.arrives("JupyterLab", |url| url.path().starts_with("/user/alice/lab")).await?;
    let acts = admin.api(Method::GET, "/audit?action=server.access", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!((acts[0]["actor"].as_str(), acts[0]["object"].as_str()), (Some("user:admin"), Some("server:alice/")));
    browser.go(&format!("{}/hub/admin/users/admin", specola.origin())).await?;
    browser.text(".entries", |text| text.contains("server.access")).await?;
    Ok(())
}

#[tokio::test]
async fn the_panel_has_its_look_wide_and_narrow_light_and_dark() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?).await?;
    let mut admin = specola.logged_in("admin").await?;
    let mut alice = specola.logged_in("alice").await?;
    let names: Vec<String> = (0..60).map(|number| format!("student-{number:02}@uni-castelvecchio.example")).collect();
    admin.api(Method::POST, "/users", Body::Json(json!({"usernames": names}))).await?.expect(&[201])?;
    let group = json!({"users": ["alice", "admin"]});
    admin.api(Method::POST, "/groups/physics-2026", Body::Json(group)).await?.expect(&[201])?;
    alice.start_server("alice").await?;
    alice.new_token("alice").await?;
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    for (path, name) in [
        ("/hub/admin", "admin-people"),
        ("/hub/admin?q=nobody", "admin-none"),
        ("/hub/admin/users/alice", "admin-person"),
        ("/hub/groups", "admin-groups"),
        ("/hub/groups/physics-2026", "admin-one-group"),
        ("/hub/admin/services", "admin-services"),
        ("/hub/admin/roles", "admin-roles"),
        ("/hub/admin/usage", "admin-usage"),
        ("/hub/admin/audit", "admin-audit"),
    ] {
        browser.go(&format!("{}{path}", specola.origin())).await?;
        for look in tests::browser::LOOKS {
            browser.look(look).await?;
            assert!(!browser.scrolls_sideways().await?, "{name} is wider than the window when {}", look.name);
            browser.screenshot(&format!("{name}-{}", look.name)).await?;
        }
        browser.look(tests::browser::LOOKS[0]).await?;
    }
    browser.go(&format!("{}/hub/admin", specola.origin())).await?;
    browser.click("tbody tr:nth-child(2) input").await?;
    browser.click("tbody tr:nth-child(3) input").await?;
    browser.shown("#bulk").await?;
    browser.screenshots("admin-ticked").await
}

//! The panel by keyboard alone, live over its stream.

use anyhow::Result;
use http::Method;
use serde_json::json;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::wait::until;
use tests::{Body, Browser, Specola, need, place};

use super::{DOWN, ENTER, ESCAPE, PATIENCE, TAB, focused, is_true, options, press, tab_to};

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
    press(&browser, "j").await?;
    focused(&browser, "alice").await?;
    tab_to(&browser, "Open").await?;
    press(&browser, ENTER).await?;
    // Another's server asks first whether it may know who comes.
    browser.arrives("the question", |url| url.path().ends_with("/oauth2/authorize")).await?;
    tab_to(&browser, "Allow").await?;
    press(&browser, ENTER).await?;
    browser.arrives("JupyterLab", |url| url.path().starts_with("/user/alice/lab")).await?;
    let acts = admin.api(Method::GET, "/audit?action=server.access", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!((acts[0]["actor"].as_str(), acts[0]["object"].as_str()), (Some("user:admin"), Some("server:alice/")));
    browser.go(&format!("{}/hub/admin/users/admin", specola.origin())).await?;
    browser.text(".entries", |text| text.contains("server.access")).await?;
    Ok(())
}

#[tokio::test]
async fn names_tokens_services_and_groups_come_and_go_by_keyboard_alone() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?).await?;
    let mut admin = specola.logged_in("admin").await?;
    let origin = specola.origin();
    specola.logged_in("alice").await?.new_token("alice").await?;
    admin
        .api(Method::POST, "/services/announcer", Body::Json(json!({"url": "http://127.0.0.1:1"})))
        .await?
        .expect(&[201])?;
    browser.log_in(&origin, "admin", PASSWORD).await?;

    // A person gets another name.
    browser.go(&format!("{origin}/hub/admin/users/alice")).await?;
    tab_to(&browser, "User name").await?;
    press(&browser, "\u{e009}a\u{e000}alicia").await?;
    tab_to(&browser, "Save").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the new name", |url| url.path() == "/hub/admin/users/alicia").await?;
    admin.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[404])?;

    // Her token is revoked.
    tab_to(&browser, "Revoke").await?;
    press(&browser, ENTER).await?;
    browser.text("main", |text| text.contains("No tokens.")).await?;
    let tokens = admin.api(Method::GET, "/users/alicia/tokens", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(tokens, json!({"api_tokens": []}));

    // A service is deleted.
    browser.go(&format!("{origin}/hub/admin/services")).await?;
    tab_to(&browser, "Delete").await?;
    press(&browser, ENTER).await?;
    is_true(&browser, "!document.querySelector('main').textContent.includes('announcer')").await?;
    admin.api(Method::GET, "/services/announcer", Body::Empty).await?.expect(&[404])?;

    // A group is made, gets a member, loses the member, and goes.
    browser.go(&format!("{origin}/hub/groups")).await?;
    tab_to(&browser, "Name of a new group").await?;
    press(&browser, "chemistry").await?;
    press(&browser, ENTER).await?;
    browser.text("h1", |text| text == "chemistry").await?;
    tab_to(&browser, "User name of a new member").await?;
    press(&browser, "alicia").await?;
    press(&browser, ENTER).await?;
    browser.text("#members-table tbody th", |text| text == "alicia").await?;
    tab_to(&browser, "Remove").await?;
    press(&browser, ENTER).await?;
    is_true(&browser, "!document.querySelector('#members-table')").await?;
    let group = admin.api(Method::GET, "/groups/chemistry", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(group["users"], json!([]));
    tab_to(&browser, "Delete this group").await?;
    press(&browser, ENTER).await?;
    tab_to(&browser, "Yes, delete").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the groups", |url| url.path() == "/hub/groups").await?;
    admin.api(Method::GET, "/groups/chemistry", Body::Empty).await?.expect(&[404])?;
    Ok(())
}

#[tokio::test]
async fn what_was_used_and_done_is_looked_up_by_keyboard_alone() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?).await?;
    let mut admin = specola.logged_in("admin").await?;
    let origin = specola.origin();
    specola.logged_in("alice").await?.new_token("alice").await?;
    admin.api(Method::POST, "/groups/physics", Body::Empty).await?.expect(&[201])?;
    browser.log_in(&origin, "admin", PASSWORD).await?;

    browser.go(&format!("{origin}/hub/admin")).await?;
    tab_to(&browser, "Usage").await?;
    press(&browser, ENTER).await?;
    browser.arrives("usage", |url| url.path() == "/hub/admin/usage").await?;
    tab_to(&browser, "30 days").await?;
    press(&browser, ENTER).await?;
    browser.arrives("a month of it", |url| url.query() == Some("period=month")).await?;
    browser.text(".chips a[aria-current]", |text| text == "30 days").await?;

    tab_to(&browser, "Audit").await?;
    press(&browser, ENTER).await?;
    browser.arrives("the audit", |url| url.path() == "/hub/admin/audit").await?;
    let shown = "document.querySelector('main').textContent.includes";
    is_true(&browser, &format!("{shown}('group.create') && {shown}('token.create')")).await?;
    tab_to(&browser, "Who").await?;
    press(&browser, "user:alice").await?;
    tab_to(&browser, "Did what").await?;
    press(&browser, "token.create").await?;
    tab_to(&browser, "Search").await?;
    press(&browser, ENTER).await?;
    browser.arrives("what alice did", |url| url.query().is_some_and(|query| query.contains("alice"))).await?;
    is_true(&browser, &format!("!{shown}('group:physics') && {shown}('token.create')")).await?;
    // A time that is none is said to be none, and what was typed stays.
    tab_to(&browser, "Since").await?;
    press(&browser, "yesterday").await?;
    press(&browser, ENTER).await?;
    browser.text(".notice.failed", |text| text.contains("since must be a day")).await?;
    is_true(&browser, "document.querySelector('#since').value === 'yesterday' && document.querySelector('#actor').value === 'user:alice'").await
}

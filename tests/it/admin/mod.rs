//! The admin panel in a real browser.

use anyhow::Result;
use serde_json::json;
use tests::Browser;
use tests::specola::Options;
use tests::wait::until;

mod keyboard;
mod look;
mod sites;

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
            // Its row was put in its place anew, or is not there yet.
            Err(error) if error.is_stale_element_reference() || error.is_element_not_interactable() => Ok(None),
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

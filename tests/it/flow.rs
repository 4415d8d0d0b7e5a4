//! The main job as a person does it in a browser. The same steps for Specola and for JupyterHub.

use anyhow::Result;
use tests::Browser;

/// Opens a new notebook from JupyterLab's launcher.
pub async fn open_notebook(browser: &Browser) -> Result<()> {
    browser.click(".jp-LauncherCard[data-category='Notebook']").await?;
    browser.shown(".jp-Notebook .jp-CodeCell .cm-content").await?;
    // A cell that is run before the kernel is connected is not run at all.
    browser.text("#jp-main-statusbar", |text| text.contains("| Idle")).await?;
    Ok(())
}

/// Types code into the last cell, runs it with shift and enter, and waits for its output.
pub async fn run_cell(browser: &Browser, code: &str, output: &str) -> Result<()> {
    const SHIFT: char = '\u{E008}';
    const ENTER: char = '\u{E007}';
    const RELEASE: char = '\u{E000}';
    let last = ".jp-Notebook .jp-CodeCell:last-of-type .cm-content";
    browser.click(last).await?;
    browser.fill(last, &format!("{code}{SHIFT}{ENTER}{RELEASE}")).await?;
    browser.text(".jp-Notebook .jp-OutputArea-output", |text| text.trim() == output).await?;
    Ok(())
}

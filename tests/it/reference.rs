//! What the other tests ask of Specola, asked of a real JupyterHub: proves the tests, not the product.

use anyhow::Result;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::{Browser, JupyterHub, Mark, Session, need, place};

use crate::{flow, login, singleuser};

#[tokio::test]
async fn the_steps_of_the_tests_work_with_a_real_jupyterhub() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let hub = JupyterHub::start(Ground::new(folder.path())?, &python, &proxy, Mark::default()).await?;
    let origin = hub.ground.origin();

    login::the_form_logs_in(&origin).await?;
    login::wrong_forms_are_refused(&origin).await?;
    login::next_stays_here(&origin).await?;
    login::a_token_until_revoked(&origin).await?;
    login::people_are_apart(&origin).await?;
    singleuser::a_lab_is_open_to_its_owner_only(&origin).await?;

    let mut session = Session::logged_in(&origin, "alice", PASSWORD).await?;
    session.start_server("alice").await?;
    if let Some(browser) = Browser::open().await? {
        browser.log_in(&origin, "alice", PASSWORD).await?;
        browser.go(&format!("{origin}/user/alice/lab")).await?;
        flow::open_notebook(&browser).await?;
        flow::run_cell(&browser, "print(40 + 2)", "42").await?;
    }
    session.stop_server("alice").await
}

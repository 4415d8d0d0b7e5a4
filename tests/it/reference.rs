//! What the other tests ask of Specola, asked of a real JupyterHub: proves the tests, not the product.

use anyhow::Result;
use http::Method;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::{Body, Browser, JupyterHub, Kernel, Mark, Session, need, place};

use crate::flow;

#[tokio::test]
async fn the_steps_of_the_tests_work_with_a_real_jupyterhub() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let hub = JupyterHub::start(Ground::new(folder.path())?, &python, &proxy, Mark::default()).await?;
    let origin = hub.ground.origin();

    let mut session = Session::logged_in(&origin, "alice", PASSWORD).await?;
    let token = session.new_token("alice").await?;
    session.start_server("alice").await?;
    let (url, answer) = session.follow("/user/alice/lab").await?;
    assert_eq!((url.path(), answer.status.as_u16()), ("/user/alice/lab", 200));
    let mut kernel = Kernel::start(&origin, "/user/alice/", &token).await?;
    assert_eq!(kernel.run("6 * 7").await?, "42");

    if let Some(browser) = Browser::open().await? {
        browser.log_in(&origin, "alice", PASSWORD).await?;
        browser.go(&format!("{origin}/user/alice/lab")).await?;
        flow::open_notebook(&browser).await?;
        flow::run_cell(&browser, "print(40 + 2)", "42").await?;
    }
    session.stop_server("alice").await?;
    session.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?;
    Ok(())
}

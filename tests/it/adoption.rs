//! One database, two hubs: Specola takes over from a real JupyterHub 6.1 and gives back, with all that runs.

use anyhow::{Context, Result};
use http::Method;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, JupyterHub, Kernel, Mark, Session, Specola, need, place};

/// What has to carry on, whoever serves.
struct Witness {
    browser: Session,
    script: Session,
    token: String,
    kernel: String,
    lab: i32,
}

impl Witness {
    async fn made(origin: &str, mark: &Mark) -> Result<Witness> {
        let mut browser = Session::logged_in(origin, "alice", PASSWORD).await?;
        let token = browser.new_token("alice").await?;
        browser.start_server("alice").await?;
        browser.follow("/user/alice/lab").await?.1.expect(&[200])?;
        let mut kernel = Kernel::start(origin, "/user/alice/", &token).await?;
        kernel.run("kept = 'through the change of hubs'").await?;
        let lab = mark.labs().first().context("a lab")?.id;
        Ok(Witness { script: browser.with_token(&token), browser, token, kernel: kernel.id, lab })
    }

    async fn holds(&mut self, origin: &str, mark: &Mark) -> Result<()> {
        // The browser's cookie and the script's token.
        self.browser.get("/hub/home").await?.expect(&[200]).context("the cookie of the browser")?;
        let model = self.script.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
        assert_eq!(model["servers"][""]["ready"], true, "{model}");
        // The same process, the session of the browser with it, and what the kernel knows.
        assert_eq!(mark.labs().iter().map(|lab| lab.id).collect::<Vec<_>>(), [self.lab]);
        let (url, page) = self.browser.follow("/user/alice/lab").await?;
        assert_eq!((url.path(), page.status.as_u16()), ("/user/alice/lab", 200));
        let mut kernel = Kernel::connect(origin, "/user/alice/", &self.token, &self.kernel).await?;
        assert_eq!(kernel.run("kept").await?, "'through the change of hubs'");
        Ok(())
    }
}

#[tokio::test]
async fn a_running_jupyterhub_is_taken_over_and_given_back() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let origin = ground.origin();
    let jupyterhub = JupyterHub::start(ground.clone(), &python, &proxy, Mark::default()).await?;
    let mut witness = Witness::made(&origin, jupyterhub.mark()).await?;
    witness.holds(&origin, jupyterhub.mark()).await.context("at JupyterHub")?;
    let mark = jupyterhub.stop();

    let mut specola = Specola::on(ground.clone(), Options::default().real_lab(&python), mark);
    specola.run().await?;
    specola.session()?.get("/hub/login").await?.expect(&[200])?;
    witness.browser.server_ready("alice").await?;
    witness.holds(&origin, specola.mark()).await.with_context(|| specola.log())?;
    // Something new, for JupyterHub to find: a person and a token.
    let mut bob = specola.logged_in("bob").await?;
    let token = bob.new_token("bob").await?;
    let status = specola.stop_hub()?;
    assert!(status.success(), "{status}");
    specola.proxy()?.kill();
    let mark = specola.leave();

    let jupyterhub = JupyterHub::start(ground, &python, &proxy, mark).await?;
    witness.browser.server_ready("alice").await?;
    witness.holds(&origin, jupyterhub.mark()).await.with_context(|| jupyterhub.log())?;
    let model = bob.with_token(&token).api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["name"], "bob");
    witness.script.stop_server("alice").await?;
    assert!(jupyterhub.mark().labs().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_server_taken_over_can_be_stopped_and_started_again() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let jupyterhub = JupyterHub::start(ground.clone(), &python, &proxy, Mark::default()).await?;
    let mut alice = Session::logged_in(&ground.origin(), "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    let mark = jupyterhub.stop();

    let mut specola = Specola::on(ground, Options::default().real_lab(&python), mark);
    specola.run().await?;
    alice.server_ready("alice").await?;
    alice.stop_server("alice").await?;
    assert!(specola.labs().is_empty(), "{:?}", specola.labs());
    alice.start_server("alice").await?;
    alice.follow("/user/alice/lab").await?.1.expect(&[200])?;
    alice.stop_server("alice").await
}

//! The built-in culler with real labs: what computes goes on though nobody looks, what is idle stops.

use std::time::Duration;

use anyhow::Result;
use http::Method;
use tests::specola::Options;
use tests::{Body, Kernel, Session, Specola, need, place, until};

/// Prints twice a second for longer than an idle server may stay, then leaves a file.
const COMPUTE: &str = "import pathlib, time\nfor step in range(24):\n    print(step)\n    time.sleep(0.5)\npathlib.Path('done').write_text('done')";

/// The names of a user's servers that exist and whether each is ready.
async fn servers(admin: &mut Session) -> Result<Vec<(String, bool)>> {
    let path = "/users/alice?include_stopped_servers";
    let model = admin.api(Method::GET, path, Body::Empty).await?.expect(&[200])?.json()?;
    let servers = model["servers"].as_object().into_iter().flatten();
    Ok(servers.map(|(name, server)| (name.clone(), server["ready"] == true)).collect())
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_one_that_computes_unwatched_is_not() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let options = Options::default()
        .real_lab(&python)
        .set("hub", "allow_named_servers", "true")
        .set("culler", "enabled", "true")
        .set("culler", "timeout", "8")
        .set("culler", "cull_every", "1")
        .set("culler", "remove_named_servers", "true")
        .set("proxy", "activity_interval", "1")
        .set("spawner.environment", "JUPYTERHUB_ACTIVITY_INTERVAL", "\"1\"");
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    let token = alice.new_token("alice").await?;
    alice.api(Method::POST, "/users/alice/servers/idle", Body::Empty).await?.expect(&[201, 202])?;
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/alice/", &token).await?;
    kernel.begin(COMPUTE).await?;
    drop(kernel);
    let page = alice.get("/hub/home").await?.expect(&[200])?.text();
    assert!(page.contains("class=\"ends\""), "the home page tells when it stops: {page}");

    // The named server goes, and is deleted, while the other one computes.
    until("end of the idle server", Duration::from_secs(60), async || {
        let named = servers(&mut alice).await?.iter().any(|(name, _)| name == "idle");
        Ok((!named).then_some(()))
    })
    .await?;
    let done = specola.ground.homes().join("alice/done");
    until("end of the computation", Duration::from_secs(60), async || {
        let ready = servers(&mut alice).await?.contains(&(String::new(), true));
        assert!(ready || done.exists(), "it was stopped while it computed");
        Ok(done.exists().then_some(()))
    })
    .await?;
    alice.server_stopped("alice").await?;
    assert!(specola.log().contains("culled a server"), "by the culler");
    assert!(specola.labs().is_empty(), "nothing runs");
    Ok(())
}

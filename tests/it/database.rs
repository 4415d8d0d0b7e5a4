//! Databases: both kinds under a whole hub, those Specola makes in JupyterHub's hands, and those it refuses.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use tests::jupyterhub::Ground;
use tests::postgres::{Postgres, programs};
use tests::specola::Options;
use tests::{Body, JupyterHub, Mark, Specola, need, place, until};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_hub_on_postgresql_starts_servers_and_outlives_a_kill() -> Result<()> {
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let postgres = Postgres::start(&programs)?;
    let options = Options::default().set("hub", "db_url", &format!("{:?}", postgres.url()));
    let mut specola = Specola::start(options.small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    specola.kill_hub();
    specola.run().await?;
    alice.server_ready("alice").await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;
    alice.stop_server("alice").await?;
    assert!(specola.labs().is_empty());
    assert!(!specola.ground.folder.join("jupyterhub.sqlite").exists());
    Ok(())
}

#[tokio::test]
async fn a_hub_waits_for_its_database_and_can_be_stopped_meanwhile() -> Result<()> {
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let mut postgres = Postgres::start(&programs)?;
    let folder = tempfile::tempdir()?;
    let options = |url: String| Options::default().set("hub", "db_url", &format!("{url:?}"));
    let mut specola = Specola::on(Ground::new(folder.path())?, options(postgres.url()), Mark::default());
    let told = |specola: &Specola| specola.log().matches("waits for the database").count();

    postgres.kill();
    specola.launch(&[])?;
    until("a line about the wait", SOON, async || Ok((told(&specola) == 1).then_some(()))).await?;
    ensure!(specola.has_ended()?.is_none());
    ensure!(specola.stop_hub()?.success(), "{}", specola.log());

    specola.launch(&[])?;
    until("another line", SOON, async || Ok((told(&specola) == 2).then_some(()))).await?;
    postgres.run()?;
    specola.answers().await?;
    specola.logged_in("alice").await?;
    ensure!(specola.stop_hub()?.success());
    specola.proxy()?.kill();

    // What no wait helps is told at once.
    let nowhere = options(format!("{}nowhere", postgres.url().trim_end_matches("postgres")));
    let mut mistaken = Specola::on(specola.ground.clone(), nowhere, Mark::default());
    mistaken.launch(&[])?;
    ensure!(!mistaken.ended()?.success());
    ensure!(mistaken.log().contains("\"nowhere\" does not exist"), "{}", mistaken.log());
    ensure!(told(&mistaken) == 2, "{}", mistaken.log());
    Ok(())
}

/// A database Specola made from nothing, opened by JupyterHub 6.1.
async fn opens_in_jupyterhub(url: Option<&str>) -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let mut options = Options::default().small_lab("quick.py")?;
    if let Some(url) = url {
        options = options.set("hub", "db_url", &format!("{url:?}"));
    }
    let mut specola = Specola::on(ground.clone(), options, Mark::default());
    specola.run().await?;
    let mut alice = specola.logged_in("alice").await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await?;
    specola.stop_hub()?;
    specola.proxy()?.kill();
    let mark = specola.leave();

    let more = url.map(|url| format!("c.JupyterHub.db_url = {url:?}\n")).unwrap_or_default();
    let jupyterhub = JupyterHub::configured(ground, &python, &proxy, mark, &more).await?;
    let mut script = alice.with_token(&token);
    let model = script.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["roles"], serde_json::json!(["user"]));
    alice.get("/hub/home").await?.expect(&[200])?;
    script.start_server("alice").await?;
    script.stop_server("alice").await?;
    ensure!(!jupyterhub.log().contains("Traceback"), "{}", jupyterhub.log());
    Ok(())
}

#[tokio::test]
async fn an_sqlite_database_made_here_opens_in_jupyterhub() -> Result<()> {
    opens_in_jupyterhub(None).await
}

#[tokio::test]
async fn a_postgresql_database_made_here_opens_in_jupyterhub() -> Result<()> {
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let postgres = Postgres::start(&programs)?;
    opens_in_jupyterhub(Some(&postgres.url())).await
}

#[tokio::test]
async fn the_database_of_an_older_jupyterhub_is_refused_with_the_remedy_and_not_touched() -> Result<()> {
    let python = need!(place::jupyterhub5(), "JupyterHub 5.x", "SPECOLA_JUPYTERHUB5_PYTHON");
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let make = "import sys; from jupyterhub import orm; orm.new_session_factory(sys.argv[1])().close()";
    let made = Command::new(python).args(["-c", make, &ground.database()]).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("jupyterhub.sqlite");
    let before = fs::read(&file)?;

    let mut specola = Specola::on(ground, Options::default(), Mark::default());
    specola.launch(&[])?;
    assert!(!specola.ended()?.success());
    assert!(specola.log().contains("upgrade-db"), "the remedy is not named: {}", specola.log());
    assert!(fs::read(&file)? == before, "the file was changed");
    for beside in ["jupyterhub.sqlite-wal", "jupyterhub.sqlite-shm", "jupyterhub.sqlite-journal"] {
        assert!(!folder.path().join(beside).exists(), "{beside} was left");
    }
    Ok(())
}

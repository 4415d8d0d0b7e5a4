//! The life of a server, asked for through the API and the pages. The labs are small stand-ins.

use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::specola::Options;
use tests::{Body, Specola, place, until};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_server_starts_answers_and_stops() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[201, 202])?;
    alice.server_ready("alice").await?;
    let said = alice.get("/user/alice/some/path?q=1").await?.expect(&[200])?.json()?;
    assert_eq!((&said["path"], &said["user"]), (&json!("/user/alice/some/path?q=1"), &json!("alice")));
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[400])?;
    assert_eq!(specola.labs().len(), 1);

    alice.api(Method::DELETE, "/users/alice/server", Body::Empty).await?.expect(&[202, 204])?;
    alice.server_stopped("alice").await?;
    until("end of the lab's process", SOON, async || Ok(specola.labs().is_empty().then_some(()))).await?;
    // JupyterHub's answer for a path of a stopped server that a script asks for.
    alice.send(Method::GET, "/hub/user/alice/api/x", Body::Empty).await?.expect(&[424])?;
    Ok(())
}

#[tokio::test]
async fn a_second_request_to_start_makes_no_second_lab() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let session = specola.logged_in("alice").await?;
    let requests = (0..8).map(|_| {
        let mut session = session.clone();
        async move { session.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[201, 202, 400]) }
    });
    futures_util::future::try_join_all(requests).await?;
    let mut session = session;
    session.server_ready("alice").await?;
    assert_eq!(specola.labs().len(), 1);
    Ok(())
}

#[tokio::test]
async fn named_servers_live_beside_the_default_one() -> Result<()> {
    let options = Options::default().set("hub", "allow_named_servers", "true").small_lab("quick.py")?;
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    alice.api(Method::POST, "/users/alice/servers/second", Body::Empty).await?.expect(&[201, 202])?;
    until("second server", SOON, async || {
        let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
        Ok((model["servers"]["second"]["ready"] == true).then_some(()))
    })
    .await?;
    let said = alice.get("/user/alice/second/x").await?.expect(&[200])?.json()?;
    assert_eq!(said["server"], "second");
    assert_eq!(specola.labs().len(), 2);
    alice.api(Method::POST, "/users/alice/servers/Not%20A%20Slug", Body::Empty).await?.expect(&[400])?;

    let remove = Body::Json(json!({"remove": true}));
    alice.api(Method::DELETE, "/users/alice/servers/second", remove).await?.expect(&[202, 204])?;
    until("end of the second lab", SOON, async || Ok((specola.labs().len() == 1).then_some(()))).await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_start_can_be_cancelled() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("deaf.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    let mut other = alice.clone();
    let asked = tokio::spawn(async move { other.api(Method::POST, "/users/alice/server", Body::Empty).await });
    until("lab of the start", SOON, async || Ok((specola.labs().len() == 1).then_some(()))).await?;
    alice.api(Method::DELETE, "/users/alice/server", Body::Empty).await?.expect(&[202, 204])?;
    alice.server_stopped("alice").await?;
    until("end of the lab", SOON, async || Ok(specola.labs().is_empty().then_some(()))).await?;
    asked.await??;
    Ok(())
}

#[tokio::test]
async fn progress_is_streamed_until_the_server_is_ready() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[201, 202])?;
    // The answer is complete only when the stream has ended.
    let answer = alice.api(Method::GET, "/users/alice/server/progress", Body::Empty).await?.expect(&[200])?;
    assert_eq!(answer.headers[http::header::CONTENT_TYPE], "text/event-stream");
    let text = answer.text();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().context("an event")?;
    let last: serde_json::Value = serde_json::from_str(last)?;
    assert_eq!((&last["progress"], &last["ready"]), (&json!(100), &json!(true)));
    assert_eq!(last["url"], "/user/alice/");
    Ok(())
}

#[tokio::test]
async fn a_lab_that_ends_by_itself_is_noticed() -> Result<()> {
    let options = Options::default().set("spawner", "poll_interval", "1").small_lab("quick.py")?;
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    specola.labs().first().context("a lab")?.kill();
    alice.server_stopped("alice").await?;
    alice.start_server("alice").await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_lab_that_ignores_signals_is_stopped_all_the_same() -> Result<()> {
    let options = Options::default()
        .set("spawner.local", "interrupt_timeout", "1")
        .set("spawner.local", "term_timeout", "1")
        .small_lab("stubborn.py")?;
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await?;
    until("end of the lab", SOON, async || Ok(specola.labs().is_empty().then_some(()))).await
}

#[tokio::test]
async fn activity_moves_forward_by_the_api_of_the_server() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let token = specola.labs().first().and_then(|lab| Some(lab.variable("JUPYTERHUB_API_TOKEN")?.to_owned()));
    let mut lab = alice.with_token(&token.context("the server's token")?);
    let until_now = lab.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(until_now["name"], "alice");
    let past = json!({"servers": {"": {"last_activity": "2001-01-01T00:00:00Z"}}});
    lab.api(Method::POST, "/users/alice/activity", Body::Json(past)).await?.expect(&[200])?;
    let unknown = json!({"servers": {"nowhere": {"last_activity": "2001-01-01T00:00:00Z"}}});
    lab.api(Method::POST, "/users/alice/activity", Body::Json(unknown)).await?.expect(&[400])?;
    let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert!(model["servers"][""]["last_activity"].as_str().is_some_and(|time| time > "2002"));
    Ok(())
}

/// As root, a server runs as the system user of its person, and never as root.
#[tokio::test]
async fn a_server_runs_as_its_system_user() -> Result<()> {
    if !place::is_root() {
        eprintln!("SKIPPED: needs root");
        return Ok(());
    }
    let account = tests::account::SystemUser::add("spctest")?;
    let options =
        Options::default().set("spawner.local", "mode", "\"system\"").set("spawner.local", "allow_root", "false");
    // The stand-in labs lie in this checkout, which other users may not be able to read.
    let folder = tempfile::tempdir()?;
    let lab = account.readable_copy(&place::package().join("labs/quick.py"), folder.path())?;
    let command = format!("[{:?}, {:?}]", place::plain_python()?.display().to_string(), lab.display().to_string());
    let specola = Specola::start(options.set("spawner", "cmd", &command)).await?;
    let mut session = specola.logged_in(account.name()).await?;
    session.start_server(account.name()).await?;
    let said = session.get(&format!("/user/{}/x", account.name())).await?.expect(&[200])?.json()?;
    assert_eq!(said["uid"], json!(account.uid()));
    assert_eq!(said["home"], json!(account.home()));
    session.stop_server(account.name()).await?;

    let mut root = specola.logged_in("root").await?;
    root.api(Method::POST, "/users/root/server", Body::Empty).await?.expect(&[202, 400, 403, 500])?;
    root.server_stopped("root").await?;
    let mut nobody = specola.logged_in("no-such-account").await?;
    nobody.api(Method::POST, "/users/no-such-account/server", Body::Empty).await?.expect(&[202, 400, 403, 500])?;
    nobody.server_stopped("no-such-account").await?;
    assert!(specola.labs().is_empty());
    Ok(())
}

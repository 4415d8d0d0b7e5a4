//! Services that the hub runs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::mark::Process;
use tests::specola::Options;
use tests::{Body, Mark, Session, Specola, need, place, until};

use super::{configured, words};

const PATIENCE: Duration = Duration::from_secs(30);

/// A hub with services that carry its mark, so that none is left by a failed test.
async fn with_services(folder: &Path, services: &[String]) -> Result<Specola> {
    let mark = Mark::default();
    let (variable, value) = mark.pair();
    let marked: Vec<String> =
        services.iter().map(|service| format!("{service}, environment = {{ {variable} = {value:?} }}")).collect();
    let mut specola = Specola::on(Ground::new(folder)?, configured(Options::default(), &marked), mark);
    specola.run().await?;
    Ok(specola)
}

/// The processes of a service, its leader first.
fn of(specola: &Specola, service: &str) -> Vec<Process> {
    let mut all = specola.mark().processes();
    all.retain(|process| process.variable("JUPYTERHUB_SERVICE_NAME") == Some(service));
    all.sort_by_key(|process| process.id);
    all
}

/// Waits until exactly one process runs this command for a service, which is another than `before`.
async fn runs(specola: &Specola, service: &str, command: &str, before: Option<i32>) -> Result<Process> {
    until("one process of the service", PATIENCE, async || {
        let mut all = of(specola, service);
        all.retain(|process| process.command.contains(command));
        let one = if all.len() == 1 { all.pop() } else { None };
        Ok(one.filter(|process| Some(process.id) != before))
    })
    .await
}

async fn user_of(specola: &Specola, token: &str) -> Result<(u16, Value)> {
    let answer = specola.session()?.with_token(token).api(Method::GET, "/user", Body::Empty).await?;
    Ok((answer.status.as_u16(), answer.json().unwrap_or_default()))
}

fn token_of(process: &Process) -> Result<String> {
    Ok(process.variable("JUPYTERHUB_API_TOKEN").context("no token in its environment")?.to_owned())
}

#[tokio::test]
async fn a_managed_service_is_restarted_and_never_doubled_or_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // A leader and a process of its own in its group: both are the service.
    let script = "echo a word of the service; sleep 7001 & exec sleep 7002";
    let services = [format!("name = \"sleeper\", command = {}", words(&["sh", "-c", script]))];
    let mut specola = with_services(folder.path(), &services).await?;
    let first = runs(&specola, "sleeper", "sleep 7002", None).await?;
    let token = token_of(&first)?;
    let (status, model) = user_of(&specola, &token).await?;
    assert_eq!((status, &model["kind"], &model["name"]), (200, &json!("service"), &json!("sleeper")));
    assert!(specola.log().contains("a word of the service"), "what it says is in the hub's log");
    let mut admin = specola.logged_in("admin").await?;
    let told = admin.api(Method::GET, "/services/sleeper", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(told["pid"], json!(first.id));

    // It ends: what is left of it goes, and another one comes with another token.
    first.kill();
    let second = runs(&specola, "sleeper", "sleep 7002", Some(first.id)).await?;
    runs(&specola, "sleeper", "sleep 7001", None).await?;
    assert_eq!(user_of(&specola, &token).await?.0, 403, "the token of a process that is gone");
    assert_eq!(user_of(&specola, &token_of(&second)?).await?.0, 200);

    // The hub is killed: its service lives on, and the next hub puts one of its own in the place of it.
    specola.kill_hub();
    assert!(second.is_alive());
    specola.run().await?;
    let third = runs(&specola, "sleeper", "sleep 7002", Some(second.id)).await?;
    assert_eq!(of(&specola, "sleeper").len(), 2, "one leader with its child");
    assert_eq!(user_of(&specola, &token_of(&third)?).await?.0, 200);

    assert!(specola.stop_hub()?.success());
    let left = of(&specola, "sleeper");
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_cannot_come_up_is_told_and_stops_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let services = [
        format!("name = \"nowhere\", command = {}", words(&["/no/such/program"])),
        format!("name = \"broken\", command = {}", words(&["sh", "-c", "echo it is broken >&2; exit 7"])),
        format!("name = \"homeless\", cwd = \"/no/such/folder\", command = {}", words(&["sleep", "7003"])),
    ];
    let specola = with_services(folder.path(), &services).await?;
    for part in ["/no/such/program", "exit status: 7", "it is broken", "/no/such/folder"] {
        until("a word in the log", PATIENCE, async || Ok(specola.log().contains(part).then_some(()))).await?;
    }
    specola.logged_in("alice").await?;
    Ok(())
}

#[tokio::test]
async fn a_service_runs_as_its_user_without_the_groups_of_the_hub() -> Result<()> {
    if !place::is_root() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let command = words(&["sh", "-c", "id; pwd; exec sleep 7004"]);
    let services = [format!("name = \"small\", user = \"nobody\", cwd = \"/usr\", command = {command}")];
    let specola = with_services(folder.path(), &services).await?;
    let id = until("its identity", PATIENCE, async || {
        let log = specola.log();
        let line = log.lines().find(|line| line.contains("uid=")).map(str::to_owned);
        Ok(line.filter(|_| log.contains("/usr")))
    })
    .await?;
    assert!(id.contains("(nobody)") && !id.contains("root"), "{id}");
    Ok(())
}

#[tokio::test]
async fn the_idle_culler_of_jupyterhub_stops_an_idle_lab() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let program = python.display().to_string();
    let culler = words(&[&program, "-m", "jupyterhub_idle_culler", "--timeout=3", "--cull-every=1"]);
    let options = configured(Options::default(), &[format!("name = \"culler\", command = {culler}")]);
    let roles = "[{ name = \"culling\", services = [\"culler\"], \
                 scopes = [\"list:users\", \"read:users:activity\", \"read:servers\", \"delete:servers\"] }]";
    let specola = Specola::start(options.set("hub", "load_roles", roles).real_lab(&python)).await?;
    let mut alice = Session::logged_in(&specola.origin(), "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    assert_eq!(specola.labs().iter().filter(|lab| lab.command.contains("singleuser")).count(), 1);
    alice.server_stopped("alice").await?;
    until("word of the culler", PATIENCE, async || Ok(specola.log().contains("Culling server alice").then_some(())))
        .await?;
    Ok(())
}

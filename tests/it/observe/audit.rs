//! The audit, over the life of a hub and from the command line; readiness.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, Mark, Session, Specola, place, until};

fn command(specola: &Specola, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(place::binary()?);
    command.args(arguments).arg("--config").arg(specola.ground.folder.join("specola.toml"));
    let done = command.current_dir(&specola.ground.folder).output()?;
    ensure!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// All acts, oldest first, as `actor action object`.
fn acts(specola: &Specola, arguments: &[&str]) -> Result<Vec<String>> {
    let text = command(specola, &[&["audit", "--json", "--limit", "500"], arguments].concat())?;
    let line = |line: &str| -> Result<String> {
        let act: Value = serde_json::from_str(line)?;
        let text = |name: &str| act[name].as_str().map(str::to_owned).with_context(|| name.to_owned());
        Ok(format!("{} {} {}", text("actor")?, text("action")?, text("object")?))
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn a_day_of_a_hub_is_in_the_audit() -> Result<()> {
    let options = Options::default().set("hub", "redirect_to_server", "false").small_lab("quick.py")?;
    let mut specola = Specola::start(options.clone()).await?;
    let mut nobody = specola.session()?;
    until("readiness", Duration::from_secs(30), async || {
        Ok((nobody.get("/hub/health/ready").await?.status == 200).then_some(()))
    })
    .await?;
    let mut alice = Session::logged_in(&specola.origin(), "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    alice.get("/hub/logout").await?;
    command(&specola, &["user", "add", "dora"])?;
    let mut admin = Session::logged_in(&specola.origin(), "admin", PASSWORD).await?;
    admin.stop_server("alice").await?;
    admin.api(Method::POST, "/shutdown", Body::Json(json!({}))).await?.expect(&[202])?;
    specola.ended()?;
    // Another configuration, and the hub is killed without a word.
    specola.reconfigure(options.set("hub", "active_server_limit", "7")).await?;
    until("a record of the change", Duration::from_secs(30), async || {
        Ok(acts(&specola, &["--action", "config.change"])?.pop())
    })
    .await?;
    specola.kill_hub();

    let user = nix::unistd::User::from_uid(nix::unistd::getuid())?.context("a user")?.name;
    let all = acts(&specola, &[])?;
    let expected = [
        "hub:config user.create user:admin",
        "hub hub.start hub",
        "user:alice user.create user:alice",
        "user:alice login user:alice",
        "user:alice server.create server:alice/",
        "user:alice server.start server:alice/",
        "user:alice logout user:alice",
        &format!("command:{user} user.create user:dora"),
        "user:admin login user:admin",
        "user:admin server.stop server:alice/",
        "user:admin hub.stop hub",
        "hub hub.start hub",
        "hub config.change hub",
    ];
    assert_eq!(all, expected);
    assert_eq!(
        acts(&specola, &["--action", "server.", "--actor", "user:admin"])?,
        ["user:admin server.stop server:alice/"]
    );
    let table = command(&specola, &["audit", "--action", "config.change"])?;
    assert!(table.contains("hub.active_server_limit"), "{table}");
    let login = command(&specola, &["audit", "--json", "--action", "login", "--actor", "user:alice"])?;
    assert!(login.contains("\"address\":\"127.0.0.1\""), "{login}");
    Ok(())
}

#[tokio::test]
async fn a_hub_without_a_proxy_is_not_ready_and_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Options::default().set("proxy", "should_start", "false");
    let mut specola = Specola::on(Ground::new(folder.path())?, options, Mark::default());
    specola.launch(&[])?;
    let mut own = Session::new(&format!("http://127.0.0.1:{}", specola.ground.hub_port))?;
    let answer = until("an answer", Duration::from_secs(30), async || Ok(Some(own.get("/hub/health/ready").await?)));
    let answer = answer.await?.expect(&[503])?.json()?;
    assert_eq!(answer, json!({"ready": false, "parts": {"database": "ok", "proxy": "failed"}}));
    own.get("/hub/health").await?.expect(&[200])?;
    Ok(())
}

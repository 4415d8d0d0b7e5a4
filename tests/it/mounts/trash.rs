//! What becomes of the folders of somebody who is deleted, and that it is told before.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tests::docker::{Engine, docker, image};
use tests::{Body, Specola, need, place, until};

use super::home::options;

fn command(specola: &Specola, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(place::binary()?);
    command.args(arguments).arg("--config").arg(specola.ground.folder.join("specola.toml"));
    let output = command.output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn folders_of_deleted_people_are_kept_for_a_while_and_that_is_told_before() -> Result<()> {
    if !place::is_root() {
        eprintln!("skipped: only root can put folders into servers");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let srv = folder.path().join("srv");
    let specola = Specola::start(options(folder.path()).small_lab("quick.py")?).await?;
    specola.logged_in("anna").await?.start_server("anna").await?;
    fs::write(srv.join("users/anna/diary"), "secret")?;
    fs::write(srv.join("shared/anna/notes"), "hers")?;
    fs::write(srv.join("groups/cygno/data"), "of all")?;

    let mut admin = specola.logged_in("admin").await?;
    let page = admin.get("/hub/admin/users/anna").await?.expect(&[200])?.text();
    assert!(page.contains("removed for good on") && page.contains("30 days from now"), "{page}");
    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;
    assert!(!srv.join("users/anna").exists() && !srv.join("shared/anna").exists());
    assert_eq!(fs::read_to_string(srv.join("groups/cygno/data"))?, "of all", "what is the group's stays");

    // Somebody new of the same name finds nothing of the old one's.
    specola.logged_in("anna").await?.start_server("anna").await?;
    assert!(!srv.join("users/anna/diary").exists());
    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;

    let listed = command(&specola, &["trash", "list"])?;
    let lines: Vec<&str> = listed.lines().filter(|line| line.contains("  anna  ")).collect();
    assert_eq!(lines.len(), 2, "{listed}");
    let entry = lines[0].split(' ').next().context("a name")?;
    command(&specola, &["trash", "restore", entry])?;
    assert_eq!(fs::read_to_string(srv.join("users/anna/diary"))?, "secret");
    assert_eq!(fs::read_to_string(srv.join("shared/anna/notes"))?, "hers");
    let audit = command(&specola, &["audit", "--action", "folders."])?;
    assert_eq!(audit.matches("folders.trash").count(), 2, "{audit}");
    assert!(audit.contains("folders.restore") && audit.contains("remove_at="), "{audit}");
    Ok(())
}

#[tokio::test]
async fn a_new_name_takes_the_folders_along() -> Result<()> {
    if !place::is_root() {
        eprintln!("skipped: only root can put folders into servers");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let srv = folder.path().join("srv");
    let specola = Specola::start(options(folder.path()).small_lab("quick.py")?).await?;
    let mut anna = specola.logged_in("anna").await?;
    anna.start_server("anna").await?;
    fs::write(srv.join("users/anna/diary"), "secret")?;
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    let mut admin = specola.logged_in("admin").await?;
    specola.logged_in("bob").await?;
    let taken = admin.api(Method::PATCH, "/users/anna", Body::Json(json!({ "name": "bob" }))).await?;
    assert_eq!(taken.status, 400, "{}", taken.text());
    assert_eq!(fs::read_to_string(srv.join("users/anna/diary"))?, "secret");
    admin.api(Method::PATCH, "/users/anna", Body::Json(json!({ "name": "ann" }))).await?.expect(&[200])?;
    assert_eq!(fs::read_to_string(srv.join("users/ann/diary"))?, "secret");
    assert!(!srv.join("users/anna").exists());
    Ok(())
}

/// A home that is a part of one volume for all. An engine this old gives no server a part, so what a newer one makes is made
/// by hand.
#[tokio::test]
async fn a_part_of_a_volume_goes_with_its_person_and_the_parts_of_others_stay() -> Result<()> {
    let base = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let engine = Engine::new(&base);
    let all = format!("{}-all", engine.prefix);
    let mount =
        format!(r#"[{{ type = "volume", source = {all:?}, target = "/mine", subpath = "homes/{{username}}" }}]"#);
    let options = engine.options()?.set("spawner.docker", "mounts", &mount);
    let specola = Specola::start(options).await?;
    let within = |line: &str| docker(&["run", "--rm", "--volume", &format!("{all}:/all"), &base, "sh", "-c", line]);
    within(
        "mkdir -p /all/homes/anna /all/homes/bob && echo secret >/all/homes/anna/diary && echo his >/all/homes/bob/file",
    )?;
    let mut admin = specola.logged_in("admin").await?;
    specola.logged_in("anna").await?;
    let page = admin.get("/hub/admin/users/anna").await?.expect(&[200])?.text();
    assert!(page.contains("removed for good on"), "{page}");
    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;
    assert_eq!(within("cat /all/homes/anna/diary")?, "secret", "it is kept");
    let listed = command(&specola, &["trash", "list"])?;
    assert!(listed.contains(&format!("volume {all}/homes/anna")), "{listed}");

    // Somebody new of the name does not find it, and starts nothing before it is decided what becomes of it.
    let mut anna = specola.logged_in("anna").await?;
    anna.api(Method::POST, "/users/anna/server", Body::Empty).await?;
    anna.server_stopped("anna").await?;
    let (_, page) = anna.follow("/hub/spawn-pending/anna").await?;
    assert!(page.text().contains("The files of somebody who had this name before are still kept"), "{}", page.text());

    let entry = listed.split(' ').next().context("a name")?;
    command(&specola, &["trash", "remove", entry])?;
    assert_eq!(within("ls /all/homes && cat /all/homes/bob/file")?, "bob\nhis");
    assert!(command(&specola, &["trash", "list"])?.contains("The trash is empty"));
    // Who had none leaves none.
    specola.logged_in("carl").await?;
    admin.api(Method::DELETE, "/users/carl", Body::Empty).await?.expect(&[204])?;
    assert!(command(&specola, &["trash", "list"])?.contains("The trash is empty"));
    Ok(())
}

/// Homes that are volumes: kept, out of reach for somebody new, and gone after their day.
#[tokio::test]
async fn volumes_of_deleted_people_are_kept_for_a_while_and_nobody_new_finds_them() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let options = engine.options()?;
    let mut specola = Specola::start(options.clone()).await?;
    let (volume, container) = (format!("{}-home-anna", engine.prefix), engine.container("anna"));
    let there = || {
        Ok::<_, anyhow::Error>(docker(&["volume", "ls", "--format", "{{.Name}}"])?.lines().any(|name| name == volume))
    };
    let diary = |line: &str| docker(&["exec", &container, "sh", "-c", line]);
    let mut admin = specola.logged_in("admin").await?;
    specola.logged_in("anna").await?.start_server("anna").await?;
    diary("echo secret > /home/jovyan/diary")?;
    let page = admin.get("/hub/admin/users/anna").await?.expect(&[200])?.text();
    assert!(page.contains("removed for good on") && page.contains("30 days from now"), "{page}");
    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;
    assert!(there()?, "it is kept");

    // Somebody new of the same name has to wait for what becomes of it.
    let mut anna = specola.logged_in("anna").await?;
    anna.api(Method::POST, "/users/anna/server", Body::Empty).await?;
    anna.server_stopped("anna").await?;
    let (_, page) = anna.follow("/hub/spawn-pending/anna").await?;
    assert!(page.text().contains("The files of somebody who had this name before are still kept"), "{}", page.text());
    assert_eq!(engine.containers()?, Vec::<String>::new());
    let entry = |specola: &Specola| -> Result<String> {
        let listed = command(specola, &["trash", "list"])?;
        let line = listed.lines().find(|line| line.contains("  anna  ") && line.contains(&volume));
        Ok(line.and_then(|line| line.split(' ').next()).with_context(|| listed.clone())?.to_owned())
    };
    command(&specola, &["trash", "restore", &entry(&specola)?])?;
    anna.start_server("anna").await.with_context(|| specola.log())?;
    assert_eq!(diary("cat /home/jovyan/diary")?, "secret");

    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;
    command(&specola, &["trash", "remove", &entry(&specola)?])?;
    assert!(!there()?);
    assert!(command(&specola, &["trash", "remove", "20260101T000000Z-anna"]).is_err(), "there is none of that name");
    specola.logged_in("anna").await?.start_server("anna").await.with_context(|| specola.log())?;
    diary("! test -e /home/jovyan/diary")?;

    // A new name has a volume of its own. What was under the old one is for nobody before it is decided.
    let new = json!({ "name": "ann" });
    diary("echo hers > /home/jovyan/diary")?;
    let mut anna = specola.logged_in("anna").await?;
    anna.stop_server("anna").await?;
    admin.api(Method::PATCH, "/users/anna", Body::Json(new)).await?.expect(&[200])?;
    assert!(there()? && command(&specola, &["trash", "list"])?.contains(&volume));
    let mut anna = specola.logged_in("anna").await?;
    anna.api(Method::POST, "/users/anna/server", Body::Empty).await?;
    anna.server_stopped("anna").await?;
    let (_, page) = anna.follow("/hub/spawn-pending/anna").await?;
    assert!(page.text().contains("The files of somebody who had this name before are still kept"), "{}", page.text());
    let mut ann = specola.logged_in("ann").await?;
    ann.start_server("ann").await.with_context(|| specola.log())?;
    docker(&["exec", &engine.container("ann"), "sh", "-c", "! test -e /home/jovyan/diary"])?;
    command(&specola, &["trash", "remove", &entry(&specola)?])?;
    anna.start_server("anna").await.with_context(|| specola.log())?;

    // And by itself after its day, which is made to have been.
    admin.api(Method::DELETE, "/users/anna", Body::Empty).await?.expect(&[204])?;
    assert!(there()?);
    let past = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1], timeout=30) as database:\n    \
                database.execute(\"UPDATE specola_trash SET remove_at = '2026-01-01 00:00:00.000000'\")";
    let database = specola.ground.folder.join("jupyterhub.sqlite");
    let python = place::plain_python().context("Python")?;
    ensure!(Command::new(python).args(["-c", past]).arg(database).status()?.success(), "the day is not changed");
    specola.reconfigure(options).await?;
    let audit = until("the volume removed", Duration::from_secs(60), async || {
        let audit = command(&specola, &["audit", "--action", "folders."])?;
        Ok((audit.matches("folders.remove").count() == 3).then_some(audit))
    })
    .await?;
    assert!(!there()?);
    assert_eq!(audit.matches("folders.trash").count(), 4, "{audit}");
    assert!(audit.contains("folders.restore"), "{audit}");
    Ok(())
}

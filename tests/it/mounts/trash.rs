//! What becomes of the folders of somebody who is deleted, and that it is told before.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tests::{Body, Specola, place};

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

//! The upgrade of an older database, killed at any moment: the database is the old one or the new one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::{need, place};

/// Kills at so many moments, spread over the time that an upgrade takes.
const KILLS: u32 = 20;

fn adopt(url: &str, more: &[&str]) -> Result<Command> {
    let mut command = Command::new(place::binary()?);
    command.args(["adopt", "--from", url]).args(more).stdin(Stdio::null());
    Ok(command)
}

/// What the report says of the schema; an error if anything is in the way of taking the database over.
fn made_by(url: &str) -> Result<String> {
    let output = adopt(url, &[])?.output()?;
    let (text, errors) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && !text.contains("In the way"), "{text}{errors}");
    let line = text.lines().find(|line| line.starts_with("Made by")).context("Made by")?;
    Ok(line.to_owned())
}

/// Makes a database of JupyterHub 5 with something in every table.
fn fill(python: &Path, url: &str) -> Result<()> {
    let script = place::package().join("../hub/store/tests/it/older.py");
    let output = Command::new(python).arg(script).args(["fill", url]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn an_upgrade_killed_at_any_moment_leaves_the_old_database_or_the_new() -> Result<()> {
    let python = need!(place::jupyterhub5(), "JupyterHub 5.x", "SPECOLA_JUPYTERHUB5_PYTHON");
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("base.sqlite");
    fill(&python, &format!("sqlite:///{}", base.display()))?;
    let mut took = Duration::ZERO;
    let (mut old, mut new) = (0, 0);
    for number in 0..=KILLS {
        let ground = folder.path().join(number.to_string());
        std::fs::create_dir(&ground)?;
        let file = ground.join("jupyterhub.sqlite");
        std::fs::copy(&base, &file)?;
        let url = format!("sqlite:///{}", file.display());
        let began = Instant::now();
        let mut run = adopt(&url, &["--yes"])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        if number == 0 {
            // The first one is let through, to measure it.
            ensure!(run.wait()?.success());
            took = began.elapsed();
        } else {
            // No condition to wait for: the moment itself is what is tried.
            std::thread::sleep(took * number / KILLS);
            run.kill()?;
            run.wait()?;
        }
        match made_by(&url).with_context(|| format!("killed at {number} of {KILLS}"))? {
            made if made.contains("JupyterHub 5 ") => old += 1,
            made if made.contains("JupyterHub 6.1 ") => new += 1,
            made => anyhow::bail!("{made}"),
        }
        let again = adopt(&url, &["--yes"])?.output()?;
        ensure!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        ensure!(made_by(&url)?.contains("JupyterHub 6.1 "));
    }
    ensure!(old > 0 && new > 0, "{old} old and {new} new: the kills missed the upgrade");
    Ok(())
}

//! Folders in labs: of the machine, and buckets of an object store.

mod buckets;
mod containers;
pub mod ground;
mod home;
mod trash;

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use tests::Specola;

/// Runs a line of shell with the view of the machine that a person's lab has.
fn in_lab(specola: &Specola, name: &str, line: &str) -> Result<Output> {
    let labs = specola.labs();
    let lab = labs.iter().find(|lab| lab.variable("JUPYTERHUB_USER") == Some(name));
    let id = lab.map(|lab| lab.id).ok_or_else(|| anyhow::anyhow!("{name} has no lab"))?;
    Ok(Command::new("nsenter").args(["-t", &id.to_string(), "-m", "--", "sh", "-c", line]).output()?)
}

/// The same, for a line that succeeds; what it says.
fn says(specola: &Specola, name: &str, line: &str) -> Result<String> {
    let output = in_lab(specola, name, line)?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

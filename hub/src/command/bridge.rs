//! `specola bridge`: writes out the script that runs classes of JupyterHub behind the protocol of external programs.

use std::io::Write;

use anyhow::Result;

/// The script, as it stands beside this file.
const SCRIPT: &str = include_str!("bridge.py");

/// Prints a Python script that lets Specola use a Spawner or an Authenticator that was written for JupyterHub.
#[derive(Debug, clap::Args)]
pub struct Bridge {}

/// Prints it.
pub fn run(_arguments: &Bridge) -> Result<()> {
    std::io::stdout().write_all(SCRIPT.as_bytes())?;
    Ok(())
}

//! What operators see of a hub: metrics beside those of a real JupyterHub, its events, the log, the audit.

mod audit;
mod log;
mod metrics;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Gives a text to a script of this folder and reads the JSON it answers with.
fn through(python: &Path, script: &str, text: &str) -> Result<Value> {
    let mut command = Command::new(python);
    command.arg("-c").arg(script).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Dropped at the end of the statement, so that the script comes to an end.
    child.stdin.take().context("a pipe")?.write_all(text.as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(serde_json::from_slice(&done.stdout)?)
}

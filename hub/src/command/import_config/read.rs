//! Running a jupyterhub_config.py apart: `reader.py` in a process of its own, with bounds on time and output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::config::SpawnerConfig;

const READER: &str = include_str!("reader.py");
/// A configuration that takes longer waits for something that is not there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that it may tell, in bytes.
const MOST: u64 = 8 * 1024 * 1024;

/// What a file set, and how it ended.
#[derive(Debug, Deserialize)]
pub struct Read {
    /// In the order of their first lines.
    pub settings: Vec<Setting>,
    /// Where it ended too early.
    pub failure: Option<Failure>,
    /// Modules that are not installed.
    pub stood_in: Vec<String>,
}

/// One trait of one class.
#[derive(Debug, Clone, Deserialize)]
pub struct Setting {
    /// The class, such as `Spawner`.
    pub class: String,
    /// The trait, such as `mem_limit`.
    #[serde(rename = "trait")]
    pub trait_name: String,
    /// The line that set it, counted from 1.
    pub line: u64,
    /// The file of that line, if it is another that was loaded.
    pub file: Option<String>,
    /// The value, where it is data.
    #[serde(default)]
    pub plain: Value,
    /// What it is where it is not.
    pub problem: Option<String>,
}

/// An exception that nobody caught.
#[derive(Debug, Deserialize)]
pub struct Failure {
    /// Its line.
    pub line: u64,
    /// Its class and text.
    pub what: String,
}

impl Setting {
    /// The line, with the file where it is another.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}:{}", self.line),
            None => self.line.to_string(),
        }
    }
}

/// Runs a file and returns what it set.
pub async fn read(python: &Path, file: &Path) -> Result<Read> {
    if !file.is_file() {
        bail!("there is no file {}", file.display());
    }
    let mut command = Command::new(python);
    let env_keep = serde_json::to_string(&SpawnerConfig::default().env_keep)?;
    command
        .args(["-c", READER])
        .arg(file)
        .arg(env_keep)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // All that it starts ends with it.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", python.display()))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(nix::unistd::Pid::from_raw);
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let told = async {
        let (output, errors) = tokio::join!(bounded(output), bounded(errors));
        let status = child.wait().await?;
        anyhow::Ok((output?, errors?, status))
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    if let Some(group) = group {
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    }
    let (output, errors, status) =
        told.map_err(|_| anyhow!("{} did not end within {} s", file.display(), PATIENCE.as_secs()))??;
    serde_json::from_slice(&output).map_err(|_| {
        let last = String::from_utf8_lossy(&errors).lines().next_back().unwrap_or_default().to_owned();
        anyhow!("{} could not be run ({status}): {last}", file.display())
    })
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    (&mut stream).take(MOST).read_to_end(&mut bytes).await?;
    // The rest is read and forgotten: nobody is to wait for a reader.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

//! The lab as a child: started, sent the agent's signals, waited for.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// What goes on to the lab.
const SIGNALS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Runs the command and returns its exit; without one, waits for a signal to end.
pub async fn run(command: &[String], token: Option<&Path>) -> Result<ExitCode> {
    let (sender, mut signals) = tokio::sync::mpsc::channel(16);
    for one in SIGNALS {
        let mut stream = signal(SignalKind::from_raw(one as i32)).context("signals")?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(one).await.is_err() {
                    return;
                }
            }
        });
    }
    let Some((program, arguments)) = command.split_first() else {
        while !matches!(signals.recv().await, Some(Signal::SIGTERM | Signal::SIGINT) | None) {}
        return Ok(ExitCode::SUCCESS);
    };
    let mut child = Command::new(program);
    child.args(arguments);
    if let Some(token) = token {
        child.env("BEARER_TOKEN_FILE", token);
    }
    let mut child = child.spawn().with_context(|| format!("cannot start {program}"))?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(code_of(ended.context("the lab")?)),
            Some(one) = signals.recv() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(Err(error)) = id.map(|id| kill(Pid::from_raw(id), one)) {
                    eprintln!("specola-lab-agent: {one} does not reach the lab: {error}");
                }
            }
        }
    }
}

/// As a shell tells it: 128 and the signal's number for who was ended by one.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

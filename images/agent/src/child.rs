//! The lab as a child: started, sent the agent's signals, waited for together with whatever else it leaves behind.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;

/// What goes on to the lab.
const SIGNALS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Signals to the agent, heard from when this is made: the first process of a container would not be ended by one.
pub struct Signals {
    sent: mpsc::Receiver<Signal>,
    children: Stream,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let (sender, sent) = mpsc::channel(16);
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
        Ok(Self { sent, children: signal(SignalKind::child()).context("signals")? })
    }

    /// Waits for one that asks to end, and returns the exit that goes with it.
    pub async fn end(&mut self) -> ExitCode {
        loop {
            match self.sent.recv().await {
                Some(one @ (Signal::SIGTERM | Signal::SIGINT)) => return by_signal(one as i32),
                Some(_) => {}
                None => return ExitCode::FAILURE,
            }
        }
    }

    /// Runs the command with more variables and returns its exit; without a command, waits for a signal to end.
    pub async fn run(&mut self, command: &[String], variables: &[(String, String)]) -> Result<ExitCode> {
        let Some((program, arguments)) = command.split_first() else {
            self.end().await;
            return Ok(ExitCode::SUCCESS);
        };
        let mut lab = Command::new(program);
        lab.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        let lab = lab.spawn().with_context(|| format!("cannot start {program}"))?;
        let lab = Pid::from_raw(i32::try_from(lab.id()).context("the lab's number")?);
        loop {
            // Whoever ended before this is found here, and whoever ends later sends a signal.
            if let Some(code) = reap(lab)? {
                return Ok(code);
            }
            tokio::select! {
                _ = self.children.recv() => {}
                Some(one) = self.sent.recv() => {
                    if let Err(error) = kill(lab, one) {
                        eprintln!("specola-lab-agent: {one} does not reach the lab: {error}");
                    }
                }
            }
        }
    }
}

/// Takes leave of every child that has ended, orphans that came to the agent among them; the exit of the lab when it is
/// one of them.
fn reap(lab: Pid) -> Result<Option<ExitCode>> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(one, status)) if one == lab => code = Some(of_status(status)),
            Ok(WaitStatus::Signaled(one, signal, _)) if one == lab => code = Some(by_signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for the lab"),
        }
    }
}

/// As a shell tells it: 128 and the signal's number for who was ended by one.
fn by_signal(signal: i32) -> ExitCode {
    of_status(128 + signal)
}

fn of_status(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

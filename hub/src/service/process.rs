//! The processes of a service, found by the mark in their environment, and their end.
//!
//! Descendants inherit the mark; those that cleared their environment are found by the session of one that has it.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use spawner_local::process::{self, Environment, Process};

/// The variable that marks the processes of a service: `hub:name`, where `hub` is the database's own mark.
pub const MARKER: &str = "SPECOLA_SERVICE";
/// How long processes have to end by themselves.
const PATIENCE: Duration = Duration::from_secs(5);
/// And how long after they were killed.
const KILLED: Duration = Duration::from_secs(2);
/// How often they are looked for meanwhile.
const AGAIN: Duration = Duration::from_millis(50);

/// Ends all processes that carry a mark: first asked, then killed. Whether none is left.
pub async fn end(mark: String) -> bool {
    let ended = tokio::task::spawn_blocking(move || {
        let gone = press(&mark, Signal::SIGTERM, PATIENCE)? || press(&mark, Signal::SIGKILL, KILLED)?;
        Ok::<bool, io::Error>(gone)
    });
    match ended.await {
        Ok(Ok(gone)) => gone,
        Ok(Err(error)) => {
            tracing::warn!("processes of services cannot be looked for: {error}");
            false
        }
        Err(error) => {
            tracing::error!("the end of a service: {error}");
            false
        }
    }
}

/// Sends a signal to each process once, also to those that come meanwhile, and waits for their end.
fn press(mark: &str, signal: Signal, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    let mut told: HashSet<Process> = HashSet::new();
    loop {
        let crowd = crowd(mark)?;
        if crowd.is_empty() {
            return Ok(true);
        }
        for process in crowd {
            if told.insert(process)
                && let Err(error) = process.signal(signal)
            {
                tracing::warn!(pid = process.pid, "a process of a service could not be signalled: {error}");
            }
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(AGAIN);
    }
}

/// All living processes that carry the mark, or are in a session that one of them leads.
fn crowd(mark: &str) -> io::Result<Vec<Process>> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let all: Vec<_> = process::all()?.into_iter().filter(|stat| stat.process.pid != own).collect();
    let (mut chosen, mut sessions) = (HashSet::new(), HashSet::new());
    for stat in &all {
        if Environment::of(stat.process)?.get(MARKER) == Some(mark) {
            chosen.insert(stat.process);
            if stat.session == stat.process.pid {
                sessions.insert(stat.session);
            }
        }
    }
    chosen.extend(all.iter().filter(|stat| sessions.contains(&stat.session)).map(|stat| stat.process));
    Ok(chosen.into_iter().collect())
}

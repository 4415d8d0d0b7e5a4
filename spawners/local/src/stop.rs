//! One step of a stop. The caller repeats it until nothing is left, so a stop survives the hub that began it.

use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::ending::{LEFTOVER_PATIENCE, Step, due};
use crate::process::{self, Process};
use crate::run::{Ending, Run};
use crate::search::{self, Found, note};
use crate::shared::Shared;

/// Takes the step that is due for what was found.
pub fn step(shared: &Shared, found: Found, force: bool) -> io::Result<()> {
    match found {
        Found::Live(run, process) => press(shared, run, process, force),
        Found::Ended(run) => sweep(shared, run, force),
        Found::Intended(run) => shared.clear(&run),
        Found::Nothing => Ok(()),
    }
}

/// Tells a living server to end, each signal once, the last one again and again.
fn press(shared: &Shared, mut run: Run, process: Process, force: bool) -> io::Result<()> {
    let (now, config) = (process::uptime()?, &shared.config);
    let begun = run.ending;
    let since = begun.map_or(now, |ending| ending.since);
    let elapsed = Duration::from_millis(now.saturating_sub(since));
    let step = due(elapsed, config, force).max(begun.map_or(Step::Interrupt, |ending| ending.step));
    let again = begun.is_some_and(|ending| ending.step == step);
    if again && step != Step::Kill {
        return Ok(());
    }
    run.ending = Some(Ending { since, step, leftovers_since: None });
    note(&shared.runs, &run);
    tracing::info!(server = %run.marker(), pid = process.pid, ?step, "a server is told to end");
    match step {
        // Only the server itself: it ends its kernels in its own way.
        Step::Interrupt => process.signal(Signal::SIGINT).map(drop),
        Step::Terminate => process.signal(Signal::SIGTERM).map(drop),
        Step::Kill => {
            if elapsed > config.interrupt_timeout + config.term_timeout + config.kill_timeout {
                tracing::warn!(server = %run.marker(), pid = process.pid, "a killed server does not go");
            }
            search::kill_all(&run)
        }
    }
}

/// Clears away what a server left that has ended: first its processes, then the notes.
fn sweep(shared: &Shared, mut run: Run, force: bool) -> io::Result<()> {
    let told = run.ending.and_then(|ending| ending.leftovers_since);
    let now = process::uptime()?;
    let patience = u64::try_from(LEFTOVER_PATIENCE.as_millis()).unwrap_or(u64::MAX);
    if force || told.is_some_and(|told| now.saturating_sub(told) >= patience) {
        search::kill_all(&run)?;
    } else if told.is_none() && search::signal_all(&run, Signal::SIGTERM)? {
        let ending = run.ending.unwrap_or(Ending { since: now, step: Step::Terminate, leftovers_since: None });
        run.ending = Some(Ending { leftovers_since: Some(now), ..ending });
        note(&shared.runs, &run);
    }
    if search::crowd(&run)?.is_empty() { shared.clear(&run) } else { Ok(()) }
}

//! A mark in the environment by which a test finds, and in the end stops, every process that came of it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::came_true;

const VARIABLE: &str = "SPECOLA_TEST";

/// Every process started with it is killed when it is dropped, and so is everything those have started.
pub struct Mark(String);

impl Default for Mark {
    fn default() -> Mark {
        Mark(uuid::Uuid::new_v4().simple().to_string())
    }
}

impl Mark {
    pub fn put_on(&self, command: &mut Command) {
        command.env(VARIABLE, &self.0);
    }

    /// Name and value, for places that take an environment as text.
    pub fn pair(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    pub fn processes(&self) -> Vec<Process> {
        processes().into_iter().filter(|process| process.variable(VARIABLE) == Some(&self.0)).collect()
    }

    /// The labs: processes the hub's local spawner started, the kernels they started not counted.
    pub fn labs(&self) -> Vec<Process> {
        let all: Vec<Process> =
            self.processes().into_iter().filter(|process| process.variable("JUPYTERHUB_API_TOKEN").is_some()).collect();
        let ids: Vec<i32> = all.iter().map(|process| process.id).collect();
        all.into_iter().filter(|process| !ids.contains(&process.parent)).collect()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // Anything that restarts others is among them, so one pass may not be enough.
        came_true(Duration::from_secs(10), || {
            let left = self.processes();
            left.iter().for_each(|process| process.kill());
            left.is_empty()
        });
    }
}

/// A running process as /proc shows it. Zombies and processes of others, whose environment cannot be read, are none.
#[derive(Debug)]
pub struct Process {
    pub id: i32,
    pub parent: i32,
    pub command: String,
    environment: Vec<String>,
}

impl Process {
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn kill(&self) {
        send(self.id, Signal::SIGKILL);
    }

    /// Processor time used so far, in clock ticks.
    pub fn is_alive(&self) -> bool {
        read(self.id).is_some_and(|now| now.command == self.command)
    }
}

/// Sends a signal; a process that is gone already is what was wanted.
pub fn send(id: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(id), signal);
}

pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(id: i32) -> Option<Process> {
    let texts = |name: &str| -> Option<Vec<String>> {
        let bytes = fs::read(format!("/proc/{id}/{name}")).ok()?;
        let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        Some(parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    Some(Process { id, parent, command: texts("cmdline")?.join(" "), environment: texts("environ")? })
}

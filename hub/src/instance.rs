//! One hub a data folder: a lock that ends with the process, whatever ends it, and tells who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a dead hub left has this long to let go.
const HEIR_PATIENCE: Duration = Duration::from_secs(5);
/// A hub that is told to stop has this long.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Proof that this process is the hub of a data folder.
#[derive(Debug)]
pub struct Instance {
    /// Held until the process ends.
    _file: Flock<File>,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("hub.lock")
}

fn open(data_dir: &Path) -> Result<File> {
    let path = path(data_dir);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

impl Instance {
    /// Makes this process the hub of a data folder; fails when there is one already.
    pub async fn take(data_dir: &Path) -> Result<Self> {
        let deadline = tokio::time::Instant::now() + HEIR_PATIENCE;
        let mut file = open(data_dir)?;
        loop {
            let pid = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Self::sign(file),
                Err((mut held, _)) => {
                    let pid = read_pid(&mut held);
                    file = held;
                    pid
                }
            };
            // A hub that was killed while it started a lab leaves the lock to that child, until the child is the lab.
            let lives = pid.is_some_and(|pid| kill(pid, None).is_ok());
            if lives || tokio::time::Instant::now() > deadline {
                let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                return Err(anyhow!("another hub{who} serves the data folder {}", data_dir.display()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn sign(mut file: Flock<File>) -> Result<Self> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Tells the hub of a data folder to stop, and waits until it has. Returns whether there was one.
    pub async fn stop_running(data_dir: &Path) -> Result<bool> {
        let (mut file, _) = match Flock::lock(open(data_dir)?, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return Ok(false),
            Err(held) => held,
        };
        let pid = read_pid(&mut file).context("the running hub has not said its process id")?;
        kill(pid, Signal::SIGTERM).with_context(|| format!("cannot stop process {pid}"))?;
        let deadline = tokio::time::Instant::now() + STOP_PATIENCE;
        while let Err((held, _)) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            if tokio::time::Instant::now() > deadline {
                return Err(anyhow!("process {pid} did not stop within {} s", STOP_PATIENCE.as_secs()));
            }
            file = held;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(true)
    }
}

fn read_pid(file: &mut File) -> Option<Pid> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_data_folder_has_one_hub_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Instance::stop_running(folder.path()).await.unwrap());
        let first = Instance::take(folder.path()).await.unwrap();
        let refused = Instance::take(folder.path()).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        Instance::take(folder.path()).await.unwrap();
    }
}

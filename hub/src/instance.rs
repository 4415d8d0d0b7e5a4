//! One hub a data folder: a lock that ends with the process, whatever ends it, and tells who holds it; and the hub's name.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
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

/// The file with the hub's name.
const NAME: &str = "hub.id";

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

/// The name under which a hub holds what only one hub may hold at a time. It is made once for each data folder, and at
/// random: containers have equal host names and paths. A restarted hub knows its own leases by it.
pub fn holder(data_dir: &Path) -> Result<String> {
    let path = data_dir.join(NAME);
    let cannot = || format!("cannot use {}", path.display());
    match read_name(&path) {
        Ok(Some(name)) => return Ok(name),
        Ok(None) => {
            return Err(anyhow!("there is no name in {}: take it away to have one made", path.display()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(cannot),
    }
    let name = uuid::Uuid::new_v4().simple().to_string();
    match make(&path, &name) {
        Ok(()) => Ok(name),
        // Another process was quicker: its name counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read_name(&path).with_context(cannot)?.with_context(cannot)
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

fn read_name(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?.take(256).read_to_string(&mut text)?;
    let name = text.trim();
    let is_one = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(is_one.then(|| name.to_owned()))
}

/// Writes a whole file beside and links it into place, so that nobody ever reads half a name.
fn make(path: &Path, name: &str) -> std::io::Result<()> {
    let beside = path.with_extension(format!("id.{name}.new"));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        std::fs::hard_link(&beside, path)
    })();
    let removed = std::fs::remove_file(&beside);
    written.and(removed)
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

    #[test]
    fn every_data_folder_has_a_name_of_its_own_that_stays_and_is_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let name = holder(one.path()).unwrap();
        assert_eq!(holder(one.path()).unwrap(), name, "after a restart");
        assert_ne!(holder(other.path()).unwrap(), name);
        let file = one.path().join("hub.id");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(one.path()).unwrap().count(), 1, "nothing is left of making it");
        // Moved, as a volume that another container mounts elsewhere.
        std::fs::rename(&file, other.path().join("hub.id")).unwrap();
        assert_eq!(holder(other.path()).unwrap(), name);
        for broken in ["", "hub", "../../x"] {
            std::fs::write(&file, broken).unwrap();
            let error = holder(one.path()).unwrap_err().to_string();
            assert!(error.contains("hub.id") && error.contains("take it away"), "{error}");
        }
    }

    #[test]
    fn many_who_make_a_name_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let names = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| holder(folder.path()).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!((names.len(), std::fs::read_dir(folder.path()).unwrap().count()), (1, 1));
    }
}

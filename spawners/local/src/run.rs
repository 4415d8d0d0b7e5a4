//! What is kept in the data folder about each started server: the local twin of a container that has exited.
//!
//! A file is written before the process is made, gets the pid after, and stays until the server was cleared away. A
//! lost or broken file only costs a search through `/proc`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hub_core::id::{Generation, SpawnerId};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use spawners::{Identity, Marker};

use crate::account::own_folder;
use crate::ending::Step;
use crate::name::safe;
use crate::process::Process;

/// One start of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub hub: String,
    pub spawner: SpawnerId,
    pub generation: Generation,
    pub user: String,
    pub server: String,
    #[serde(default)]
    pub account: Option<String>,
    /// Under whom its processes run.
    pub uid: u32,
    /// Where it listens, with its path.
    pub url: String,
    /// The boot of the machine it belongs to.
    pub boot_id: String,
    /// Its first process; absent until there is one.
    #[serde(default)]
    pub process: Option<Process>,
    /// How far a stop has come.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// Its control groups.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

/// A stop that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// When it was first asked for, in milliseconds since boot.
    pub since: u64,
    /// The last step that was taken.
    pub step: Step,
    /// When what was left behind by the server was told to end, in milliseconds since boot.
    #[serde(default)]
    pub leftovers_since: Option<u64>,
}

impl Run {
    /// Returns whose it is.
    pub fn identity(&self) -> Identity {
        Identity {
            hub: self.hub.clone(),
            spawner: self.spawner,
            generation: self.generation,
            user: self.user.clone(),
            server: self.server.clone(),
            account: self.account.clone(),
        }
    }

    /// Returns the mark its processes carry.
    pub fn marker(&self) -> Marker {
        self.identity().marker()
    }
}

/// The folder with everything the driver keeps.
#[derive(Debug, Clone)]
pub struct Runs {
    run: PathBuf,
    lock: PathBuf,
}

/// Keeps all others from starting or clearing away a server.
///
/// The lock belongs to the open file. A child holds it too, until it has become the server; so when a hub dies between
/// making the child and knowing it, the next hub waits until the child can be found.
pub struct Lock {
    _file: Flock<File>,
}

impl Runs {
    /// Opens the folder, making it when missing.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let runs = Self { run: data_dir.join("run"), lock: data_dir.join("lock") };
        own_folder(data_dir)?;
        own_folder(&runs.run)?;
        own_folder(&runs.lock)?;
        Ok(runs)
    }

    /// Takes a server's lock for changing it; nothing when somebody else has it.
    pub fn try_lock(&self, hub: &str, spawner: SpawnerId) -> io::Result<Option<Lock>> {
        self.lock_file(hub, spawner, FlockArg::LockExclusiveNonblock)
    }

    /// Takes a server's lock for looking, which many may do at once; nothing when somebody is changing it.
    pub fn try_look(&self, hub: &str, spawner: SpawnerId) -> io::Result<Option<Lock>> {
        self.lock_file(hub, spawner, FlockArg::LockSharedNonblock)
    }

    fn lock_file(&self, hub: &str, spawner: SpawnerId, how: FlockArg) -> io::Result<Option<Lock>> {
        let path = self.lock.join(format!("{}.{spawner}", safe(hub)));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        match Flock::lock(file, how) {
            Ok(file) => Ok(Some(Lock { _file: file })),
            Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// Reads one; nothing when there is none, or none that can be read.
    pub fn load(&self, marker: &Marker) -> io::Result<Option<Run>> {
        read(&self.path(marker, "json"))
    }

    /// Writes one as a whole, so that no reader sees a half.
    pub fn save(&self, run: &Run) -> io::Result<()> {
        let (path, draft) = (self.path(&run.marker(), "json"), self.path(&run.marker(), "draft"));
        fs::write(&draft, serde_json::to_vec(run)?).and_then(|()| fs::rename(&draft, &path)).inspect_err(|_| {
            fs::remove_file(&draft).ok();
        })
    }

    /// Removes one, and its exit code.
    pub fn remove(&self, marker: &Marker) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.path(marker, "exit")))?;
        absent_is_fine(fs::remove_file(self.path(marker, "json")))?;
        // What was written meanwhile; what comes later sees that there is no note.
        absent_is_fine(fs::remove_file(self.path(marker, "exit")))
    }

    /// Lists all.
    pub fn all(&self) -> io::Result<Vec<Run>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.run)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.extend(read(&path)?);
            }
        }
        Ok(found)
    }

    /// Writes down how the server's process ended: its exit code, or the negative number of a signal. Of a server that was
    /// removed nothing is kept.
    pub fn save_exit(&self, marker: &Marker, code: i32) -> io::Result<()> {
        let path = self.path(marker, "exit");
        fs::write(&path, code.to_string())?;
        if self.path(marker, "json").exists() { Ok(()) } else { absent_is_fine(fs::remove_file(path)) }
    }

    /// Reads how it ended; nothing when nobody saw it end.
    pub fn load_exit(&self, marker: &Marker) -> io::Result<Option<i32>> {
        match fs::read_to_string(self.path(marker, "exit")) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) => absent_is_fine(Err(error)).map(|()| None),
        }
    }

    fn path(&self, marker: &Marker, extension: &str) -> PathBuf {
        let Marker { hub, spawner, generation } = marker;
        self.run.join(format!("{}.{spawner}.{generation}.{extension}", safe(hub)))
    }
}

fn read(path: &Path) -> io::Result<Option<Run>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a broken file is passed over"))
            .ok()),
        Err(error) => absent_is_fine(Err(error)).map(|()| None),
    }
}

pub fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(generation: i64) -> Run {
        Run {
            hub: "../h".into(),
            spawner: SpawnerId(1),
            generation: Generation(generation),
            user: "anna".into(),
            server: String::new(),
            account: None,
            uid: 1000,
            url: "http://127.0.0.1:1/".into(),
            boot_id: "b".into(),
            process: None,
            ending: None,
            cgroups: Vec::new(),
        }
    }

    #[test]
    fn what_is_saved_is_read_and_a_broken_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::open(folder.path()).unwrap();
        runs.save(&run(1)).unwrap();
        runs.save(&run(2)).unwrap();
        runs.save_exit(&run(1).marker(), -9).unwrap();
        assert_eq!(runs.load(&run(1).marker()).unwrap(), Some(run(1)));
        assert_eq!(runs.load_exit(&run(1).marker()).unwrap(), Some(-9));
        fs::write(runs.path(&run(2).marker(), "json"), b"{\"hub\":").unwrap();
        assert_eq!(runs.load(&run(2).marker()).unwrap(), None);
        assert_eq!(runs.all().unwrap(), vec![run(1)]);
        runs.remove(&run(1).marker()).unwrap();
        runs.remove(&run(1).marker()).unwrap();
        assert_eq!(runs.load_exit(&run(1).marker()).unwrap(), None);
        // Who sees it end may come after who removed it.
        runs.save_exit(&run(1).marker(), 0).unwrap();
        assert_eq!(runs.load_exit(&run(1).marker()).unwrap(), None);
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::open(folder.path()).unwrap();
        let first = runs.try_lock("h", SpawnerId(1)).unwrap();
        assert!(first.is_some());
        assert!(runs.try_lock("h", SpawnerId(1)).unwrap().is_none());
        assert!(runs.try_lock("h", SpawnerId(2)).unwrap().is_some());
        drop(first);
        assert!(runs.try_lock("h", SpawnerId(1)).unwrap().is_some());
    }
}

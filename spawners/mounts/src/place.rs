//! Where the files of one server's folders are.
//!
//! In `cache_dir`, which outlives a restart of the machine: the note of what is mounted, and for each folder the cache,
//! rclone's configuration and log. In `dir`: keys, and the tree that the server sees.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hub_core::id::SpawnerId;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use spawners::Mount;

use crate::{Config, mountinfo};

/// Held by whoever changes what is mounted for a server.
pub type Lock = Flock<File>;

/// The files of one server.
#[derive(Debug, Clone)]
pub struct Place {
    /// What outlives a restart of the machine.
    pub state: PathBuf,
    /// What does not have to.
    live: PathBuf,
    /// Never removed: a lock on a file that is gone would keep nobody away.
    lock: PathBuf,
}

impl Place {
    pub fn of(config: &Config, spawner: SpawnerId) -> Self {
        let name = format!("{}-{spawner}", plain(&config.hub));
        let lock = config.dir.join(format!("{name}.lock"));
        Self { state: config.cache_dir.join(&name), live: config.dir.join(&name), lock }
    }

    /// Lists all servers of this hub that something is kept of.
    pub fn all(config: &Config) -> io::Result<Vec<SpawnerId>> {
        let beginning = format!("{}-", plain(&config.hub));
        let mut found = Vec::new();
        for entry in fs::read_dir(&config.cache_dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(&beginning)).and_then(|id| id.parse().ok());
            found.extend(id.map(SpawnerId));
        }
        found.sort_unstable();
        Ok(found)
    }

    pub fn note(&self) -> PathBuf {
        self.state.join("note.json")
    }

    /// The folder that the server sees, and that its folders are mounted in.
    pub fn tree(&self) -> PathBuf {
        self.live.join("tree")
    }

    /// Where it is mounted: in the tree, or apart from it and shown there where it is in another.
    pub fn point(&self, mount: &Mount) -> PathBuf {
        match mount.within {
            Some(_) => self.apart().join(part(mount)),
            None => self.tree().join(&mount.name),
        }
    }

    /// Where the server sees one that is in another.
    pub fn shown(&self, mount: &Mount) -> Option<PathBuf> {
        mount.within.as_ref().map(|within| self.tree().join(within).join(&mount.name))
    }

    /// What is shown in others is mounted here: it stays when they are mounted anew.
    fn apart(&self) -> PathBuf {
        self.live.join("apart")
    }

    pub fn keys(&self, mount: &Mount) -> PathBuf {
        self.live.join("keys").join(part(mount))
    }

    /// A folder's own part of what is kept. Another bucket under the same name has another.
    pub fn part(&self, mount: &Mount) -> PathBuf {
        self.state.join(part(mount))
    }

    pub fn cache(&self, mount: &Mount) -> PathBuf {
        self.part(mount).join("cache")
    }

    pub fn helper(&self, mount: &Mount) -> PathBuf {
        self.part(mount).join("helper.json")
    }

    pub fn log(&self, mount: &Mount) -> PathBuf {
        self.part(mount).join("log")
    }

    /// Makes what a server needs. Its tree can be entered by its owner alone, and not be written: what would be put there
    /// would be lost.
    pub fn make(&self, owner: (u32, u32)) -> io::Result<()> {
        make_folder(&self.state, 0o700)?;
        make_folder(&self.live, 0o711)?;
        make_folder(&self.live.join("keys"), 0o700)?;
        make_folder(&self.tree(), 0o500)?;
        std::os::unix::fs::chown(self.tree(), Some(owner.0), Some(owner.1))
    }

    /// Removes the live part. Fails when something is still mounted in it, before anything is lost.
    pub fn remove_live(&self) -> io::Result<()> {
        for folder in [self.apart(), self.tree()] {
            if let Some(points) = absent_is_none(fs::read_dir(&folder))? {
                for point in points {
                    // Not what is in it: a folder that is mounted there belongs to the store.
                    remove_point(&point?.path())?;
                }
                fs::remove_dir(folder)?;
            }
        }
        absent_is_none(fs::remove_dir_all(&self.live)).map(drop)
    }

    /// Takes back `make`, as far as nothing is in it yet.
    pub fn unmake(&self) -> io::Result<()> {
        self.remove_live()?;
        absent_is_none(fs::remove_dir(&self.state)).map(drop)
    }

    /// Takes the lock, unless somebody else has it.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&self.lock)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}

/// A name for a folder of one bucket that no other has.
pub fn part(mount: &Mount) -> String {
    let mut hash = Sha256::new();
    for text in [&mount.store.name, &mount.store.endpoint, &mount.bucket, &mount.prefix] {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let hash = hex::encode(hash.finalize());
    format!("{}-{}", mount.name, hash.get(..12).unwrap_or_default())
}

/// The hub's mark without what could lead elsewhere.
fn plain(hub: &str) -> String {
    hub.chars().map(|char| if char.is_ascii_alphanumeric() || char == '_' { char } else { '_' }).collect()
}

/// Whether a name is one part of a path and nothing else.
pub fn is_one_part(name: &str) -> bool {
    let plain = |char: char| char.is_alphanumeric() || "._-@+ ".contains(char);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain)
}

/// Makes a folder with these bits, or sees to it that the one there has them.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    if fs::symlink_metadata(path)?.permissions().mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes a folder that something was mounted in, with the empty ones that others were shown in; never a file.
pub fn remove_point(point: &Path) -> io::Result<()> {
    if mountinfo::at(point)?.is_some() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "something is mounted there"));
    }
    let Some(shown) = absent_is_none(fs::read_dir(point))? else { return Ok(()) };
    for folder in shown {
        fs::remove_dir(folder?.path())?;
    }
    fs::remove_dir(point)
}

/// Replaces a file in one go; only its owner can read it. What fails leaves nothing beside it.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&next)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&next, path));
    if written.is_err() {
        // It would take room where there is none.
        let _ = fs::remove_file(&next);
    }
    written
}

/// Turns what is not there into nothing.
pub fn absent_is_none<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_seen() {
        for good in ["anna", "anna.b", "scratch", "Änna", "a@b.c", "cms-data"] {
            assert!(is_one_part(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/", "a\0", ".hidden", "a\nb", &"x".repeat(129)] {
            assert!(!is_one_part(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_tree_with_something_in_it_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new("h", folder.path().join("live"), folder.path().join("kept"));
        let place = Place::of(&config, SpawnerId(7));
        let me = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        place.make(me).unwrap();
        assert_eq!(Place::all(&config).unwrap(), [SpawnerId(7)]);
        make_folder(&place.tree(), 0o700).unwrap();
        fs::create_dir(place.tree().join("anna")).unwrap();
        fs::write(place.tree().join("anna/data"), "precious").unwrap();
        assert!(place.remove_live().is_err());
        assert_eq!(fs::read_to_string(place.tree().join("anna/data")).unwrap(), "precious");
        fs::remove_file(place.tree().join("anna/data")).unwrap();
        place.remove_live().unwrap();
        assert!(!place.tree().exists() && place.state.exists());
    }
}

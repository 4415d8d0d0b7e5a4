//! The folder of the token: in memory where that is possible, of this user alone, and one for each server.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where the folder is made, in place of the choice made here.
const FOLDER: &str = "SPECOLA_TOKEN_DIR";

/// A folder that nobody else reads.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of this lab; made if it is not there.
    pub fn of_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let (hub, prefix) = (variable("JUPYTERHUB_API_URL"), variable("JUPYTERHUB_SERVICE_PREFIX"));
        let name = name_of(&hub, &prefix, nix::unistd::getuid().as_raw());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let chosen = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        if let Some(chosen) = chosen {
            // Made where it is missing. What is in it is checked, and is of one server.
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(&chosen);
            return Self::at(chosen.join(name));
        }
        let places = runtime.into_iter().chain([PathBuf::from("/dev/shm"), std::env::temp_dir()]);
        let mut last = None;
        for place in places {
            match Self::at(place.join(&name)) {
                Ok(folder) => return Ok(folder),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("there is no place for a folder")))
    }

    /// A folder that is there, or is made; refuses one that others could read or put links into.
    pub fn at(path: PathBuf) -> Result<Self> {
        if let Err(error) = DirBuilder::new().mode(0o700).create(&path)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot make {}", path.display()));
        }
        let found = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        let own = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o077 == 0;
        ensure!(own, "{} is not a folder of this user alone", path.display());
        Ok(Self(path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a file there as a whole: whoever reads it meets the one before or this one.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let (draft, file) = (self.file(&format!(".{name}.{}", std::process::id())), self.file(name));
        let written = write_new(&draft, text).and_then(|()| fs::rename(&draft, &file));
        written
            .inspect_err(|_| drop(fs::remove_file(&draft)))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Takes everything away, when the lab has ended.
    pub fn clear(&self) {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        files.for_each(|file| drop(fs::remove_file(file.path())));
        let _ = fs::remove_dir(&self.0);
    }

    /// Takes a file away, if it is there.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.file(name));
    }
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// One name for each server of each user of each hub: several may run on one machine.
fn name_of(hub: &str, prefix: &str, user: u32) -> String {
    let plain: String = prefix.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut digest = DefaultHasher::new();
    (hub, prefix).hash(&mut digest);
    let readable: String = plain.trim_matches('_').chars().take(100).collect();
    format!("specola-{user}-{readable}-{:016x}", digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_of_its_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("tokens")).unwrap();
        folder.write("access_token", "one").unwrap();
        let before = fs::metadata(folder.file("access_token")).unwrap();
        folder.write("access_token", "another").unwrap();
        let after = fs::metadata(folder.file("access_token")).unwrap();
        assert_eq!(fs::read_to_string(folder.file("access_token")).unwrap(), "another");
        assert_ne!(before.ino(), after.ino(), "whoever has the old one open reads it to its end");
        assert_eq!(after.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(place.path().join("tokens")).unwrap().count(), 1, "no draft is left");
        folder.remove("access_token");
        folder.remove("access_token");
        assert!(!folder.file("access_token").exists());
        folder.write("status.json", "{}").unwrap();
        folder.clear();
        assert!(!place.path().join("tokens").exists());
    }

    #[test]
    fn a_folder_that_others_read_or_a_link_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let open = place.path().join("open");
        DirBuilder::new().mode(0o755).create(&open).unwrap();
        assert!(Folder::at(open).is_err());
        let own = place.path().join("own");
        Folder::at(own.clone()).unwrap();
        std::os::unix::fs::symlink(&own, place.path().join("link")).unwrap();
        assert!(Folder::at(place.path().join("link")).is_err());
        assert!(Folder::at(place.path().join("no/such")).is_err());
    }

    #[test]
    fn each_server_has_a_folder_of_its_own() {
        let hub = "http://127.0.0.1:8081/hub/api";
        assert!(name_of(hub, "/user/ada/", 7).starts_with("specola-7-user_ada-"));
        let others = [(hub, "/user/ada/gpu/"), (hub, "/user/ada_/"), ("http://other/hub/api", "/user/ada/")];
        for (hub_of, prefix) in others {
            assert_ne!(name_of(hub, "/user/ada/", 7), name_of(hub_of, prefix, 7));
        }
        assert!(!name_of(hub, "/../../etc/", 7).contains(['/', '.']));
    }
}

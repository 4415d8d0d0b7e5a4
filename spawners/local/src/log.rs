//! What servers write: one file a server, bounded by rotation.
//!
//! The folder and its files belong to the hub alone; a server gets an open file, never a path, so no link of a user's
//! making can lead the hub astray. The server appends for as long as it lives, also when the hub that opened the file
//! is gone; therefore rotation copies the file and cuts it to nothing, and may lose what is written in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use spawners::Identity;

use crate::account::own_folder;
use crate::name::safe;
use crate::run::absent_is_fine;

/// The most that is read to find the last lines, in bytes.
const TAIL: u64 = 256 * 1024;

/// The folder with all logs.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: PathBuf,
    bytes: u64,
    files: u32,
}

impl Logs {
    /// Opens the folder, making it when missing.
    pub fn open(data_dir: &Path, bytes: u64, files: u32) -> io::Result<Self> {
        let folder = data_dir.join("log");
        own_folder(&folder)?;
        Ok(Self { folder, bytes, files })
    }

    /// Opens a server's log for one start of it, which begins with a line of ours.
    pub fn append(&self, server: &Identity) -> io::Result<File> {
        let path = self.path(server);
        self.rotate_one(&path)?;
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
        if let Err(error) = file.write_all(heading(server).as_bytes()) {
            tracing::warn!(%error, "a log has no room for its heading");
        }
        Ok(file)
    }

    /// Returns the last lines of a server's log, of this start alone as long as its beginning is at hand.
    pub fn tail(&self, server: &Identity, lines: usize) -> io::Result<String> {
        let mut file = match File::open(self.path(server)) {
            Ok(file) => file,
            Err(error) => return absent_is_fine(Err(error)).map(|()| String::new()),
        };
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let heading = heading(server);
        let text = text.rsplit_once(heading.as_str()).map_or(&*text, |(_, since)| since);
        let mut last: Vec<&str> = text.lines().rev().take(lines).collect();
        last.reverse();
        Ok(last.join("\n"))
    }

    /// Rotates every log that has grown too large.
    pub fn rotate(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log")
                && let Err(error) = self.rotate_one(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a log could not be rotated");
            }
        }
        Ok(())
    }

    /// Removes a server's logs.
    pub fn remove(&self, server: &Identity) -> io::Result<()> {
        let path = self.path(server);
        for number in 1..=self.files {
            absent_is_fine(fs::remove_file(numbered(&path, number)))?;
        }
        absent_is_fine(fs::remove_file(path))
    }

    fn rotate_one(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.len() > self.bytes => {}
            Ok(_) => return Ok(()),
            Err(error) => return absent_is_fine(Err(error)),
        }
        for number in (1..self.files).rev() {
            absent_is_fine(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
        }
        // On a full disk the copy fails, and the bound matters more than the text.
        if self.files > 0
            && let Err(error) = fs::copy(path, numbered(path, 1))
        {
            tracing::warn!(path = %path.display(), %error, "a log is cut without a copy");
            fs::remove_file(numbered(path, 1)).ok();
        }
        OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?.set_len(0)
    }

    /// The row comes first, since names may change and be given again.
    fn path(&self, server: &Identity) -> PathBuf {
        let mut name = format!("{}.{}", server.spawner, safe(&server.user));
        if !server.server.is_empty() {
            name = format!("{name}.{}", safe(&server.server));
        }
        self.folder.join(format!("{name}.log"))
    }
}

/// The line before what one start of a server writes.
fn heading(server: &Identity) -> String {
    format!("=== start {} ===\n", server.generation)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};

    fn server() -> Identity {
        Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "../anna".into(),
            server: "gpu".into(),
            account: None,
        }
    }

    #[test]
    fn the_last_lines_are_those_of_this_start() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), 10_000, 0).unwrap();
        let again = Identity { generation: Generation(2), ..server() };
        writeln!(logs.append(&server()).unwrap(), "the first life").unwrap();
        writeln!(logs.append(&again).unwrap(), "the second life").unwrap();
        assert_eq!(logs.tail(&again, 10).unwrap(), "the second life");
    }

    #[test]
    fn a_log_stays_bounded_while_its_writer_keeps_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), 100, 2).unwrap();
        let mut writer = logs.append(&server()).unwrap();
        for line in 0..100 {
            writeln!(writer, "line {line}").unwrap();
            logs.rotate().unwrap();
        }
        let sizes: Vec<u64> =
            fs::read_dir(&logs.folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|size| *size <= 110), "{sizes:?}");
        writeln!(writer, "the last").unwrap();
        assert!(logs.tail(&server(), 1).unwrap() == "the last");
        logs.remove(&server()).unwrap();
        assert_eq!(fs::read_dir(&logs.folder).unwrap().count(), 0);
        assert_eq!(logs.tail(&server(), 5).unwrap(), "");
    }

    #[test]
    fn a_link_in_place_of_a_log_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), 100, 2).unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, logs.path(&server())).unwrap();
        assert!(logs.append(&server()).is_err());
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    }
}

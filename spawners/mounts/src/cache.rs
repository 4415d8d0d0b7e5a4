//! What rclone's cache still holds that is not in the store, read from its own files.
//!
//! Beside each cached file rclone keeps a JSON object with `Dirty`, true from the first write until the upload is over.
//! That is true also of a cache whose rclone was killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::Utc;
use nix::unistd::{Whence, lseek};
use serde::Deserialize;
use serde_json::json;

use crate::place;

/// Files that are not in the store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dirty {
    /// How many.
    pub files: u64,
    /// Their sizes together, as far as known.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Size", default)]
    size: i64,
    #[serde(rename = "Dirty", default)]
    dirty: bool,
}

/// Counts them below a cache folder; none when there is no such folder.
pub fn dirty(cache: &Path) -> io::Result<Dirty> {
    let mut found = Dirty::default();
    each(cache, |_, text| {
        // What cannot be read counts: it may be half written, and a file that is no more is no harm to wait for.
        let meta = serde_json::from_slice(text).unwrap_or(Meta { size: 0, dirty: true });
        if meta.dirty {
            found.files += 1;
            found.bytes += u64::try_from(meta.size).unwrap_or_default();
        }
        Ok(())
    })?;
    Ok(found)
}

/// A cached file whose note an rclone that was killed had half written. The next one would throw it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfNoted {
    note: PathBuf,
    /// The file itself.
    pub data: PathBuf,
    /// Bytes of it.
    pub size: u64,
    /// Where it is in the store: the name of the remote, the bucket and the key, with slashes between.
    pub name: String,
}

/// Finds them, where no rclone is at work. A file with holes is not all here, and is left to be thrown away.
pub fn half_noted(cache: &Path) -> io::Result<Vec<HalfNoted>> {
    let mut found = Vec::new();
    each(cache, |note, text| {
        if serde_json::from_slice::<Meta>(text).is_ok() {
            return Ok(());
        }
        let Ok(name) = note.strip_prefix(cache.join("vfsMeta")) else { return Ok(()) };
        let data = cache.join("vfs").join(name);
        let Some(file) = place::absent_is_none(fs::File::open(&data))? else { return Ok(()) };
        let size = file.metadata()?.len();
        let end = i64::try_from(size).map_err(io::Error::other)?;
        if let (Some(name), true) = (name.to_str(), size > 0 && lseek(&file, 0, Whence::SeekHole)? >= end) {
            found.push(HalfNoted { note: note.to_owned(), data, size, name: name.to_owned() });
        }
        Ok(())
    })?;
    Ok(found)
}

impl HalfNoted {
    /// Notes that the file is still to be uploaded.
    pub fn note(&self) -> io::Result<()> {
        let (now, size) = (Utc::now().to_rfc3339(), self.size);
        let meta = json!({
            "ModTime": now, "ATime": now, "Size": size, "Rs": [{"Pos": 0, "Size": size}], "Fingerprint": "", "Dirty": true,
        });
        fs::write(&self.note, meta.to_string())
    }

    /// The same under a name that nothing has, for the store has something else under the other one.
    pub fn set_aside(&self) -> io::Result<Self> {
        let now = Utc::now().format("%Y%m%d-%H%M%S%3f");
        let aside = |path: &Path| {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(format!(".recovered-{now}"));
            if let Some(extension) = path.extension() {
                name.push(".");
                name.push(extension);
            }
            path.with_file_name(name)
        };
        let data = aside(&self.data);
        let note = self.note.with_file_name(data.file_name().unwrap_or_default());
        let name = aside(Path::new(&self.name)).display().to_string();
        let aside = Self { note, data, size: self.size, name };
        // A note without a file is no harm; a file without a note would be thrown away.
        aside.note()?;
        fs::rename(&self.data, &aside.data)?;
        fs::remove_file(&self.note)?;
        Ok(aside)
    }
}

/// Shows what stands beside each cached file.
fn each(cache: &Path, mut see: impl FnMut(&Path, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut folders = vec![cache.join("vfsMeta")];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It may be cleaned up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = match fs::read(entry.path()) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            see(&entry.path(), &text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_uploaded_is_counted_and_the_unreadable_too() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(dirty(folder.path()).unwrap(), Dirty::default());
        let meta = folder.path().join("vfsMeta/store/anna/deep");
        fs::create_dir_all(&meta).unwrap();
        fs::write(meta.join("clean"), r#"{"Size": 5, "Dirty": false}"#).unwrap();
        assert_eq!(dirty(folder.path()).unwrap(), Dirty::default());
        fs::write(meta.join("new"), r#"{"Size": 7, "Dirty": true}"#).unwrap();
        fs::write(meta.join("broken"), r#"{"Size": 7, "Di"#).unwrap();
        assert_eq!(dirty(folder.path()).unwrap(), Dirty { files: 2, bytes: 7 });
        // Without its data there is nothing to mend.
        assert_eq!(half_noted(folder.path()).unwrap(), []);
        let data = folder.path().join("vfs/store/anna/deep");
        fs::create_dir_all(&data).unwrap();
        let holes = fs::File::create(data.join("broken")).unwrap();
        holes.set_len(1 << 20).unwrap();
        assert_eq!(half_noted(folder.path()).unwrap(), [], "what is not all here is not to be uploaded");
        fs::write(data.join("broken"), "all of it").unwrap();
        let found = half_noted(folder.path()).unwrap();
        assert_eq!((found.len(), found[0].name.as_str(), found[0].size), (1, "store/anna/deep/broken", 9));
        found[0].note().unwrap();
        assert_eq!(dirty(folder.path()).unwrap(), Dirty { files: 2, bytes: 16 });
        assert_eq!(half_noted(folder.path()).unwrap(), []);
        fs::write(meta.join("broken"), "").unwrap();
        let aside = half_noted(folder.path()).unwrap()[0].set_aside().unwrap();
        assert_eq!(fs::read(&aside.data).unwrap(), b"all of it");
        assert!(!data.join("broken").exists() && !meta.join("broken").exists());
        assert_eq!(dirty(folder.path()).unwrap(), Dirty { files: 2, bytes: 16 });
    }
}

//! What rclone's cache still holds that is not in the store, read from its own files.
//!
//! Beside each cached file rclone keeps a JSON object with `Dirty`, true from the first write until the upload is over.
//! That is true also of a cache whose rclone was killed.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

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
            // What cannot be read counts: it may be half written, and a file that is no more is no harm to wait for.
            let meta = serde_json::from_slice(&text).unwrap_or(Meta { size: 0, dirty: true });
            if meta.dirty {
                found.files += 1;
                found.bytes += u64::try_from(meta.size).unwrap_or_default();
            }
        }
    }
    Ok(found)
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
    }
}

//! What rclone's cache still holds that is not in the store, read from its own files.
//!
//! Beside each cached file rclone keeps a JSON object with `Dirty`, true from the first write until the upload is over.
//! That is true also of a cache whose rclone was killed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chrono::Utc;
use serde::Deserialize;
use serde_json::json;

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

/// Writes anew what an rclone that was killed had half written, for the next one would throw the file away with it. Only
/// where no rclone is at work. Returns how many. A file with holes is not all here, and stays as it is.
pub fn mend(cache: &Path) -> io::Result<u64> {
    let mut mended = 0;
    each(cache, |path, text| {
        if serde_json::from_slice::<Meta>(text).is_ok() {
            return Ok(());
        }
        let Ok(name) = path.strip_prefix(cache.join("vfsMeta")) else { return Ok(()) };
        let Ok(data) = fs::metadata(cache.join("vfs").join(name)) else { return Ok(()) };
        if data.blocks() * 512 < data.len() {
            return Ok(());
        }
        let now = Utc::now().to_rfc3339();
        let meta = json!({
            "ModTime": now, "ATime": now, "Size": data.len(), "Rs": [{"Pos": 0, "Size": data.len()}], "Fingerprint": "",
            "Dirty": true,
        });
        fs::write(path, meta.to_string())?;
        mended += 1;
        Ok(())
    })?;
    Ok(mended)
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
        assert_eq!(mend(folder.path()).unwrap(), 0);
        let data = folder.path().join("vfs/store/anna/deep");
        fs::create_dir_all(&data).unwrap();
        let holes = fs::File::create(data.join("broken")).unwrap();
        holes.set_len(1 << 20).unwrap();
        assert_eq!(mend(folder.path()).unwrap(), 0, "what is not all here is not to be uploaded");
        fs::write(data.join("broken"), "all of it").unwrap();
        assert_eq!(mend(folder.path()).unwrap(), 1);
        assert_eq!(dirty(folder.path()).unwrap(), Dirty { files: 2, bytes: 16 });
        assert_eq!(mend(folder.path()).unwrap(), 0);
    }
}

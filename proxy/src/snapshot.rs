//! The last known routes on disk.
//!
//! The file is a piece of the route stream: a snapshot line, then change lines. A change costs one
//! appended line; when those outgrow the snapshot, the file is written anew beside and renamed. It
//! survives a killed process, not a power cut: then the labs are gone as well.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::wire::Line;

/// Appended bytes that are always allowed, so that small tables are not rewritten at each change.
const SLACK: u64 = 1 << 20;

/// The file, open for appending once this process has written it.
pub(crate) struct Store {
    path: PathBuf,
    file: Option<File>,
    base: u64,
    appended: u64,
}

impl Store {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, base: 0, appended: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lines of the file; none when there is no file. What follows a torn line is left out.
    pub(crate) fn load(&self) -> io::Result<Vec<Line>> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => file.read_to_end(&mut text)?,
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        let lines = text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        Ok(lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Whether the file must be written anew before or instead of appending.
    pub(crate) fn wants_whole(&self) -> bool {
        self.file.is_none() || self.appended > self.base.max(SLACK)
    }

    /// Writes the whole table and renames it into place.
    pub(crate) fn write(&mut self, whole: &Line) -> io::Result<()> {
        self.file = None;
        let text = text_of(&[whole])?;
        let beside = beside(&self.path);
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        std::fs::rename(&beside, &self.path)?;
        (self.base, self.appended) = (text.len() as u64, 0);
        self.file = Some(file);
        Ok(())
    }

    /// Appends changes. After an error the next write is a whole one.
    pub(crate) fn append(&mut self, changes: &[&Line]) -> io::Result<()> {
        let text = text_of(changes)?;
        let mut file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        file.write_all(&text)?;
        self.appended += text.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}

fn text_of(lines: &[&Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Route;

    fn whole(revision: u64) -> Line {
        let route = Route { prefix: "/a/".into(), target: "http://a:1".into(), data: Default::default() };
        Line::Snapshot { epoch: "e".into(), revision, routes: vec![route] }
    }

    fn change(revision: u64) -> Line {
        Line::Change { epoch: "e".into(), revision, put: vec![], delete: vec!["/a/".into()] }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::new(folder.path().join("routes"));
        assert_eq!(store.load().unwrap(), []);
        assert!(store.wants_whole());
        store.write(&whole(1)).unwrap();
        assert!(!store.wants_whole());
        store.append(&[&change(2), &change(3)]).unwrap();
        assert_eq!(store.load().unwrap(), [whole(1), change(2), change(3)]);
        store.write(&whole(4)).unwrap();
        assert_eq!(store.load().unwrap(), [whole(4)]);
    }

    #[test]
    fn a_torn_or_broken_line_ends_what_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes");
        let mut store = Store::new(path.clone());
        store.write(&whole(1)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for tail in ["{\"type\":\"change\",\"epo", "garbage\n", "{\"type\":\"other\"}\n"] {
            let mut text = good.clone();
            text.extend_from_slice(tail.as_bytes());
            std::fs::write(&path, text).unwrap();
            assert_eq!(store.load().unwrap(), [whole(1)], "{tail}");
        }
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes");
        Store::new(path.clone()).write(&whole(1)).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

//! What becomes of the folders of people who are deleted: kept in the trash, with a date, and removed after that.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::name;
use serde::{Deserialize, Serialize};

use super::{exists, is_empty_folder, move_to};

/// Below the root.
const FOLDER: &str = "trash";
/// In the folder of an entry.
const DESCRIPTION: &str = "entry.json";
/// The beginning of what is being removed. No entry begins so.
const GOING: &str = "going-";

/// The folders of one person who was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its own name, by which it is restored.
    #[serde(skip)]
    pub name: String,
    /// Who it was.
    pub user: String,
    /// The same by number; absent in what was put there before that was noted.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// When.
    pub deleted_at: Time,
    /// When it is removed; absent for never.
    pub remove_at: Option<Time>,
    /// What there was, below the root.
    pub paths: Vec<PathBuf>,
}

/// Moves a person's folders to the trash. `None` when there are none.
pub fn put(root: &Path, paths: &[PathBuf], (user, id): (&str, UserId), now: Time, days: u32) -> Result<Option<Entry>> {
    let mut there = Vec::new();
    for path in paths {
        if exists(&root.join(path))? {
            there.push(path.clone());
        }
    }
    if there.is_empty() {
        return Ok(None);
    }
    let remove_at = end(now, days);
    let (name, user_id) = (String::new(), Some(id));
    let mut entry = Entry { name, user: user.to_owned(), user_id, deleted_at: now, remove_at, paths: there };
    let trash = root.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&trash)?;
    entry.name = new_folder(&trash, &name_of(user, now))?;
    let folder = trash.join(&entry.name);
    // Written before anything is moved: whatever is cut off here can be restored.
    fs::write(folder.join(DESCRIPTION), serde_json::to_vec_pretty(&entry)?)?;
    for path in &entry.paths {
        if let Err(error) = move_to(&root.join(path), &folder.join(path)) {
            if let Err(error) = restore(root, &entry.name) {
                tracing::error!(user, "what was moved to the trash already stays there: {error:#}");
            }
            return Err(error).with_context(|| format!("{} cannot be moved to the trash", root.join(path).display()));
        }
    }
    Ok(Some(entry))
}

/// The name of the entry of who is deleted now.
pub fn name_of(user: &str, now: Time) -> String {
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), name::safe_part(user))
}

/// Until when what is put into the trash now is kept; absent for ever.
pub fn end(now: Time, days: u32) -> Option<Time> {
    (days > 0).then(|| now + TimeDelta::days(days.into()))
}

fn new_folder(trash: &Path, wanted: &str) -> io::Result<String> {
    for number in 0.. {
        let name = if number == 0 { wanted.to_owned() } else { format!("{wanted}-{number}") };
        match DirBuilder::new().mode(0o700).create(trash.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => return outcome.map(|()| name),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Lists what is in the trash, the oldest first. What is not understood is passed over, and told in the log.
pub fn list(root: &Path) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    let entries = match fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(GOING) {
            continue;
        }
        match read(root, &name) {
            Ok(entry) => all.push(entry),
            Err(error) => tracing::warn!("in the trash, {name} is not understood: {error:#}"),
        }
    }
    all.sort_by(|one, other| (one.deleted_at, &one.name).cmp(&(other.deleted_at, &other.name)));
    Ok(all)
}

fn read(root: &Path, name: &str) -> Result<Entry> {
    let text = fs::read(root.join(FOLDER).join(name).join(DESCRIPTION))?;
    let entry: Entry = serde_json::from_slice(&text)?;
    // Who can write here can do everything; but a slip of an editor should not.
    let odd = |path: &PathBuf| path.is_absolute() || path.components().any(|part| part.as_os_str() == "..");
    if entry.paths.iter().any(odd) {
        bail!("its paths lead out of the root");
    }
    Ok(Entry { name: name.to_owned(), ..entry })
}

/// Moves what is in an entry back to where it was. Fails, without a change, when something is there by now.
pub fn restore(root: &Path, name: &str) -> Result<Entry> {
    check(name)?;
    let entry = read(root, name).with_context(|| format!("there is no entry “{name}” in the trash"))?;
    let folder = root.join(FOLDER).join(name);
    let mut moves = Vec::new();
    for path in &entry.paths {
        let (old, new) = (folder.join(path), root.join(path));
        if !exists(&old)? {
            continue;
        }
        if exists(&new)? && !is_empty_folder(&new) {
            bail!("{} has files by now; move them away first", new.display());
        }
        moves.push((old, new));
    }
    for (old, new) in moves {
        if exists(&new)? {
            fs::remove_dir(&new)?;
        }
        move_to(&old, &new).with_context(|| format!("{} cannot be restored", new.display()))?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(entry)
}

/// Removes an entry for good, before its day.
pub fn remove(root: &Path, name: &str) -> Result<Entry> {
    check(name)?;
    let entry = read(root, name).with_context(|| format!("there is no entry “{name}” in the trash"))?;
    let (trash, going) = (root.join(FOLDER), format!("{GOING}{name}"));
    fs::rename(trash.join(name), trash.join(&going))?;
    fs::remove_dir_all(trash.join(&going))?;
    Ok(entry)
}

/// Whether there is an entry of this name.
pub fn has(root: &Path, name: &str) -> Result<bool> {
    check(name)?;
    Ok(exists(&root.join(FOLDER).join(name))?)
}

fn check(name: &str) -> Result<()> {
    if name.contains('/') || name.starts_with('.') || name.starts_with(GOING) || name.is_empty() {
        bail!("“{name}” is no entry of the trash");
    }
    Ok(())
}

/// Removes for good what is due, but for some entries, and what an earlier removal left. Returns what was removed now.
pub fn empty(root: &Path, now: Time, stay: &BTreeSet<String>) -> Result<Vec<Entry>> {
    let trash = root.join(FOLDER);
    let mut removed = Vec::new();
    for entry in list(root)? {
        if entry.remove_at.is_none_or(|end| now < end) || stay.contains(&entry.name) {
            continue;
        }
        // Away under another name first: half of it is nothing to restore.
        fs::rename(trash.join(&entry.name), trash.join(format!("{GOING}{}", entry.name)))?;
        removed.push(entry);
    }
    if let Ok(entries) = fs::read_dir(&trash) {
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(GOING)) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("{} cannot be removed", entry.path().display()))?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const ANNA: (&str, UserId) = ("anna", UserId(1));

    fn none() -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn at(days: i64) -> Time {
        DateTime::UNIX_EPOCH + TimeDelta::days(days)
    }

    /// A root where anna has two folders.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in ["users/anna", "shared/anna", "users/bob"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
            fs::write(root.path().join(path).join("x"), path).unwrap();
        }
        root
    }

    fn paths() -> Vec<PathBuf> {
        ["shared/anna", "users/anna"].map(PathBuf::from).to_vec()
    }

    #[test]
    fn what_is_in_the_trash_can_be_restored_until_its_day() {
        let root = root();
        let root = root.path();
        let entry = put(root, &paths(), ANNA, at(1), 30).unwrap().unwrap();
        assert_eq!(entry.remove_at, Some(at(31)));
        assert!(!root.join("users/anna").exists() && root.join("users/bob/x").exists());
        assert_eq!(list(root).unwrap(), std::slice::from_ref(&entry));
        assert_eq!(empty(root, at(30), &none()).unwrap(), []);
        assert_eq!(restore(root, &entry.name).unwrap(), entry);
        assert_eq!(fs::read_to_string(root.join("users/anna/x")).unwrap(), "users/anna");
        assert_eq!(fs::read_to_string(root.join("shared/anna/x")).unwrap(), "shared/anna");
        assert_eq!(list(root).unwrap(), []);
    }

    #[test]
    fn after_its_day_it_is_gone_and_nothing_else_is() {
        let root = root();
        let root = root.path();
        let early = put(root, &paths(), ANNA, at(1), 30).unwrap().unwrap();
        let stay = [early.name.clone()].into();
        let never = put(root, &["users/bob".into()], ("bob", UserId(2)), at(1), 0).unwrap().unwrap();
        assert_eq!(empty(root, at(31), &stay).unwrap(), []);
        assert_eq!(empty(root, at(31), &none()).unwrap(), [early]);
        assert_eq!(empty(root, at(9999), &none()).unwrap(), []);
        assert_eq!(list(root).unwrap(), [never]);
        assert_eq!(fs::read_dir(root.join("trash")).unwrap().count(), 1);
    }

    #[test]
    fn a_removal_that_was_cut_off_is_finished() {
        let root = root();
        fs::create_dir_all(root.path().join("trash/going-x/users/carl")).unwrap();
        empty(root.path(), at(0), &none()).unwrap();
        assert!(!root.path().join("trash/going-x").exists());
    }

    #[test]
    fn somebody_new_of_the_same_name_keeps_what_is_theirs() {
        let root = root();
        let root = root.path();
        let first = put(root, &paths(), ANNA, at(1), 30).unwrap().unwrap();
        fs::create_dir_all(root.join("users/anna")).unwrap();
        fs::write(root.join("users/anna/new"), "new").unwrap();
        let error = restore(root, &first.name).unwrap_err();
        assert!(error.to_string().contains("has files by now"), "{error}");
        assert!(!root.join("shared/anna").exists(), "nothing was moved");
        let second = put(root, &paths(), ANNA, at(1), 30).unwrap().unwrap();
        assert_ne!(first.name, second.name);
        fs::create_dir_all(root.join("users/anna")).unwrap();
        restore(root, &first.name).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("users/anna/x")).unwrap(),
            "users/anna",
            "an empty folder is no hindrance"
        );
    }

    #[test]
    fn who_has_no_folders_leaves_nothing_and_odd_names_find_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(put(root.path(), &paths(), ANNA, at(0), 30).unwrap(), None);
        assert!(!root.path().join("trash").exists());
        for odd in ["", "..", "../users", "a/b", "nothing"] {
            restore(root.path(), odd).unwrap_err();
            remove(root.path(), odd).unwrap_err();
        }
    }

    #[test]
    fn an_entry_that_is_removed_is_gone_before_its_day() {
        let root = root();
        let root = root.path();
        let entry = put(root, &paths(), ANNA, at(1), 0).unwrap().unwrap();
        assert!(has(root, &entry.name).unwrap());
        assert_eq!(remove(root, &entry.name).unwrap(), entry);
        assert!(!has(root, &entry.name).unwrap() && root.join("users/bob/x").exists());
        assert_eq!(fs::read_dir(root.join("trash")).unwrap().count(), 0);
    }
}

//! Folders of the machine that servers see: made before a start, renamed with their person, and put into the trash.
//!
//! Homes that are volumes of a container engine go the same way: `volumes.rs`.
//!
//! Which there are is decided in `keeper/folders.rs`. Everything is below one root that only the hub's user can enter;
//! servers reach what is theirs through binds alone. All of this is blocking work.

pub mod people;
pub mod trash;
pub mod volumes;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::keeper::folders::{Use, Wanted};

/// Makes what is missing. What is there keeps its bits and has to belong to `owner` already, or be empty.
pub fn make(root: &Path, wanted: &[Wanted], owner: (u32, u32)) -> Result<()> {
    folder(root, 0o700)?;
    for Wanted { path, use_of } in wanted {
        let whole = root.join(path);
        if let Some(parent) = whole.parent().filter(|parent| *parent != root) {
            // Entered by people in their servers only where it is bound itself; then it is wanted itself, before.
            folder(parent, 0o700)?;
        }
        match use_of {
            Use::Nobody => {
                folder(&whole, 0o755)?;
                // A second area may have made it as the parent of its own.
                fs::set_permissions(&whole, Permissions::from_mode(0o755))?;
            }
            // In a shared area everybody reads; who may not does not get there.
            Use::Own => owned(&whole, 0o755, owner)?,
            Use::Members => owned(&whole, 0o2777, owner)?,
        }
    }
    Ok(())
}

/// Makes a folder, unless there is one. Returns whether it did.
fn folder(path: &Path, mode: u32) -> Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode & 0o777)
        .create(path)
        .with_context(|| format!("the folder {} cannot be made", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(true)
}

fn owned(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<()> {
    folder(path, mode)?;
    let found = fs::metadata(path)?.uid();
    if found == uid || mode & 0o2000 != 0 && found != 0 {
        return Ok(());
    }
    // One that was made a moment ago, or by hand and for nobody yet.
    if fs::read_dir(path)?.next().is_some() {
        bail!("the folder {} belongs to the user {found}, and servers run as {uid}", path.display());
    }
    chown(path, Some(uid), Some(gid)).with_context(|| format!("the folder {} cannot be given away", path.display()))?;
    // Giving away takes these bits off.
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Gives a person's folders another name, all or none. `pairs` are old and new, below the root.
pub fn rename(root: &Path, pairs: &[(PathBuf, PathBuf)]) -> Result<()> {
    let mut done: Vec<(PathBuf, PathBuf)> = Vec::new();
    for (old, new) in pairs {
        let (old, new) = (root.join(old), root.join(new));
        if !exists(&old)? {
            continue;
        }
        let outcome = if is_empty_folder(&new) { fs::remove_dir(&new) } else { Ok(()) };
        let outcome = outcome.and_then(|()| move_to(&old, &new));
        if let Err(error) = outcome {
            for (old, new) in done.iter().rev() {
                if let Err(error) = fs::rename(new, old) {
                    tracing::error!(folder = %new.display(), "cannot be given its old name back: {error}");
                }
            }
            return Err(error).with_context(|| format!("the folder {} cannot be renamed", old.display()));
        }
        done.push((old, new));
    }
    Ok(())
}

/// As `rename`, but never over something.
fn move_to(old: &Path, new: &Path) -> io::Result<()> {
    if exists(new)? {
        let text = format!("there is {} already", new.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    if let Some(parent) = new.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    fs::rename(old, new)
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> (u32, u32) {
        (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
    }

    fn wanted(path: &str, use_of: Use) -> Wanted {
        Wanted { path: path.into(), use_of }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn folders_are_made_with_owner_and_bits_and_making_them_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("srv");
        let owner = if nix::unistd::geteuid().is_root() { (1234, 100) } else { me() };
        let all = [
            wanted("users/anna", Use::Own),
            wanted("shared", Use::Nobody),
            wanted("shared/anna", Use::Own),
            wanted("groups/cms", Use::Members),
        ];
        make(&root, &all, owner).unwrap();
        fs::write(root.join("users/anna/notebook"), "work").unwrap();
        make(&root, &all, owner).unwrap();
        let expected =
            [("", 0o700), ("users", 0o700), ("users/anna", 0o755), ("shared", 0o755), ("groups/cms", 0o2777)];
        for (path, bits) in expected {
            assert_eq!(mode(&root.join(path)), bits, "{path}");
        }
        assert_eq!(fs::metadata(root.join("shared/anna")).unwrap().uid(), owner.0);
        assert_eq!(fs::metadata(root.join("shared")).unwrap().uid(), me().0, "the person owns a part of it, not all");
        assert_eq!(fs::read_to_string(root.join("users/anna/notebook")).unwrap(), "work");
    }

    #[test]
    fn a_folder_with_files_of_somebody_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        fs::create_dir_all(root.join("users/anna")).unwrap();
        fs::write(root.join("users/anna/x"), "").unwrap();
        let error = make(&root, &[wanted("users/anna", Use::Own)], (me().0 + 77, 100)).unwrap_err();
        assert!(error.to_string().contains("belongs to the user"), "{error}");
        assert_eq!(fs::metadata(root.join("users/anna")).unwrap().uid(), me().0);
    }

    #[test]
    fn a_new_name_takes_all_folders_along_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["users/anna", "shared/anna", "users/taken"] {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("x"), path).unwrap();
        }
        let pair =
            |name: &str, new: &str| (PathBuf::from(format!("{name}/anna")), PathBuf::from(format!("{name}/{new}")));
        rename(root, &[pair("shared", "taken"), pair("users", "taken")]).unwrap_err();
        assert_eq!(fs::read_to_string(root.join("shared/anna/x")).unwrap(), "shared/anna", "it was taken back");
        assert_eq!(fs::read_to_string(root.join("users/taken/x")).unwrap(), "users/taken");
        rename(root, &[pair("shared", "ann"), pair("users", "ann"), pair("groups", "ann")]).unwrap();
        assert_eq!(fs::read_to_string(root.join("users/ann/x")).unwrap(), "users/anna");
        assert!(!root.join("users/anna").exists());
    }
}

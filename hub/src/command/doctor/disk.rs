//! Room and rights where the hub writes.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::engine;
use super::finding::Finding;
use crate::config::Config;
use crate::config::address::is_loopback;
use crate::config::spawner::Driver;

/// Less than this fails.
const LEAST: u64 = 1 << 30;
/// Less than this part of the whole is worth a look.
const SCARCE_PERCENT: u64 = 10;

/// A file system as it stands.
struct Room {
    free: u64,
    size: u64,
    free_files: u64,
    files: u64,
}

/// Looks at the data folder, at the homes, at the folders of the machine that servers see, and at the container engine's own.
pub async fn check(config: &Config) -> Vec<Finding> {
    let data = &config.hub.data_dir;
    let mut folders = vec![("data folder", data.clone())];
    if config.spawner.driver == Driver::Local {
        let homes = config.spawner.local.homes_dir.clone().unwrap_or_else(|| data.join("homes"));
        if homes.exists() {
            folders.push(("homes", homes));
        }
    }
    folders.extend(config.folders.root.clone().map(|root| ("folders", root)));
    let mut findings: Vec<Finding> = folders.into_iter().map(|(about, folder)| of_folder(about, &folder)).collect();
    if engine::is_needed(config) {
        findings.extend(of_engine(config).await);
    }
    findings
}

/// Where the engine keeps images, containers and volumes. Nothing where it is elsewhere, or does not answer, which is told by
/// the check for that.
async fn of_engine(config: &Config) -> Option<Finding> {
    if config.spawner.docker.endpoint().machine().is_some_and(|machine| !is_loopback(machine)) {
        return None;
    }
    let info = engine::info(config).await.ok()?;
    let folder = PathBuf::from(info["DockerRootDir"].as_str()?);
    // A hub in a container does not see it.
    folder.is_dir().then(|| of_room("engine's disk", &folder, &folder))
}

fn of_folder(about: &str, folder: &Path) -> Finding {
    let shown = folder.display();
    let there = existing(folder);
    if access(&there, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let user = nix::unistd::Uid::effective();
        let what =
            if there == folder { format!("{shown} cannot be written") } else { format!("{shown} cannot be made") };
        let remedy = format!("Give it to the hub's user: chown {user} {}", there.display());
        return Finding::bad(about, what, remedy);
    }
    of_room(about, folder, &there)
}

/// Judges the file system of a folder that is there, `there`, for another.
fn of_room(about: &str, folder: &Path, there: &Path) -> Finding {
    let shown = folder.display();
    match statvfs(there) {
        Ok(about_it) => {
            let block = about_it.fragment_size();
            let room = Room {
                free: about_it.blocks_available().saturating_mul(block),
                size: about_it.blocks().saturating_mul(block),
                free_files: about_it.files_available(),
                files: about_it.files(),
            };
            judge(about, &shown.to_string(), &room)
        }
        Err(error) => Finding::bad(about, format!("{shown} cannot be looked at: {error}"), ""),
    }
}

/// The folder, or the nearest above it that exists.
fn existing(folder: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().find(|one| one.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn judge(about: &str, folder: &str, room: &Room) -> Finding {
    let part = |free: u64, of: u64| (u128::from(free) * 100).checked_div(u128::from(of)).unwrap_or(100);
    let gigabytes = |bytes: u64| format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000);
    let free = part(room.free, room.size);
    let said = format!("{folder} has {} free ({free} %)", gigabytes(room.free));
    let remedy = "Make room, or move it to a larger disk: with a full one, no start and no login can be kept";
    if room.free < LEAST || (room.files > 0 && part(room.free_files, room.files) == 0) {
        let files = if room.free >= LEAST { ", but no room for more files (inodes)" } else { "" };
        return Finding::bad(about, format!("{said}{files}"), remedy);
    }
    if free < u128::from(SCARCE_PERCENT) {
        return Finding::note(about, said, remedy);
    }
    Finding::good(about, said)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_full_disk_fails_and_a_scarce_one_is_worth_a_look() {
        let level = |free: u64, size: u64, free_files: u64, files: u64| {
            judge("data folder", "/srv", &Room { free, size, free_files, files }).level
        };
        let gigabyte = 1 << 30;
        assert_eq!(level(50 * gigabyte, 100 * gigabyte, 9, 10), Level::Ok);
        assert_eq!(level(5 * gigabyte, 100 * gigabyte, 9, 10), Level::Note);
        assert_eq!(level(gigabyte / 2, gigabyte, 9, 10), Level::Bad);
        assert_eq!(level(50 * gigabyte, 100 * gigabyte, 1, 1000), Level::Bad);
        // Some file systems count no files.
        assert_eq!(level(50 * gigabyte, 100 * gigabyte, 0, 0), Level::Ok);
    }

    #[test]
    fn a_folder_that_is_not_made_yet_is_judged_by_the_one_above() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(existing(&place.path().join("a/b")), place.path());
        let found = of_folder("data folder", &place.path().join("a/b"));
        assert!(found.said.contains("a/b has"), "{found:?}");
    }
}

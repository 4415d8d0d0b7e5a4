//! Under which system user a server runs, and where its home is.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, getgrouplist};
use spawners::{StartError, Unreachable};

use crate::config::{Config, Mode};
use crate::name;

/// A system user, as far as a process needs to know it.
#[derive(Debug, Clone)]
pub struct Account {
    /// The name for `USER` and `LOGNAME`.
    pub name: String,
    /// Who the processes belong to.
    pub uid: Uid,
    /// Their first group.
    pub gid: Gid,
    /// All their groups; absent when nothing is changed, and they keep the hub's user and groups.
    pub groups: Option<Vec<Gid>>,
    /// Where the server starts.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

/// Returns the uid that a user's processes have; nothing when there is no such system user.
///
/// Whatever claims to be a user's server under another uid is an impostor.
pub fn uid_of(user: &str, config: &Config) -> io::Result<Option<Uid>> {
    match config.mode() {
        Mode::System => Ok(User::from_name(user).map_err(io::Error::from)?.map(|found| found.uid)),
        Mode::Folders => Ok(Some(Uid::effective())),
    }
}

/// Decides under whom a user's server runs, and makes the home folder when the hub keeps it.
pub fn resolve(user: &str, config: &Config) -> Result<Account, StartError> {
    match config.mode() {
        Mode::System => system_user(user, config),
        Mode::Folders => own_user(user, config),
    }
}

fn system_user(user: &str, config: &Config) -> Result<Account, StartError> {
    let unknown = || {
        let sentence = format!("There is no system user “{user}” on this machine. Ask the operator to create it.");
        StartError::refused("no_system_user", sentence)
    };
    let found = User::from_name(user).map_err(|errno| Unreachable::new(io::Error::from(errno)))?.ok_or_else(unknown)?;
    not_as_root(found.uid, config)?;
    let name = CString::new(found.name.as_str()).map_err(|_| unknown())?;
    let groups = getgrouplist(&name, found.gid).map_err(|errno| Unreachable::new(io::Error::from(errno)))?;
    Ok(Account {
        name: found.name,
        uid: found.uid,
        gid: found.gid,
        groups: Some(groups),
        home: found.dir,
        shell: found.shell,
    })
}

fn not_as_root(uid: Uid, config: &Config) -> Result<(), StartError> {
    if uid.is_root() && !config.allow_root {
        let sentence = "This server would run as the system's administrator, which this hub does not allow.";
        return Err(StartError::refused("root_not_allowed", sentence));
    }
    Ok(())
}

fn own_user(user: &str, config: &Config) -> Result<Account, StartError> {
    not_as_root(Uid::effective(), config)?;
    let home = config.homes().join(name::safe(user));
    own_folder(&home).map_err(|error| {
        tracing::error!(home = %home.display(), %error, "a home folder could not be made");
        StartError::failed("no_home", "The home folder could not be made. Ask the operator to look at the hub's log.")
    })?;
    let shell = PathBuf::from(if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" });
    Ok(Account { name: user.to_owned(), uid: Uid::effective(), gid: Gid::effective(), groups: None, home, shell })
}

/// Makes a folder that only the hub's user can enter; refuses what is there but is no such folder.
pub fn own_folder(path: &Path) -> io::Result<()> {
    if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", path.display())));
    }
    if found.uid() != Uid::effective().as_raw() {
        let text = format!("{} belongs to another user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

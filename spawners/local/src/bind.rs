//! Folders of the machine under another path, for one server alone: in a mount namespace of its own.
//!
//! Whatever is mounted on the machine later appears in it too, so that a folder that is mounted anew comes back.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use spawners::{Bind, StartError};

/// A bind, ready to be made between fork and exec.
pub struct Bound {
    source: CString,
    target: CString,
    read_only: bool,
}

/// Makes the folders that others are bound to, but for those that are inside of what is bound.
pub fn make_targets(binds: &[Bind]) -> Result<(), StartError> {
    for bind in binds {
        let inside = |other: &Bind| other.target != bind.target && bind.target.starts_with(&other.target);
        if binds.iter().any(inside) || bind.target.is_dir() {
            continue;
        }
        fs::create_dir_all(&bind.target).map_err(|error| {
            let target = bind.target.display();
            tracing::error!(%target, %error, "the place for a folder of a server cannot be made");
            StartError::failed("no_folder", format!("There is no place for the folder {target} on this machine."))
        })?;
    }
    Ok(())
}

/// Prepares all that needs memory.
pub fn prepare(binds: &[Bind]) -> io::Result<Vec<Bound>> {
    let bound = |bind: &Bind| {
        let (source, target) = (bind.source.as_os_str().as_bytes(), bind.target.as_os_str().as_bytes());
        Ok(Bound { source: CString::new(source)?, target: CString::new(target)?, read_only: bind.read_only })
    };
    binds.iter().map(bound).collect()
}

/// Makes them, in their order. For a child after fork: neither allocates nor locks.
pub fn apply(binds: &[Bound]) -> nix::Result<()> {
    let none: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    for Bound { source, target, read_only } in binds {
        mount(Some(source.as_c_str()), target.as_c_str(), none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
        if *read_only {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(none, target.as_c_str(), none, flags, none)?;
        }
    }
    Ok(())
}

//! A system user for the time of one test. Needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

pub struct SystemUser {
    name: String,
    uid: u32,
    home: PathBuf,
}

impl SystemUser {
    /// Adds an account whose name begins with this.
    pub fn add(prefix: &str) -> Result<SystemUser> {
        let name = format!("{prefix}{}", std::process::id() % 100_000);
        let status = Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", &name]).status()?;
        ensure!(status.success(), "useradd {name}: {status}");
        let user = nix::unistd::User::from_name(&name)?.context("the user just made")?;
        Ok(SystemUser { name, uid: user.uid.as_raw(), home: user.dir })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Copies a file to a folder that is made readable for everybody, and gives the copy.
    pub fn readable_copy(&self, file: &Path, folder: &Path) -> Result<PathBuf> {
        let copy = folder.join(file.file_name().context("a file's name")?);
        fs::copy(file, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }
}

impl Drop for SystemUser {
    fn drop(&mut self) {
        let mut command = Command::new("userdel");
        let _ = command.args(["--remove", "--force", &self.name]).stderr(Stdio::null()).status();
    }
}

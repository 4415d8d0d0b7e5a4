//! Key and certificate of a server or a service, in the home folder of its user: written by that user, between fork and exec, so
//! that nobody's links lead the hub anywhere, and so that a home on a network takes them.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{mkdir, unlink, write};
use spawners::{Papers, Plan, StartError};

use crate::port;

/// Files ready to be written.
#[derive(Default)]
pub struct Written {
    folders: Vec<CString>,
    files: Vec<(CString, Vec<u8>)>,
    variables: Vec<(OsString, OsString)>,
}

/// Has the papers of a server made that is to have any. `url` is where it is told to listen.
pub fn made(plan: &Plan, url: &str, home: &Path) -> Result<Written, StartError> {
    let Some(certify) = &plan.certify else { return Ok(Written::default()) };
    let no_certificate = |what: String| {
        tracing::error!("no certificate for a server: {what}");
        StartError::failed(
            "no_certificate",
            "The server could not be given a certificate. Ask the people who run this hub.",
        )
    };
    let here =
        port::host(url).map(|(ip, _)| ip.to_string()).ok_or_else(|| no_certificate(format!("{url} is no place")))?;
    let papers = certify.certify(&["localhost".to_owned(), here]).map_err(no_certificate)?;
    // A folder each: named servers of a person share a home.
    let name = format!("ssl-{}", plan.identity.spawner);
    Written::prepare(&papers, &home.join(".jupyterhub"), &name).map_err(|error| no_certificate(error.to_string()))
}

fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

impl Written {
    /// Prepares them for a folder of this name in another, both of which are made where they are missing.
    pub fn prepare(papers: &Papers, above: &Path, name: &str) -> io::Result<Self> {
        let folder = above.join(name);
        let mut written = Self { folders: vec![path(above)?, path(&folder)?], ..Self::default() };
        for (variable, name, content) in papers.files() {
            let file: PathBuf = folder.join(name);
            written.files.push((path(&file)?, content.as_bytes().to_vec()));
            written.variables.push((variable.into(), file.into_os_string()));
        }
        Ok(written)
    }

    /// The variables that lead to them.
    pub fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// Writes them, in place of those of before. For a child after fork, as its user: neither allocates nor locks.
    pub fn apply(&self) -> nix::Result<()> {
        for folder in &self.folders {
            match mkdir(folder.as_c_str(), Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        for (file, content) in &self.files {
            match unlink(file.as_c_str()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened = open(file.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                let count = write(opened.as_fd(), rest)?;
                rest = rest.get(count..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::secret::Secret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_their_users_alone_and_take_the_place_of_links() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let papers = Papers { key: Secret::new("key"), certificate: "certificate".into(), authorities: "ca".into() };
        let written = Written::prepare(&papers, &home.path().join(".jupyterhub"), "ssl-7").unwrap();
        written.apply().unwrap();
        let key = home.path().join(".jupyterhub/ssl-7/ssl.key");
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!((std::fs::read_to_string(&key).unwrap().as_str(), mode & 0o777), ("key", 0o600));
        let precious = elsewhere.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink(&precious, &key).unwrap();
        written.apply().unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "key");
        assert_eq!(written.variables()[0], ("JUPYTERHUB_SSL_KEYFILE".into(), key.into_os_string()));
    }
}

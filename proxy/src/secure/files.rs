//! Certificates from files, read again when the files change.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};

use super::identity::Identity;
use crate::reload::Follower;

/// Two PEM files that belong together, which may be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// Its key, in clear.
    pub key: PathBuf,
}

impl CertificateFiles {
    pub(crate) fn paths(&self) -> [PathBuf; 2] {
        [self.certificate.clone(), self.key.clone()]
    }
}

/// Reads all. Errors: one cannot be read, or certificate and key do not belong together.
pub(super) fn load(list: &[CertificateFiles]) -> anyhow::Result<Vec<Identity>> {
    ensure!(!list.is_empty(), "there is no certificate to show");
    list.iter().map(read).collect()
}

fn read(files: &CertificateFiles) -> anyhow::Result<Identity> {
    let text = |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let (chain, key) = (text(&files.certificate)?, text(&files.key)?);
    let identity = Identity::from_pem(&chain, &key)
        .with_context(|| format!("{} with {}", files.certificate.display(), files.key.display()))?;
    tracing::info!(file = %files.certificate.display(), ends = %identity.ends, "certificate read");
    if identity.ends < chrono::Utc::now() {
        tracing::warn!(file = %files.certificate.display(), ends = %identity.ends, "this certificate is over");
    }
    Ok(identity)
}

/// Which content the paths lead to, as far as the file system tells.
type Trace = Vec<Option<(i64, i64, u64, u64)>>;

fn trace(list: &[PathBuf]) -> Trace {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.ino(), found.len()))
    };
    list.iter().map(of).collect()
}

/// Looks at the files now and then, and when told to. What cannot be read leaves in use what was read before, and is told
/// once for each change.
pub(crate) async fn watch(
    list: Vec<PathBuf>,
    look: Duration,
    mut reload: Follower,
    read: impl Fn() -> anyhow::Result<()> + Clone + Send + 'static,
) {
    // From nothing, so that a change between the first reading and now is not missed.
    let mut known = Trace::new();
    loop {
        let told = tokio::time::timeout(look, reload.told()).await.is_ok();
        let (wanted, read) = (list.clone(), read.clone());
        let before = known.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = trace(&wanted);
            let read = if told || now != before { read() } else { Ok(()) };
            (now, read)
        });
        // The thread cannot end early; should it, the next look decides.
        let Ok((now, read)) = looked.await else { continue };
        known = now;
        if let Err(problem) = read {
            tracing::warn!(problem = format!("{problem:#}"), "the new certificate is of no use; the old one stays");
        }
    }
}

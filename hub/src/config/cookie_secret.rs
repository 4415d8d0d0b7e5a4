//! The key that signs cookies: from the configuration, or from JupyterHub's file, which is made at the first start.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::HubConfig;

const BYTES: usize = 32;

/// Returns the key. When there is none yet, `fresh` becomes it. The error is a sentence with the remedy.
pub fn obtain(hub: &HubConfig, fresh: [u8; BYTES]) -> Result<Vec<u8>, String> {
    if let Some(secret) = &hub.cookie_secret {
        return hex::decode(secret.expose()).map_err(|_| "hub.cookie_secret is not hexadecimal".into());
    }
    let path = hub.cookie_secret_path();
    let cannot = |error| format!("The cookie secret file {} cannot be used: {error}", path.display());
    match File::open(&path) {
        Ok(file) => read(&path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => match make(&path, fresh) {
            Ok(()) => Ok(fresh.to_vec()),
            // Another process was quicker: its key counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path, File::open(&path).map_err(cannot)?),
            Err(error) => Err(cannot(error)),
        },
        Err(error) => Err(cannot(error)),
    }
}

fn read(path: &Path, file: File) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let cannot = |error| format!("The cookie secret file {shown} cannot be read: {error}");
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    // JupyterHub's own rule: the group may read it, others may do nothing.
    if mode & 0o007 != 0 {
        return Err(format!("Others may use the cookie secret file {shown}. Run: chmod 600 {shown}"));
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(cannot)?;
    let text = text.trim();
    let key =
        if text.len() == 2 * BYTES { hex::decode(text).ok() } else { STANDARD.decode(text.replace('\n', "")).ok() };
    match key {
        Some(key) if key.len() >= BYTES => Ok(key),
        _ => Err(format!("The cookie secret file {shown} holds no key. Take it away and start again to make one")),
    }
}

/// Writes a whole file beside and links it into place, so that nobody ever reads half a key.
fn make(path: &Path, key: [u8; BYTES]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        writeln!(file, "{}", hex::encode(key))?;
        file.sync_all()?;
        std::fs::hard_link(beside, path)
    })();
    let removed = std::fs::remove_file(beside);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(folder: &Path) -> HubConfig {
        HubConfig { data_dir: folder.into(), ..HubConfig::default() }
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        assert_eq!(obtain(&hub, [7; 32]).unwrap(), [7; 32]);
        assert_eq!(obtain(&hub, [8; 32]).unwrap(), [7; 32]);
        let mode = std::fs::metadata(hub.cookie_secret_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_old_base64_form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        std::fs::write(hub.cookie_secret_path(), STANDARD.encode([9; 32]) + "\n").unwrap();
        std::fs::set_permissions(hub.cookie_secret_path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(obtain(&hub, [7; 32]).unwrap(), [9; 32]);
    }

    #[test]
    fn a_file_others_may_use_and_one_without_a_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        std::fs::write(hub.cookie_secret_path(), "00".repeat(32)).unwrap();
        std::fs::set_permissions(hub.cookie_secret_path(), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(obtain(&hub, [7; 32]).unwrap_err().contains("chmod 600"));
        std::fs::write(hub.cookie_secret_path(), "short").unwrap();
        std::fs::set_permissions(hub.cookie_secret_path(), PermissionsExt::from_mode(0o600)).unwrap();
        assert!(obtain(&hub, [7; 32]).unwrap_err().contains("holds no key"));
    }
}

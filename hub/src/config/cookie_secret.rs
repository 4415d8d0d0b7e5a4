//! The key that signs cookies: from the configuration, or from JupyterHub's file, which is made at the first start.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use hub_core::cookie::CookieSecret;

use super::HubConfig;

/// Returns the key. When there is none yet, `fresh` becomes it. The error is a sentence with the remedy.
pub fn obtain(hub: &HubConfig, fresh: CookieSecret) -> Result<CookieSecret, String> {
    if let Some(secret) = &hub.cookie_secret {
        return CookieSecret::parse(secret.expose())
            .map_err(|error| format!("hub.cookie_secret is of no use: {error}"));
    }
    let path = hub.cookie_secret_path();
    let cannot = |error| format!("The cookie secret file {} cannot be used: {error}", path.display());
    match File::open(&path) {
        Ok(file) => read(&path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => match make(&path, &fresh) {
            Ok(()) => Ok(fresh),
            // Another process was quicker: its key counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path, File::open(&path).map_err(cannot)?),
            Err(error) => Err(cannot(error)),
        },
        Err(error) => Err(cannot(error)),
    }
}

fn read(path: &Path, file: File) -> Result<CookieSecret, String> {
    let shown = path.display();
    let cannot = |error| format!("The cookie secret file {shown} cannot be read: {error}");
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    // JupyterHub's own rule: the group may read it, others may do nothing.
    if mode & 0o007 != 0 {
        return Err(format!("Others may use the cookie secret file {shown}. Run: chmod 600 {shown}"));
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(cannot)?;
    let remedy = "Take it away and start again to make one";
    CookieSecret::parse(&text)
        .map_err(|error| format!("The cookie secret file {shown} is of no use: {error}. {remedy}"))
}

/// Writes a whole file beside and links it into place, so that nobody ever reads half a key.
fn make(path: &Path, key: &CookieSecret) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        file.write_all(key.to_file().as_bytes())?;
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

    fn key(digits: &str) -> CookieSecret {
        CookieSecret::parse(&digits.repeat(32)).unwrap()
    }

    fn obtained(hub: &HubConfig) -> Result<String, String> {
        obtain(hub, key("07")).map(|key| key.to_file().trim().to_owned())
    }

    fn put(hub: &HubConfig, content: &str, mode: u32) {
        std::fs::write(hub.cookie_secret_path(), content).unwrap();
        std::fs::set_permissions(hub.cookie_secret_path(), PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        assert!(obtain(&hub, key("08")).is_ok());
        assert_eq!(obtained(&hub).unwrap(), "08".repeat(32));
        let mode = std::fs::metadata(hub.cookie_secret_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_the_group_may_read_is_taken_as_jupyterhub_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        put(&hub, &"09".repeat(32), 0o640);
        assert_eq!(obtained(&hub).unwrap(), "09".repeat(32));
    }

    #[test]
    fn a_file_others_may_use_and_one_without_a_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path());
        put(&hub, &"00".repeat(32), 0o644);
        assert!(obtained(&hub).unwrap_err().contains("chmod 600"));
        put(&hub, "short", 0o600);
        assert!(obtained(&hub).unwrap_err().contains("is of no use"));
    }
}

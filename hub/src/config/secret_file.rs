//! Secrets kept in files: read with a bound, refused when others may change them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hub_core::secret::Secret;

const LARGEST: u64 = 64 * 1024;

/// What a file gave, and what is to be said about it without refusing it.
#[derive(Debug)]
pub struct FromFile {
    /// The content, without the line end that editors add.
    pub secret: Secret,
    /// A sentence, when others may read it.
    pub warning: Option<String>,
}

/// Reads a secret. The error says what is wrong and what to do, as the rest of a sentence about the option.
pub fn read(path: &Path) -> Result<FromFile, (String, String)> {
    let shown = path.display();
    let refuse = |what: &str, remedy: &str| Err((format!("names {shown}, which {what}"), remedy.to_owned()));
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let about = match std::fs::metadata(path) {
        Ok(about) if about.is_file() => about,
        Ok(_) => return refuse("is not a file", ""),
        Err(error) => return refuse(&format!("cannot be read: {error}"), "Make the file, or take the option out"),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return refuse(&format!("cannot be read: {error}"), ""),
    };
    if others_may_write(&about) {
        return refuse("others may change", &format!("Run: chmod 600 {shown}"));
    }
    let mut text = String::new();
    match file.take(LARGEST + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > LARGEST => return refuse("is too large for a secret", ""),
        Ok(_) => {}
        Err(error) => return refuse(&format!("cannot be read as text: {error}"), ""),
    }
    let content = text.strip_suffix('\n').unwrap_or(&text);
    let content = content.strip_suffix('\r').unwrap_or(content);
    if content.is_empty() {
        return refuse("is empty", "Write the secret into it");
    }
    let warning = world_may_read(&about).then(|| format!("{shown} can be read by everybody on this machine"));
    Ok(FromFile { secret: Secret::new(content), warning })
}

fn others_may_write(about: &Metadata) -> bool {
    about.permissions().mode() & 0o022 != 0
}

fn world_may_read(about: &Metadata) -> bool {
    about.permissions().mode() & 0o004 != 0
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, content).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn one_line_end_is_not_part_of_the_secret() {
        for (content, secret) in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
            let (_folder, path) = file(content.as_bytes(), 0o600);
            let read = read(&path).unwrap();
            assert_eq!(read.secret.expose(), secret);
            assert!(read.warning.is_none());
        }
    }

    #[test]
    fn a_file_that_others_may_change_is_refused_and_one_they_may_read_is_told() {
        let (_folder, path) = file(b"a", 0o660);
        assert!(read(&path).unwrap_err().0.contains("others may change"));
        let (_folder, path) = file(b"a", 0o644);
        assert!(read(&path).unwrap().warning.is_some());
    }

    #[test]
    fn what_holds_no_secret_is_refused() {
        for content in [b"".as_slice(), b"\n", b"\xff\xfe", &[b'a'; 70_000]] {
            let (_folder, path) = file(content, 0o600);
            assert!(read(&path).is_err());
        }
        assert!(read(Path::new("/")).is_err());
        assert!(read(Path::new("/no/such/file")).is_err());
    }
}

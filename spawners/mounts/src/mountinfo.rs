//! What is mounted where, as `/proc/self/mountinfo` tells (proc(5)).

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The number of the one that it is in.
    pub parent: u64,
    /// Where.
    pub point: PathBuf,
    /// The kind of file system, such as `fuse.rclone`.
    pub kind: String,
    /// Whether what is mounted below it appears in its copies.
    pub shared: bool,
}

/// Lists all mounts that this process sees, the newest last.
pub fn all() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Tells what is mounted at this very path; the uppermost, where several are.
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    Ok(all()?.into_iter().rfind(|mount| mount.point == path))
}

/// Tells which mount a path belongs to.
pub fn containing(path: &Path) -> io::Result<Option<Mount>> {
    let holds = |mount: &Mount| path.starts_with(&mount.point);
    Ok(all()?.into_iter().filter(holds).max_by_key(|mount| mount.point.as_os_str().len()))
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let point = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.nth(2)?)));
    let mut shared = false;
    for field in fields.by_ref().skip(1) {
        if field == b"-" {
            break;
        }
        shared |= field.starts_with(b"shared:");
    }
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mount { id, parent, point, kind, shared })
}

/// Undoes `\040` and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Whether a path can be told apart in the table: absolute and without control characters.
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.as_os_str().as_bytes().iter().any(u8::is_ascii_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_blanks_and_its_propagation() {
        let line =
            br"36 35 98:0 /mnt1 /mnt/a\040b rw,noatime master:1 shared:7 - fuse.rclone s3:anna rw,errors=continue";
        let expected = Mount { id: 36, parent: 35, point: "/mnt/a b".into(), kind: "fuse.rclone".into(), shared: true };
        assert_eq!(parse(line), Some(expected));
        let line = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw";
        assert_eq!(
            parse(line),
            Some(Mount { id: 27, parent: 1, point: "/".into(), kind: "ext4".into(), shared: false })
        );
        for broken in [&b""[..], b"1 2 3", b"27 1 254:0 / / rw shared:1"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn this_process_sees_its_root() {
        assert_eq!(at(Path::new("/")).unwrap().unwrap().point, Path::new("/"));
        assert_eq!(containing(Path::new("/proc/1/x")).unwrap().unwrap().kind, "proc");
    }
}

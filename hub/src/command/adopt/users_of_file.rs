//! Which processes of this machine have a file open. Of other people's processes only root is told.

use std::fs;
use std::path::Path;

/// The processes that have the file open, as `process 4711 (jupyterhub)`; this one is not counted.
pub fn find(file: &Path) -> Vec<String> {
    let Ok(file) = file.canonicalize() else { return Vec::new() };
    let mut ids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| *id != std::process::id() && has_open(*id, &file))
        .collect();
    ids.sort_unstable();
    ids.into_iter().map(|id| format!("process {id} ({})", name(id))).collect()
}

fn has_open(id: u32, file: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    open.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file))
}

fn name(id: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "of no name".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_that_reads_a_file_is_found_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jupyterhub.sqlite");
        fs::write(&path, "x").unwrap();
        assert_eq!(find(&path), Vec::<String>::new());
        let open = fs::File::open(&path).unwrap();
        // `cat` waits at its own terminal-less input; the file is its third descriptor through the shell.
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::from(open))
            .spawn()
            .unwrap();
        assert_eq!(find(&path), [format!("process {} (cat)", child.id())]);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(find(&path), Vec::<String>::new());
    }
}

//! Limits on memory and processors: control groups where the hub may make them, else what a process can be told.
//!
//! Without control groups memory is limited by `RLIMIT_DATA`, which counts each process by itself: `RLIMIT_AS` would
//! count reserved addresses too, of which many programs take far more than they use. Processors are then not limited.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where each control group of the hub's servers is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Groups {
    /// Nowhere: the hub may not, or was told not to.
    None,
    /// One tree a controller, as older systems have it.
    Split { memory: PathBuf, cpu: Option<PathBuf> },
    /// The unified tree.
    Unified(PathBuf),
}

/// The root of the control group trees.
const ROOT: &str = "/sys/fs/cgroup";
/// How the names of all groups begin.
const PREFIX: &str = "specola-";
/// The length of a scheduling period, in microseconds, as the kernel's default has it.
const PERIOD: u64 = 100_000;

impl Groups {
    /// Finds out what the system lets the hub do.
    pub fn detect(parent: Option<&Path>) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if Path::new(ROOT).join("cgroup.controllers").exists() || parent.is_some() {
            let parent = parent.map(Path::to_owned).or_else(|| Some(below(Path::new(ROOT), path_of(&own, "")?)));
            return parent.and_then(unified).map_or(Self::None, Self::Unified);
        }
        let tree = |controller: &str| split(&below(&Path::new(ROOT).join(controller), path_of(&own, controller)?));
        tree("memory").map_or(Self::None, |memory| Self::Split { memory, cpu: tree("cpu") })
    }

    /// Makes the groups of one server, with its limits. Bytes and processors.
    pub fn make(&self, name: &str, memory: Option<u64>, cpu: Option<f64>) -> io::Result<Vec<PathBuf>> {
        let quota = cpu.map(|cpu| ((cpu * PERIOD as f64) as u64).max(1000));
        match self {
            Self::None => Ok(Vec::new()),
            Self::Unified(parent) => {
                let group = made(parent, name)?;
                set(&group, "memory.max", memory.map(|bytes| bytes.to_string()))?;
                set(&group, "cpu.max", quota.map(|quota| format!("{quota} {PERIOD}")))?;
                Ok(vec![group])
            }
            Self::Split { memory: parent, cpu: cpu_parent } => {
                let group = made(parent, name)?;
                set(&group, "memory.limit_in_bytes", memory.map(|bytes| bytes.to_string()))?;
                let mut groups = vec![group];
                if let Some(parent) = cpu_parent {
                    let group = made(parent, name)?;
                    set(&group, "cpu.cfs_quota_us", quota.map(|quota| quota.to_string()))?;
                    groups.push(group);
                }
                Ok(groups)
            }
        }
    }
}

/// Finds the groups that were made for a server, by its process.
pub fn of(pid: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let group = |controller: &str| {
        let path = path_of(&text, controller).filter(|path| !path.contains(".."))?;
        let name = path.rsplit('/').next().filter(|name| name.starts_with(PREFIX))?;
        let group = Path::new(ROOT).join(controller).join(path.trim_start_matches('/'));
        (group.ends_with(name) && group.is_dir()).then_some(group)
    };
    ["", "memory", "cpu"].into_iter().filter_map(group).collect()
}

/// Opens the files through which a process joins its groups: it writes `0`.
pub fn doors(groups: &[PathBuf]) -> io::Result<Vec<File>> {
    groups.iter().map(|group| OpenOptions::new().write(true).open(group.join("cgroup.procs"))).collect()
}

/// Lists the processes in the groups.
pub fn members(groups: &[PathBuf]) -> Vec<i32> {
    let read = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> =
        groups.iter().map(read).flat_map(|text| text.lines().map(str::parse).collect::<Vec<_>>()).flatten().collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Whether the kernel ended a process of the groups because their memory was used up.
pub fn out_of_memory(groups: &[PathBuf]) -> bool {
    let killed = |text: String| text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|n| n != "0"));
    groups.iter().any(|group| {
        ["memory.events", "memory.oom_control"]
            .iter()
            .any(|file| fs::read_to_string(group.join(file)).is_ok_and(killed))
    })
}

/// Removes empty groups.
pub fn remove(groups: &[PathBuf]) {
    for group in groups {
        if let Err(error) = fs::remove_dir(group)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(group = %group.display(), %error, "a control group could not be removed");
        }
    }
}

/// Finds a process's place in one tree, in the text of `/proc/PID/cgroup`; the unified tree has no name.
fn path_of<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|one| one == controller).then_some(path)
    })
}

fn below(root: &Path, path: &str) -> PathBuf {
    let inside = root.join(path.trim_start_matches('/'));
    // Inside a container the path may be the host's, which cannot be seen from here.
    if path.contains("..") || !inside.exists() { root.to_owned() } else { inside }
}

fn unified(parent: PathBuf) -> Option<PathBuf> {
    // A group with processes of its own, such as the hub, cannot pass its controllers on: hence `cgroup_parent`.
    fs::write(parent.join("cgroup.subtree_control"), "+memory +cpu").is_ok().then_some(parent)
}

/// Tries out whether groups can be made there.
fn split(parent: &Path) -> Option<PathBuf> {
    let trial = made(parent, &format!("trial-{}", std::process::id())).ok()?;
    fs::remove_dir(trial).ok()?;
    Some(parent.to_owned())
}

fn made(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let group = parent.join(format!("{PREFIX}{name}"));
    match fs::create_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(group),
    }
}

fn set(group: &Path, file: &str, value: Option<String>) -> io::Result<()> {
    value.map_or(Ok(()), |value| fs::write(group.join(file), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_place_is_found_in_each_tree() {
        let text = "9:cpu,cpuacct:/a\n4:memory:/b/c\n1:name=systemd:/d\n0::/e\n";
        assert_eq!(path_of(text, "cpu"), Some("/a"));
        assert_eq!(path_of(text, "memory"), Some("/b/c"));
        assert_eq!(path_of(text, ""), Some("/e"));
        assert_eq!(path_of(text, "pids"), None);
    }
}

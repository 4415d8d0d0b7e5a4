//! What it takes to mount object stores as folders: FUSE and rclone.

use std::fs::OpenOptions;
use std::path::Path;

use super::finding::Finding;
use super::program;
use crate::config::Config;
use crate::config::spawner::Driver;

/// The oldest rclone that does what is asked of it.
const OLDEST: (u32, u32) = (1, 60);

/// Whether this configuration mounts anything.
fn is_needed(config: &Config) -> bool {
    config.spawner.mounts.enabled
}

/// Looks at the device, the helper and rclone.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    if !asked && !is_needed(config) {
        return vec![Finding::skipped("FUSE", "no folder of an object store is mounted")];
    }
    let mounts = &config.spawner.mounts;
    let version = program::output(&mounts.rclone.to_string_lossy(), &["version"]).await;
    let mut findings = vec![device(), helper().await, rclone(version)];
    if config.spawner.driver == Driver::Docker {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        findings.push(propagation(&mounts.dir, &table));
    }
    findings
}

/// Labs in containers see a folder that is mounted later only where mounts below its place are shared. A line of the table
/// has the place as its fifth word, and what is shared after the sixth, up to a `-`.
fn propagation(dir: &Path, table: &str) -> Finding {
    let about = "mounts in labs";
    let lines = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounts = lines.filter(|words| words.get(4).is_some_and(|place| dir.starts_with(place)));
    let nearest = mounts.max_by_key(|words| words.get(4).map_or(0, |place| place.len()));
    let shared = nearest.as_ref().is_some_and(|words| {
        words.iter().skip(6).take_while(|word| **word != "-").any(|word| word.starts_with("shared:"))
    });
    if shared {
        return Finding::good(about, format!("what is mounted below {} is seen by containers", dir.display()));
    }
    let place = nearest.and_then(|words| words.get(4).copied()).unwrap_or("/").to_owned();
    let said = format!("what is mounted below {} is not seen by containers: {place} is not shared", dir.display());
    let remedy = format!(
        "mount --make-rshared {place}; for a hub in a container, mount {} into it with bind-propagation=rshared",
        dir.display()
    );
    Finding::bad(about, said, remedy)
}

fn device() -> Finding {
    match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::good("FUSE", "/dev/fuse can be opened"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::bad(
            "FUSE",
            "there is no /dev/fuse",
            "modprobe fuse; in a container, run it with --device /dev/fuse",
        ),
        Err(error) => Finding::bad(
            "FUSE",
            format!("/dev/fuse cannot be opened: {error}"),
            "In a container, run it with --device /dev/fuse",
        ),
    }
}

async fn helper() -> Finding {
    let install = "apt-get install fuse3";
    match program::output("fusermount3", &["--version"]).await {
        Ok(version) => {
            let root = nix::unistd::Uid::effective().is_root();
            let configured = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
            if root || configured.lines().any(|line| line.trim() == "user_allow_other") {
                return Finding::good("fusermount3", version);
            }
            let said = "mounts that labs of others can see are not allowed";
            let place = Path::new("/etc/fuse.conf").display();
            Finding::bad("fusermount3", said, format!("Write the line user_allow_other into {place}"))
        }
        Err(why) => Finding::bad("fusermount3", why, install),
    }
}

fn rclone(answer: Result<String, String>) -> Finding {
    let text = match answer {
        Ok(text) => text,
        Err(why) => return Finding::bad("rclone", why, "apt-get install rclone"),
    };
    let first = text.lines().next().unwrap_or_default();
    let mut numbers = first.trim_start_matches("rclone v").split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Finding::good("rclone", first),
        (Some(Ok(_)), Some(Ok(_))) => {
            Finding::bad("rclone", format!("{first} is too old"), format!("Install {}.{} or newer", OLDEST.0, OLDEST.1))
        }
        _ => Finding::note("rclone", format!("its version is not understood: {first:?}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn the_nearest_mount_decides_whether_containers_see_what_is_mounted() {
        let table = "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n2 1 0:20 / /run rw,nosuid - tmpfs tmpfs rw\n\
                     3 2 0:21 / /run/specola rw shared:7 master:2 - tmpfs tmpfs rw\n";
        let level = |dir: &str| propagation(Path::new(dir), table).level;
        assert_eq!(level("/srv/mounts"), Level::Ok);
        assert_eq!(level("/run/mounts"), Level::Bad);
        assert_eq!(level("/run/specola/mounts"), Level::Ok);
        assert_eq!(propagation(Path::new("/x"), "").level, Level::Bad);
    }

    #[test]
    fn an_old_rclone_fails_and_a_strange_one_is_told() {
        let level = |answer: &str| rclone(Ok(answer.to_owned())).level;
        assert_eq!(level("rclone v1.60.1-DEV\n- os/version: debian 12"), Level::Ok);
        assert_eq!(level("rclone v1.69.0"), Level::Ok);
        assert_eq!(level("rclone v1.53.3-DEV"), Level::Bad);
        assert_eq!(level("something"), Level::Note);
        assert_eq!(rclone(Err("is not installed".to_owned())).level, Level::Bad);
    }
}

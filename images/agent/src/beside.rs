//! In a pod whose containers see each other's processes: the agent beside an executor ends with it. Otherwise the pod would
//! run on, and count, with nobody in it whom the agent could serve.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the processes of the pod are seen, such as `/proc`. Without it the agent stays until it is ended.
const PROCESSES: &str = "SPECOLA_PROCESSES";
/// The first process of such a pod is the pod's own.
const FIRST: u32 = 1;
/// How often they are looked at.
const AGAIN: Duration = Duration::from_secs(1);
/// A look may miss who begins while another ends: so many in a row do not.
const LOOKS: u32 = 3;
/// How long an executor may take to begin, such as for the pull of its image.
const BEGINNING: Duration = Duration::from_secs(600);

/// Waits until the others in the pod have ended, if they are seen.
pub async fn alone() {
    let own = std::process::id();
    let folder = std::env::var_os(PROCESSES).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // The first process of its container alone sees nobody's but its own.
    let Some(folder) = folder.filter(|_| own != FIRST) else { return std::future::pending().await };
    let begun = tokio::time::Instant::now();
    let (mut seen, mut empty) = (false, 0);
    loop {
        if others(&folder, own) {
            (seen, empty) = (true, 0);
        } else {
            empty += 1;
        }
        if empty >= LOOKS && (seen || begun.elapsed() >= BEGINNING) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether somebody else lives. What cannot be read is no sign that nobody does.
fn others(folder: &Path, own: u32) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|number| ![FIRST, own].contains(number)).any(|number| {
        // Who ends while it is looked at has ended.
        let stat = std::fs::read_to_string(folder.join(number.to_string()).join("stat"));
        stat.is_ok_and(|stat| !has_ended(&stat))
    })
}

/// Whether a process only waits for somebody to take leave of it. Its name, in brackets, may have anything in it.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

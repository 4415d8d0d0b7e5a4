//! Processes as `/proc` shows them, and signals that reach the process meant or none. Linux only.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same pid, within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Clock ticks after boot; field 22 of `/proc/PID/stat`. First, so that the oldest comes first in order.
    pub start_time: u64,
    /// The process id.
    pub pid: i32,
}

/// What `/proc/PID/stat` and the owner of `/proc/PID` tell of a living process.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// Which process it is.
    pub process: Process,
    /// Its parent.
    pub parent: i32,
    /// Its session, named by the pid of the session's leader.
    pub session: i32,
    /// Its real user.
    pub uid: u32,
}

impl Process {
    /// Whether it still runs; one that ended and was not yet collected does not.
    pub fn alive(self) -> io::Result<bool> {
        Ok(stat(self.pid)?.is_some_and(|now| now.process == self))
    }

    /// Sends a signal to this very process; whether it was still there.
    pub fn signal(self, signal: Signal) -> io::Result<bool> {
        let Some(handle) = self.open()? else { return Ok(false) };
        // SAFETY: a plain system call on a file descriptor that is open; the null pointer asks for no extra data.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                handle.as_raw_fd(),
                signal as libc::c_int,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if sent == 0 { Ok(true) } else { gone(io::Error::last_os_error()).map(|()| false) }
    }

    /// Opens a handle that becomes readable when the process ends; nothing when it already has.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        // SAFETY: a plain system call without pointers.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if opened < 0 {
            return gone(io::Error::last_os_error()).map(|()| None);
        }
        let number = i32::try_from(opened).map_err(io::Error::other)?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        let handle = unsafe { OwnedFd::from_raw_fd(number) };
        // The handle is for whoever has the pid now. Only if that is still ours does it stay ours.
        Ok(self.alive()?.then_some(handle))
    }
}

/// Reads one process; nothing when it is gone or has ended.
pub fn stat(pid: i32) -> io::Result<Option<Stat>> {
    Ok(read(pid)?.filter(|(state, _)| !matches!(state, 'Z' | 'X')).map(|(_, stat)| stat))
}

/// Names a child of this process that was not collected yet, whether it still runs or not.
pub fn child(pid: i32) -> io::Result<Process> {
    read(pid)?.map(|(_, stat)| stat.process).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn read(pid: i32) -> io::Result<Option<(char, Stat)>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) => return gone(error).map(|()| None),
    };
    let uid = match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(text) => real_uid(&text),
        Err(error) => return gone(error).map(|()| None),
    };
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not understood"));
    parse(pid, &String::from_utf8_lossy(&text), uid).map(Some).ok_or_else(unreadable)
}

/// Reads the state letter and the rest. The command's name, in brackets, may contain anything, brackets included.
fn parse(pid: i32, text: &str, uid: Option<u32>) -> Option<(char, Stat)> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let small = |field: usize| i32::try_from(number(field)?).ok();
    let process = Process { pid, start_time: fields.get(22 - 3)?.parse().ok()? };
    let state = fields.first()?.chars().next()?;
    Some((state, Stat { process, parent: small(4)?, session: small(6)?, uid: uid? }))
}

fn real_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Reads every living process of the machine that this user may see.
pub fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        match stat(pid) {
            Ok(stat) => found.extend(stat),
            // Where `/proc` hides the processes of others, none of those is ours.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The environment a process was started with; empty when it may not be read.
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Reads it, if the process is still the one meant.
    pub fn of(process: Process) -> io::Result<Self> {
        let bytes = match fs::read(format!("/proc/{}/environ", process.pid)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
            Err(error) => gone(error).map(|()| Vec::new())?,
        };
        if !process.alive()? {
            return Ok(Self(HashMap::new()));
        }
        let pair = |entry: &[u8]| {
            let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Ok(Self(bytes.split(|byte| *byte == 0).filter_map(pair).collect()))
    }

    /// Returns a variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Tells which boot of the machine this is.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Returns milliseconds since boot, sleep included, which no one can set back.
pub fn uptime() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_ascii_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "/proc/uptime is not understood");
    Ok((seconds.ok_or_else(unreadable)? * 1000.0) as u64)
}

/// Lets the errors pass that say that a process is no more.
fn gone(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (a) S 1 (b) S 7 8 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        let (state, stat) = parse(42, line, Some(1000)).unwrap();
        assert_eq!((state, stat.parent, stat.session, stat.process.start_time), ('S', 7, 42, 987_654));
        for broken in ["", "42", "42 (a", "42 (a) S", "42 (a) S x y z"] {
            assert!(parse(42, broken, Some(1000)).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let me = stat(std::process::id() as i32).unwrap().unwrap().process;
        let earlier = Process { start_time: me.start_time - 1, ..me };
        assert!(me.alive().unwrap());
        assert!(!earlier.alive().unwrap());
        assert!(!earlier.signal(Signal::SIGKILL).unwrap(), "the later process with the same pid is spared");
        assert!(earlier.open().unwrap().is_none());
    }

    #[test]
    fn a_process_that_ended_is_gone_before_and_after_it_is_collected() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = stat(child.id() as i32).unwrap().unwrap().process;
        assert!(process.signal(Signal::SIGKILL).unwrap());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while process.alive().unwrap() {
            assert!(std::time::Instant::now() < deadline, "a killed process stays");
        }
        child.wait().unwrap();
        assert!(!process.alive().unwrap());
        assert!(!process.signal(Signal::SIGTERM).unwrap());
    }
}

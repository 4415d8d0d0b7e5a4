//! What an operator may decide about servers as local processes. Names and defaults are LocalProcessSpawner's
//! wherever it has a twin.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Uid;

/// The environment variables a server inherits from the hub, as LocalProcessSpawner has them.
pub const ENV_KEEP: [&str; 9] = [
    "CONDA_DEFAULT_ENV",
    "CONDA_ROOT",
    "JUPYTERHUB_SINGLEUSER_APP",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
];

/// Under whom servers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each under the system user of its user's name. Only root can do that.
    System,
    /// All under the hub's own user, each with a home folder of its own.
    Folders,
}

/// Settings of the local driver.
#[derive(Debug, Clone)]
pub struct Config {
    /// The hub's own mark, as in [`spawners::Identity::hub`].
    pub hub: String,
    /// Where the driver keeps logs, locks and what it knows of running servers. Made when missing; only the hub's
    /// user may write in it.
    pub data_dir: PathBuf,
    /// Under whom servers run; when absent, [`Mode::System`] for root and [`Mode::Folders`] for all others.
    pub mode: Option<Mode>,
    /// Where home folders are made in [`Mode::Folders`]; `homes` in the data folder when absent.
    pub homes: Option<PathBuf>,
    /// Names of the hub's environment variables that servers inherit.
    pub env_keep: Vec<String>,
    /// A shell that is given the whole command as its last argument, such as `bash -l -c`; none when empty.
    pub shell_cmd: Vec<String>,
    /// How long a server has after SIGINT.
    pub interrupt_timeout: Duration,
    /// How long it has after SIGTERM.
    pub term_timeout: Duration,
    /// How long it may take to go after SIGKILL, before that is worth a warning.
    pub kill_timeout: Duration,
    /// The mode bits that new files of a server do not get.
    pub umask: u32,
    /// Whether servers, and what runs in them, may never gain rights (no sudo, no set-user-id programs).
    pub no_new_privileges: bool,
    /// Whether a server may run as root: that of a user whose system user has uid 0, or all in [`Mode::Folders`] of
    /// a hub that root runs.
    pub allow_root: bool,
    /// The size in bytes from which a log is rotated.
    pub log_bytes: u64,
    /// How many rotated logs are kept.
    pub log_files: u32,
    /// The ports servers may listen on; any free one when absent.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether servers get control groups of their own where the system lets the hub make them.
    pub cgroups: bool,
    /// A folder of the unified control group tree that was delegated to the hub; its own group when absent.
    pub cgroup_parent: Option<PathBuf>,
    /// Whether the hub leases GPUs and tells servers theirs in the environment. Nothing here keeps them from others.
    pub gpus: bool,
}

impl Config {
    /// The defaults, for a hub with this mark and this data folder.
    pub fn new(hub: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            hub: hub.into(),
            data_dir: data_dir.into(),
            mode: None,
            homes: None,
            env_keep: ENV_KEEP.map(str::to_owned).to_vec(),
            shell_cmd: Vec::new(),
            interrupt_timeout: Duration::from_secs(30),
            term_timeout: Duration::from_secs(30),
            kill_timeout: Duration::from_secs(5),
            umask: 0o022,
            no_new_privileges: true,
            allow_root: false,
            log_bytes: 10 * 1024 * 1024,
            log_files: 2,
            ports: None,
            cgroups: true,
            cgroup_parent: None,
            gpus: false,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        let usual = if Uid::effective().is_root() { Mode::System } else { Mode::Folders };
        self.mode.unwrap_or(usual)
    }

    pub(crate) fn homes(&self) -> PathBuf {
        self.homes.clone().unwrap_or_else(|| self.data_dir.join("homes"))
    }
}
